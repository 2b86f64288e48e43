"""Few-shot learning of a new source, measured against predictors that are known exactly.

Let q be the model, p the source's probability of the next token, and b the best predictor from the
tokens before it (`data/sequences.py`). Averages over sequences and tokens [nats/token]:

    few_shot                KL(b ‖ q)              excess loss over b: E_p[ln b − ln q] on average
    few_shot_simple         KL(simple ‖ q)         0 if the model is the simple predictor
    few_shot_uniform        KL(uniform ‖ q)        0 if the model guesses
    few_shot_seen           E_p[ln b − ln q]       on training sources; below 0, the model knows
                                                   more about them than the examples tell
    few_shot_regret         KL(p ‖ q)              excess loss over knowing the source
    few_shot_regret_bayes   KL(p ‖ b)              the best predictor's; no model is below it
    few_shot_phase          share of sequences on which b minimises KL(r ‖ q) over predictors r

Expectations over the next token are exact, so the only noise is that of the contexts. The probe
draws its sequences from its own random stream, so their sources are new. Curves are by the number
of examples before a token. Source: distances to predictors as phases of learning, Edelman et al.
2024, arXiv:2402.11004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.data.sequences import (
    BAYES,
    SIMPLE,
    UNIFORM,
    Judged,
    measure_divergence,
    open_sequences,
)
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probing import TrainedRun, average, draw_curve, read_logits
from scaling.units import FloatArray, IntArray

_AT_ONCE = 32  # sequences
_BIN = math.sqrt(2.0)  # ratio of bin edges: 13 points for 128 examples


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Sequences and their exact predictors."""

    tokens: IntArray
    judged: Judged


def measure_excess(trained: TrainedRun) -> Measured:
    """Measure the excess loss over the best predictor on new sources [nats/token]."""
    each = _compare(trained, BAYES)
    return *_average(each), _draw(trained, each, "excess over the best predictor [nats/token]")


def measure_simple(trained: TrainedRun) -> Measured:
    """Measure the KL divergence from the simple predictor [nats/token]."""
    return _average(_compare(trained, SIMPLE))


def measure_uniform(trained: TrainedRun) -> Measured:
    """Measure the KL divergence from the uniform predictor [nats/token]."""
    return _average(_compare(trained, UNIFORM))


def measure_seen(trained: TrainedRun) -> Measured:
    """Measure the excess loss over the best predictor on training sources [nats/token]."""
    judged = _draw_sequences(trained, seen=True).judged
    best = judged.predictors[BAYES]
    each = measure_divergence(judged.truth, _say(trained, seen=True))
    return _average(each - measure_divergence(judged.truth, _log(best)))


def measure_phase(trained: TrainedRun) -> Measured:
    """Measure the share of sequences on which the model is nearest to the best predictor."""
    predictors = _draw_sequences(trained).judged.predictors
    far = {name: _compare(trained, name).mean(axis=1) for name in predictors}
    nearest = far[BAYES] <= np.min(list(far.values()), axis=0)
    share = float(nearest.mean())
    return share, math.sqrt(share * (1.0 - share) / len(nearest))


def measure_regret(trained: TrainedRun) -> Measured:
    """Measure the excess loss over knowing the source [nats/token]."""
    each = measure_divergence(_draw_sequences(trained).judged.truth, _say(trained))
    return *_average(each), _draw(trained, each, _REGRET)


def measure_regret_bayes(trained: TrainedRun) -> Measured:
    """Measure the best predictor's excess loss over knowing the source; the model is not used."""
    judged = _draw_sequences(trained).judged
    each = measure_divergence(judged.truth, _log(judged.predictors[BAYES]))
    return *_average(each), _draw(trained, each, _REGRET)


_REGRET = "excess over the known source [nats/token]"


def bin_examples(each: FloatArray, examples: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Average by the number of examples, from the first on, in bins with edges a factor √2 apart.

    Args:
        each: Values, shape (sequences, p).
        examples: Number of examples before each of p tokens, ascending.

    Returns:
        (examples, mean, standard error over sequences) of each bin.
    """
    steps = math.ceil(math.log(max(2, int(examples.max()) + 1), _BIN))
    ends = np.unique(np.round(_BIN ** np.arange(steps + 1)).astype(np.int64))
    place = np.digitize(examples, ends)
    points = []
    for at in np.unique(place[examples > 0]):
        inside = place == at
        found = average(each[:, inside].mean(axis=1))
        points.append((math.exp(np.log(examples[inside]).mean()), *found))
    x, y, errors = (np.array(one) for one in zip(*points, strict=True))
    return x, y, errors


def _draw_sequences(trained: TrainedRun, *, seen: bool = False) -> _Drawn:
    count = int(trained.options["sequences"])

    def draw() -> _Drawn:
        source = open_sequences(trained.shards.name)
        rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 8 if seen else 7]))
        tokens, sources = source.draw(rng, count, trained=seen)
        return _Drawn(tokens, source.judge(tokens, sources))

    return trained.share(f"sequences {count} {seen}", draw)


def _say(trained: TrainedRun, *, seen: bool = False) -> FloatArray:
    """Return ln q of every id at the scored tokens, shape (sequences, p, v)."""
    drawn = _draw_sequences(trained, seen=seen)

    def read() -> FloatArray:
        parts = []
        for _, logits in read_logits(trained, drawn.tokens, at_once=_AT_ONCE):
            logs = logits.double().log_softmax(dim=-1)
            parts.append(logs.cpu().numpy()[:, drawn.judged.places - 1])
        return np.concatenate(parts)

    return trained.share(f"said {len(drawn.tokens)} {seen}", read)


def _compare(trained: TrainedRun, name: str) -> FloatArray:
    """Return KL(predictor ‖ q) on new sources [nats], shape (sequences, p)."""
    predictor = _draw_sequences(trained).judged.predictors[name]
    return measure_divergence(predictor, _say(trained))


def _average(each: FloatArray) -> tuple[float, float]:
    """Return the mean over sequences and its standard error."""
    return average(each.mean(axis=1))


def _draw(trained: TrainedRun, each: FloatArray, label: str) -> ProbeCurve:
    points = bin_examples(each, _draw_sequences(trained).judged.examples)
    return draw_curve(("examples in the context", label), *points, y_log=True)


def _log(p: FloatArray) -> FloatArray:
    """Return ln p; −inf where p is 0, which no source ever draws."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))

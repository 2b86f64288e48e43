"""Knowledge of a closed world (`data/closed_world.py`), and hallucination.

For facts f with C possible values, p_f is the model's probability of the right value among the C,
after other statements and `0 NAME attribute` (`statements.py`):

    closed_world_error           mean of [argmax is not the right value]
    closed_world_bits            Σ_f (log2 C + log2 p_f)    0 for guessing, at most facts · log2 C
    closed_world_capacity        the same, divided by all stored parameters
    closed_world_confidence      mean of the largest p, for names that never occur
    closed_world_hallucination   share of statements sampled at temperature 1 that are not facts
    closed_world_seen_once       M: share of the draws read whose fact no other draw read stated
    closed_world_miscalibration  K: ½ Σ_B |t(B) − m(B)|
    closed_world_bound           M − K

B are bins of texts by the model's probability, each with a tenth of the sampled texts. m(B) is the
probability of a bin under the model and t(B) under the source, which is known. M − K bounds the
hallucination from below, up to terms that vanish with the number of draws and with the share of
possible statements that are facts. A sample that is not a statement is a hallucination too.

Bits are facts · log2 C less the code length of the values under the model, so they follow from the
mean log loss. Losses count: without them, the noise of facts at chance would add up to knowledge.
A model that is sure of wrong values has fewer than 0 bits: its probabilities are worse than
guessing. Only values count, not names.
Sources: bits, Allen-Zhu and Li 2024, arXiv:2404.05405, the term of their bound that concerns values
(N·K·log2(D^C / e^p2), p2 their mean loss on a value); bound and calibration, Kalai and Vempala
2024, arXiv:2311.14648.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.data import closed_world
from scaling.data.people import BEGIN, STATEMENT, World
from scaling.sweep.counting import count_total_params
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probes.samples import write_on
from scaling.training.probes.statements import (
    Judged,
    draw_exposures,
    find_exposures,
    find_seen_once,
    judge_statements,
    judge_world,
    write_contexts,
)
from scaling.training.probing import TrainedRun, average, draw_curve
from scaling.units import FloatArray, IntArray

_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Statements sampled from a model, shape (samples,) each.

    Attributes:
        log_whole: ln p of each sample under the model.
        true: 1 if the sample is a fact, else 0.
    """

    log_whole: FloatArray
    true: FloatArray


def measure_error(trained: TrainedRun) -> Measured:
    """Share of facts answered wrongly; the curve is over exposures."""
    world = _open(trained)
    wrong = 1.0 - judge_world(trained, world).hit
    curve = draw_exposures(wrong, find_exposures(trained, world), "share wrong")
    return *average(wrong), curve


def measure_bits(trained: TrainedRun) -> Measured:
    """Bits of all facts [bits], below 0 if worse than guessing; curve: per fact, over exposures."""
    world = _open(trained)
    bits = find_bits(judge_world(trained, world), world)
    mean, error = average(bits)
    curve = draw_exposures(bits, find_exposures(trained, world), "bits of a fact")
    return mean * len(bits), error * len(bits), curve


def measure_capacity(trained: TrainedRun) -> Measured:
    """Bits of all facts, divided by all stored parameters [bits/parameter]."""
    world = _open(trained)
    bits = find_bits(judge_world(trained, world), world)
    (mean, error), each = average(bits), len(bits) / count_total_params(trained.run.shape)
    return mean * each, error * each


def measure_confidence(trained: TrainedRun) -> Measured:
    """Mean probability of the most likely value for names that never occur, one attribute each."""
    world = _open(trained)
    asked = make_strangers(world)
    contexts = write_contexts(trained, world, np.full(len(asked), -1))
    return average(judge_statements(trained, asked, world, contexts).highest)


def measure_hallucination(trained: TrainedRun) -> Measured:
    """Share of sampled statements that are not facts."""
    return average(1.0 - _write(trained, _open(trained)).true)


def measure_seen_once(trained: TrainedRun) -> Measured:
    """M, with the standard error of a share of the statements read."""
    world = _open(trained)
    share = find_seen_once(trained, world)
    read = find_exposures(trained, world).sum()
    return share, math.sqrt(share * (1.0 - share) / max(1, read))


def measure_miscalibration(trained: TrainedRun) -> Measured:
    """K; the curve is t(B)/m(B) over the mean probability of each bin."""
    world = _open(trained)
    written = _write(trained, world)
    distance, curve = compare_bins(
        written.log_whole, judge_world(trained, world).log_whole, world.share
    )
    return distance, None, curve


def measure_bound(trained: TrainedRun) -> Measured:
    """M − K, which is no constraint below 0."""
    return measure_seen_once(trained)[0] - measure_miscalibration(trained)[0], None


def find_bits(judged: Judged, world: World) -> FloatArray:
    """log2 C + log2 p of each fact, at most log2 C, below 0 where p < 1/C; shape (facts,)."""
    most = math.log2(world.vocab_size - world.first_answer)
    return most + judged.log_right / math.log(2.0)


def make_strangers(world: World) -> IntArray:
    """Build statements about names that never occur, shape (strangers, 6); values are arbitrary."""
    count = len(world.strangers)
    statements = world.statements[np.arange(count) % len(world.statements)].copy()
    statements[:, 1 : 1 + world.strangers.shape[1]] = world.strangers
    return statements


def compare_bins(
    written: FloatArray, true: FloatArray, share: FloatArray
) -> tuple[float, ProbeCurve]:
    """K and its curve.

    Args:
        written: ln p of sampled texts under the model, shape (samples,).
        true: ln p of every true statement under the model, shape (statements,).
        share: Probability of each true statement under the source, shape (statements,); sums to 1.
    """
    edges = np.quantile(written, np.arange(1, _BINS) / _BINS)
    of_written, of_true = (np.searchsorted(edges, one) for one in (written, true))
    model = np.bincount(of_written, minlength=_BINS) / len(written)
    text = np.bincount(of_true, share, minlength=_BINS)
    places = np.exp([written[of_written == at].mean() for at in np.flatnonzero(model)])
    axes = (
        "probability of a text under the model",
        "frequency in the text / frequency among samples",
    )
    curve = draw_curve(axes, places, text[model > 0] / model[model > 0])
    return float(0.5 * np.abs(text - model).sum()), curve


def _open(trained: TrainedRun) -> World:
    return closed_world.open_world(trained.shards.name)


def _write(trained: TrainedRun, world: World) -> Written:
    count = int(trained.options["samples"])

    def sample() -> Written:
        contexts = write_contexts(trained, world, np.full(count, -1))
        begun = np.concatenate((contexts, np.full((count, 1), BEGIN)), axis=1)
        texts = write_on(trained, begun, STATEMENT - 1)[:, -STATEMENT:]
        facts = {one.tobytes() for one in world.statements}
        return Written(
            log_whole=judge_statements(trained, texts, world, contexts).log_whole,
            true=np.array([float(one.tobytes() in facts) for one in texts]),
        )

    return trained.share(f"statements {count}", sample)

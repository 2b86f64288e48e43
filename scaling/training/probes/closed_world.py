"""What a model knows of a closed world (`data/closed_world.py`), and what it makes up.

Of facts f with answers of C values, p_f the model's probability of the right value among the C
after other statements and `0 NAME attribute` (`statements.py`):

    closed_world_error           mean [argmax is not the right value]
    closed_world_bits            Σ_f (log2 C + log2 p_f)    0 for guessing, at most facts · log2 C
    closed_world_capacity        the same, divided by all stored parameters
    closed_world_confidence      mean of the largest p, of names that never occur
    closed_world_hallucination   share of texts after such a 0, at temperature 1, that are no fact
    closed_world_seen_once       M: share of the draws read whose fact is that of no other
    closed_world_miscalibration  K: ½ Σ_B |t(B) − m(B)|
    closed_world_bound           M − K

B are bins of texts by the model's probability of them, each with a tenth of what it writes; m(B) is
the model's probability of a bin, t(B) that of the source, which is known. M − K is a lower bound of
the hallucination, but for terms that vanish with the number of draws and with the share of possible
statements that are facts. A text that is no statement is a hallucination too.

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
from scaling.training.generation import Choice, generate
from scaling.training.probes.statements import (
    Judged,
    draw_exposures,
    find_exposures,
    find_seen_once,
    judge_statements,
    judge_world,
    write_contexts,
)
from scaling.training.probing import TrainedRun, average
from scaling.units import FloatArray, IntArray

_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a model writes, shape (samples,) each.

    Attributes:
        log_whole: ln p of each by the model.
        true: Whether it is a fact.
    """

    log_whole: FloatArray
    true: FloatArray


def measure_error(trained: TrainedRun) -> Measured:
    """Share of facts that are answered wrongly; its curve is over exposures."""
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
    """Mean probability of the likeliest value, of strangers; each is asked for one attribute."""
    world = _open(trained)
    asked = make_strangers(world)
    contexts = write_contexts(trained, world, np.full(len(asked), -1))
    return average(judge_statements(trained, asked, world, contexts).highest)


def measure_hallucination(trained: TrainedRun) -> Measured:
    """Share of what the model writes that is no fact."""
    return average(1.0 - _write(trained, _open(trained)).true)


def measure_seen_once(trained: TrainedRun) -> Measured:
    """M, and the standard error of a share of what was read."""
    world = _open(trained)
    share = find_seen_once(trained, world)
    read = find_exposures(trained, world).sum()
    return share, math.sqrt(share * (1.0 - share) / max(1, read))


def measure_miscalibration(trained: TrainedRun) -> Measured:
    """K; its curve is t(B)/m(B) over the mean probability of a bin."""
    world = _open(trained)
    written = _write(trained, world)
    distance, curve = compare_bins(
        written.log_whole, judge_world(trained, world).log_whole, world.share
    )
    return distance, None, curve


def measure_bound(trained: TrainedRun) -> Measured:
    """M − K; below 0 it says nothing."""
    return measure_seen_once(trained)[0] - measure_miscalibration(trained)[0], None


def find_bits(judged: Judged, world: World) -> FloatArray:
    """log2 C + log2 p of each fact, at most log2 C, below 0 where p < 1/C; shape (facts,)."""
    most = math.log2(world.vocab_size - world.first_answer)
    return most + judged.log_right / math.log(2.0)


def make_strangers(world: World) -> IntArray:
    """Statements about names that never occur, shape (strangers, 6); the value is any."""
    count = len(world.strangers)
    statements = world.statements[np.arange(count) % len(world.statements)].copy()
    statements[:, 1 : 1 + world.strangers.shape[1]] = world.strangers
    return statements


def compare_bins(
    written: FloatArray, true: FloatArray, share: FloatArray
) -> tuple[float, ProbeCurve]:
    """K and its curve.

    Args:
        written: ln p, by the model, of texts that it wrote, shape (samples,).
        true: ln p, by the model, of every true statement.
        share: Probability of each of those in the source's text, of that shape; sums to 1.
    """
    edges = np.quantile(written, np.arange(1, _BINS) / _BINS)
    of_written, of_true = (np.searchsorted(edges, one) for one in (written, true))
    model = np.bincount(of_written, minlength=_BINS) / len(written)
    text = np.bincount(of_true, share, minlength=_BINS)
    places = np.exp([written[of_written == at].mean() for at in np.flatnonzero(model)])
    curve = ProbeCurve(
        x_label="probability that the model gives a text",
        y_label="how often it occurs, by how often it is written",
        x=tuple(map(float, places)),
        y=tuple(map(float, text[model > 0] / model[model > 0])),
    )
    return float(0.5 * np.abs(text - model).sum()), curve


def _open(trained: TrainedRun) -> World:
    return closed_world.open_world(trained.shards.name)


def _write(trained: TrainedRun, world: World) -> Written:
    count = int(trained.options["samples"])
    written: Written = trained.share(f"statements {count}", lambda: _sample(trained, world, count))
    return written


def _sample(trained: TrainedRun, world: World, count: int) -> Written:
    contexts = write_contexts(trained, world, np.full(count, -1))
    begin = np.full((count, 1), BEGIN, dtype=np.int64)
    parts = [begin]
    for one in generate(
        trained.model,
        np.concatenate((contexts, begin), axis=1),
        tokens=STATEMENT - 1,
        choice=Choice(),
        seed=trained.run.seed,
    ):
        parts.append(one[:, None])
        trained.look_up()
    texts = np.concatenate(parts, axis=1)
    facts = {one.tobytes() for one in world.statements}
    return Written(
        log_whole=judge_statements(trained, texts, world, contexts).log_whole,
        true=np.array([float(one.tobytes() in facts) for one in texts]),
    )

"""Score statements about people (`data/people.py`) with a model, each after other statements.

    s_1 … s_4  0  NAME  a  b        s: drawn as in the text, never the statement that follows

The context is needed because a small model sees few window beginnings and errs there on facts that
it knows. Probabilities of answers are normalised over all answers, so that guessing is 1/answers,
before training too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.data.people import (
    STATEMENT,
    World,
    count_exposures,
    draw_statements,
    measure_seen_once,
)
from scaling.sweep.probes import ProbeCurve
from scaling.training.probing import TrainedRun, count_read, draw_curve, read_logits
from scaling.units import FloatArray, IntArray

_AT_ONCE = 128  # statements
_CONTEXT = 4  # statements before the scored one; fewer if the context is too short
_NEVER = 0.5  # exposures at which statements never read are drawn, as the axis is logarithmic
_FEWEST = 8  # statements in a bin: the standard error of a share is at most .18


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A model's scores of statements, shape (statements,) each.

    Attributes:
        log_whole: ln p of all tokens after the first.
        log_right: ln p of the right answer, normalised over all answers.
        highest: p of the most likely answer.
        hit: 1 if the most likely answer is right, else 0; 1/k for a tie among k answers.
    """

    log_whole: FloatArray
    log_right: FloatArray
    highest: FloatArray
    hit: FloatArray


def write_contexts(trained: TrainedRun, world: World, own: IntArray) -> IntArray:
    """Draw the context of each statement, shape (statements, 6 · context statements).

    Args:
        trained: The run, whose seed is used.
        world: The world of its corpus.
        own: Index of each true statement, which its own context never contains; −1 if it is none.
    """
    count = min(_CONTEXT, trained.run.shape.seq_len // STATEMENT - 1)
    rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 7]))
    drawn = draw_statements(rng, world.share, len(own) * count).reshape(len(own), count)
    drawn = np.where(drawn == own[:, None], (drawn + 1) % len(world.statements), drawn)
    return world.statements[drawn].reshape(len(own), count * STATEMENT)


def judge_statements(
    trained: TrainedRun, statements: IntArray, world: World, contexts: IntArray
) -> Judged:
    """Score statements, shape (statements, 6), after their contexts."""
    parts = []
    whole_texts = np.concatenate((contexts, statements), axis=1)
    for texts, every in read_logits(trained, whole_texts, at_once=_AT_ONCE):
        tokens, logits = texts[:, -STATEMENT:], every[:, 1 - STATEMENT :].double()
        log_p = logits.log_softmax(dim=-1)
        whole = log_p.gather(-1, tokens[:, 1:, None])[..., 0].sum(dim=1)
        log_p = logits[:, -1, world.first_answer : world.vocab_size].log_softmax(dim=-1)
        answer = (tokens[:, -1:] - world.first_answer).clamp(min=0)  # samples may end otherwise
        right = log_p.gather(-1, answer)[:, 0]
        best = log_p.max(dim=-1).values
        hit = (right == best).double() / (log_p == best[:, None]).sum(dim=-1)
        parts.append([one.cpu().numpy() for one in (whole, right, best.exp(), hit)])
    log_whole, log_right, highest, hits = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Judged(log_whole=log_whole, log_right=log_right, highest=highest, hit=hits)


def judge_world(trained: TrainedRun, world: World) -> Judged:
    """Score every true statement."""

    def judge() -> Judged:
        contexts = write_contexts(trained, world, np.arange(len(world.statements)))
        return judge_statements(trained, world.statements, world, contexts)

    return trained.share("true statements", judge)


def find_exposures(trained: TrainedRun, world: World) -> IntArray:
    """Count how often the run read each true statement, shape (statements,)."""
    return trained.share("exposures", lambda: count_exposures(world, _read(trained)))


def find_seen_once(trained: TrainedRun, world: World) -> float:
    """Share of the draws read whose fact occurred once (`people.measure_seen_once`)."""
    return measure_seen_once(world, _read(trained))


def draw_exposures(each: FloatArray, exposures: IntArray, label: str) -> ProbeCurve:
    """Average a quantity of statements by exposures, in bins of a factor of two."""
    x, y, errors = [], [], []
    for chosen in _bin_exposures(exposures):
        own = each[chosen]
        spread = own if len(own) > 1 else each  # a single one takes the spread of all
        x.append(float(exposures[chosen].mean()) or _NEVER)
        y.append(float(own.mean()))
        errors.append(float(spread.std(ddof=1)) / math.sqrt(len(own)))
    return draw_curve((f"exposures ({_NEVER:g}: none)", label), x, y, errors)


def _bin_exposures(exposures: IntArray) -> list[NDArray[np.bool_]]:
    """Masks of the bins: never read, then octaves; a bin with too few joins the next."""
    octave = np.where(exposures > 0, np.frexp(exposures)[1], 0)
    never, bins = octave == 0, []
    chosen = np.zeros_like(never)
    for one in np.unique(octave[~never]):
        chosen = chosen | (octave == one)
        if chosen.sum() >= _FEWEST:
            bins.append(chosen)
            chosen = np.zeros_like(never)
    if chosen.any():
        bins = [*bins[:-1], chosen | bins[-1]] if bins else [chosen]
    return [never, *bins] if never.any() else bins


def _read(trained: TrainedRun) -> IntArray:
    return trained.share("statements read", lambda: count_read(trained, STATEMENT))

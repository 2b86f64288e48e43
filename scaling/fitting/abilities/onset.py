"""Onset: the sizes, or tokens, between which most seeds begin to succeed.

    below   the largest value up to which fewer than half of the seeds succeed at every value
    above   the smallest value from which at least half of them succeed at every value

The onset has two ends and no point: nothing was trained between them, and if success comes and goes
they lie further apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.fitting.abilities.scores import Axis, Scores
from scaling.units import FloatArray

_MOST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """Onset of success along N at one D, or along D at one N.

    Attributes:
        variable: The quantity that varies.
        held: Value of the other quantity; None if it differs with each value.
        below, above: Ends of the onset; `below` is None if most seeds succeed from the first value
            on, `above` is None if they do not even at the last.
    """

    variable: Axis
    held: float | None
    below: float | None
    above: float | None


def find_onsets(scores: Scores) -> tuple[Onset, ...]:
    """The onset along D for each N with several D, and along N for each D; if no two sizes share
    a D, one onset along N, each size at its own D."""
    share = scores.average((scores.score >= scores.threshold).astype(np.float64))
    found = []
    for variable, along, other in (
        ("N", scores.params, scores.tokens),
        ("D", scores.tokens, scores.params),
    ):
        for held in np.unique(other):
            rows = np.flatnonzero(other == held)
            if rows.size > 1:
                found.append(_find_onset(variable, float(held), along[rows], share[rows]))
    if not found and np.unique(scores.params).size == scores.params.size > 1:
        found.append(_find_onset("N", None, scores.params, share))
    return tuple(found)


def _find_onset(variable: str, held: float | None, along: FloatArray, share: FloatArray) -> Onset:
    order = np.argsort(along)
    along, above = along[order], share[order] >= _MOST
    first = int(np.argmax(above)) if above.any() else above.size
    last = above.size - int(np.argmin(above[::-1])) if not above.all() else 0
    return Onset(
        variable="N" if variable == "N" else "D",
        held=held,
        below=None if first == 0 else float(along[first - 1]),
        above=None if last == above.size else float(along[last]),
    )

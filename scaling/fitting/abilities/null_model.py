"""The null model: a sharp score compared with its value if tokens erred independently.

    null = p^L,  p the share of tokens right, L the tokens of an answer

Exact match that equals its null has no jump of its own: p rises, and a power of it jumps (Schaeffer
et al. 2023, arXiv:2304.15004, sec. 2). Above the null, tokens tend to be right together; below it,
errors are spread out, as by the carries of an addition. Differences are means over seeds; `MARGIN`
of the range counts as equal (two one-sided tests: Schuirmann 1987, J. Pharmacokin. Biopharm.
15:657). Only cells between chance and ceiling are informative: at either end both scores agree
trivially.

    progress   share of the smooth score's whole improvement that is made by sizes at which the
               sharp score has not yet left chance
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr

from scaling.files.contract import write_fields
from scaling.fitting.abilities.predictability import LEAST_SPAN, MAX_ALARM
from scaling.fitting.abilities.scores import Scores
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_mean_interval
from scaling.units import FloatArray

Agreement = Literal["agrees", "exceeds", "lags", "mixed", "unclear", "no_null"]

# Share of the range: a twentieth is not a jump.
MARGIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NullCell:
    """Sharp score minus its null in one cell: mean over seeds, and two-sided p of no difference
    (None for one run without errors)."""

    params: float
    tokens: float
    runs: int
    difference: float
    chance: float | None

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, chance="p")


@dataclass(frozen=True, slots=True, kw_only=True)
class NullComparison:
    """The sharp score against p^L.

    Attributes:
        agreement: `agrees`: equal within `MARGIN`; `exceeds`, `lags`: above or below in some cells;
            `mixed`: both; `unclear`: noise hides it, or no cell lies between the ends.
        difference: Mean over the runs of cells between the ends; None without any.
        interval: Interval of `difference`.
        margin: Largest difference that counts as equal, in the score's unit.
        cells: Cells between the ends.
    """

    agreement: Agreement
    difference: float | None = None
    interval: Interval | None = None
    margin: float
    cells: tuple[NullCell, ...] = ()


def compare_null(scores: Scores, *, level: float = 0.9) -> NullComparison:
    """Compare the sharp score of an ability with its null."""
    margin = MARGIN * scores.range
    if scores.null is None:
        return NullComparison(agreement="no_null", margin=margin)
    both = np.isfinite(scores.null)
    sharp = scores.average(np.where(both, scores.score, np.nan))
    null = scores.average(scores.null)
    low, high = scores.chance + margin, scores.ceiling - margin
    between = (np.maximum(sharp, null) > low) & (np.minimum(sharp, null) < high)
    cells, pooled = [], []
    for at in np.flatnonzero(between):
        rows = np.flatnonzero((scores.cell == at) & both)
        gaps = scores.score[rows] - scores.null[rows]
        pooled.append(gaps)
        cells.append(
            NullCell(
                params=float(scores.params[at]),
                tokens=float(scores.tokens[at]),
                runs=int(rows.size),
                difference=float(gaps.mean()),
                chance=_test_gap(gaps, _find_errors(scores, int(rows[0]))),
            )
        )
    if not cells:
        return NullComparison(agreement="unclear", margin=margin)
    gaps = np.concatenate(pooled)
    interval = find_mean_interval(gaps, level)
    return NullComparison(
        agreement=_judge(cells, interval, margin),
        difference=float(gaps.mean()),
        interval=interval,
        margin=margin,
        cells=tuple(cells),
    )


def measure_progress(scores: Scores) -> float | None:
    """Share of the smooth score's improvement made while the sharp score is at chance; None without
    a smooth score, without an improvement, or without a cell at chance."""
    if scores.smooth is None:
        return None
    mean = scores.average(scores.smooth)
    at_chance = scores.average(scores.score) < scores.chance + LEAST_SPAN * scores.range
    stated = np.isfinite(mean)
    if not (at_chance & stated).any():
        return None
    first = float(mean[stated][0])
    ends = mean[stated]
    best = float(ends.min() if first - ends.min() >= ends.max() - first else ends.max())
    if best == first:
        return None
    reached = (first - mean[at_chance & stated]) / (first - best)
    return float(max(0.0, reached.max()))


def _judge(cells: list[NullCell], interval: Interval | None, margin: float) -> Agreement:
    limit = MAX_ALARM / len(cells)
    sure = [
        one.difference
        for one in cells
        if one.chance is not None and one.chance < limit and abs(one.difference) > margin
    ]
    above, below = any(one > 0.0 for one in sure), any(one < 0.0 for one in sure)
    if above or below:
        return "mixed" if above and below else "exceeds" if above else "lags"
    if interval is None:
        return "unclear"
    if interval.low > margin or interval.high < -margin:
        return "exceeds" if interval.low > 0.0 else "lags"
    return "agrees" if -margin <= interval.low and interval.high <= margin else "unclear"


def _find_errors(scores: Scores, row: int) -> float | None:
    """Standard error of one run's difference from its evaluation errors, taken as independent."""
    parts = [one[row] for one in (scores.error, scores.null_error) if one is not None]
    if not parts or not np.isfinite(parts).all():
        return None
    return math.hypot(*parts)


def _test_gap(gaps: FloatArray, error: float | None) -> float | None:
    """Two-sided p of a mean of 0, by the spread of seeds or by one run's own errors."""
    if gaps.size == 1:
        if not error:
            return None
        return math.erfc(abs(float(gaps[0])) / error / math.sqrt(2.0))
    spread = float(gaps.std(ddof=1)) / math.sqrt(gaps.size)
    if spread == 0.0:
        return 1.0 if gaps.mean() == 0.0 else 0.0
    return float(2.0 * stdtr(gaps.size - 1, -abs(float(gaps.mean())) / spread))

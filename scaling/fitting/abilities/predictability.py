"""Criteria of whether an ability can be forecast from smaller sizes; otherwise it is refused.

There are four criteria, each with the number seen, its limit and the limit's reason. The first
three use the sizes below the two largest, as a real forecast must; the fourth scores the forecast
of those two (`two_steps`).

    monotone   Spearman's ρ of score and rank, p one-sided by its t; and no size is beaten by a
               smaller one by more than seed noise (Welch's t, Bonferroni over pairs).
               Rank of a run: number of runs smaller in N or D and larger in neither, minus the
               number of larger ones.
    span       the best size's mean lies far enough beyond chance
    unimodal   seeds do not gather at both ends. Of any unimodal density on [chance, ceiling],
               P(middle half) ≥ 2 · min(P(lowest quarter), P(highest quarter)),
               so of the runs in the middle and the rarer end, at most a third are in that end:
               a binomial tail, of all sizes together and of each
    held_out   mean |error| of the two largest sizes

Reason for the third bound: a density with its mode in the middle half falls on both sides of the
mode. So all of the middle half lies above one of the densities at its ends, and these are at least
those of the quarters beyond. With the mode in a quarter it lies above the density of the other one.

Source: Lourie, Hu, Cho 2025, arXiv:2507.00885 (39 % of 46 tasks followed a law at all); Zhao et
al. 2025, arXiv:2502.17356 (bimodal over seeds); Wei et al. 2022, arXiv:2206.07682 (at chance, then
above it); the criteria themselves are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import betainc, stdtr

from scaling.files.contract import write_fields
from scaling.fitting.abilities.scores import Cells
from scaling.units import FloatArray, IntArray, format_count

Code = Literal["monotone", "span", "unimodal", "identified", "fits", "held_out"]

# One ability in a hundred may pass for a rise by luck.
MAX_CHANCE = 0.01
# Share of the range: a smaller fall would not make a forecast miss.
LEAST_FALL = 0.05
# Chance of a fall, and of seeds at both ends, over all sizes together: a false alarm only refuses a
# forecast, while a missed one makes it.
MAX_ALARM = 0.05
# Share of the range above chance: below a tenth of the rise its shape has not been seen.
LEAST_SPAN = 0.1
# Mean |error| as a share of the range. Two-step forecasts of eight tasks were within 2 points on
# four and missed the others by 6.9 on average (Bhagia et al. 2024, arXiv:2412.04403v1, abstract).
MOST_ERROR = 0.1
# Seeds at the size with the fewest: three at either end have p = 3^-3 = .037, two have .11.
FEWEST_SEEDS = 6
_THIRD = 1.0 / 3.0
_LOW, _HIGH = 0.25, 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One criterion.

    Attributes:
        code: Name of the criterion.
        passed: None if it could not be judged, which refuses too.
        value: Number that was seen.
        limit: Value from which the criterion fails.
        seen: What was seen in words, with its numbers.
        reason: Why the limit has this value.
    """

    code: Code
    passed: bool | None
    value: float | None
    limit: float
    seen: str
    reason: str


@dataclass(frozen=True, slots=True)
class Predictability:
    """The flag: passed only if every criterion is."""

    criteria: tuple[Criterion, ...]

    @property
    def passed(self) -> bool:
        return all(one.passed is True for one in self.criteria)

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """Criteria that failed or could not be judged."""
        return tuple(one for one in self.criteria if one.passed is not True)

    def to_contract(self) -> dict[str, Any]:
        return {"passed": self.passed, **write_fields(self)}


@dataclass(frozen=True, slots=True)
class EndCounts:
    """Numbers of runs of each cell in the lowest quarter of the range, its middle half and its
    highest quarter, shapes (k,)."""

    low: IntArray
    middle: IntArray
    high: IntArray

    @property
    def rarer(self) -> IntArray:
        return np.minimum(self.low, self.high)


def judge_sizes(scores: Cells) -> tuple[Criterion, Criterion, Criterion]:
    """The criteria monotone, span and unimodal, for the runs that a forecast may use."""
    return judge_rise(scores), judge_span(scores), judge_modes(scores)


def judge_held_out(error: float | None, scores: Cells, why: str) -> Criterion:
    """The criterion held_out, by the mean |error| of the forecast; None if there is no forecast."""
    limit = MOST_ERROR * scores.range
    reason = "a tenth of the range from chance to ceiling"
    if error is None:
        return Criterion(
            code="held_out", passed=None, value=None, limit=limit, seen=why, reason=reason
        )
    seen = f"the two largest sizes are missed by {error:.3f} on average"
    return Criterion(
        code="held_out", passed=error <= limit, value=error, limit=limit, seen=seen, reason=reason
    )


def count_ends(scores: Cells) -> EndCounts:
    """Count the runs of each cell at either end of the range, and between."""
    share = (scores.score - scores.chance) / scores.range
    place = np.digitize(share, (_LOW, _HIGH))
    parts = [np.bincount(scores.cell[place == at], minlength=scores.params.size) for at in range(3)]
    return EndCounts(*(one.astype(np.int64) for one in parts))


def find_chance_of_ends(rarer: IntArray, middle: IntArray) -> float:
    """p of this many runs in the rarer end, given those in the middle, if each cell is unimodal:
    for all cells together and for each, with Bonferroni's correction."""
    each = [_find_tail(int(e), int(m)) for e, m in zip(rarer, middle, strict=True)]
    whole = _find_tail(int(rarer.sum()), int(middle.sum()))
    return min(1.0, 2.0 * min(whole, len(each) * min(each, default=1.0)))


def _find_tail(end: int, middle: int) -> float:
    """P(X ≥ end), X binomial of end + middle trials with chance 1/3."""
    return float(betainc(end, middle + 1, _THIRD)) if end else 1.0


def judge_rise(scores: Cells) -> Criterion:
    """The criterion monotone."""
    rise, chance = _correlate(scores)
    fall, size, below = _find_fall(scores)
    seen = f"rank correlation of score and size {rise:.2f}, p = {chance:.2g}"
    passed = chance < MAX_CHANCE
    if fall is not None and fall < MAX_ALARM:
        passed = False
        seen += (
            f"; {format_count(size)} falls below {format_count(below)} by more than seed noise "
            f"(p = {fall:.2g}, limit {MAX_ALARM:g})"
        )
    reason = "a rise by luck once in a hundred abilities"
    return Criterion(
        code="monotone", passed=passed, value=chance, limit=MAX_CHANCE, seen=seen, reason=reason
    )


def _list_smaller(scores: Cells) -> FloatArray:
    """Mask of cell i smaller than cell j (in N or D, and larger in neither), shape (k, k)."""
    n, d = scores.params, scores.tokens
    less = (n[:, None] <= n) & (d[:, None] <= d)
    return (less & ~less.T).astype(np.float64)


def _correlate(scores: Cells) -> tuple[float, float]:
    """(ρ, one-sided p) of the rank correlation of score and place."""
    smaller, count = _list_smaller(scores), scores.count().astype(np.float64)
    place = (count @ smaller - smaller @ count)[scores.cell]
    rank = _rank(scores.score)
    free = place.size - 2
    if free < 1 or np.ptp(place) == 0.0 or np.ptp(rank) == 0.0:
        return 0.0, 1.0
    rho = float(np.corrcoef(place, rank)[0, 1])
    rho = min(1.0 - 1e-15, max(-1.0 + 1e-15, rho))  # a perfect order would have p = 0
    return rho, float(stdtr(free, -rho * math.sqrt(free / (1.0 - rho * rho))))


def _rank(values: FloatArray) -> FloatArray:
    """Ranks, those of equal values averaged."""
    _, at, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count - 1))[at.ravel()], dtype=np.float64)


def _find_fall(scores: Cells) -> tuple[float | None, float, float]:
    """(p, size, smaller size) of the most significant fall of a cell below a smaller one; p is None
    if none falls by enough, or there are too few seeds to tell."""
    mean, count = scores.average(scores.score), scores.count().astype(np.float64)
    spread = scores.average((scores.score - mean[scores.cell]) ** 2)
    told = count > 1
    variance = spread / np.where(told, count - 1.0, 1.0)  # variance of the mean
    pairs = [(i, j) for i, j in np.argwhere(_list_smaller(scores)).tolist() if told[i] and told[j]]
    best: tuple[float | None, float, float] = None, math.nan, math.nan
    for i, j in pairs:
        drop = mean[i] - mean[j]
        if drop <= LEAST_FALL * scores.range:
            continue
        chance = min(1.0, len(pairs) * _test_difference(drop, variance[[i, j]], count[[i, j]]))
        if best[0] is None or chance < best[0]:
            best = chance, float(scores.size[j]), float(scores.size[i])
    return best


def _test_difference(drop: float, variance: FloatArray, count: FloatArray) -> float:
    """One-sided p by Welch's t. Source: Welch 1947, Biometrika 34:28."""
    total = float(variance.sum())
    if total <= 0.0:
        return 0.0
    free = total**2 / float(np.sum(variance**2 / (count - 1.0)))
    return float(stdtr(free, -drop / math.sqrt(total)))


def judge_span(scores: Cells) -> Criterion:
    """The criterion span, by chance."""
    mean = scores.average(scores.score)
    best = float(mean.max())
    beyond = max(LEAST_SPAN * scores.range, min(scores.chance, 0.5 * scores.range))
    limit = scores.chance + beyond
    seen = f"the best of these sizes reaches {best:.3f} on average, chance is {scores.chance:g}"
    reason = (
        "a tenth of the range: below, the shape of the rise has not been seen"
        if scores.chance < LEAST_SPAN * scores.range
        else "twice chance, or half way to the ceiling"
    )
    return Criterion(
        code="span", passed=best >= limit, value=best, limit=limit, seen=seen, reason=reason
    )


def judge_modes(scores: Cells) -> Criterion:
    """The criterion unimodal."""
    ends, count = count_ends(scores), scores.count()
    reason = f"a false alarm in one of {1 / MAX_ALARM:.0f} abilities, which only refuses"
    fewest = int(count.min())
    chance = find_chance_of_ends(ends.rarer, ends.middle)
    split = np.flatnonzero(ends.rarer)
    where = "; ".join(
        f"of {format_count(scores.size[at])}, {ends.low[at]} seeds are low, {ends.middle[at]} "
        f"between, {ends.high[at]} high"
        for at in split[np.argsort(-ends.rarer[split], kind="stable")][:2]
    )
    seen = f"{where or 'no size has seeds at both ends'} (p = {chance:.2g})"
    passed: bool | None = chance >= MAX_ALARM
    if passed and fewest < FEWEST_SEEDS:
        passed = None
        seen = f"a size has {fewest} seed{'s' if fewest != 1 else ''}; {FEWEST_SEEDS} are needed"
    return Criterion(
        code="unimodal", passed=passed, value=chance, limit=MAX_ALARM, seen=seen, reason=reason
    )

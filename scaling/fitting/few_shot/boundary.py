"""How many training sources it takes before a model infers instead of remembering, by N.

    P(infers) = 1 / (1 + e^−η),   η = k · (ln M − ln M*(N)),   ln M*(N) = a + b ln N

The model is trained on M sources. Runs that neither infer nor remember (`runs.ShotRun`) are left
out. The fit is maximum likelihood over seeds. Each N also has a range of M*: from the largest M up
to which fewer than half of the runs infer, to the smallest M from which at least half do; an end is
open where the grid does not reach. Intervals cover both the fits to seeds resampled within cells
and every line through all ranges: where the seeds of each cell agree, the gaps of the grid are the
only uncertainty. Source: thresholds of task diversity, Raventos et al. 2023, arXiv:2306.15063; the
line and its interval are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog

from scaling.files.contract import to_contract, write_fields
from scaling.fitting.abilities.logistic import Trials, maximise, raise_log
from scaling.fitting.few_shot.runs import ShotRun
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_interval
from scaling.units import FloatArray

LEVEL = 0.9
DRAWS = 400
FEWEST_SIZES = 3  # for a fit: a line through two sizes cannot misfit
FEWEST_CHAINS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityCell:
    """Counts of runs of one N on M sources that infer, remember, or do neither."""

    params: float
    chains: int
    infer: int
    remember: int
    neither: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The range of M* at one N; an end is None if it lies beyond the grid."""

    params: float
    below: int | None
    above: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryForecast:
    """M* at the largest N: forecast from the smaller sizes, and its measured range."""

    crossing: Crossing
    threshold: float
    interval: Interval

    @property
    def inside(self) -> bool:
        """Whether the interval and the measured range overlap."""
        below, above = self.crossing.below or 0.0, self.crossing.above or math.inf
        return self.interval.low <= above and below <= self.interval.high

    @property
    def error(self) -> float:
        """The log ratio of the range's nearest end to the forecast; 0 inside the range."""
        below, above = self.crossing.below or 0.0, self.crossing.above or math.inf
        return math.log(min(max(self.threshold, below), above) / self.threshold)

    def to_contract(self) -> dict[str, Any]:
        return {
            **write_fields(self.crossing),
            "threshold": self.threshold,
            "interval": to_contract(self.interval),
            "inside": self.inside,
            "log_error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The boundary M*(N).

    Attributes:
        cells: The measured counts, ascending in N, then M.
        crossings: The range of M* at each N.
        at_params: N₀, the geometric mean of the sizes.
        threshold, threshold_interval: M*(N₀) and its interval; None without a line.
        exponent, interval: b and its interval; an end is infinite where the grid is open.
        reason: The reason there is no line; empty if there is one.
        forecast: The forecast at the largest N; None if refused.
        refused: The reason it was refused.
    """

    cells: tuple[DiversityCell, ...]
    crossings: tuple[Crossing, ...]
    at_params: float | None
    threshold: float | None
    threshold_interval: Interval | None
    exponent: float | None
    interval: Interval | None
    reason: str
    forecast: BoundaryForecast | None
    refused: str

    def to_contract(self) -> dict[str, Any]:
        return {
            "cells": to_contract(self.cells),
            "crossings": to_contract(self.crossings),
            "law": "ln M* = ln M0 + b ln(N/N0)",
            "N0": self.at_params,
            "M0": to_contract(self.threshold),
            "M0_interval": to_contract(self.threshold_interval),
            "b": self.exponent,
            "b_interval": to_contract(self.interval),
            "level": LEVEL,
            "reason": self.reason,
            "forecast": to_contract(self.forecast),
            "refused": self.refused,
        }


def find_boundary(runs: Sequence[ShotRun], *, seed: int = 0, draws: int = DRAWS) -> Boundary:
    """Find the boundary. Runs with a new source per sequence are left out.

    Args:
        runs: The runs, with one D per N.
        seed, draws: Seed and number of the resamples behind the intervals.
    """
    cells = _count_cells([one for one in runs if one.chains])
    crossings = _find_crossings(cells)
    line, reason = _fit(cells, crossings, seed, draws)
    forecast, refused = _forecast_largest(cells, crossings, seed, draws)
    at = None if line is None else line.centre
    return Boundary(
        cells=tuple(cells),
        crossings=tuple(crossings),
        at_params=None if at is None else math.exp(at),
        threshold=None if line is None or at is None else math.exp(line.place(at)),
        threshold_interval=None if line is None or at is None else line.bound(at),
        exponent=None if line is None else line.slope,
        interval=None if line is None else line.bound_slope(),
        reason=reason,
        forecast=forecast,
        refused=refused,
    )


def _count_cells(runs: Sequence[ShotRun]) -> list[DiversityCell]:
    cells = []
    for n, m in sorted({(one.params, one.chains) for one in runs}):
        own = [one for one in runs if (one.params, one.chains) == (n, m)]
        infer, remember = sum(one.infers for one in own), sum(one.remembers for one in own)
        cells.append(
            DiversityCell(
                params=n, chains=m, infer=infer, remember=remember,
                neither=len(own) - infer - remember,
            )
        )  # fmt: skip
    return cells


def _find_crossings(cells: Sequence[DiversityCell]) -> list[Crossing]:
    found = []
    for n in sorted({one.params for one in cells}):
        own = [one for one in cells if one.params == n and one.infer + one.remember]
        if not own:
            continue
        over = [one.infer >= one.remember for one in own]
        first = over.index(True) if any(over) else len(own)
        last = len(own) - over[::-1].index(False) if not all(over) else 0
        found.append(
            Crossing(
                params=n,
                below=own[first - 1].chains if first else None,
                above=own[last].chains if last < len(own) else None,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Line:
    """ln M* = height + slope · (ln N − centre), its resamples, and the ranges of M*."""

    centre: float
    height: float
    slope: float
    draws: FloatArray
    crossings: Sequence[Crossing]

    def place(self, log_n: float) -> float:
        return self.height + self.slope * (log_n - self.centre)

    def bound(self, log_n: float) -> Interval:
        """Return the interval of M* at one size."""
        said = self.draws @ np.array([1.0, log_n - self.centre])
        low, high = self._widen(said, np.array([1.0, log_n - self.centre]), self.place(log_n))
        return Interval(low=raise_log(low), high=raise_log(high), level=LEVEL)

    def bound_slope(self) -> Interval:
        low, high = self._widen(self.draws[:, 1], np.array([0.0, 1.0]), self.slope)
        return Interval(low=low, high=high, level=LEVEL)

    def _widen(self, drawn: FloatArray, weight: FloatArray, answer: float) -> tuple[float, float]:
        """Return the interval that covers the resamples and every line through all ranges."""
        interval = find_interval(drawn, LEVEL, answer=answer)
        low, high = interval.low, interval.high
        rows: list[FloatArray] = []
        limits: list[float] = []
        for one in self.crossings:
            row = np.array([1.0, math.log(one.params) - self.centre])
            if one.below is not None:
                rows.append(-row)
                limits.append(-math.log(one.below))
            if one.above is not None:
                rows.append(row)
                limits.append(math.log(one.above))
        for sign in (1.0, -1.0):
            found = linprog(sign * weight, A_ub=rows, b_ub=limits, bounds=(None, None))
            if found.status == 3:  # unbounded: the grid leaves that end open
                low, high = (-math.inf, high) if sign > 0 else (low, math.inf)
            elif found.status == 0:
                end = sign * float(found.fun or 0.0)
                low, high = min(low, end), max(high, end)
        return low, high


def _fit(
    cells: Sequence[DiversityCell], crossings: Sequence[Crossing], seed: int, draws: int
) -> tuple[_Line | None, str]:
    told = [one for one in cells if one.infer + one.remember]
    sizes, chains = {one.params for one in told}, {one.chains for one in told}
    if len(sizes) < FEWEST_SIZES or len(chains) < FEWEST_CHAINS:
        return None, (
            f"runs infer or remember at {len(sizes)} model sizes and {len(chains)} numbers of "
            f"chains; {FEWEST_SIZES} and {FEWEST_CHAINS} are needed"
        )
    infer, remember = sum(one.infer for one in told), sum(one.remember for one in told)
    if not infer or not remember:
        which, side = ("infers", "above") if not infer else ("remembers", "below")
        return None, f"no run {which}: the boundary lies {side} every number of chains"
    log_n = np.log([one.params for one in told])
    log_m = np.log([float(one.chains) for one in told])
    wins = np.array([float(one.infer) for one in told])
    count = np.array([float(one.infer + one.remember) for one in told])
    centre = float(np.log(sorted(sizes)).mean())
    best = _solve(log_m, log_n - centre, wins, count)
    if best is None:
        return None, "runs do not infer more often with more chains"
    rng = np.random.default_rng(seed)
    found: dict[bytes, tuple[float, float] | None] = {}  # equal resamples have equal fits
    kept = []
    for _ in range(draws):
        drawn = rng.binomial(count.astype(int), wins / count).astype(np.float64)
        key = drawn.tobytes()
        if key not in found:
            found[key] = _solve(log_m, log_n - centre, drawn, count)
        if (one := found[key]) is not None:
            kept.append(one)
    if len(kept) < draws // 2:
        return None, f"{draws - len(kept)} of {draws} resamples of the seeds have no boundary"
    return _Line(centre, *best, np.array(kept), crossings), ""


def _solve(
    log_m: FloatArray, log_n: FloatArray, wins: FloatArray, count: FloatArray
) -> tuple[float, float] | None:
    """Return (ln M* at the centre, b); None if runs do not infer more often as M grows."""
    middle = float(log_m.mean())
    design = np.stack((np.ones_like(log_m), log_m - middle, log_n), axis=1)
    beta, _ = maximise(design, Trials(wins, count))
    if beta[1] <= 1e-9:
        return None
    return middle - float(beta[0] / beta[1]), -float(beta[2] / beta[1])


def _forecast_largest(
    cells: Sequence[DiversityCell], crossings: Sequence[Crossing], seed: int, draws: int
) -> tuple[BoundaryForecast | None, str]:
    if len(crossings) <= FEWEST_SIZES:
        return None, (
            f"{len(crossings)} sizes have runs that infer or remember; {FEWEST_SIZES + 1} are "
            f"needed: {FEWEST_SIZES} to fit, one to forecast"
        )
    *smaller, largest = crossings
    line, reason = _fit([one for one in cells if one.params < largest.params], smaller, seed, draws)
    if line is None:
        return None, f"among the smaller sizes, {reason}"
    at = math.log(largest.params)
    return BoundaryForecast(
        crossing=largest, threshold=raise_log(line.place(at)), interval=line.bound(at)
    ), ""

"""How small the runs may be: forecasts of the most expensive ones from ever fewer of the others.

The most expensive runs (top 15 % of the table in C, as in `held_out`) are forecast by one law,
fitted to all others and then to what is left of them, in three ways:

    sizes     N ≥ a smallest size             no small models
    budgets   C ≥ a smallest budget           no cheap runs
    largest   C ≤ a largest budget            a ladder that ends earlier

An error is the mean of |ln L̂ − ln L| over the held-out runs. Its standard error has two parts,
added as variances: that of the mean over held-out runs (by clusters, which share noise), and that
of the law, refitted to redraws of the fitted runs' noise. What dropping runs changes is judged
against the fit of all of them on the same held-out runs and the same redraws, so what both share
cancels.

What is left is enough while the error is at most twice that of all runs, and two standard errors of
the change do not reach beyond. To ask only that no harm be visible would praise the noisiest
forecast.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling.fitting.backtest import HELD_FROM
from scaling.fitting.bootstrap import draw_noise, refit_around
from scaling.fitting.budgets import join_budgets, list_flops
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.holding_out import hold_out, measure_miss
from scaling.fitting.noise import list_clusters
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.laws.family import LawFamily
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray, IntArray

CurveName = Literal["sizes", "budgets", "largest"]

# Steps of a curve; a table of hundreds of sizes is cut at as many quantiles of its rows.
_STEPS = 8
# Redraws of the noise: they give a standard error to 7 %.
_DRAWS = 100
# A forecast that misses by twice as much counts as a different answer (ours, a convention).
LARGEST_RATIO = 2.0
_SURE = 2.0  # standard errors: 95 % of a Gaussian


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """One forecast of the held-out runs, from part of the others.

    Attributes:
        edge: Smallest N [parameters], smallest C or largest C [FLOPs] that is left.
        fitted: How many runs.
        flops: Their C together [FLOPs].
        error, bias: Mean absolute and mean error of ln L over the held-out runs; None where the
            law could not be fitted to what is left, or is not proven.
        standard_error: Standard error of `error`.
        change: `error` less that of the fit of all runs; None where either is missing.
        change_error: Standard error of `change`.
    """

    edge: float
    fitted: int
    flops: float
    error: float | None = None
    bias: float | None = None
    standard_error: float | None = None
    change: float | None = None
    change_error: float | None = None

    @property
    def is_enough(self) -> bool:
        """Whether the error is at most twice that of all runs, beyond its noise."""
        if self.error is None or self.change is None or self.change_error is None:
            return False
        whole = self.error - self.change
        return self.change + _SURE * self.change_error <= (LARGEST_RATIO - 1.0) * whole


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncationCurve:
    """Forecasts from ever fewer runs, beginning with all of them."""

    drops: CurveName
    steps: tuple[Truncated, ...]

    @property
    def smallest(self) -> Truncated | None:
        """The last step that is enough, as are all before it; None where all runs are not."""
        enough = itertools.takewhile(lambda step: step.is_enough, self.steps)
        return next(reversed(tuple(enough)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """How small the runs may be.

    Attributes:
        law: Family that forecasts.
        held: How many runs are held out.
        held_flops: Lowest and highest C of those [FLOPs].
        fitted: How many runs there are beside them.
        curves: `sizes`, `budgets` and `largest`.
    """

    law: str
    held: int
    held_flops: tuple[float, float]
    fitted: int
    curves: tuple[TruncationCurve, ...]

    def to_contract(self) -> dict[str, Any]:
        """The JSON under `truncation` of `scaling backtest`."""
        content = dataclasses.asdict(self)
        for plain, curve in zip(content["curves"], self.curves, strict=True):
            plain["smallest"] = None if curve.smallest is None else curve.smallest.edge
        return content


def truncate_runs(table: RunTable, name: str, *, delta: float, seed: int = 0) -> Truncation:
    """Forecast the most expensive runs from ever fewer of the others.

    Args:
        table: Rows in canonical order, one at least.
        name: Name of a family in the registry.
        delta: Huber's threshold on log residuals.
        seed: Seeds the redraws of noise.
    """
    joined = join_budgets(table)
    held = hold_out(joined, above=HELD_FROM)
    rest = select_rows(table, np.flatnonzero(~held))
    test = select_rows(table, np.flatnonzero(held))
    budgets = joined[~held]
    bench = _Bench(rest, test, find_family(name), delta=delta, seed=seed)
    curves = (
        TruncationCurve(drops="sizes", steps=tuple(bench.climb(rest.params))),
        TruncationCurve(drops="budgets", steps=tuple(bench.climb(budgets))),
        TruncationCurve(drops="largest", steps=tuple(bench.descend(budgets))),
    )
    flops = list_flops(test)
    return Truncation(
        law=name,
        held=len(test),
        held_flops=(float(flops.min()), float(flops.max())),
        fitted=len(rest),
        curves=curves,
    )


class _Bench:
    """Fitted runs, held-out runs, and the forecast from all of the fitted ones."""

    def __init__(
        self, rest: RunTable, test: RunTable, family: LawFamily, *, delta: float, seed: int
    ) -> None:
        self.rest, self.test, self.family, self.delta = rest, test, family, delta
        self.cluster = list_clusters(test)
        self.whole = self._fit(rest)
        self.noise = None
        if self.whole is not None:
            self.noise = draw_noise(rest, self.whole, count=_DRAWS, seed=seed)
            self.miss, self.drawn = self._miss(self.whole, np.arange(len(rest)))

    def climb(self, values: FloatArray) -> Iterator[Truncated]:
        """Rows with at least a value, from the lowest value up, shape (n,)."""
        for edge in _list_edges(values):
            yield self._judge(edge, np.flatnonzero(values >= edge))

    def descend(self, values: FloatArray) -> Iterator[Truncated]:
        """Rows with at most a value, from the highest value down, shape (n,)."""
        for edge in -_list_edges(-values):
            yield self._judge(edge, np.flatnonzero(values <= edge))

    def _judge(self, edge: float, rows: IntArray) -> Truncated:
        part = select_rows(self.rest, rows)
        step = Truncated(edge=float(edge), fitted=len(part), flops=float(list_flops(part).sum()))
        fit = self._fit(part)
        if fit is None:
            return step
        if self.whole is None:
            miss = self._forecast(fit.coefficients)
            return dataclasses.replace(step, error=_mean(np.abs(miss)), bias=_mean(miss))
        miss, drawn = self._miss(fit, rows)
        errors, whole = np.abs(miss), np.abs(self.miss)
        return dataclasses.replace(
            step,
            error=_mean(errors),
            bias=_mean(miss),
            standard_error=self._combine(errors, drawn),
            change=_mean(errors - whole),
            change_error=self._combine(errors - whole, drawn - self.drawn),
        )

    def _fit(self, part: RunTable) -> ParametricFit | None:
        if not len(part) or find_law_problem(part, self.family) is not None:
            return None
        fit = fit_parametric(part, self.family, delta=self.delta)
        return fit if fit.converged else None

    def _miss(self, fit: ParametricFit, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """(ln L̂ − ln L of the held-out runs, shape (m,); its mean absolute value under each redraw
        of the noise, NaN where the refit stopped short, shape (draws,))."""
        assert self.noise is not None
        coefficients = refit_around(fit, self.noise[:, rows])
        drawn = np.abs(self._forecast(coefficients[:, None, :])).mean(axis=1)
        return self._forecast(fit.coefficients), drawn

    def _forecast(self, coefficients: FloatArray) -> FloatArray:
        return measure_miss(self.family, coefficients, self.test)

    def _combine(self, values: FloatArray, drawn: FloatArray) -> float | None:
        """Standard error of the mean of values, with that of the law behind them; None where there
        is one cluster, which shows no noise."""
        clusters = int(self.cluster.max()) + 1
        known = drawn[np.isfinite(drawn)]
        if clusters < 2 or known.size < 2:
            return None
        sums = np.bincount(self.cluster, weights=values - values.mean())
        held = np.sum(sums**2) * clusters / (clusters - 1) / values.size**2
        return float(np.sqrt(held + np.var(known, ddof=1)))


def _list_edges(values: FloatArray) -> FloatArray:
    """Where to cut, ascending: every value of a grid, or quantiles of many."""
    levels = np.unique(values)
    if levels.size <= _STEPS:
        return levels
    return np.unique(np.quantile(values, np.arange(_STEPS) / _STEPS, method="lower"))


def _mean(values: FloatArray) -> float:
    return float(np.mean(values))

"""Errors of each law's forecasts of unseen runs: expanding windows in C, N and D.

The most expensive, the largest and the longest runs (top 15 % of the table in C, N or D) are held
out in turn; a law is fitted to the runs at or below the 40, 55 and 70 % quantile of that quantity
and forecasts them. Its score is the geometric mean of its mean absolute errors of ln L over the
windows in C, the way laws are used; N and D are reported beside it. The chosen law is the one with
the fewest parameters whose score is within 5 % of the best: a difference of that size is chance in
tables of a hundred runs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.budgets import join_budgets
from scaling.fitting.checks.points import find_design_problem
from scaling.fitting.fitted import Axis
from scaling.fitting.holding_out import hold_out, list_below, measure_miss
from scaling.fitting.parametric import fit_parametric
from scaling.laws.family import LawFamily
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray

WINDOWS = (0.4, 0.55, 0.7)
HELD_FROM = 0.85
_AS_GOOD = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One forecast of runs that were held out.

    Attributes:
        axis: Quantity by which runs were held out.
        fitted_up_to: Quantile of that quantity up to which runs were fitted.
        fitted, held: Number of runs fitted, and held out.
        error, bias: Mean absolute and mean error of ln L; None if the law could not be fitted
            to so few runs, or its optimum is not proven.
    """

    axis: Axis
    fitted_up_to: float
    fitted: int
    held: int
    error: float | None
    bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyScore:
    """A law's forecasts.

    Attributes:
        family: Name of the law.
        letters: Number of parameters that it fits.
        forecasts: Forecasts of runs held out by C, N and D.
        score: Geometric mean error over the windows in C that every law could forecast; None
            without such a window.
    """

    family: str
    letters: int
    forecasts: tuple[HeldOut, ...]
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Scores of several laws, and the law to forecast with; None if none could be scored."""

    scores: tuple[FamilyScore, ...]
    chosen: str | None

    @property
    def margin(self) -> tuple[str, float] | None:
        """(best of the other laws, its score over that of the chosen law); None without one."""
        mine = [one.score for one in self.scores if one.family == self.chosen]
        others = [(one.score, one.family) for one in self.scores if one.family != self.chosen]
        scored = [(score, name) for score, name in others if score is not None]
        if not scored or not mine or mine[0] is None:
            return None
        score, name = min(scored)
        return name, score / mine[0]

    @property
    def over_parent(self) -> tuple[str, float] | None:
        """(parent of the chosen law, its score over that of the chosen law); None without one."""
        parent = None if self.chosen is None else find_family(self.chosen).parent
        by_name = {one.family: one.score for one in self.scores}
        mine, other = by_name.get(self.chosen or ""), by_name.get(parent or "")
        if parent is None or mine is None or other is None:
            return None
        return parent, other / mine

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling backtest`."""
        scores = [dataclasses.asdict(score) for score in self.scores]
        margin, parent = (
            None if one is None else dict(zip(("law", "ratio"), one, strict=True))
            for one in (self.margin, self.over_parent)
        )
        return {
            "schema_version": SCHEMA_VERSION,
            "chosen": self.chosen,
            "margin": margin,
            "over_parent": parent,
            "held_from": HELD_FROM,
            "laws": scores,
        }


def backtest_families(table: RunTable, names: tuple[str, ...], *, delta: float) -> Backtest:
    """Score laws by their forecasts.

    Args:
        table: Rows in canonical order.
        names: Names of families in the registry.
        delta: Huber's threshold on log residuals.
    """
    values: dict[Axis, FloatArray] = {
        "C": join_budgets(table),
        "N": table.params,
        "D": table.tokens,
    }
    forecasts = {
        name: tuple(
            _forecast(table, find_family(name), column, axis, window, delta)
            for axis, column in values.items()
            for window in WINDOWS
        )
        for name in names
    }
    common = [
        at
        for at, one in enumerate(next(iter(forecasts.values()), ()))
        if one.axis == "C" and all(row[at].error is not None for row in forecasts.values())
    ]
    scores = tuple(
        FamilyScore(
            family=name,
            letters=len(find_family(name).param_names),
            forecasts=row,
            score=_average([row[at].error for at in common]),
        )
        for name, row in forecasts.items()
    )
    return Backtest(scores=scores, chosen=_choose(scores))


def _forecast(
    table: RunTable, family: LawFamily, column: FloatArray, axis: Axis, window: float, delta: float
) -> HeldOut:
    held = hold_out(column, above=HELD_FROM)
    train = select_rows(table, list_below(column, held, up_to=window))
    test = select_rows(table, np.flatnonzero(held))
    error = bias = None
    if len(train) and find_design_problem(train) is None:
        fit = fit_parametric(train, family, delta=delta)
        if fit.converged:
            miss = measure_miss(family, fit.coefficients, test)
            error, bias = float(np.mean(np.abs(miss))), float(np.mean(miss))
    return HeldOut(
        axis=axis, fitted_up_to=window, fitted=len(train), held=len(test), error=error, bias=bias
    )


def _average(errors: list[float | None]) -> float | None:
    known = [max(error, 1e-6) for error in errors if error is not None]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else None


def _choose(scores: tuple[FamilyScore, ...]) -> str | None:
    scored = [(one.score, one) for one in scores if one.score is not None]
    if not scored:
        return None
    best = min(score for score, _ in scored)
    as_good = [one for score, one in scored if score <= _AS_GOOD * best]
    return min(as_good, key=lambda one: (one.letters, one.score)).family

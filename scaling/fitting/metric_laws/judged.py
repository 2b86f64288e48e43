"""A metric's law, whether the runs support it, and its forecast of the largest runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.files.contract import to_contract
from scaling.fitting.abilities.predictability import Criterion
from scaling.fitting.bootstrap import draw_laws
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_interval
from scaling.fitting.metric_laws.form import Form, choose_form, name_held
from scaling.fitting.metric_laws.outcome import LargestForecast, forecast_held
from scaling.fitting.metric_laws.support import (
    find_two_outcomes,
    find_value_problem,
    judge_fit,
    judge_forecast,
    judge_identified,
    judge_runs,
    make_cells,
)
from scaling.fitting.noise import estimate_replicate_sigma
from scaling.fitting.parametric import choose_delta, fit_parametric
from scaling.tables.metric_table import find_metric, fit_metric
from scaling.tables.metrics import AskedMetric
from scaling.tables.run_table import RunTable

LEVEL = 0.9
DRAWS = 1000  # as many as `scaling fit` draws
_FAILURES = {
    "monotone": "not monotone",
    "span": "too small a change",
    "unimodal": "seeds",
    "fits": "misfit",
    "held_out": "missed forecast",
    "identified": "not identified",
}
_FORECASTS = 300  # the ends of a 90 % interval are then the fifteenth draw from either end


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLaw:
    """All results about a metric.

    Attributes:
        name, unit: The metric.
        symbol: What the law gives: the metric, or its distance to the bound.
        runs: Number of runs that state it.
        equation: The law; empty if the runs allow none.
        at: The D that all runs of a law of N share, or the N of a law of D; None of both.
        letters, intervals: The law's coefficients and their intervals; empty without a law.
        criteria: What decides whether the law is supported.
        forecast: The largest runs forecast from the others; None if refused.
        reason: Why no law is supported; empty if one is.
        refused: Why nothing is forecast; empty otherwise.
    """

    name: str
    unit: str
    symbol: str
    runs: int
    equation: str = ""
    at: float | None = None
    letters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    criteria: tuple[Criterion, ...] = ()
    forecast: LargestForecast | None = None
    reason: str = ""
    refused: str = ""

    @property
    def supported(self) -> bool:
        """Whether every criterion holds, so that the law may be quoted."""
        return not self.reason

    def to_contract(self) -> dict[str, Any]:
        """Return it as JSON; a law that is not supported is null."""
        law = {
            "equation": f"{self.symbol} = {self.equation}",
            "at": self.at,
            "params": dict(self.letters),
            "intervals": to_contract(self.intervals),
        }
        return {
            "metric": self.name,
            "unit": self.unit or None,
            "n": self.runs,
            "level": LEVEL,
            "supported": self.supported,
            "reason": self.reason,
            "law": law if self.supported else None,
            "criteria": to_contract(self.criteria),
            "forecast": to_contract(self.forecast),
            "refused": self.refused,
        }


def judge_metric(
    table: RunTable, asked: AskedMetric, *, chance: float = 0.0, seed: int = 0
) -> MetricLaw:
    """Judge a metric of runs.

    Args:
        table: The runs with their metrics.
        asked: The metric; see `fit_metric`.
        chance: Score of guessing, of a share with a bound.
        seed: Seed of the draws.

    Raises:
        TableError: The table has no such metric.
    """
    metric = find_metric(table, asked.name)
    problem = find_value_problem(metric, asked.higher_is_better, asked.bound)
    if problem and metric.bound is not None:
        problem = find_two_outcomes(table, metric, chance) or problem
    if problem:
        return _refuse(metric.name, metric.unit, len(table), problem)
    return judge_fitted(fit_metric(table, asked), chance=chance, seed=seed)


def judge_fitted(table: RunTable, *, chance: float = 0.0, seed: int = 0) -> MetricLaw:
    """The same of a table that has the metric in place of the loss already (`fit_metric`)."""
    facts = table.metric_facts
    assert facts is not None  # by definition
    form = choose_form(table)
    if isinstance(form, str):
        return _refuse(facts.name, facts.unit, len(table), form)
    smaller = form.smaller
    criteria = judge_runs(smaller, make_cells(smaller, chance=chance))
    refused = "; ".join(_say(one) for one in criteria if one.passed is not True)
    forecast = None
    if not refused:
        found = forecast_held(form, facts, lowest=chance, level=LEVEL, seed=seed, count=_FORECASTS)
        refused, forecast = (found, None) if isinstance(found, str) else ("", found)
    error = None if forecast is None else forecast.error
    said = refused
    if error is not None:
        said = f"{name_held(form)} is missed by {error:.2f} of the range on average"
    judged = MetricLaw(
        name=facts.name,
        unit=facts.unit,
        symbol=facts.symbol,
        runs=len(form.table),
        equation=form.family.equation,
        at=form.at,
        criteria=(*criteria, judge_forecast(error, said)),
        forecast=forecast,
        refused=refused,
    )
    if forecast is None:
        return dataclasses.replace(judged, reason=refused)
    return _add_law(judged, form, seed)


def _add_law(judged: MetricLaw, form: Form, seed: int) -> MetricLaw:
    """Add the law of all runs, as `scaling fit --metric` fits it; its intervals only where nothing
    else speaks against it, as refits to runs that no law follows take seconds."""
    table, family = form.table, form.family
    fit = fit_parametric(table, family, delta=choose_delta(estimate_replicate_sigma(table)))
    *before, last = judged.criteria
    criteria = (*before, judge_fit(table, fit), last)
    intervals = {}
    if all(one.passed is True for one in criteria):
        drawn = draw_laws(table, fit, count=DRAWS, seed=seed).coefficients
        intervals = {
            name: find_interval(drawn[:, at], LEVEL) for at, name in enumerate(family.param_names)
        }
        exponents = [family.theta_names[at] for at in family.exponents]
        criteria = (*criteria, judge_identified(fit, intervals, exponents))
    return dataclasses.replace(
        judged,
        letters=dict(zip(family.param_names, fit.coefficients.tolist(), strict=True)),
        intervals=intervals,
        criteria=criteria,
        reason="; ".join(_say(one) for one in criteria if one.passed is not True),
    )


def _refuse(name: str, unit: str, runs: int, reason: str) -> MetricLaw:
    return MetricLaw(name=name, unit=unit, symbol=name, runs=runs, reason=reason, refused=reason)


def _say(one: Criterion) -> str:
    return f"{_FAILURES[one.code]}: {one.seen}"

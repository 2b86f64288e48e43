"""The largest runs forecast by a law of the smaller ones, beside what was measured there.

Draws of the law are those of `bootstrap`. A new mean of r seeds adds noise in ln L with variance

    σ_seed²/r + max(0, σ² − σ_seed²)

where σ is the scatter of the smaller runs around their law with n − p degrees of freedom (a
t-distribution) and σ_seed that between seeds of a cell, 0 if unknown: what the law misses does not
average over seeds. That the law itself may be wrong beyond the data is not in the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.contract import to_contract
from scaling.fitting.abilities.scores import sort_cells
from scaling.fitting.bootstrap import draw_laws
from scaling.fitting.cell_forecast import CellForecast
from scaling.fitting.intervals import find_interval
from scaling.fitting.metric_laws.form import Along, Form
from scaling.fitting.noise import estimate_replicate_sigma
from scaling.fitting.parametric import choose_delta, fit_parametric
from scaling.tables.metrics import MetricFacts
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray

_FEWEST_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome(CellForecast):
    """One cell of the largest runs, in the metric's own values.

    Attributes:
        miss: Miss as a share of the metric's range; see `support`.
    """

    miss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestForecast:
    """Forecast of the largest runs.

    Attributes:
        along: What they are the largest in.
        fitted: Number of runs behind the law.
        cells: What was forecast and what came, ascending in N, then D.
    """

    along: Along
    fitted: int
    cells: tuple[CellOutcome, ...]

    @property
    def error(self) -> float:
        """Mean |miss| as a share of the range."""
        return float(np.mean([one.miss for one in self.cells]))

    @property
    def inside(self) -> int:
        """Number of cells inside their intervals."""
        return sum(one.inside for one in self.cells)

    def to_contract(self) -> dict[str, Any]:
        return {
            "along": self.along,
            "n": self.fitted,
            "mean_miss": self.error,
            "cells": to_contract(self.cells),
        }


def forecast_held(
    form: Form, facts: MetricFacts, *, lowest: float, level: float, seed: int, count: int
) -> LargestForecast | str:
    """Forecast the runs that a form holds out; or say why not.

    Args:
        form: The law, with its runs.
        facts: The metric in place of the loss.
        lowest: Score of guessing, of a share with a bound.
        level, seed, count: Probability of the intervals; seed and number of their draws.
    """
    if form.along is None:
        return "a law of the other runs has too few cells, whichever are held out"
    smaller = form.smaller
    seeds = estimate_replicate_sigma(smaller)
    fit = fit_parametric(smaller, form.family, delta=choose_delta(seeds))
    if not fit.converged:
        return "the optimum of the law of the smaller runs is not proven"
    draws = draw_laws(smaller, fit, count=count, seed=seed).coefficients
    if len(draws) < max(_FEWEST_DRAWS, count // 2):
        return f"{count - len(draws)} of {count} refits to the smaller runs did not converge"
    freedom = max(1, fit.residuals.size - fit.theta.size)
    scatter = float(fit.residuals @ fit.residuals) / freedom
    own = 0.0 if seeds is None else seeds**2
    noise = np.random.default_rng(seed).standard_t(freedom, len(draws))
    largest = select_rows(form.table, np.flatnonzero(form.held))
    pairs, cell = sort_cells(largest)
    outcomes = []
    for at, (n, d) in enumerate(pairs.tolist()):
        said = form.family.loss(fit.coefficients, np.array([n]), np.array([d]))
        each = form.family.loss(draws, np.array([n]), np.array([d]))
        values = facts.to_metric(largest.loss[cell == at])
        spread = math.sqrt(own / values.size + max(0.0, scatter - own))
        forecast = float(facts.to_metric(float(said[0])))
        drawn = np.asarray(facts.to_metric(each.ravel() * np.exp(spread * noise)))
        measured = float(np.mean(values))
        outcomes.append(
            CellOutcome(
                params=n,
                tokens=d,
                runs=int(values.size),
                forecast=forecast,
                interval=find_interval(drawn, level, answer=forecast),
                measured=measured,
                miss=_measure_miss(forecast, measured, form.table, facts, lowest),
            )
        )
    return LargestForecast(along=form.along, fitted=len(smaller), cells=tuple(outcomes))


def _measure_miss(
    forecast: float, measured: float, table: RunTable, facts: MetricFacts, lowest: float
) -> float:
    """|Forecast − measured| as a share of the range: from chance to a bound; without a bound that
    of ln m over the means of cells."""
    if facts.bound is not None:
        return abs(forecast - measured) / (facts.bound - lowest)
    _, cell = sort_cells(table)
    means: FloatArray = np.bincount(cell, table.loss) / np.bincount(cell)
    span = float(np.ptp(np.log(means)))
    return abs(math.log(forecast / measured)) / span if span > 0.0 else math.inf

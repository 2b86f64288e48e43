"""Approach 3: the law fitted to all runs, its draws and its checks."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.backcast import MAX_ROWS, MIN_BLOCKS, backcast_largest, leave_out, list_blocks
from scaling.fitting.bootstrap import Draws, draw_laws
from scaling.fitting.bracket import draw_recipe_error
from scaling.fitting.budgets import group_budgets, list_flops
from scaling.fitting.checks import fits as fit_checks
from scaling.fitting.checks import residuals as residual_checks
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.fitted import Backcast, Check, Frontier, Interval, LawEstimate, Objective
from scaling.fitting.identification import Identification, identify, weigh_letters
from scaling.fitting.intervals import find_interval
from scaling.fitting.noise import estimate_residual_sigma, find_shared, list_clusters
from scaling.fitting.parametric import ParametricFit, estimate_exponent, fit_parametric
from scaling.fitting.work import Work, make_frontier
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray, format_flops

# Checks use 90 % intervals (decision 0041), whatever the level of the answer's intervals.
GATE_LEVEL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class LawPart:
    """Result of Approach 3; if `problem` is set, it says why everything else is None or empty."""

    problem: str = ""
    fit: ParametricFit | None = None
    estimate: LawEstimate | None = None
    objective: Objective | None = None
    residual_sigma: float | None = None
    frontier: Frontier | None = None
    projection: Frontier | None = None
    backcast: Backcast | None = None
    draws: FloatArray = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    checks: tuple[Check, ...] = ()
    floor: Interval | None = None


def fit_law(work: Work, delta: float) -> LawPart:
    """Fit the law to all runs, with draws, intervals and checks, or say why there is none."""
    table, family = work.table, work.family
    problem = find_law_problem(table, family)
    if problem is not None:
        return LawPart(problem=problem)
    fit = fit_parametric(table, family, delta=delta)
    flops = list_flops(table)
    span = (float(flops.min()), float(flops.max()))
    _note_parent(work, fit)
    shared = None if find_shared(table) is None else list_clusters(table)
    known = identify(fit, cost=table.cost, flops=span, level=GATE_LEVEL, shared=shared)
    has_frontier = family.has_frontier and not fit.vanished
    blocks = list_blocks(table, group_budgets(table))
    draws, intervals, lines = np.empty((0, fit.theta.size)), None, np.empty((0, 4))
    if work.bootstrap is not None:
        alike, draws = _draw(work, fit, work.bootstrap)
        if len(alike) >= 2:
            intervals = {
                name: find_interval(alike[:, at], work.level)
                for at, name in enumerate(family.param_names)
            }
            if has_frontier:
                lines = estimate_exponent(family, alike, table.cost, span)
    frontier, projection, slope = None, None, math.nan
    if has_frontier:
        line = estimate_exponent(family, fit.coefficients, table.cost, span)
        slope = float(line[0])
        frontier = make_frontier("parametric", line, lines, table, span, work.level)
        other = estimate_exponent(family, fit.projected, table.cost, span)
        projection = make_frontier("projection", other, np.empty((0, 4)), table, span, work.level)
    params = dict(zip(family.param_names, fit.coefficients.tolist(), strict=True))
    return LawPart(
        fit=fit,
        estimate=LawEstimate(family=family.name, params=params, intervals=intervals),
        objective=Objective(name="huber_log", delta=delta, sum=fit.objective),
        residual_sigma=estimate_residual_sigma(fit.residuals, fit.theta.size),
        frontier=frontier,
        projection=projection,
        backcast=backcast_largest(table, blocks, family, delta=delta),
        draws=draws,
        checks=_check_law(table, fit, known, slope, blocks, span),
        floor=None if known.floor is None else Interval(*known.floor, GATE_LEVEL),
    )


def _draw(work: Work, fit: ParametricFit, count: int) -> tuple[FloatArray, FloatArray]:
    """Draws for the coefficients, and for answers."""
    excess, measured = draw_recipe_error(work.table, fit, count=count, seed=work.seed)
    answers = draw_laws(work.table, fit, count=count, seed=work.seed, excess=excess)
    alike = answers if measured else draw_laws(work.table, fit, count=count, seed=work.seed)
    _note_draws(work, max(answers, alike, key=lambda one: one.failed))
    return alike.coefficients, answers.coefficients


def _check_law(
    table: RunTable,
    fit: ParametricFit,
    known: Identification,
    slope: float,
    blocks: tuple[IntArray, ...],
    span: tuple[float, float],
) -> tuple[Check, ...]:
    floors, slopes = None, None
    flops = list_flops(table)
    if len(blocks) >= MIN_BLOCKS and len(table) <= MAX_ROWS:
        without = leave_out(fit, blocks)
        family = fit.task.family
        if family.floor is not None:
            floors = np.array([fit.coefficients[family.floor], without[0, family.floor]])
        if math.isfinite(slope):
            slopes = estimate_exponent(family, without, table.cost, span)[:, 0]
    names = tuple(
        f"the {rows.size} runs around {format_flops(float(np.median(flops[rows])))} FLOPs"
        for rows in blocks
    )
    return (
        fit_checks.check_convergence(fit),
        fit_checks.check_bounds(fit),
        fit_checks.check_identification(known, floors, float(table.loss.min())),
        fit_checks.check_precision(known, slope),
        fit_checks.check_influence(slope, slopes, names),
        residual_checks.check_lack_of_fit(table, fit),
        residual_checks.check_outliers(table, fit),
        residual_checks.check_trend(table, fit),
        residual_checks.check_evaluation(table, fit, slope_width=known.slope_width),
    )


def _note_parent(work: Work, fit: ParametricFit) -> None:
    """Note the gain of a requested law over its simpler parent; Chinchilla's is the default."""
    family = fit.task.family
    if family.parent is None or family.name == CHINCHILLA.name:
        return
    parent = fit_parametric(work.table, find_family(family.parent), delta=fit.task.delta)
    gain = weigh_letters(fit, parent)
    verdict = "the extra parameters are justified" if gain > 0.0 else "the simpler law fits as well"
    work.notes.append(
        f"{family.name} ({fit.theta.size} parameters) against {family.parent} "
        f"({parent.theta.size}): objective {fit.objective:.4g} and {parent.objective:.4g}, "
        f"BIC {abs(gain):.1f} "
        f"{'lower' if gain > 0.0 else 'higher'}, so on these runs {verdict}; scaling backtest "
        "compares their forecasts"
    )


def _note_draws(work: Work, drawn: Draws) -> None:
    if drawn.method == "noise":
        work.notes.append(
            "intervals: too few distinct (N, D) or groups to resample; drawn from noise around "
            "the law"
        )
    if drawn.method == "normal":
        work.notes.append("intervals: normal approximation (more than 20,000 clusters)")
    if drawn.failed:
        work.notes.append(
            f"intervals: {drawn.failed} of {work.bootstrap} refits did not converge, left out"
        )

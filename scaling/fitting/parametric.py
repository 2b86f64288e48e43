"""Approach 3: one parametric law through every run, with proof that the optimum was found.

Variable projection seeds Newton's method; a fit counts as converged only if the scaled gradient
vanishes, at least two starts from different blocks of the exponent grid end in the best basin, and
variable projection, which shares no derivative with Newton's method, arrives at the same objective.

Source: Hoffmann et al. 2022, arXiv:2203.15556, sec. 3.3; the demand for proof: Besiroglu et al.
2024, arXiv:2404.10102, who found the published fit to have stopped early.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import UsageError
from scaling.fitting.projection import scan_exponents, zoom_exponents
from scaling.fitting.solver import Solutions, Task, huber, make_task, solve
from scaling.laws.family import Axes, Law, LawFamily
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray

# Published fits, and many of ours, use δ = 1e-3 (Hoffmann et al. 2022, sec. 3.3).
DEFAULT_DELTA = 1e-3
# Huber's constant: 95 % efficient under Gaussian noise. Huber 1964, doi:10.1214/aoms/1177703732.
HUBER_EFFICIENCY = 1.345
# Two starts share a basin if their objectives agree to this; one minimum reached twice agrees to
# 1e-12, neighbouring minima of real tables differ by 1e-3 or more.
_SAME_BASIN = 1e-6
# Variable projection stops on a grid and reweights linearly: on 19 published tables it ends at
# most 6e-4 above Newton's optimum (least-absolute-deviation fits included).
_AGREEMENT = 2e-3
# With tiny δ the profile has kinks, at which nested grids can shrink too soon (3 of 450).
_ZOOM_ATTEMPTS = 3
# Residuals below this are rounding: on noise-free data ratios of objectives mean nothing.
_NOISE_FREE = 1e-5
# The best nodes of two different blocks; all sixteen if these disagree.
_FIRST_STARTS = 2
# In logs a frontier is straight for C = 6ND and bends little otherwise: five points are enough.
LINE_BUDGETS = 5
# Rows used to rank the nodes of a scan, and to search for a basin; the final fit uses all.
_SCAN_ROWS = 128
_SEARCH_ROWS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametricFit:
    """The optimum of one law on one table.

    Attributes:
        task: What was fitted.
        theta: Optimiser's coordinates, shape (p,).
        coefficients: Parameters of the law, shape (p,).
        objective: Σ ρ_δ.
        gradient_norm: Largest projected gradient component / (n·δ).
        basin_starts, starts: How many starts ended in the best basin, of how many.
        projection_gap: Objective of variable projection / objective − 1.
        projected: Parameters where variable projection ended, shape (p,); from at most 1500 rows.
        converged: All three proofs hold.
        at_bound: Coordinates that lie on a bound, by name.
        vanished: A term in N or in D has no weight: nothing then says how to split a budget.
        residuals: ln L − ln loss, shape (n,).
        gradient: ∇L/L at the optimum, shape (p, n).
    """

    task: Task
    theta: FloatArray
    coefficients: FloatArray
    objective: float
    gradient_norm: float
    basin_starts: int
    starts: int
    projection_gap: float
    projected: FloatArray
    converged: bool
    at_bound: tuple[str, ...]
    vanished: bool
    residuals: FloatArray
    gradient: FloatArray


def choose_delta(replicate_sigma: float | None, asked: float | None = None) -> float:
    """δ as asked for; else 1.345·σ̂ of the replicates, at least 1e-3; 1e-3 without any.

    Replicates are runs of different seeds trained alike (`noise.find_replicates`), wherever the
    runs lie. Published tables state no seeds, and their fits used 1e-3.

    Raises:
        UsageError: What was asked for is not above 0.
    """
    if asked is not None:
        if not (math.isfinite(asked) and asked > 0):
            raise UsageError(f"huber_delta is {asked}; it must be a finite number above 0.")
        return asked
    if replicate_sigma is None:
        return DEFAULT_DELTA
    return max(DEFAULT_DELTA, HUBER_EFFICIENCY * replicate_sigma)


def fit_parametric(
    table: RunTable,
    family: LawFamily,
    *,
    delta: float,
    group: IntArray | None = None,
    prove: bool = True,
) -> ParametricFit:
    """Fit the law to every row of the table.

    Args:
        table: Rows in canonical order, a design that passed `find_design_problem`.
        family: The law.
        delta: Huber's threshold on log residuals.
        group: Recipe of each row, for laws that compare recipes.
        prove: Whether variable projection must agree, which takes half of the time; without it the
            fit is for forecasts within a table, never for an answer.
    """
    task = make_task(
        family,
        table.params,
        tokens=table.tokens,
        loss=table.loss,
        delta=delta,
        unique_tokens=table.unique_tokens,
        group=group,
    )
    search = _thin(task, _SEARCH_ROWS)
    seeds, _ = scan_exponents(search if family.rugged else _thin(task, _SCAN_ROWS))
    first = solve(search, seeds[:_FIRST_STARTS], continuation=True)
    starts, objectives, thetas = _FIRST_STARTS, first.objective, first.theta
    if family.rugged:  # continuation in δ can smooth away even the deepest minimum
        direct = solve(search, seeds)
        starts += len(seeds)
        objectives = np.concatenate((objectives, direct.objective))
        thetas = np.concatenate((thetas, direct.theta))
    if _count_basin(objectives, search) < 2 or family.rugged:
        rest = solve(search, seeds[_FIRST_STARTS:], continuation=True)
        starts += len(rest.objective)
        objectives = np.concatenate((objectives, rest.objective))
        thetas = np.concatenate((thetas, rest.theta))
    best = int(np.argmin(objectives))
    zoomed, projected = thetas[best], float(objectives[best])
    if prove:
        zoomed, projected = _project_out(search, seeds[0], projected)
    if projected < objectives[best] * (1.0 - _SAME_BASIN) - _find_floor(
        search
    ):  # projection found a deeper basin
        deeper = solve(search, np.stack((zoomed, thetas[best])), continuation=True)
        objectives = np.concatenate((objectives, deeper.objective))
        thetas = np.concatenate((thetas, deeper.theta))
        starts += len(deeper.objective)
        best = int(np.argmin(objectives))
    final = solve(task, thetas[best : best + 1], continuation=search is not task)
    theta = final.theta[0]
    gap = _find_gap(projected, float(objectives[best]), search)
    in_basin = _count_basin(objectives, search)
    log_loss, gradient = family.log_loss(theta[None], task.axes)
    agreed = _agree(projected, float(objectives[best]), search)
    proven = bool(final.converged[0]) and in_basin >= 2 and agreed
    return ParametricFit(
        task=task,
        theta=theta,
        coefficients=family.to_coefficients(theta[None], task.axes)[0],
        objective=float(final.objective[0]),
        gradient_norm=float(final.gradient_norm[0]),
        basin_starts=in_basin,
        starts=starts,
        projection_gap=gap,
        projected=family.to_coefficients(zoomed[None], task.axes)[0],
        converged=proven,
        at_bound=_list_bounds(family, theta),
        vanished=_has_vanished(family, theta),
        residuals=log_loss[0] - task.target,
        gradient=gradient[0],
    )


def refit_rows(fit: ParametricFit, parts: Sequence[IntArray]) -> list[ParametricFit]:
    """The law on each of several parts of its rows, from the optimum on all of them: all at once,
    and their proof is the gradient alone. For forecasts within a table, never for an answer."""
    if not parts:
        return []
    weights = np.zeros((len(parts), fit.task.axes.x.size))
    for weight, rows in zip(weights, parts, strict=True):
        weight[rows] = 1.0
    solved = solve(fit.task, np.repeat(fit.theta[None], len(parts), axis=0), weights=weights)
    return [_keep_rows(fit, rows, solved, at) for at, rows in enumerate(parts)]


def _keep_rows(fit: ParametricFit, rows: IntArray, solved: Solutions, at: int) -> ParametricFit:
    """A solution of those rows as a fit of them."""
    whole, theta = fit.task, solved.theta[at]
    task = dataclasses.replace(whole, axes=whole.axes.take(rows), target=whole.target[rows])
    log_loss, gradient = task.family.log_loss(theta[None], task.axes)
    return dataclasses.replace(
        fit,
        task=task,
        theta=theta,
        coefficients=task.family.to_coefficients(theta[None], task.axes)[0],
        objective=float(solved.objective[at]),
        gradient_norm=float(solved.gradient_norm[at]),
        basin_starts=1,
        starts=1,
        converged=bool(solved.converged[at]),
        at_bound=_list_bounds(task.family, theta),
        vanished=_has_vanished(task.family, theta),
        residuals=log_loss[0] - task.target,
        gradient=gradient[0],
    )


def locate_rows(task: Task, table: RunTable) -> Axes:
    """Rows of any table in a task's coordinates; repeated data and recipes are not looked at."""
    log_n, log_d, _ = task.axes.centre
    return Axes(
        x=np.log(table.params) - log_n, y=np.log(table.tokens) - log_d, centre=task.axes.centre
    )


def estimate_exponent(
    family: Law, coefficients: FloatArray, cost: CostModel, flops: tuple[float, float]
) -> FloatArray:
    """Slopes a, b and logs of k_n, k_d of the frontier between two budgets, shape (..., 4) in
    the order (a, ln k_n, b, ln k_d). The log-log line through `LINE_BUDGETS` points of it."""
    budgets = np.geomspace(flops[0], flops[1], LINE_BUDGETS)
    if flops[1] <= flops[0] * 1.01:  # one budget: use the local slope over a third of a decade
        budgets = np.geomspace(flops[0] / 1.5, flops[0] * 1.5, LINE_BUDGETS)
    params, tokens = find_frontier(family, coefficients[..., None, :], flops=budgets, cost=cost)
    return fit_lines(np.log(budgets), np.log(params), np.log(tokens))


def fit_lines(log_c: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
    """Lines of ln N and ln D against ln C over the last axis: (a, ln k_n, b, ln k_d)."""
    centre = log_c.mean(axis=-1, keepdims=True)
    spread = np.sum((log_c - centre) ** 2, axis=-1)
    result = []
    for values in (log_n, log_d):
        slope = np.sum((log_c - centre) * values, axis=-1) / spread
        result += [slope, values.mean(axis=-1) - slope * centre[..., 0]]
    return np.stack(result, axis=-1)


def _thin(task: Task, most: int) -> Task:
    """At most so many rows, evenly through the canonical order."""
    size = task.axes.x.size
    if size <= most:
        return task
    rows = np.linspace(0, size - 1, most).astype(np.int64)
    axes = task.axes.take(rows)
    return Task(family=task.family, axes=axes, target=task.target[rows], delta=task.delta)


def _project_out(task: Task, start: FloatArray, objective: float) -> tuple[FloatArray, float]:
    """Variable projection from the scan's best node, begun anew where it stopped short."""
    for _ in range(_ZOOM_ATTEMPTS):
        start, projected = zoom_exponents(task, start)
        if _agree(projected, objective, task):
            break
    return start, projected


def _agree(projected: float, objective: float, task: Task) -> bool:
    return projected <= objective * (1.0 + _AGREEMENT) + _find_floor(task)


def _count_basin(objectives: FloatArray, task: Task) -> int:
    return int(np.sum(objectives <= objectives.min() * (1.0 + _SAME_BASIN) + _find_floor(task)))


def _find_gap(projected: float, objective: float, task: Task) -> float:
    floor = _find_floor(task)
    return max(0.0, (projected + floor) / (objective + floor) - 1.0)


def _find_floor(task: Task) -> float:
    return float(task.axes.x.size * huber(np.array(_NOISE_FREE), task.delta))


def _list_bounds(family: LawFamily, theta: FloatArray) -> tuple[str, ...]:
    on = (theta <= family.lower) | (theta >= family.upper)
    return tuple(name for name, flag in zip(family.theta_names, on, strict=True) if flag)


def _has_vanished(family: LawFamily, theta: FloatArray) -> bool:
    return any(theta[at] <= family.lower[at] for at in family.weights)

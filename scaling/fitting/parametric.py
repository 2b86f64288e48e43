"""Approach 3: one parametric law through every run, with proof that the optimum was found.

Variable projection seeds Newton's method; a fit counts as converged only if the scaled gradient
vanishes, at least two starts from different blocks of the exponent grid end in the best basin, and
variable projection, which shares no derivatives with Newton's method, finds the same objective.

Source: Hoffmann et al. 2022, arXiv:2203.15556, sec. 3.3; the demand for proof: Besiroglu et al.
2024, arXiv:2404.10102, who found the published fit to have stopped early.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.errors import UsageError
from scaling.fitting.projection import scan_exponents, zoom_exponents
from scaling.fitting.solver import Solutions, Task, huber, join_solutions, make_task, solve
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
        task: The law and the rows.
        theta: Optimiser's coordinates, shape (p,).
        coefficients: Parameters of the law, shape (p,).
        objective: Σ ρ_δ.
        gradient_norm: Largest projected gradient component / (n·δ).
        basin_starts, starts: Number of starts that ended in the best basin, and of all starts.
        projection_gap: Objective of variable projection / objective − 1.
        projected: Parameters where variable projection ended, shape (p,); from at most 1500 rows.
        converged: Whether all three proofs hold.
        at_bound: Coordinates that lie on a bound, by name.
        vanished: Whether a term in N or in D has no weight, so that a budget cannot be split.
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
    """Choose δ: as asked for; else 1.345·σ̂ of the replicates, at least 1e-3; 1e-3 without any.

    Replicates are runs of different seeds trained alike (`noise.find_replicates`), wherever the
    runs lie. Published tables state no seeds, and their fits used 1e-3.

    Raises:
        UsageError: The δ asked for is not above 0.
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
    found = solve(search, seeds[:_FIRST_STARTS], continuation=True)
    if family.rugged:  # continuation in δ can smooth away even the deepest minimum
        found = join_solutions((found, solve(search, seeds)))
    if _count_basin(found.objective, search) < 2 or family.rugged:
        rest = solve(search, seeds[_FIRST_STARTS:], continuation=True)
        found = join_solutions((found, rest))
    best = int(np.argmin(found.objective))
    zoomed, projected = found.theta[best], float(found.objective[best])
    if prove:
        zoomed, projected = _project_out(search, seeds[0], projected)
    if projected < found.objective[best] * (1.0 - _SAME_BASIN) - _find_floor(
        search
    ):  # projection found a deeper basin
        starts = np.stack((zoomed, found.theta[best]))
        found = join_solutions((found, solve(search, starts, continuation=True)))
        best = int(np.argmin(found.objective))
    final = solve(task, found.theta[best : best + 1], continuation=search is not task)
    in_basin = _count_basin(found.objective, search)
    lowest = float(found.objective[best])
    return ParametricFit(
        **_read_solution(task, final, 0),
        basin_starts=in_basin,
        starts=len(found.objective),
        projection_gap=_find_gap(projected, lowest, search),
        projected=family.to_coefficients(zoomed[None], task.axes)[0],
        converged=bool(final.converged[0]) and in_basin >= 2 and _agree(projected, lowest, search),
    )


def _read_solution(task: Task, solved: Solutions, at: int) -> dict[str, Any]:
    """The fields of a fit that follow from one solution alone."""
    family, theta = task.family, solved.theta[at]
    log_loss, gradient = family.log_loss(theta[None], task.axes)
    on_bound = (theta <= family.lower) | (theta >= family.upper)
    return {
        "task": task,
        "theta": theta,
        "coefficients": family.to_coefficients(theta[None], task.axes)[0],
        "objective": float(solved.objective[at]),
        "gradient_norm": float(solved.gradient_norm[at]),
        "at_bound": tuple(
            name for name, flag in zip(family.theta_names, on_bound, strict=True) if flag
        ),
        "vanished": any(theta[one] <= family.lower[one] for one in family.weights),
        "residuals": log_loss[0] - task.target,
        "gradient": gradient[0],
    }


def refit_rows(fit: ParametricFit, parts: Sequence[IntArray]) -> list[ParametricFit]:
    """Refit the law to each of several parts of its rows, in one batch from the optimum on all
    rows. Their only proof is the gradient: for forecasts within a table, never for an answer."""
    if not parts:
        return []
    weights = np.zeros((len(parts), fit.task.axes.x.size))
    for weight, rows in zip(weights, parts, strict=True):
        weight[rows] = 1.0
    solved = solve(fit.task, np.repeat(fit.theta[None], len(parts), axis=0), weights=weights)
    return [_keep_rows(fit, rows, solved, at) for at, rows in enumerate(parts)]


def _keep_rows(fit: ParametricFit, rows: IntArray, solved: Solutions, at: int) -> ParametricFit:
    """Turn a solution for some rows into a fit of them."""
    whole = fit.task
    task = dataclasses.replace(whole, axes=whole.axes.take(rows), target=whole.target[rows])
    own, converged = _read_solution(task, solved, at), bool(solved.converged[at])
    return dataclasses.replace(fit, **own, basin_starts=1, starts=1, converged=converged)


def locate_rows(task: Task, table: RunTable) -> Axes:
    """Rows of any table in a task's coordinates; ignores repeated data and recipes."""
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
    """Thin the rows evenly through the canonical order to at most `most`."""
    size = task.axes.x.size
    if size <= most:
        return task
    rows = np.linspace(0, size - 1, most).astype(np.int64)
    axes = task.axes.take(rows)
    return Task(family=task.family, axes=axes, target=task.target[rows], delta=task.delta)


def _project_out(task: Task, start: FloatArray, objective: float) -> tuple[FloatArray, float]:
    """Variable projection from the scan's best node, restarted if it stopped short."""
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

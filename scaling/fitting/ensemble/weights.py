"""Weights of the members, from forecasts of held-out runs.

The most expensive runs are held out twice (the top 20 % in C, forecast from the lower half; the top
15 %, from the lower 70 %); a budget is held out whole. Every member is fitted to the rest and
forecasts the held-out runs that all members describe (`list_described`). A member's score e_i is
the geometric mean over the windows of its mean absolute errors of ln L, and

    w_i = (1 − SHARE) · e_i^−POWER / Σ_j e_j^−POWER + SHARE / members not refuted

Held-out runs are few and share a budget, so a quarter of the weight is spread evenly (Stock &
Watson 2004, J. Forecast. 23, 405, find that such shrinkage pays) over the members whose error is at
most three times the best: for runs that follow one law exactly, no other law gets weight. Each draw
of the table has its own weights: the windows' laws move by one step of the robust bootstrap,

    Δθ_b = −(ρ̄'' · Σ_i c_bi g_i g_iᵀ)^−1 Σ_i c_bi ψ_i g_i,    c_bi how often row i was drawn

(Salibián-Barrera & Zamar 2002, Ann. Statist. 30, 556), and the held-out runs count c_bi times too.
Without any window the first member, Chinchilla's law on all runs, has all the weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.budgets import join_budgets
from scaling.fitting.ensemble.members import FittedMember, fit_member, list_described
from scaling.fitting.holding_out import hold_out, list_below, measure_miss
from scaling.fitting.identification import measure_scale
from scaling.fitting.noise import estimate_residual_sigma
from scaling.fitting.parametric import locate_rows
from scaling.laws.ensemble import ENSEMBLE
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray, IntArray

# (largest quantile of C that is fitted, smallest that is held out)
WINDOWS = ((0.5, 0.8), (0.7, 0.85))
# Derived by `python benchmarks/forecast.py --tables … --derive`; docs/decisions/0066-ensemble.md.
POWER = 6.0
SHARE = 0.25
# Rows of a window: more would not change the weights, and every member is fitted twice.
_MOST_ROWS = 20_000
# Seed noise: a smaller error is luck, unless the runs scatter less around their law.
_LOWEST_ERROR = 2e-3
_ROUNDING = 1e-9
# A member whose error is this many times the best one's gets none of the even share: on the tables
# of benchmarks/forecast.py 3 to 5 serve better than 2 and 10.
_REFUTED = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One forecast of held-out runs by every member.

    Attributes:
        fits: Each member's law of the lower runs; None if it could not be fitted.
        held: Indices of the forecast rows in the table.
        reach: C of the forecast runs over the largest fitted C, the geometric mean.
        budgets: Distinct budgets among the forecast runs.
    """

    fits: tuple[FittedMember | None, ...]
    held: IntArray
    reach: float
    budgets: int


def open_windows(table: RunTable, present: tuple[bool, ...], *, delta: float) -> tuple[Window, ...]:
    """Make the windows of a table.

    Args:
        table: Rows in canonical order.
        present: Whether each member could be fitted to the whole table.
        delta: Huber's threshold on log residuals.
    """
    flops = join_budgets(table)
    windows = []
    for fitted_up_to, held_from in WINDOWS:
        is_held = hold_out(flops, above=held_from)
        below = list_below(flops, is_held, up_to=fitted_up_to)
        held = list_described(table, np.flatnonzero(is_held))
        fits = tuple(
            fit_member(table, member, delta=delta, within=_thin(below))
            if there and below.size
            else None
            for member, there in zip(ENSEMBLE.members, present, strict=True)
        )
        if below.size:
            log_reach = np.mean(np.log(flops[held])) - np.log(flops[below].max())
            windows.append(
                Window(
                    fits=fits,
                    held=held,
                    reach=float(np.exp(log_reach)),
                    budgets=int(np.unique(flops[held]).size),
                )
            )
    return tuple(windows)


def _thin(rows: IntArray) -> IntArray:
    """Thin the rows evenly through the canonical order to at most _MOST_ROWS."""
    if rows.size <= _MOST_ROWS:
        return rows
    return rows[np.linspace(0, rows.size - 1, _MOST_ROWS).astype(np.int64)]


def list_misses(table: RunTable, windows: tuple[Window, ...]) -> list[list[FloatArray | None]]:
    """ln forecast − ln measured loss of each window's held-out runs, by member, then window."""
    return [
        [
            None if (one := window.fits[at]) is None else _miss(table, window, one)
            for window in windows
        ]
        for at in range(len(ENSEMBLE.members))
    ]


def weigh_members(
    table: RunTable, windows: tuple[Window, ...], counts: FloatArray | None = None
) -> FloatArray:
    """Weights of the members, shape (members,), or (b, members) for draws.

    Args:
        table: Rows in canonical order.
        windows: The windows to score.
        counts: How often each row was drawn, shape (b, n); None: the table itself.
    """
    draws = 1 if counts is None else len(counts)
    names = len(ENSEMBLE.members)
    log_score = np.zeros((draws, names))
    usable = [window for window in windows if window.fits[0] is not None]
    scored = np.array([all(one.fits[at] is not None for one in usable) for at in range(names)])
    if not usable:
        first: FloatArray = np.eye(names)[:1].repeat(draws, axis=0)
        return first[0] if counts is None else first
    for window in usable:
        lowest = _find_lowest_error(window)
        for at in np.flatnonzero(scored):
            fitted = window.fits[at]
            assert fitted is not None
            error = _score(table, window, fitted, counts)
            log_score[:, at] += np.log(np.maximum(error, lowest)) / len(usable)
    log_weight = np.where(scored, -POWER * log_score, -np.inf)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    best = np.where(scored, log_score, np.inf).min(axis=1, keepdims=True)
    stand = scored & (log_score <= best + math.log(_REFUTED))
    even = stand / stand.sum(axis=1, keepdims=True)
    shared: FloatArray = (1.0 - SHARE) * weight + SHARE * even
    return shared[0] if counts is None else shared


def _find_lowest_error(window: Window) -> float:
    """Lower bound of an error: the noise, from the residuals of the first member."""
    first = window.fits[0]
    assert first is not None
    sigma = estimate_residual_sigma(first.fit.residuals, first.fit.theta.size)
    return min(_LOWEST_ERROR, max(sigma, _ROUNDING))


def _score(
    table: RunTable, window: Window, fitted: FittedMember, counts: FloatArray | None
) -> FloatArray:
    """Mean absolute error of ln L of the held-out runs, shape (b,)."""
    if counts is None:
        return np.array([np.mean(np.abs(_miss(table, window, fitted)))])
    fit = fitted.fit
    theta = _step(fitted, counts[:, fitted.rows])
    axes = locate_rows(fit.task, select_rows(table, window.held))
    log_loss, _ = fit.task.family.log_loss(theta, axes)
    miss = np.abs(log_loss + axes.centre[2] - np.log(table.loss[window.held]))
    drawn = counts[:, window.held]
    total = drawn.sum(axis=1)
    # A draw without any held-out run takes the table's error.
    drawn = np.where(total[:, None] > 0.0, drawn, 1.0)
    mean: FloatArray = (drawn * miss).sum(axis=1) / drawn.sum(axis=1)
    return mean


def _miss(table: RunTable, window: Window, fitted: FittedMember) -> FloatArray:
    fit = fitted.fit
    return measure_miss(fit.task.family, fit.coefficients, table, window.held)


def _step(fitted: FittedMember, counts: FloatArray) -> FloatArray:
    """theta of each draw, one step from the optimum (formula above), shape (b, p)."""
    fit = fitted.fit
    family, delta = fit.task.family, fit.task.delta
    free = [name not in fit.at_bound for name in family.theta_names]
    jacobian = fit.gradient[free]
    size = len(jacobian)
    _, slope = measure_scale(fit)
    psi = np.clip(fit.residuals, -delta, delta)
    outer = (jacobian[:, None] * jacobian[None]).reshape(size * size, -1)
    information = slope * (counts @ outer.T).reshape(-1, size, size)
    scale = np.trace(information, axis1=1, axis2=2)[:, None, None] / size
    # A draw may not determine every parameter; the ridge keeps the others at their fitted values.
    information += 1e-6 * scale * np.eye(size)
    moment = counts @ (jacobian * psi).T
    change = np.linalg.solve(information, -moment[:, :, None])[:, :, 0]
    theta = np.repeat(fit.theta[None], len(counts), axis=0)
    theta[:, free] += change
    clipped: FloatArray = np.clip(theta, family.lower, family.upper)
    return clipped

"""Blocks of budgets left out: what each holds up, and the largest predicted from the rest."""

from __future__ import annotations

import numpy as np

from scaling.fitting.budgets import Budget, list_flops
from scaling.fitting.checks.points import find_design_problem
from scaling.fitting.fitted import Backcast
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.fitting.solver import solve
from scaling.laws.family import LawFamily
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray, IntArray

# Without budgets, runs ordered by C are cut into ten blocks: the top decile is the test set of the
# extrapolation protocol, the lowest stands for the lowest budget.
_BLOCKS = 10
# Budgets are used as blocks if they hold nearly all rows; digitised C leaves many outside.
_COVERED = 0.8
MIN_BLOCKS = 3
# Beyond this many rows each refit takes seconds, and no single block matters.
MAX_ROWS = 20_000


def list_blocks(table: RunTable, budgets: tuple[Budget, ...]) -> tuple[IntArray, ...]:
    """Rows by budget, ascending in C; tenths of the rows where the table is not made of budgets."""
    valid = [budget.rows for budget in budgets if not budget.problem]
    if len(valid) >= MIN_BLOCKS and sum(map(len, valid)) >= _COVERED * len(table):
        return tuple(valid)
    order = np.argsort(list_flops(table), kind="stable")
    return tuple(part for part in np.array_split(order, _BLOCKS) if part.size)


def leave_out(fit: ParametricFit, blocks: tuple[IntArray, ...]) -> FloatArray:
    """Coefficients without each block in turn, shape (blocks, p), from the full fit's optimum."""
    size = fit.residuals.size
    weights = np.ones((len(blocks), size))
    for at, rows in enumerate(blocks):
        weights[at, rows] = 0.0
    starts = np.repeat(fit.theta[None], len(blocks), axis=0)
    solved = solve(fit.task, starts, weights=weights)
    return fit.task.family.to_coefficients(solved.theta, fit.task.axes)


def backcast_largest(
    table: RunTable, blocks: tuple[IntArray, ...], family: LawFamily, *, delta: float
) -> Backcast | None:
    """Fit every block but the largest, predict that one.

    Returns:
        None with fewer than three blocks, or where the smaller ones carry no law.
    """
    if len(blocks) < MIN_BLOCKS or len(table) > MAX_ROWS:
        return None
    smaller = select_rows(table, np.sort(np.concatenate(blocks[:-1])))
    largest = select_rows(table, blocks[-1])
    if find_design_problem(smaller) is not None:
        return None
    fit = fit_parametric(smaller, family, delta=delta)
    predicted = family.loss(fit.coefficients, largest.params, largest.tokens)
    relative = predicted / largest.loss - 1.0
    return Backcast(
        trained_below=float(np.min(list_flops(largest))),
        run=largest.run,
        predicted=tuple(predicted.tolist()),
        measured=tuple(largest.loss.tolist()),
        mean_abs_relative_error=float(np.mean(np.abs(relative))),
        bias=float(np.mean(relative)),
    )

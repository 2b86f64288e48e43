"""Fitting a mixture of laws: its members, and weights from forecasts of held-out runs.

Twice the most expensive runs are held out (the top 20 % in C forecast from the lower half, the top
15 % from the lower 70 %), every member is fitted to the rest and forecasts those of them that all
members describe, D/N >= 4: what misses runs that are starved of data says nothing of the frontier.
A member's score is the geometric mean of its mean absolute errors of ln L; its weight is score^−2,
as of forecasts whose errors are independent. Chinchilla's law on all runs always takes part,
another member only where that law errs 1.2 times as much: smaller leads, over a few budgets, are
chance. A budget is held out whole, and a member one of whose terms has vanished does not take part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.bootstrap import draw_laws
from scaling.fitting.bracket import draw_recipe_error
from scaling.fitting.budgets import join_budgets
from scaling.fitting.noise import list_cells
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.fitting.result import MemberScore
from scaling.laws.mixture import MIN_RATIO, MIXTURE, Member
from scaling.ledger.tables import RunTable, select_rows
from scaling.units import FloatArray

# (largest quantile of C that is fitted, smallest that is forecast)
WINDOWS = ((0.5, 0.8), (0.7, 0.85))
# Fewer than these cannot carry the six letters of the richest member.
_MIN_ROWS, _MIN_CELLS = 8, 7
_LOWEST_ERROR = 2e-3  # seeds differ by as much: a smaller error is luck
_POWER = 2.0
_BETTER = 1.2
_MIN_HELD = 3  # fewer runs that all members describe: every held-out run is scored


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureFit:
    """A fitted mixture.

    Attributes:
        coefficients: Letters of MIXTURE, shape (p,).
        draws: Bootstrap draws of them, shape (b, p); empty without bootstrap.
        members: Weights and scores.
        converged: Whether every member with a weight is proven.
    """

    coefficients: FloatArray
    draws: FloatArray
    members: tuple[MemberScore, ...]
    converged: bool


def fit_mixture(
    table: RunTable, plain: ParametricFit, *, bootstrap: int | None, seed: int
) -> MixtureFit:
    """Fit every member to the rows it takes.

    Args:
        table: Rows in canonical order, a design that passed `find_design_problem`.
        plain: Chinchilla's law on all rows, the member that is always there.
        bootstrap: Draws; None: none.
        seed: Of the draws.
    """
    delta = plain.task.delta
    fits: list[tuple[RunTable, ParametricFit] | None] = []
    for member in MIXTURE.members:
        rows = _take(table, member)
        if member.name == "chinchilla":
            fits.append((table, plain))
        elif rows is None:
            fits.append(None)
        else:
            fit = fit_parametric(rows, member.family, delta=delta)
            fits.append(None if fit.vanished else (rows, fit))
    errors = [
        _score(table, member, delta) if found is not None else ()
        for member, found in zip(MIXTURE.members, fits, strict=True)
    ]
    weights = _weigh(errors)
    coefficients = np.zeros(len(MIXTURE.param_names))
    coefficients[-len(weights) :] = weights
    for part, found in zip(MIXTURE.slices, fits, strict=True):
        coefficients[part] = 1.0 if found is None else found[1].coefficients
    draws = np.empty((0, coefficients.size))
    if bootstrap is not None:
        draws = _draw(coefficients, weights, fits, bootstrap, seed)
    return MixtureFit(
        coefficients=coefficients,
        draws=draws,
        members=tuple(
            MemberScore(name=member.name, weight=float(weight), errors=error)
            for member, weight, error in zip(MIXTURE.members, weights, errors, strict=True)
        ),
        converged=all(
            found is None or found[1].converged
            for found, weight in zip(fits, weights, strict=True)
            if weight > 0.0
        ),
    )


def _take(table: RunTable, member: Member) -> RunTable | None:
    """The rows of a member; None where they cannot carry it."""
    rows = table
    if member.min_ratio > 0.0:
        rows = select_rows(table, np.flatnonzero(table.tokens >= member.min_ratio * table.params))
    if len(rows) < _MIN_ROWS or int(list_cells(rows).max()) + 1 < _MIN_CELLS:
        return None
    return rows


def _score(table: RunTable, member: Member, delta: float) -> tuple[float | None, ...]:
    """Mean absolute error of ln L of each window's forecast; None where it cannot be made."""
    flops = join_budgets(table)
    errors: list[float | None] = []
    for fitted_up_to, held_from in WINDOWS:
        held = flops >= np.quantile(flops, held_from)
        below = (flops <= np.quantile(flops, fitted_up_to)) & ~held
        rows = _take(select_rows(table, np.flatnonzero(below)), member) if below.any() else None
        if rows is None:
            errors.append(None)
            continue
        fit = fit_parametric(rows, member.family, delta=delta)
        test = select_rows(table, np.flatnonzero(held))
        described = test.tokens >= MIN_RATIO * test.params
        if described.sum() >= _MIN_HELD:
            test = select_rows(test, np.flatnonzero(described))
        predicted = member.family.loss(fit.coefficients, test.params, test.tokens)
        errors.append(float(np.mean(np.abs(np.log(predicted / test.loss)))))
    return tuple(errors)


def _weigh(errors: list[tuple[float | None, ...]]) -> FloatArray:
    """Weights from the windows that Chinchilla's law on all runs, the first member, has too."""
    usable = [at for at, error in enumerate(errors[0]) if error is not None]
    scores = np.full(len(errors), np.inf)
    for member, row in enumerate(errors):
        scored = [error for at in usable if row and (error := row[at]) is not None]
        if usable and len(scored) == len(usable):
            scores[member] = np.exp(np.mean(np.log(np.maximum(scored, _LOWEST_ERROR))))
    if not np.isfinite(scores[0]):
        scores[0] = 1.0
    takes_part = _BETTER * scores <= scores[0]
    takes_part[0] = True
    weights = np.where(takes_part, scores**-_POWER, 0.0)
    normed: FloatArray = weights / weights.sum()
    return normed


def _draw(
    coefficients: FloatArray,
    weights: FloatArray,
    fits: list[tuple[RunTable, ParametricFit] | None],
    count: int,
    seed: int,
) -> FloatArray:
    """Each draw one member's bootstrap draw; members have draws in proportion to their weights."""
    shares = _share_out(count, weights)
    parts = []
    for at, (part, fit, share) in enumerate(zip(MIXTURE.slices, fits, shares, strict=True)):
        if fit is None or share == 0:
            continue
        drawn = draw_laws(fit[0], fit[1], count=int(share), seed=seed + at)
        _, moved = draw_recipe_error(fit[0], fit[1], drawn, seed=seed + at)
        rows = np.repeat(coefficients[None], len(moved), axis=0)
        rows[:, part] = moved
        rows[:, -len(weights) :] = np.arange(len(weights)) == at
        parts.append(rows)
    return np.concatenate(parts)


def _share_out(count: int, weights: FloatArray) -> NDArray[np.intp]:
    """`count` in whole shares nearest to the weights (largest remainders): drawing them by chance
    would add noise to every quantile."""
    exact = count * weights
    shares = np.floor(exact).astype(np.intp)
    last = np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]
    shares[last] += 1
    return shares

"""The ensemble on a table: every member fitted, weighted, and drawn.

A draw resamples configurations, recomputes the members' weights on the sample, picks a member in
proportion to them, and refits it to the sample. So the draws reflect the uncertainty of the
weights, and each draw is one law with its own frontier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.bootstrap import (
    MAX_CLUSTERS,
    MIN_CLUSTERS,
    draw_counts,
    draw_laws,
)
from scaling.fitting.bracket import draw_recipe_error
from scaling.fitting.ensemble.members import FittedMember, fit_member
from scaling.fitting.ensemble.weights import Window, list_misses, open_windows, weigh_members
from scaling.fitting.fitted import MemberScore
from scaling.fitting.intervals import find_interval
from scaling.fitting.noise import list_clusters
from scaling.fitting.parametric import ParametricFit
from scaling.laws.ensemble import ENSEMBLE
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray

# Elements of one block of draws: counts and scores take a few MiB.
_BLOCK = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleFit:
    """A fitted ensemble.

    Attributes:
        coefficients: Parameters of ENSEMBLE, shape (p,).
        draws: Bootstrap draws of them, shape (b, p); empty without bootstrap.
        weights: Weights of the members, shape (members,).
        fitted: Each member's law; None if it takes no part.
        members: The members with their scores, for the reader.
        converged: Whether the optimum of every member with a weight is proven.
    """

    coefficients: FloatArray
    draws: FloatArray
    weights: FloatArray
    fitted: tuple[FittedMember | None, ...]
    members: tuple[MemberScore, ...]
    converged: bool


def fit_ensemble(
    table: RunTable, plain: ParametricFit, *, bootstrap: int | None, level: float, seed: int
) -> EnsembleFit:
    """Fit every member to its rows.

    Args:
        table: Rows in canonical order, a design that passed `find_design_problem`.
        plain: Chinchilla's law on all rows, no term vanished: the member that is always present.
        bootstrap: Draws; None: none.
        level: Level of the weights' intervals.
        seed: Seeds the draws.
    """
    delta = plain.task.delta
    first = FittedMember(
        member=ENSEMBLE.members[0], rows=np.arange(len(table), dtype=np.int64), fit=plain
    )
    others = (fit_member(table, member, delta=delta) for member in ENSEMBLE.members[1:])
    # A law with a vanished term does not determine how to split a budget.
    fitted = (first, *(None if one is None or one.fit.vanished else one for one in others))
    windows = open_windows(table, tuple(one is not None for one in fitted), delta=delta)
    weights = weigh_members(table, windows)
    coefficients = np.zeros(len(ENSEMBLE.param_names))
    coefficients[-len(weights) :] = weights
    for part, found in zip(ENSEMBLE.slices, fitted, strict=True):
        coefficients[part] = 1.0 if found is None else found.fit.coefficients
    draws, drawn_weights = np.empty((0, coefficients.size)), None
    if bootstrap is not None:
        counts = _Counts(table, bootstrap, seed)
        drawn_weights = counts.weigh(windows, weights)
        draws = _draw(table, coefficients, fitted, drawn_weights, counts)
    return EnsembleFit(
        coefficients=coefficients,
        draws=draws,
        weights=weights,
        fitted=fitted,
        members=_describe(table, fitted, windows, weights, drawn_weights, level),
        converged=all(
            found is None or found.fit.converged
            for found, weight in zip(fitted, weights, strict=True)
            if weight > 0.0
        ),
    )


class _Counts:
    """How often each row enters each draw.

    Below MIN_CLUSTERS clusters integer counts would leave draws without a law: there exponential
    counts (Rubin 1981, Ann. Statist. 9, 130) weigh the members, and their laws are drawn from noise
    (bootstrap.py). Above MAX_CLUSTERS every draw uses the weights of the table.
    """

    def __init__(self, table: RunTable, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._table, self._cluster = table, list_clusters(table)
        self._clusters = int(self._cluster.max()) + 1
        self.whole = MIN_CLUSTERS <= self._clusters <= MAX_CLUSTERS

    def weigh(self, windows: tuple[Window, ...], weights: FloatArray) -> FloatArray:
        """Weights of the members in each draw, shape (b, members)."""
        if self._clusters > MAX_CLUSTERS:
            return np.repeat(weights[None], self.size, axis=0)
        step = max(1, _BLOCK // len(self._table))
        parts = [
            weigh_members(self._table, windows, self.take(np.arange(low, low + step)))
            for low in range(0, self.size, step)
        ]
        return np.concatenate(parts)

    def take(self, draws: NDArray[np.intp]) -> FloatArray:
        """Counts of some draws, shape (k, n); each draw has its own random stream."""
        rows = []
        for at in draws[draws < self.size].tolist():
            rng = np.random.default_rng((self.seed, at))
            if self.whole:
                rows.append(draw_counts(self._clusters, 1, rng)[0])
            else:
                rows.append(rng.standard_exponential(self._clusters))
        return np.array(rows)[:, self._cluster]


def _draw(
    table: RunTable,
    coefficients: FloatArray,
    fitted: tuple[FittedMember | None, ...],
    weights: FloatArray,
    counts: _Counts,
) -> FloatArray:
    """Draw laws: each is one member's law, refitted to the rows of the draw."""
    picked = _pick(weights, counts.seed)
    parts = []
    for at, (part, found) in enumerate(zip(ENSEMBLE.slices, fitted, strict=True)):
        mine = np.flatnonzero(picked == at)
        if found is None or not mine.size:
            continue
        rows, seed = select_rows(table, found.rows), counts.seed + at
        excess, _ = draw_recipe_error(rows, found.fit, count=mine.size, seed=seed)
        drawn = draw_laws(
            rows,
            found.fit,
            count=mine.size,
            seed=seed,
            weights=counts.take(mine)[:, found.rows] if counts.whole else None,
            excess=excess,
        )
        letters = np.repeat(coefficients[None], len(drawn.coefficients), axis=0)
        letters[:, part] = drawn.coefficients
        letters[:, -len(fitted) :] = np.arange(len(fitted)) == at
        parts.append(letters)
    return np.concatenate(parts)


def _pick(weights: FloatArray, seed: int) -> NDArray[np.intp]:
    """Pick a member for each draw in proportion to its weights, with evenly spaced numbers in
    random order, since independent ones would add noise to every quantile."""
    size = len(weights)
    even = (np.random.default_rng((seed, size)).permutation(size) + 0.5) / size
    reached = np.cumsum(weights, axis=1)
    picked: NDArray[np.intp] = np.sum(even[:, None] * reached[:, -1:] > reached, axis=1)
    return picked


def _describe(
    table: RunTable,
    fitted: tuple[FittedMember | None, ...],
    windows: tuple[Window, ...],
    weights: FloatArray,
    drawn: FloatArray | None,
    level: float,
) -> tuple[MemberScore, ...]:
    misses = list_misses(table, windows)
    return tuple(
        MemberScore(
            name=member.name,
            weight=float(weights[at]),
            errors=tuple(
                None if miss is None else float(np.mean(np.abs(miss))) for miss in misses[at]
            ),
            biases=tuple(None if miss is None else float(np.mean(miss)) for miss in misses[at]),
            budgets=tuple(window.budgets for window in windows),
            reach=tuple(window.reach for window in windows),
            weight_interval=None if drawn is None else find_interval(drawn[:, at], level),
            rows=0 if (found := fitted[at]) is None else int(found.rows.size),
            letters=len(member.family.param_names),
            converged=None if found is None else found.fit.converged,
        )
        for at, member in enumerate(ENSEMBLE.members)
    )

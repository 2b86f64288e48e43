"""Which runs to add: those that most reduce the expected squared error of the fitter's forecast.

A run at x is believed to measure ln L(x) + δ(x) + ε: ε is noise of standard deviation σ, and δ is
what the law misses there, as seen from the forecast at t. In each of ln N and ln D, δ is a Brownian
motion that starts at t with τ per root decade of compute (a decade of N or D counts as two):

    cov(δ(x), δ(x')) = τ² · ½ Σ_axes min(|x − t|, |x' − t|)  on one side of t, else 0

so that runs near the forecast tell of it, and far ones, however many, share what they get wrong.
The fitter knows nothing of δ: it takes least squares of a set S,

    error²(t; S) = a' (J' (σ² I + K) J + …) a,   a = (J'J + σ² Λ)⁻¹ j_t,   J = ∂ ln L / ∂ θ

averaged over targets t and laws θ that are believed; Λ is a prior so weak that it only keeps a
handful of runs from claiming to know the exponents. With τ = 0 this is V-optimality.

Chosen within a spend: one by one, always the run that lowers the error most, with money left for as
many distinct cells as a fit needs; then runs are exchanged while that helps. What the spend still
pays for is added in order of least harm: the fitter's loss is robust, and a run more is a run by
which it can tell an outlier. Without δ the same search spends its budget on cheap runs far away,
where laws bend: see `benchmarks/suggest.py` and DECISIONS.md, "Planning".

Source: V-optimality and exchange, Atkinson, Donev & Tobias 2007, Optimum Experimental Designs,
ch. 10 and 12; choosing runs for the error in a target region, Li et al. 2026, arXiv:2604.22753,
whose posterior is a mixture of basins without model error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import QueryError
from scaling.fitting.checks import MIN_CELLS
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import Axes
from scaling.units import FloatArray, IntArray, format_flops

# Rate of model error by which Chinchilla's law misses on public tables (fitting/discrepancy.py).
DEFAULT_RATE = 0.05
# Two cells above the least that a law is fitted to.
LEAST_CELLS = MIN_CELLS + 2
_PASSES = 6
# Of theta (E/s, ln of both weights, both exponents): twice what published laws differ by.
_PRIOR_WIDTHS = np.array([0.6, 2.0, 2.0, 0.3, 0.3])
_ENOUGH = 1.0 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Runs as places: N, D and C [FLOPs], each of shape (n,)."""

    params: FloatArray
    tokens: FloatArray
    flops: FloatArray

    def __len__(self) -> int:
        return self.params.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Runs to add.

    Attributes:
        chosen: Rows of the candidates, cheapest first.
        flops: Of them together.
        error_before, error_after: Expected relative error of the forecast's loss, root mean square;
            before: None where nothing is done yet.
    """

    chosen: tuple[int, ...]
    flops: float
    error_before: float | None
    error_after: float


def suggest_runs(
    candidates: Points,
    targets: Points,
    *,
    spend: float,
    laws: FloatArray,
    sigma: float,
    rate: float = DEFAULT_RATE,
    done: Points | None = None,
) -> Suggestion:
    """The candidates to train for a forecast.

    Args:
        candidates: What could be trained.
        targets: Where the loss is forecast.
        spend: FLOPs at most.
        laws: Coefficients of Chinchilla laws, equally believed, shape (k, 5).
        sigma: Noise of ln loss of one run.
        rate: Model error per root decade.
        done: Runs there are already.

    Raises:
        QueryError: The spend pays for no run, or for fewer cells than a law needs.
    """
    done = done or Points(params=np.empty(0), tokens=np.empty(0), flops=np.empty(0))
    search = _Search(candidates, targets, done, laws=laws, sigma=sigma, rate=rate, spend=spend)
    search.verify_spend()
    chosen = search.fill(search.improve(search.grow()))
    rows = sorted((row - len(done) for row in chosen), key=lambda row: (candidates.flops[row], row))
    before = math.sqrt(search.measure([])) if len(done) else None
    return Suggestion(
        chosen=tuple(rows),
        flops=float(candidates.flops[rows].sum()),
        error_before=before,
        error_after=math.sqrt(search.measure(chosen)),
    )


class _Search:
    """Sets of runs and their expected error. Rows: what is done first, then the candidates."""

    def __init__(
        self,
        candidates: Points,
        targets: Points,
        done: Points,
        *,
        laws: FloatArray,
        sigma: float,
        rate: float,
        spend: float,
    ) -> None:
        self._spend, self._noise = spend, sigma**2
        self._done = list(range(len(done)))
        self._flops = np.concatenate((done.flops, candidates.flops))
        x = np.log(np.concatenate((done.params, candidates.params)))
        y = np.log(np.concatenate((done.tokens, candidates.tokens)))
        pairs = np.stack((x, y), axis=1)
        self._cell: IntArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        self._free = np.arange(len(done), x.size)
        goals = np.log(targets.params), np.log(targets.tokens)
        self._drift = [
            rate**2 * (_run_motion(x - goals[0][at]) + _run_motion(y - goals[1][at]))
            for at in range(len(targets))
        ]
        self._slopes: list[FloatArray] = []
        self._goals: list[FloatArray] = []
        everywhere = np.concatenate((x, goals[0])), np.concatenate((y, goals[1]))
        for law in laws:
            slopes = _find_slopes(law, *everywhere)
            self._slopes.append(slopes[: x.size])
            self._goals.append(slopes[x.size :])
        self._prior = self._noise * np.diag(1.0 / _PRIOR_WIDTHS**2)

    def verify_spend(self) -> None:
        """Raises QueryError where nothing can be chosen."""
        cheapest = float(self._flops[self._free].min(initial=math.inf))
        if cheapest > self._spend:
            raise QueryError(
                f"{format_flops(self._spend)} FLOPs pay for no run; the cheapest that can be "
                f"trained costs {format_flops(cheapest)}."
            )
        wanted = LEAST_CELLS - len(set(self._cell[self._done]))
        needed = self._price_new_cells([], wanted)
        if needed > self._spend:
            raise QueryError(
                f"a law needs {LEAST_CELLS} distinct (N, D); the {wanted} cheapest that are "
                f"missing cost {format_flops(needed)} FLOPs. Spend more, or allow smaller models."
            )

    def grow(self) -> list[int]:
        """Runs added one by one, always the one with the lowest error, while it falls or cells are
        missing."""
        chosen: list[int] = []
        error = self.measure(chosen)
        while (others := self._list_open(chosen)).size:
            after = self.measure_each(chosen, others)
            if after.min() >= error and self._count_cells(chosen) >= LEAST_CELLS:
                break
            chosen.append(int(others[np.argmin(after)]))
            error = float(after.min())
        return chosen

    def improve(self, chosen: list[int]) -> list[int]:
        """Runs exchanged, dropped and added while the error falls."""
        error = self.measure(chosen)
        for _ in range(_PASSES):
            before = error
            for row in [*chosen, None]:
                rest = [one for one in chosen if one != row]
                others = self._list_open(rest)
                if others.size:
                    after = self.measure_each(rest, others)
                    if after.min() < error * _ENOUGH:
                        chosen, error = [*rest, int(others[np.argmin(after)])], float(after.min())
                        continue
                if row is not None and rest and self._count_cells(rest) >= LEAST_CELLS:
                    without = self.measure(rest)
                    if without < error * _ENOUGH:
                        chosen, error = rest, without
            if error >= before * _ENOUGH:
                break
        return chosen

    def fill(self, chosen: list[int]) -> list[int]:
        """What the spend still pays for, in order of least harm."""
        while (others := self._list_open(chosen)).size:
            after = self.measure_each(chosen, others)
            chosen = [*chosen, int(others[np.argmin(after)])]
        return chosen

    def measure(self, chosen: Sequence[int]) -> float:
        """Expected squared error of a set."""
        rows = self._join(chosen)
        total = 0.0
        for slopes, goals in zip(self._slopes, self._goals, strict=True):
            design = slopes[rows]
            inner = design.T @ design + self._prior
            inverse = np.linalg.inv(inner)
            for goal, drift in zip(goals, self._drift, strict=True):
                weights = inverse @ goal
                spread = self._noise * inner + design.T @ drift[np.ix_(rows, rows)] @ design
                total += float(weights @ spread @ weights)
        return total / (len(self._slopes) * len(self._drift))

    def measure_each(self, chosen: Sequence[int], others: IntArray) -> FloatArray:
        """Expected squared error of a set with each of `others` added, shape (others,)."""
        rows = self._join(chosen)
        total = np.zeros(others.size)
        for slopes, goals in zip(self._slopes, self._goals, strict=True):
            design, added = slopes[rows], slopes[others]
            inner = design.T @ design + self._prior
            inverse = np.linalg.inv(inner + added[:, :, None] * added[:, None, :])
            for goal, drift in zip(goals, self._drift, strict=True):
                weights = inverse @ goal
                along = np.einsum("kp,kp->k", weights, added)
                spread = self._noise * inner + design.T @ drift[np.ix_(rows, rows)] @ design
                shared = drift[np.ix_(others, rows)] @ design
                total += np.einsum("kp,pq,kq->k", weights, spread, weights)
                total += (self._noise + drift[others, others]) * along**2
                total += 2.0 * along * np.einsum("kp,kp->k", weights, shared)
        return total / (len(self._slopes) * len(self._drift))

    def _count_cells(self, chosen: Sequence[int]) -> int:
        return len(set(self._cell[self._join(chosen)]))

    def _join(self, chosen: Sequence[int]) -> IntArray:
        return np.array([*self._done, *chosen], dtype=np.int64)

    def _list_open(self, chosen: Sequence[int]) -> IntArray:
        """Candidates that the spend still pays for, with money left for the cells a fit needs."""
        left = self._spend - float(self._flops[list(chosen)].sum())
        open_rows = np.setdiff1d(self._free, np.array(chosen, dtype=np.int64))
        have = set(self._cell[self._done + list(chosen)])
        missing = LEAST_CELLS - len(have)
        if missing > 0:
            open_rows = open_rows[~np.isin(self._cell[open_rows], list(have))]
            left -= self._price_new_cells(chosen, missing - 1)
        return open_rows[self._flops[open_rows] <= left * (1.0 + 1e-12)]

    def _price_new_cells(self, chosen: Sequence[int], count: int) -> float:
        """FLOPs of the `count` cheapest cells that are not there yet; infinite if there are
        fewer."""
        have = set(self._cell[self._done + list(chosen)])
        price: dict[int, float] = {}
        for row in self._free:
            cell = int(self._cell[row])
            if cell not in have:
                price[cell] = min(price.get(cell, math.inf), float(self._flops[row]))
        if len(price) < count:
            return math.inf
        return sum(sorted(price.values())[: max(0, count)])


def _run_motion(distance: FloatArray) -> FloatArray:
    """½·min(|d|, |d'|) on one side of the target, in decades of compute, shape (n, n)."""
    decades = 2.0 * distance / math.log(10.0)
    same_side = decades[:, None] * decades[None, :] > 0
    shorter = np.minimum(np.abs(decades)[:, None], np.abs(decades)[None, :])
    return np.asarray(np.where(same_side, shorter, 0.0) / 2.0, dtype=np.float64)


def _find_slopes(law: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """∂ ln L / ∂ theta of one law at every place, shape (n, p)."""
    loss = CHINCHILLA.loss(law, np.exp(x), np.exp(y))
    centre = float(x.mean()), float(y.mean()), float(np.log(loss).mean())
    axes = Axes(x=x - centre[0], y=y - centre[1], centre=centre)
    _, gradient = CHINCHILLA.log_loss(CHINCHILLA.to_theta(law[None], axes), axes)
    return np.asarray(gradient[0].T, dtype=np.float64)

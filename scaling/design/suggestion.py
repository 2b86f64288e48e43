"""Which runs to add: those that leave the forecast with the least expected squared error.

The forecast is that of nearness.py: the law is fitted with weights, and a run counts for less the
further it lies from the forecast, since laws bend. The expected error after a set S of runs,
linearised in the coordinates θ of a law, is

    error²(t; S) = g' (J' W J + Λ)⁻¹ g,    g = ∂ ln L(t) / ∂ θ,   J = ∂ ln L / ∂ θ at the runs

with W the weights 1/(σ² + τ²·distance) and Λ the prior, averaged over the targets t and the assumed
laws. With τ = 0 this is V-optimality.

Runs are chosen within a spend: first one by one, always the run that lowers the error most, keeping
enough for as many distinct cells as a fit needs; then runs are exchanged while that lowers the
error. Without model error the same search spends its budget on cheap runs far away: see
`benchmarks/suggest.py` and docs/decisions/0080-suggest-near.md.

Source: V-optimality and exchange, Atkinson, Donev & Tobias 2007, Optimum Experimental Designs,
ch. 10 and 12; choosing runs for the error in a target region, Li et al. 2026, arXiv:2604.22753,
whose posterior is a mixture of basins without model error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.design.nearness import DEFAULT_RATE, EXPONENT, EXPONENT_SPREAD, find_variance
from scaling.errors import QueryError
from scaling.fitting.checks.points import MIN_CELLS
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import Axes
from scaling.units import FloatArray, IntArray, format_flops

# Two cells more than a fit needs.
LEAST_CELLS = MIN_CELLS + 2
_PASSES = 6
# Prior standard deviations of theta: E/s and the logarithms of both weights, twice the spread of
# published laws; both exponents, as in `nearness`.
_PRIOR_WIDTHS = np.array([0.6, 2.0, 2.0, EXPONENT * EXPONENT_SPREAD, EXPONENT * EXPONENT_SPREAD])
_ENOUGH = 1.0 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Places of runs: N, D and C [FLOPs], each of shape (n,)."""

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
        flops: Total FLOPs.
        error_before, error_after: Expected relative error of the forecast's loss, root mean square,
            without and with the chosen runs; `error_before` is None if no run is finished.
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
    """Choose the candidates to train for a forecast.

    Args:
        candidates: Runs that could be trained.
        targets: Places where the loss is forecast.
        spend: FLOPs to spend at most.
        laws: Coefficients of Chinchilla laws, equally likely, shape (k, 5).
        sigma: Noise of ln loss of one run.
        rate: Model error per root decade.
        done: Runs that are finished.

    Raises:
        QueryError: The spend pays for no run, or for fewer cells than a law needs.
    """
    done = done or Points(params=np.empty(0), tokens=np.empty(0), flops=np.empty(0))
    search = _Search(candidates, targets, done, laws=laws, sigma=sigma, rate=rate, spend=spend)
    search.verify_spend()
    chosen = search.improve(search.grow())
    rows = sorted((row - len(done) for row in chosen), key=lambda row: (candidates.flops[row], row))
    before = math.sqrt(search.measure([])) if len(done) else None
    return Suggestion(
        chosen=tuple(rows),
        flops=float(candidates.flops[rows].sum()),
        error_before=before,
        error_after=math.sqrt(search.measure(chosen)),
    )


class _Search:
    """Sets of runs and their expected error. Rows are the finished runs, then the candidates."""

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
        self._spend = spend
        self._done = list(range(len(done)))
        self._flops = np.concatenate((done.flops, candidates.flops))
        x = np.log(np.concatenate((done.params, candidates.params)))
        y = np.log(np.concatenate((done.tokens, candidates.tokens)))
        pairs = np.stack((x, y), axis=1)
        self._cell: IntArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        self._free = np.arange(len(done), x.size)
        goals = np.log(targets.params), np.log(targets.tokens)
        middle = float(goals[0].mean()), float(goals[1].mean())
        self._variance = find_variance(x, y, at=middle, sigma=sigma, rate=rate)
        everywhere = np.concatenate((x, goals[0])), np.concatenate((y, goals[1]))
        slopes = np.stack([_find_slopes(law, *everywhere) for law in laws])
        self._slopes, self._goals = slopes[:, : x.size], slopes[:, x.size :]

    def verify_spend(self) -> None:
        """Raise QueryError if nothing can be chosen."""
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

    def grow(self, chosen: Sequence[int] = ()) -> list[int]:
        """Add runs one by one, always the one that leaves the lowest error, while the spend allows:
        no run does harm."""
        grown = list(chosen)
        while (others := self._list_open(grown)).size:
            grown.append(int(others[np.argmin(self.measure_each(grown, others))]))
        return grown

    def improve(self, chosen: list[int]) -> list[int]:
        """Exchange runs while the error falls; FLOPs that an exchange saves are spent again."""
        error = self.measure(chosen)
        for _ in range(_PASSES):
            before = error
            for row in list(chosen):
                rest = [one for one in chosen if one != row]
                grown = self.grow(rest)
                after = self.measure(grown)
                if after < error * _ENOUGH:
                    chosen, error = grown, after
            if error >= before * _ENOUGH:
                break
        return chosen

    def measure(self, chosen: Sequence[int]) -> float:
        """Expected squared error of a set."""
        spread = np.einsum("ktp,kpq,ktq->kt", self._goals, self._invert(chosen), self._goals)
        return float(spread.mean())

    def measure_each(self, chosen: Sequence[int], others: IntArray) -> FloatArray:
        """Expected squared error of a set with each of `others` added, shape (others,)."""
        inverse, added = self._invert(chosen), self._slopes[:, others]
        reach = np.einsum("kpq,krq->krp", inverse, added)
        own = np.einsum("krp,krp->kr", added, reach) + self._variance[others]
        gain = np.einsum("ktp,krp->ktr", self._goals, reach) ** 2 / own[:, None, :]
        return np.asarray(self.measure(chosen) - gain.mean(axis=(0, 1)), dtype=np.float64)

    def _invert(self, chosen: Sequence[int]) -> FloatArray:
        """Covariance of theta under every law, shape (laws, p, p)."""
        rows = [*self._done, *chosen]
        design = self._slopes[:, rows]
        weighted = design / self._variance[rows][:, None]
        inner = np.einsum("knp,knq->kpq", weighted, design) + np.diag(1.0 / _PRIOR_WIDTHS**2)
        return np.asarray(np.linalg.inv(inner), dtype=np.float64)

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
        """FLOPs of the `count` cheapest cells not chosen yet; infinite if there are fewer."""
        have = set(self._cell[self._done + list(chosen)])
        price: dict[int, float] = {}
        for row in self._free:
            cell = int(self._cell[row])
            if cell not in have:
                price[cell] = min(price.get(cell, math.inf), float(self._flops[row]))
        if len(price) < count:
            return math.inf
        return sum(sorted(price.values())[: max(0, count)])


def _find_slopes(law: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """∂ ln L / ∂ theta of one law at every place, shape (n, p)."""
    loss = CHINCHILLA.loss(law, np.exp(x), np.exp(y))
    centre = float(x.mean()), float(y.mean()), float(np.log(loss).mean())
    axes = Axes(x=x - centre[0], y=y - centre[1], centre=centre)
    _, gradient = CHINCHILLA.log_loss(CHINCHILLA.to_theta(law[None], axes), axes)
    return np.asarray(gradient[0].T, dtype=np.float64)

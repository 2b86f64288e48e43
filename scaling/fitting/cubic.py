"""Approach 2 in a lopsided valley: cubics of loss against ln N that share one skew.

    loss = c0 + c1·x + c2·(x² + s·x³),   x = ln N − mean,   s the same for every budget
    x* = −c1 / (c2 + √(c2² − 3·c1·s·c2)),   where the slope vanishes and the curve bends up

A parabola's vertex is off wherever α ≠ β: along C = 6ND, Chinchilla's law around its minimum is

    L − L* = g·[(α + β)/2·u² + (β² − α²)/6·u³ + …],   u = ln N − ln N*,   g = αA/N*^α = βB/D*^β

so the cubic term over the quadratic one is (β − α)/3 at every budget. One shared s removes the bias
with a single coefficient; a separate cubic for each budget removes it too, but makes the interval
of a two to three times as wide (benchmarks/minima.py). Sizes within ×8 of the lowest enter, at
least five: beyond them the fourth order matters. If FLOPs per token are not a power of N, s varies
slightly with C; the interval does not include that.

Source: derived here; the bias it removes is that of arXiv:2603.22339.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.fitting.budgets import Budget, average_sizes
from scaling.fitting.isoflop import Optima, choose_reach, make_optima
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray

# c2 and s are solved in turn; each round shrinks the error by s times the grid's asymmetry, below a
# tenth on every grid seen.
_ROUNDS = 6
_MIN_FREEDOM = 3  # with fewer, the caller's sigma is used


@dataclass(frozen=True, slots=True, kw_only=True)
class _Valley:
    """One budget's rows: x and loss, shape (m,); the part of x³ orthogonal to (1, x, x²)."""

    flops: float
    centre: float
    x: FloatArray
    loss: FloatArray
    inverse: FloatArray  # pseudo-inverse of the columns 1, x, x², shape (3, m)
    along: FloatArray  # coefficients of x³ projected on those columns, shape (3,)
    rest: FloatArray  # x³ less that projection, shape (m,)


def draw_minima(
    table: RunTable,
    budgets: tuple[Budget, ...],
    cost: CostModel,
    *,
    sigma: float | None = None,
    count: int = 0,
    seed: int = 0,
) -> tuple[Optima, FloatArray]:
    """The minima of the budgets that have an interior one, and those of redrawn curves.

    Args:
        table: Runs.
        budgets: Budgets of the table.
        cost: FLOPs per token.
        sigma: Standard deviation of ln loss of one run, for the draws; used if the curves leave
            fewer than three degrees of freedom to estimate it.
        count: Draws; 0: none.
        seed: Seeds the draws.

    Returns:
        (optima, drawn): `drawn` is ln N* of each draw and minimum, shape (count, k); NaN where a
        draw has no interior minimum.
    """
    rng = np.random.default_rng(seed)
    valleys = [one for one in (_make_valley(table, budget) for budget in budgets) if one]
    freedom = sum(one.x.size - 3 for one in valleys) - 1
    nothing = make_optima([], [], [], cost), np.empty((count, 0))
    if freedom < 0 or not any(one.rest @ one.rest > 0 for one in valleys):
        return nothing
    fitted, lowest, height = _fit(valleys, [one.loss[None] for one in valleys])
    kept = [at for at, place in enumerate(lowest) if np.isfinite(place[0])]
    if not kept:
        return nothing
    spread = np.full((count, 1), sigma or 0.0)
    if freedom >= _MIN_FREEDOM:  # t-distributed: sigma is itself an estimate
        misfit = sum(
            float(np.sum((one.loss / curve[0] - 1.0) ** 2))
            for one, curve in zip(valleys, fitted, strict=True)
        )
        spread = np.sqrt(misfit / rng.chisquare(freedom, size=(count, 1)))
    noisy = [
        curve + spread * rng.standard_normal((count, one.x.size)) * one.loss
        for one, curve in zip(valleys, fitted, strict=True)
    ]
    _, drawn, _ = _fit(valleys, noisy)
    optima = make_optima(
        [valleys[at].flops for at in kept],
        np.exp([lowest[at][0] for at in kept]),
        [height[at][0] for at in kept],
        cost,
    )
    return optima, np.stack([drawn[at] for at in kept], axis=1)


def _make_valley(table: RunTable, budget: Budget) -> _Valley | None:
    """The rows of a budget for the fit; None if the lowest size is at an end."""
    log_n = np.log(table.params[budget.rows])
    sizes, _, mean = average_sizes(table, budget, table.loss)
    lead = int(np.argmin(mean))
    if budget.problem or lead in (0, sizes.size - 1):
        return None
    inside = np.isin(log_n, choose_reach(sizes, lead))
    centre = float(log_n[inside].mean())
    x = log_n[inside] - centre
    columns = x[:, None] ** np.arange(3)
    inverse: FloatArray = np.asarray(np.linalg.pinv(columns), dtype=np.float64)
    along = inverse @ x**3
    return _Valley(
        flops=budget.realised,
        centre=centre,
        x=x,
        loss=table.loss[budget.rows[inside]],
        inverse=inverse,
        along=along,
        rest=x**3 - columns @ along,
    )


def _fit(
    valleys: list[_Valley], losses: list[FloatArray]
) -> tuple[list[FloatArray], list[FloatArray], list[FloatArray]]:
    """Fit curves to losses (k, m) of each valley: fitted losses (k, m), ln N* and loss there (k,);
    ln N* is NaN if there is no minimum between the sizes."""
    plain = [loss @ one.inverse.T for one, loss in zip(valleys, losses, strict=True)]
    cubic = [loss @ one.rest for one, loss in zip(valleys, losses, strict=True)]
    skew = np.zeros(len(losses[0]))
    for _ in range(_ROUNDS):
        # One budget's own c3 is cubic / |rest|²; s is the precision-weighted mean of c3 / c2.
        bends = [
            c[:, 2] / (1.0 + skew * one.along[2]) for one, c in zip(valleys, plain, strict=True)
        ]
        above = sum(bend * own for bend, own in zip(bends, cubic, strict=True))
        below = sum(
            bend**2 * (one.rest @ one.rest) for bend, one in zip(bends, valleys, strict=True)
        )
        skew = above / below
    fitted, lowest, height = [], [], []
    for one, c in zip(valleys, plain, strict=True):
        c3 = skew * c[:, 2] / (1.0 + skew * one.along[2])
        low = c - c3[:, None] * one.along
        coefficients = np.concatenate((low, c3[:, None]), axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = -low[:, 1] / (low[:, 2] + np.sqrt(low[:, 2] ** 2 - 3.0 * low[:, 1] * c3))
        inside = (place > one.x.min()) & (place < one.x.max())
        inside &= low[:, 2] + 3.0 * c3 * place > 0.0
        place = np.where(inside, place, np.nan)
        fitted.append(coefficients @ (one.x ** np.arange(4)[:, None]))
        lowest.append(place + one.centre)
        height.append(np.sum(coefficients * place[:, None] ** np.arange(4), axis=1))
    return fitted, lowest, height

"""Approach 2 without a parabola: Akima's interpolation through every size of a budget.

ln loss is interpolated in ln N by Akima's piecewise cubics, which follow a lopsided valley where a
parabola averages over it; its lowest point on a fine grid is N*(C), and counts only if it lies
inside. It follows the noise instead of smoothing it, so it serves as a cross-check of the parabola.

Source: Akima 1970, doi:10.1145/321607.321609; as used by Porian et al. 2024, arXiv:2406.19146,
sec. 2, from whom the grid of 25 points between sizes is.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from scaling.fitting.budgets import Budget, average_sizes
from scaling.fitting.isoflop import Optima, make_optima
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray

_POINTS = 25  # grid points between neighbouring sizes
_MIN_SIZES = 5  # Akima's slopes look at two neighbours on either side


def draw_minima(
    table: RunTable,
    budgets: tuple[Budget, ...],
    cost: CostModel,
    *,
    sigma: float | None = None,
    count: int = 0,
    seed: int = 0,
) -> tuple[Optima, FloatArray]:
    """Minima and their draws as in `cubic.draw_minima`; `sigma` is the standard deviation of ln
    loss around every curve."""
    rng = np.random.default_rng(seed)
    flops, minima, losses, redrawn = [], [], [], []
    for budget in budgets:
        if budget.problem:
            continue
        sizes, runs, values = average_sizes(table, budget, np.log(table.loss))
        if sizes.size < _MIN_SIZES:
            continue
        noise = rng.standard_normal((sizes.size, count)) / np.sqrt(runs)[:, None]
        curves = np.concatenate((values[:, None], values[:, None] + (sigma or 0.0) * noise), axis=1)
        grid = np.interp(
            np.arange(_POINTS * (sizes.size - 1) + 1) / _POINTS, np.arange(sizes.size), sizes
        )
        drawn = Akima1DInterpolator(sizes, curves, axis=0)(grid)
        lowest = np.argmin(drawn, axis=0)
        inside = (grid[lowest] > sizes[0]) & (grid[lowest] < sizes[-1])
        # A lowest point at either end of the grid is an edge, not a minimum.
        at = np.where(inside, grid[lowest], np.nan)
        if not inside[0]:
            continue
        flops.append(budget.realised)
        minima.append(float(at[0]))
        losses.append(float(np.exp(drawn[lowest[0], 0])))
        redrawn.append(at[1:])
    optima = make_optima(flops, np.exp(minima), losses, cost)
    return optima, np.stack(redrawn, axis=1) if redrawn else np.empty((count, 0))

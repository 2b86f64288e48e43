"""Data of the figures: the fitted runs as arrays, their IsoFLOP curves, and a law's values.

Values come from laws/ and curves from fitting/; nothing of theirs is computed again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.budgets import group_budgets, list_flops
from scaling.fitting.fitted import Fit
from scaling.fitting.isoflop import Curve, fit_curves
from scaling.laws.frontier import find_frontier
from scaling.laws.registry import read_law
from scaling.sweep.cells import Plan
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray
from scaling.units.losses import NATS, LossScale

BoolArray: TypeAlias = NDArray[np.bool_]

_QUANTITIES = ("params", "tokens", "loss")
_BUDGETS = 70  # points of a frontier's line
# Width in ln C of the kernel that smooths a ladder's frontier: the cost has a knot every .115 in
# ln N, so N* moves in steps of about a percent every .23 in ln C.
_SMOOTHING = 0.35
_MARGIN = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRuns:
    """The fitted runs; every array has shape (n,).

    Attributes:
        run: Names of the runs.
        params, tokens, flops: N, D, C [FLOP].
        loss: Held-out loss [nats/token].
        budgets: Distinct budgets [FLOP], ascending.
        rank: Index into `budgets` of each run; −1 without a budget.
        position: Place of each run's colour on the ordered scale, 0 to 1: by budget, or by ln C if
            the grid has no budgets at all; NaN without a colour.
        replicate: Whether the run repeats a cell with another seed.
        curves: One parabola per budget with at least three sizes.
        scale: The unit in which losses are drawn; the values here are in nats.
    """

    run: tuple[str, ...]
    params: FloatArray
    tokens: FloatArray
    flops: FloatArray
    loss: FloatArray
    budgets: tuple[float, ...]
    rank: IntArray
    position: FloatArray
    replicate: BoolArray
    curves: tuple[Curve, ...]
    scale: LossScale = NATS

    def __len__(self) -> int:
        return len(self.run)

    def find_position(self, flops: float) -> float:
        """Place of the colour of a budget [FLOP]: that of the run nearest in C."""
        return float(self.position[np.argmin(np.abs(np.log(self.flops / flops)))])


def trace_curve(
    data: MeasuredRuns, curve: Curve, points: int
) -> tuple[FloatArray, FloatArray, tuple[float, float] | None]:
    """N and loss along a budget's parabola, and its lowest point; of a curve without a minimum its
    runs in order of N, and None."""
    if curve.vertex is None or curve.lowest is None:
        rows = curve.rows[np.argsort(data.params[curve.rows], kind="stable")]
        return data.params[rows], data.scale.to(data.loss[rows]), None
    x = np.linspace(curve.x.min(), curve.x.max(), points)
    loss = data.scale.to(curve.lowest + curve.bend * (x - curve.vertex) ** 2)
    best = float(np.exp(curve.centre + curve.vertex))
    return np.exp(curve.centre + x), loss, (best, data.scale.to(curve.lowest))


def collect_runs(table: RunTable, plan: Plan | None, scale: LossScale = NATS) -> MeasuredRuns:
    """Collect the fitted runs; the plan says which are replicates. In a table without a plan, a row
    whose (N, D) occurred above is a replicate."""
    if plan is not None:
        roles = {cell.run.run_id: cell.role for cell in reversed(plan.cells)}
        replicate = [roles[name] == "replicate" for name in table.run]
    else:
        cells = list(zip(table.params.tolist(), table.tokens.tolist(), strict=True))
        first = {cell: at for at, cell in reversed(list(enumerate(cells)))}
        replicate = [first[cell] < at for at, cell in enumerate(cells)]
    flops = list_flops(table)
    groups = group_budgets(table) if len(table) else ()
    budget = np.full(len(table), np.nan)
    for group in groups:
        budget[group.rows] = group.flops
    if table.budget is not None:
        declared = np.isfinite(table.budget) & ~np.isfinite(budget)
        budget[declared] = table.budget[declared]
    placed = np.isfinite(budget)
    budgets = np.unique(budget[placed])
    rank = np.full(len(table), -1, dtype=np.int64)
    rank[placed] = np.searchsorted(budgets, budget[placed])
    return MeasuredRuns(
        run=table.run,
        params=table.params,
        tokens=table.tokens,
        flops=flops,
        loss=table.loss,
        budgets=tuple(float(one) for one in budgets),
        rank=rank,
        position=_place_colors(rank, len(budgets), flops),
        replicate=np.array(replicate, dtype=bool),
        curves=fit_curves(table, groups),
        scale=scale,
    )


def _place_colors(rank: IntArray, count: int, flops: FloatArray) -> FloatArray:
    if count:
        return np.where(rank < 0, np.nan, rank / max(1, count - 1))
    if len(flops) < 2:
        return np.zeros(len(flops))
    logs = np.log(flops)
    return np.asarray((logs - logs.min()) / max(1e-9, float(np.ptp(logs))), dtype=np.float64)


def evaluate_law(fit: Fit, params: FloatArray, tokens: FloatArray) -> FloatArray | None:
    """L(N, D) [nats/token] of the law that answers; None if there is none."""
    law = fit.answering.law
    if law is None:
        return None
    family, letters = read_law(law.family, law.params)
    return family.loss(letters, params, tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierLines:
    """N*(C), D*(C) and L*(C) of the law or line that answers.

    Attributes:
        flops: Budgets C [FLOP], shape (k,), ascending.
        edge: Largest budget of the data [FLOP]; one of `flops`.
        best: "params" and "tokens" at each budget, and a law's "loss" [nats/token] there; smoothed
            over the steps of about 1 % that the knots of a ladder's cost leave in N*.
        band: Their (low, high) at the fit's level; None without a bootstrap.
    """

    flops: FloatArray
    edge: float
    best: Mapping[str, FloatArray]
    band: Mapping[str, tuple[FloatArray, FloatArray]] | None


def evaluate_frontier(data: MeasuredRuns, fit: Fit, *, furthest: float) -> FrontierLines | None:
    """The frontier over the data's budgets and up to `furthest` [FLOP]; None if there is none."""
    fit = fit.answering
    frontier = fit.frontier
    if frontier is None:
        return None
    low = min([frontier.range[0], *data.flops])
    edge = max([frontier.range[1], *data.flops])
    flops = np.geomspace(low / _MARGIN, 1.6 * max(edge, furthest), _BUDGETS)
    flops = np.unique(np.append(flops, edge))
    stepped = False
    best: tuple[FloatArray, ...]
    draws: tuple[FloatArray, ...] | None
    if fit.asked == "parametric" and fit.law is not None:
        family, letters = read_law(fit.law.family, fit.law.params)
        params = find_frontier(family, letters, flops=flops, cost=fit.cost)[0]
        stepped = len(set(fit.cost.log_kappa)) > 1
        if stepped:
            params = np.exp(_smooth(np.log(flops), np.log(params)))
        tokens = flops / fit.cost.flops_per_token(params)
        best = params, tokens, family.loss(letters, params, tokens)
        draws = None
        if fit.draws:
            each = np.array(fit.draws)[:, None, :]
            params, tokens = find_frontier(family, each, flops=flops[None, :], cost=fit.cost)
            draws = params, tokens, family.loss(each, params, tokens)
    else:
        best = frontier.k_n * flops**frontier.a, frontier.k_d * flops**frontier.b
        draws = None
        if frontier.draws:
            log_c = np.log(flops)[None, :]
            a, log_k_n, b, log_k_d = (column[:, None] for column in np.array(frontier.draws).T)
            draws = np.exp(log_k_n + a * log_c), np.exp(log_k_d + b * log_c)
    band = None
    if draws is not None:
        tail = 50.0 * (1.0 - fit.level)
        ends = [np.percentile(each, [tail, 100.0 - tail], axis=0) for each in draws]
        if stepped:
            ends = [np.exp(_smooth(np.log(flops), np.log(each))) for each in ends]
        band = {name: (low, high) for name, (low, high) in zip(_QUANTITIES, ends, strict=False)}
    lines = dict(zip(_QUANTITIES, best, strict=False))  # without a law there is no loss
    return FrontierLines(flops=flops, edge=edge, best=lines, band=band)


def _smooth(x: FloatArray, y: FloatArray) -> FloatArray:
    """Smooth y of shape (..., k) by a local-linear kernel in x, which keeps straight lines."""
    gap = x[None, :] - x[:, None]
    weight = np.exp(-0.5 * (gap / _SMOOTHING) ** 2)
    first, second = (weight * gap).sum(axis=1), (weight * gap**2).sum(axis=1)
    kernel = weight * (second[:, None] - first[:, None] * gap)
    return np.asarray(y @ (kernel / kernel.sum(axis=1, keepdims=True)).T, dtype=np.float64)

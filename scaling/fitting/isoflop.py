"""Approach 2: a parabola of loss against ln N for each budget, then N*(C) and D*(C) as lines.

    loss = c0 + c1·x + c2·x²,   x = ln N − mean,   x* = −c1 / (2·c2)
    ln N* = ln k_n + a·ln C,   D* = C / flops_per_token(N*)

A budget counts only if its minimum is interior: a curve that is lowest at its smallest or largest
model, bends down, or has its vertex outside is rejected by name. The parabola uses at most seven
sizes around the lowest: wider ones are biased (arXiv:2603.22339 finds −0.3 % in the intercept over
±2× of N and −4.1 % over ±16×, on noise-free data).

Source: Hoffmann et al. 2022, arXiv:2203.15556, sec. 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scaling.fitting.budgets import Budget, average_sizes
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray, format_count, format_flops

# At most seven sizes, within ×8 of the lowest unless that leaves fewer than five: on Porian's ten
# grids (sizes ×1.4 apart, ×50 wide) slopes come within .028 of the published ones; seven sizes at
# any distance come within .042.
_WINDOW = 7
_LEAST = 5
_REACH = math.log(8.0)
# A line through two minima has no residual.
MIN_OPTIMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One budget's parabola.

    Attributes:
        budget: The budget.
        rows: Rows of the table that the parabola was fitted to.
        x, loss: ln N − centre and loss [nats/token] of those rows, shape (m,).
        centre: Mean ln N.
        bend: c2 [nats/token].
        vertex: x*; None if the parabola does not bend up.
        lowest: Loss at the vertex [nats/token]; None likewise.
        offset: (x* − middle of the parabola's sizes) / half their range, in [−1, 1] inside.
        rejection: "", "edge", "concave" or "drift".
        sentence: Why it was rejected; empty if it was not.
    """

    budget: Budget
    rows: IntArray
    x: FloatArray
    loss: FloatArray
    centre: float
    bend: float
    vertex: float | None
    lowest: float | None
    offset: float | None
    rejection: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Optima:
    """Accepted minima: budgets C [FLOPs], N*, D* and loss [nats/token], each of shape (k,)."""

    flops: FloatArray
    params: FloatArray
    tokens: FloatArray
    loss: FloatArray


def make_optima(flops: ArrayLike, params: ArrayLike, loss: ArrayLike, cost: CostModel) -> Optima:
    """The minima at budgets C and N*; D* spends C on the cost model."""
    spent, sizes = np.array(flops), np.array(params)
    tokens = spent / cost.flops_per_token(sizes) if spent.size else spent
    return Optima(flops=spent, params=sizes, tokens=tokens, loss=np.array(loss))


def fit_curves(table: RunTable, budgets: tuple[Budget, ...]) -> tuple[Curve, ...]:
    """Fit one parabola per budget, rejected ones included."""
    return tuple(_fit_curve(table, budget) for budget in budgets)


def locate_optima(curves: tuple[Curve, ...], cost: CostModel) -> Optima:
    """The minima of the accepted curves, at the budgets' realised C."""
    accepted = [curve for curve in curves if not curve.rejection]
    return make_optima(
        [curve.budget.realised for curve in accepted],
        np.exp([curve.centre + (curve.vertex or 0.0) for curve in accepted]),
        [curve.lowest or 0.0 for curve in accepted],
        cost,
    )


def fit_power_line(
    log_c: FloatArray, values: FloatArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares of `values` = intercept + slope · log_c over the last axis.

    Args:
        log_c: Shape (k,).
        values: Shape (..., k).
        weights: Shape (..., k), 1/variance; 0 leaves a point out. None: equal.

    Returns:
        (slope, intercept), each of shape (...,).
    """
    weight = np.ones_like(values) if weights is None else weights
    total = weight.sum(axis=-1)
    centre = (weight * log_c).sum(axis=-1) / total
    level = (weight * values).sum(axis=-1) / total
    along = log_c - centre[..., None]
    slope = (weight * along * values).sum(axis=-1) / (weight * along**2).sum(axis=-1)
    return slope, level - slope * centre


def draw_lines(log_c: FloatArray, log_params: FloatArray, cost: CostModel) -> FloatArray:
    """Frontiers of the draws that keep enough minima.

    Args:
        log_c: ln C of each minimum, shape (k,).
        log_params: ln N* of each draw and minimum, shape (draws, k); NaN where there is none.
        cost: FLOPs per token.

    Returns:
        (a, ln k_n, b, ln k_d), shape (≤ draws, 4).
    """
    there = np.isfinite(log_params)
    keep = there.sum(axis=1) >= max(1, min(MIN_OPTIMA, log_c.size))
    log_params, weights = np.where(there, log_params, 0.0)[keep], there[keep].astype(np.float64)
    log_tokens = log_c - np.log(cost.flops_per_token(np.exp(log_params)))
    a, log_k_n = fit_power_line(log_c, log_params, weights)
    b, log_k_d = fit_power_line(log_c, log_tokens, weights)
    return np.stack((a, log_k_n, b, log_k_d), axis=1)


def _fit_curve(table: RunTable, budget: Budget) -> Curve:
    log_n = np.log(table.params[budget.rows])
    sizes, _, mean = average_sizes(table, budget, table.loss)
    lowest = np.flatnonzero(mean == mean.min())  # rounded or digitised losses tie
    lead = int(lowest[lowest.size // 2])
    window = choose_window(sizes, lead)
    inside = (log_n >= window[0]) & (log_n <= window[-1])
    rows = budget.rows[inside]
    centre = float(window.mean())
    x, loss = log_n[inside] - centre, table.loss[rows]
    c0, c1, c2 = _fit_parabola(x, loss)
    vertex = -c1 / (2.0 * c2) if c2 > 0 else None
    offset = None
    if vertex is not None:
        middle, half = (window[0] + window[-1]) / 2.0, (window[-1] - window[0]) / 2.0
        offset = float((vertex + centre - middle) / half)
    rejection, sentence = _judge(budget, sizes, lead, vertex, centre, window)
    return Curve(
        budget=budget,
        rows=rows,
        x=x,
        loss=loss,
        centre=centre,
        bend=c2,
        vertex=vertex,
        lowest=None if vertex is None else c0 - c2 * vertex**2,
        offset=offset,
        rejection=rejection,
        sentence=sentence,
    )


def choose_window(sizes: FloatArray, lead: int) -> FloatArray:
    """The ln N that the parabola is fitted to, out of all `sizes`, around the lowest."""
    near = choose_reach(sizes, lead)
    return near if near.size <= _WINDOW else sizes[_take(_WINDOW, sizes, lead)]


def choose_reach(sizes: FloatArray, lead: int) -> FloatArray:
    """The ln N within ×8 of the lowest; at least five if there are that many."""
    chosen = np.abs(sizes - sizes[lead]) <= _REACH
    chosen[_take(_LEAST, sizes, lead)] = True
    near: FloatArray = sizes[chosen]
    return near


def _take(count: int, sizes: FloatArray, lead: int) -> slice:
    first = max(0, min(lead - count // 2, sizes.size - count))
    return slice(first, first + count)


def _judge(
    budget: Budget,
    sizes: FloatArray,
    lead: int,
    vertex: float | None,
    centre: float,
    window: FloatArray,
) -> tuple[str, str]:
    """(rejection, sentence) of a curve."""
    name = f"budget {format_flops(budget.flops)}"
    if budget.problem:
        return "drift", f"{name}: {budget.problem}."
    if vertex is None:
        return "concave", f"{name}: the parabola bends down, its vertex is a maximum."
    if lead in (0, sizes.size - 1):
        end, more = ("smallest", "smaller") if lead == 0 else ("largest", "larger")
        at = format_count(float(np.exp(sizes[lead])))
        return "edge", f"{name}: lowest at its {end} model (N = {at}); train {more} ones."
    if not window[0] < vertex + centre < window[-1]:
        at = format_count(float(np.exp(vertex + centre)))
        return "edge", f"{name}: the vertex (N = {at}) lies outside the sizes it was drawn through."
    return "", ""


def _fit_parabola(x: FloatArray, loss: FloatArray) -> tuple[float, float, float]:
    design = np.stack((np.ones_like(x), x, x**2), axis=1)
    c0, c1, c2 = np.linalg.lstsq(design, loss, rcond=None)[0]
    return float(c0), float(c1), float(c2)

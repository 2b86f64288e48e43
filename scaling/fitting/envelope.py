"""Approach 1: the size of lowest loss at each C along training curves, and where it changes.

    ln loss of a run: shape-preserving cubics in ln D through its points, on a grid of ln C
    envelope(C) = lowest loss of the sizes that have been trained to C
    handover: two sizes reach the same loss at C;  ln N*(C) = (ln N_i + ln N_j) / 2

Hoffmann et al. regress the size that holds the envelope, at each point of the grid, on ln C. That
is a staircase, whose line is too flat by 1/m² for m whole steps, and more if the ends of the data
cut the first and last step. The handovers lie on the frontier itself: in a valley of ln N the
optimum is midway between two sizes of equal loss. So the line goes through them, and a change that
is due only to the ends of runs or to the smallest and largest size is not a handover. The loss
there is read off a parabola in ln N through the nearest sizes: both sizes of a handover lie above
it (.4 % if sizes are ×2 apart).

The envelope is drawn only if a table says that points along its runs compare
(`tables/trajectories.py`).

Source: Hoffmann et al. 2022, arXiv:2203.15556, sec. 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.fitting.budgets import list_flops
from scaling.fitting.isoflop import MIN_OPTIMA, Optima, draw_lines, make_optima
from scaling.fitting.noise import list_clusters
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray, format_count, format_flops

# Values of C, as many as Hoffmann et al. use; over six decades a step is .9 %.
_GRID = 1500
# Two points would interpolate a straight line.
_MIN_POINTS = 3
# The two sizes that the envelope passes between, and one on either side.
_SIZES = 4
# C / D is constant along a run; if it drifts by more, C means something else (the whole run's).
_MAX_DRIFT = 0.10
# 1000 bootstrap draws of 2000 runs on the grid take half a minute.
_MAX_RUNS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The handovers of an envelope.

    Attributes:
        optima: C, N*, D* and the loss there at each handover, ascending in C.
        lines: (a, ln k_n, b, ln k_d) of the resamplings that keep three handovers, shape (≤ b, 4).
        rejected: Changes that are not handovers, and why; runs that were left out.
        problem: Why there is no frontier; empty if there is one.
    """

    optima: Optima
    lines: FloatArray
    rejected: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curves:
    """Runs on one grid.

    Attributes:
        log_c: Grid of ln C, shape (g,).
        log_loss: ln loss of each run, NaN where it was not trained to that C, shape (r, g).
        size: Index of each run's size in `log_params`, shape (r,).
        log_params: ln N of the sizes, ascending, shape (s,).
        cluster: Cluster of each run, for the bootstrap, shape (r,).
    """

    log_c: FloatArray
    log_loss: FloatArray
    size: IntArray
    log_params: FloatArray
    cluster: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handovers:
    """ln C and ln N* of each handover, shape (k,), ascending in C; and changes that are not one."""

    log_c: FloatArray
    log_params: FloatArray
    cuts: tuple[str, ...]


def fit_envelope(table: RunTable, *, count: int = 0, seed: int = 0) -> Envelope:
    """The envelope of a table whose rows are comparable points along runs.

    Args:
        table: Table with a `trajectory`.
        count: Resamplings of the runs; 0: none.
        seed: Seeds the resamplings.
    """
    curves, left_out = _draw_curves(table)
    if curves is None:
        problem = " ".join(("No run can be followed.", *left_out[:3]))
        if len(left_out) == 1:
            problem = left_out[0]
        return Envelope(
            optima=make_optima([], [], [], table.cost),
            lines=np.empty((0, 4)),
            rejected=tuple(left_out),
            problem=problem,
        )
    everyone = np.ones(curves.size.size)
    found = _find_handovers(curves, everyone)
    losses = _read_losses(found, _average_sizes(curves, everyone), curves)
    flops = np.exp(found.log_c)
    optima = make_optima(flops, np.exp(found.log_params), losses, table.cost)
    problem = ""
    if flops.size < MIN_OPTIMA:
        problem = (
            f"On the envelope of {curves.size.size} runs of {curves.log_params.size} sizes the "
            f"lowest loss passes {flops.size} times from one size to another while both train; "
            f"Approach 1 needs {MIN_OPTIMA}. Train neighbouring sizes past the point where the "
            f"larger one wins."
        )
    lines = np.empty((0, 4))
    if count and not problem:
        lines = _resample(curves, table, count=count, seed=seed)
    return Envelope(optima=optima, lines=lines, rejected=(*left_out, *found.cuts), problem=problem)


def _draw_curves(table: RunTable) -> tuple[_Curves | None, list[str]]:
    """The runs that can be followed, and a sentence for each that cannot."""
    assert table.trajectory is not None
    names, member = np.unique(np.array(table.trajectory), return_inverse=True)
    member = member.ravel()
    if names.size > _MAX_RUNS:
        return None, [f"{names.size} runs; an envelope is drawn of at most {_MAX_RUNS}."]
    log_d, log_loss = np.log(table.tokens), np.log(table.loss)
    log_cost = np.log(list_flops(table)) - log_d
    clusters = list_clusters(table)
    order = np.lexsort((log_d, member))
    kept, left_out = [], []
    for rows in np.split(order, np.cumsum(np.bincount(member))[:-1]):
        along, first, inverse = np.unique(log_d[rows], return_index=True, return_inverse=True)
        drift = math.expm1(float(np.ptp(log_cost[rows])))
        if along.size < _MIN_POINTS:
            left_out.append(
                f"run {names[member[rows[0]]]}: {along.size} points; a curve needs {_MIN_POINTS}."
            )
            continue
        if drift > _MAX_DRIFT:
            left_out.append(
                f"run {names[member[rows[0]]]}: C/D differs by {drift:.0%} along it; state C up to "
                f"each row."
            )
            continue
        mean = np.bincount(inverse.ravel(), weights=log_loss[rows]) / np.bincount(inverse.ravel())
        kept.append((rows[first[0]], along + float(log_cost[rows].mean()), mean))
    if not kept:
        return None, left_out
    log_c = np.linspace(min(x[0] for _, x, _ in kept), max(x[-1] for _, x, _ in kept), _GRID)
    values = [PchipInterpolator(x, y, extrapolate=False)(log_c) for _, x, y in kept]
    rows_kept = np.array([row for row, _, _ in kept])
    log_params, size = np.unique(np.log(table.params[rows_kept]), return_inverse=True)
    return _Curves(
        log_c=log_c,
        log_loss=np.stack(values),
        size=size.ravel(),
        log_params=log_params,
        cluster=np.unique(clusters[rows_kept], return_inverse=True)[1].ravel(),
    ), left_out


def _find_handovers(curves: _Curves, weight: FloatArray) -> _Handovers:
    """Find where the lowest size changes while both are trained; several crossings of one pair of
    sizes (noise) count as one, at their mean.

    Args:
        curves: Runs.
        weight: How often each run counts, shape (r,): runs of one size are averaged.
    """
    loss = _average_sizes(curves, weight)
    lead = np.argmin(loss, axis=0)
    there = np.isfinite(loss[lead, np.arange(lead.size)])
    at = np.flatnonzero((lead[:-1] != lead[1:]) & there[:-1] & there[1:])
    before, after = lead[at], lead[at + 1]
    gap = loss[before, at] - loss[after, at]
    next_gap = loss[before, at + 1] - loss[after, at + 1]
    both = np.isfinite(gap) & np.isfinite(next_gap)
    cuts = tuple(
        f"at {format_flops(math.exp(curves.log_c[at[one]]))} FLOPs the lowest size changes from "
        f"N = {format_count(math.exp(curves.log_params[before[one]]))} to "
        f"{format_count(math.exp(curves.log_params[after[one]]))} because a run ends or begins."
        for one in np.flatnonzero(~both)
    )
    at, before, after, gap, next_gap = (one[both] for one in (at, before, after, gap, next_gap))
    share = np.where(next_gap > gap, -gap / np.where(next_gap > gap, next_gap - gap, 1.0), 0.5)
    log_c = curves.log_c[at] + share * (curves.log_c[1] - curves.log_c[0])
    low, high = np.minimum(before, after), np.maximum(before, after)
    pair = np.unique(low * curves.log_params.size + high, return_inverse=True)[1].ravel()
    crossings = np.bincount(pair)
    middle = (curves.log_params[low] + curves.log_params[high]) / 2.0

    def average(values: FloatArray) -> FloatArray:
        return np.bincount(pair, weights=values) / crossings

    mean_c = average(log_c)
    order = np.argsort(mean_c, kind="stable")
    return _Handovers(
        log_c=mean_c[order],
        log_params=average(middle)[order],
        cuts=cuts,
    )


def _read_losses(found: _Handovers, loss: FloatArray, curves: _Curves) -> FloatArray:
    """Loss at each (C, N*) on a parabola of ln loss in ln N through the nearest three or four
    sizes; if only two were trained to C, the loss that both reach.

    Args:
        found: The handovers.
        loss: ln loss of each size on the grid, inf where it was not trained to C, shape (s, g).
        curves: Curves of the same sizes.
    """
    losses = []
    for log_c, middle in zip(found.log_c, found.log_params, strict=True):
        column = loss[:, int(np.argmin(np.abs(curves.log_c - log_c)))]
        there = np.flatnonzero(np.isfinite(column))
        near = there[np.argsort(np.abs(curves.log_params[there] - middle), kind="stable")][:_SIZES]
        degree = min(2, near.size - 1)
        line = np.polynomial.Polynomial.fit(curves.log_params[near] - middle, column[near], degree)
        losses.append(math.exp(line(0.0)))
    return np.array(losses)


def _average_sizes(curves: _Curves, weight: FloatArray) -> FloatArray:
    """Mean ln loss of each size over its runs that reach C, inf if none does; shape (s, g)."""
    shape = (curves.log_params.size, curves.log_c.size)
    total, known = np.zeros(shape), np.zeros(shape)
    there = np.isfinite(curves.log_loss) & (weight[:, None] > 0)
    np.add.at(total, curves.size, np.where(there, weight[:, None] * curves.log_loss, 0.0))
    np.add.at(known, curves.size, np.where(there, weight[:, None], 0.0))
    return np.where(known > 0, total / np.where(known > 0, known, 1.0), np.inf)


def _resample(curves: _Curves, table: RunTable, *, count: int, seed: int) -> FloatArray:
    """Frontiers of resampled clusters of runs (a run, or a stated group of them)."""
    rng = np.random.default_rng(seed)
    clusters = int(curves.cluster.max()) + 1
    lines = []
    for _ in range(count):
        drawn = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
        found = _find_handovers(curves, drawn[curves.cluster].astype(np.float64))
        if found.log_c.size >= MIN_OPTIMA:
            lines.append(draw_lines(found.log_c, found.log_params[None], table.cost)[0])
    return np.array(lines) if lines else np.empty((0, 4))

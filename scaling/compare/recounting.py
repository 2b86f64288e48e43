"""One set of runs, two ways of counting: the exponent of N*(C) by minima at equal C under either.

Runs of one budget cost the same only as the grid counted C. Under another count their C differ, and
no parabola goes through them. So the losses of each size are interpolated along its own tokens, and
read off at the same C for all sizes (as Porian et al. 2024, arXiv:2406.19146, sec. 3, read training
curves; here from finished runs):

    ln L of one size = quadratic in ln C          fitted to its runs, read between them only
    ln L at one C    = quadratic in ln N          lowest at N*(C), sizes as in Approach 2
    ln N*(C)         = a · ln C + constant        over several C

Both counts go through the same steps with the same noise, so what lies between them is counting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.isoflop import MIN_OPTIMA, choose_window, fit_power_line
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray

_TARGETS = 9  # values of C; more would only reuse the same runs
_MIN_SIZES = 4  # sizes for a parabola: one more than it has coefficients


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedExponent:
    """a under one count.

    Attributes:
        a: The exponent.
        draws: Draws with other noise, shape (count,); NaN where too few minima were left.
        flops: Lowest and highest C that has a minimum [FLOPs].
    """

    a: float
    draws: FloatArray
    flops: tuple[float, float]


def count_both_ways(
    table: RunTable, other: RunTable, *, draws: int, seed: int = 0
) -> tuple[CountedExponent, CountedExponent] | None:
    """The exponents of the same runs under two counts; None where either has too few minima.

    Args:
        table, other: The same runs in the same order, with other N and C.
        draws: Redraws of the runs' noise, the same for both.
        seed: Seeds the noise.
    """
    assert table.run == other.run
    sizes = np.unique(table.params, return_inverse=True)[1].ravel()
    log_loss = np.log(table.loss)
    noise = _measure_noise(table, sizes, log_loss)
    rng = np.random.default_rng(seed)
    drawn = log_loss + noise * rng.standard_normal((draws, log_loss.size))
    losses = np.concatenate((log_loss[None], drawn))
    found = []
    for one in (table, other):
        assert one.flops is not None
        slopes, span = _trace(np.log(one.params), np.log(one.flops), losses, sizes)
        if not math.isfinite(slopes[0]):
            return None
        found.append(CountedExponent(a=float(slopes[0]), draws=slopes[1:], flops=span))
    return found[0], found[1]


def _trace(
    log_n: FloatArray, log_c: FloatArray, losses: FloatArray, sizes: IntArray
) -> tuple[FloatArray, tuple[float, float]]:
    """a for each row of losses, shape (k,), and the range of C behind the first."""
    members = [np.flatnonzero(sizes == size) for size in range(int(sizes.max()) + 1)]
    members = [rows for rows in members if np.unique(log_c[rows]).size > 1]
    if len(members) < _MIN_SIZES:
        return np.full(len(losses), np.nan), (math.nan, math.nan)
    lows = sorted(log_c[rows].min() for rows in members)
    highs = sorted(log_c[rows].max() for rows in members)
    targets = np.linspace(lows[_MIN_SIZES - 1], highs[-_MIN_SIZES], _TARGETS)
    minima = np.stack([_find_minimum(at, log_n, log_c, losses, members) for at in targets], axis=1)
    there = np.isfinite(minima)
    enough = there.sum(axis=1) >= MIN_OPTIMA
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes, _ = fit_power_line(targets, np.where(there, minima, 0.0), there.astype(np.float64))
    ends = np.exp(targets[there[0]]) if there[0].any() else np.array([math.nan])
    return np.where(enough, slopes, np.nan), (float(ends.min()), float(ends.max()))


def _find_minimum(
    at: float, log_n: FloatArray, log_c: FloatArray, losses: FloatArray, members: list[IntArray]
) -> FloatArray:
    """ln N* at one C for each row of losses; NaN without a minimum between the sizes."""
    here = [
        rows
        for rows in members
        # Ends included, up to rounding.
        if log_c[rows].min() - 1e-9 <= at <= log_c[rows].max() + 1e-9
    ]
    here.sort(key=lambda rows: float(log_n[rows[0]]))
    if len(here) < _MIN_SIZES:
        return np.full(len(losses), np.nan)
    x = np.array([log_n[rows[0]] for rows in here])
    y = np.stack([losses[:, rows] @ _read_off(at, log_c[rows]) for rows in here])
    kept = np.isin(x, choose_window(x, int(np.argmin(y[:, 0]))))
    offset = x[kept] - x[kept].mean()
    curvature, slope, _ = np.polyfit(offset, y[kept], 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = -slope / (2.0 * curvature)
    inside = (curvature > 0.0) & (vertex > offset.min()) & (vertex < offset.max())
    return np.where(inside, vertex + x[kept].mean(), np.nan)


def _read_off(at: float, log_c: FloatArray) -> FloatArray:
    """Weights of the runs of one size in its quadratic (line, with two C) at `at`."""
    degree = min(2, np.unique(log_c).size - 1)
    powers = np.arange(degree + 1)
    centre = log_c.mean()
    design = (log_c - centre)[:, None] ** powers
    weights: FloatArray = ((at - centre) ** powers) @ np.linalg.pinv(design)
    return weights


def _measure_noise(table: RunTable, sizes: IntArray, log_loss: FloatArray) -> float:
    """Standard deviation of ln loss around the quadratics of the sizes."""
    assert table.flops is not None
    total, freedom = 0.0, 0
    for size in range(int(sizes.max()) + 1):
        (rows,) = np.nonzero(sizes == size)
        log_c = np.log(table.flops[rows])
        degree = min(2, np.unique(log_c).size - 1)
        if rows.size <= degree + 1:
            continue
        fitted = np.polyval(np.polyfit(log_c - log_c.mean(), log_loss[rows], degree),
                            log_c - log_c.mean())  # fmt: skip
        total += float(np.sum((log_loss[rows] - fitted) ** 2))
        freedom += rows.size - degree - 1
    return math.sqrt(total / freedom) if freedom else 0.0

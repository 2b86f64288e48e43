"""D_T = k · D_F^α · N^β, fitted to the cells where pre-training helps, censored ones included.

    ln D_T = ln k + α ln D_F + β ln N + ε,    ε ~ N(0, s² + v)

v is a cell's error from seed noise, s the scatter around the law. A cell censored from above bounds
ln D_T from below. A cell with D_T below the detection limit bounds it from above by that limit,
which does not depend on the cell's D_T, so censoring small values does not bias the fit (a Tobit
model). Cells where pre-training surely hurts have no ln D_T; they are left out and counted, since
the law describes the range where it helps.

Intervals are profile likelihoods. With m cells and p coefficients they end where ℓ has fallen by
(m/2) ln(1 + t²/(m − p)), with Student's quantile t: exact for least squares, where χ²₁/2 would be
too narrow for a dozen cells.

Source: Hernandez et al. 2021, arXiv:2102.01293; Tobin 1958, Econometrica
26:24; Venzon and Moolgavkar 1988, Applied Statistics 37:87.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, stdtrit

from scaling.files.contract import to_contract
from scaling.fitting.abilities.logistic import find_end
from scaling.fitting.fitted import Interval
from scaling.fitting.transfer.effective import TransferCell
from scaling.units import FloatArray

# Text to Python, D in characters, N without embeddings: Hernandez et al. 2021.
PUBLISHED = {"k": 1.9e4, "alpha": 0.18, "beta": 0.38}
_NAMES = ("k", "alpha", "beta")
_SPARE = 2  # cells beyond the number of coefficients
# Range of s. At the lower end only seed noise scatters the cells; the upper end is far beyond any
# scatter, and keeps the search from overflowing.
_LEAST_SPREAD, _MOST_SPREAD = 1e-3, 1e3
_STEP = 0.2  # first step of the search for an interval's end, in ln k, α or β
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLaw:
    """The law, or the reason there is none.

    Attributes:
        values: `k`, `alpha`, and `beta` if N varies.
        intervals: Their intervals.
        spread: s, the scatter of ln D_T.
        cells: Cells with a value.
        above, below: Cells censored on either side.
        left_out: Cells where pre-training surely hurts.
        reason: The reason there is no law; empty if there is one.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    spread: float | None
    cells: int
    above: int
    below: int
    left_out: int
    reason: str = ""

    def to_contract(self) -> dict[str, Any]:
        return {
            "values": self.values or None,
            "intervals": to_contract(self.intervals),
            "spread": self.spread,
            "cells": self.cells,
            "censored_above": self.above,
            "censored_below": self.below,
            "left_out": self.left_out,
            "published": PUBLISHED,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class _Data:
    """Cells of the likelihood: design, shape (m, p); ln D_T or its bound; v; side: 0 for a value,
    1 for above the bound, −1 for below it."""

    design: FloatArray
    log_amount: FloatArray
    variance: FloatArray
    side: FloatArray


def fit_transfer_law(cells: Sequence[TransferCell], *, level: float) -> TransferLaw:
    """Fit the law. If the noise is unknown, every cell that helps has a value.

    Args:
        cells: The measured cells.
        level: Level of the intervals.
    """
    kept = [(one, *state) for one in cells if (state := _place(one)) is not None]
    sides = np.array([side for _, side, _, _ in kept], dtype=np.float64)
    found = TransferLaw(
        values={},
        intervals={},
        spread=None,
        cells=int(np.sum(sides == 0)),
        above=int(np.sum(sides > 0)),
        below=int(np.sum(sides < 0)),
        left_out=len(cells) - len(kept),
    )
    names, design = _design([one for one, *_ in kept])
    if reason := _find_reason(found.cells, names, len(kept)):
        return replace(found, reason=reason)
    amounts, variances = ([one[at] for one in kept] for at in (2, 3))
    data = _Data(design, np.array(amounts), np.array(variances), sides)
    best, top = _maximise(data, np.zeros(len(names)), list(range(len(names))))
    spare = len(kept) - len(names)
    student = float(stdtrit(spare, 0.5 + 0.5 * level))
    cut = top - 0.5 * len(kept) * math.log1p(student**2 / spare)
    ends = {name: _find_ends(data, at, best, cut, level) for at, name in enumerate(names)}
    values = dict(zip(names, best.tolist(), strict=False))
    low, high = (math.exp(end) for end in (ends["k"].low, ends["k"].high))
    return replace(
        found,
        values=values | {"k": math.exp(values["k"])},
        intervals=ends | {"k": Interval(low=low, high=high, level=level)},
        spread=math.hypot(_LEAST_SPREAD, math.exp(float(best[-1]))),
    )


def _place(cell: TransferCell) -> tuple[int, float, float] | None:
    """Return side, ln D_T or its bound, and variance; None if the law leaves the cell out."""
    if cell.censored == "above":
        return (1, math.log(cell.transferred), 0.0) if cell.transferred > 0.0 else None
    if cell.sign > 0:
        return None
    shown = cell.detectable
    if cell.censored == "below":  # below a bound that may be positive
        shown = max(shown, cell.transferred)
    elif cell.log_error is not None and cell.transferred > shown:
        return 0, math.log(cell.transferred), cell.log_error**2
    return (-1, math.log(shown), 0.0) if 0.0 < shown < math.inf else None


def _design(cells: Sequence[TransferCell]) -> tuple[tuple[str, ...], FloatArray]:
    """Return the names of the coefficients that the cells identify, and their columns."""
    columns = [np.ones(len(cells)), *(np.log([getattr(one, name) for one in cells])
                                      for name in ("data", "params"))]  # fmt: skip
    told = [at for at, one in enumerate(columns) if at == 0 or np.unique(one).size > 1]
    return tuple(_NAMES[at] for at in told), np.stack([columns[at] for at in told], axis=1)


def _find_reason(values: int, names: Sequence[str], kept: int) -> str:
    if "alpha" not in names:
        return "D_T is positive at fewer than two D_F" if kept else "D_T is positive in no cell"
    needed = len(names) + _SPARE
    if values < needed:
        return (
            f"{len(names)} coefficients need {needed} cells with a positive, uncensored D_T above "
            f"seed noise; there are {values}"
        )
    return ""


def _find_ends(data: _Data, at: int, best: FloatArray, cut: float, level: float) -> Interval:
    """Find the ends of one coefficient's profile interval; the last of `best` is ln s."""
    free = [one for one in range(best.size - 1) if one != at]

    def profile(value: float) -> float:
        held = best[:-1].copy()
        held[at] = value
        return _maximise(data, held, free, start=best[-1])[1]

    low, high = (
        find_end(profile, start=float(best[at]), step=sign * _STEP, limit=-math.inf, cut=cut)
        for sign in (-1.0, 1.0)
    )
    return Interval(low=low, high=high, level=level)


def _maximise(
    data: _Data, held: FloatArray, free: Sequence[int], *, start: float = -1.0
) -> tuple[FloatArray, float]:
    """Return (coefficients and ln s, ℓ) at the maximum over the free coefficients and s.

    The search starts at least squares, with censored cells at their bounds.
    """
    design, offset = data.design[:, free], data.design @ held - data.design[:, free] @ held[free]
    # Orthogonal columns: ln D_F and ln N vary little compared with their means.
    size = math.sqrt(len(design))
    across, back = np.linalg.qr(design)
    across, back = across * size, back / size
    first = across.T @ (data.log_amount - offset) / len(design)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        mean = offset + across @ point[:-1]
        value, by_mean, by_spread = _measure_likelihood(data, mean, float(point[-1]))
        return -value, -np.append(across.T @ by_mean, by_spread)

    found: Any = minimize(
        loss,
        np.append(first, start),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-7, "maxiter": 500},
    )
    whole = held.copy()
    whole[free] = np.linalg.solve(back, found.x[:-1])
    return np.append(whole, found.x[-1]), -float(found.fun)


def _measure_likelihood(
    data: _Data, mean: FloatArray, log_spread: float
) -> tuple[float, FloatArray, float]:
    """Return ℓ, its derivative by each cell's mean, and its derivative by ln s."""
    own = math.exp(2.0 * min(log_spread, math.log(_MOST_SPREAD)))
    variance = _LEAST_SPREAD**2 + own + data.variance
    root = np.sqrt(variance)
    z = (data.log_amount - mean) / root
    valued = data.side == 0
    away = -data.side * z  # for a bound: how far the mean lies beyond it
    tail = log_ndtr(away)
    hazard = np.exp(-0.5 * away**2 - _HALF_LOG_2PI - tail)
    each = np.where(valued, -0.5 * z**2 - np.log(root) - _HALF_LOG_2PI, tail)
    by_mean = np.where(valued, z, data.side * hazard) / root
    by_variance = np.where(valued, z**2 - 1.0, -hazard * away) / (2.0 * variance)
    return float(each.sum()), by_mean, float(2.0 * own * by_variance.sum())

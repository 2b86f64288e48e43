"""Effective data transferred: how much text pre-training replaces at each (N, D_F).

    D_T = D_E − D_F,    L_scratch(N, D_E) = L_fine-tuned(N, D_F)

D_T is negative where pre-training hurts. If the fine-tuned loss is below the loss from scratch on
the most text, only a lower bound of D_T is known; if it is above the loss on the least text, only
an upper bound.

Intervals hold seed noise alone: each mean of ln L is redrawn with N(0, σ²/seeds), with σ² drawn
from its own uncertainty (so errors follow a t distribution), and everything is recomputed from the
redrawn means. D_T > 0 if L_fine-tuned < L_scratch(N, D_F), which needs no interpolation where both
arms have that D_F.

Source: Hernandez et al. 2021, arXiv:2102.01293.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.files.contract import to_contract, write_fields
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_interval
from scaling.fitting.transfer.arms import Variant
from scaling.fitting.transfer.scratch import ScratchCurve, draw_curves
from scaling.units import FloatArray

Censored = Literal["", "above", "below"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCell:
    """The effect of pre-training at one (N, D_F).

    Attributes:
        params, data: N, D_F.
        tuned: The best fine-tuned variant.
        scratch_loss: Loss from scratch on D_F [nats/token]; None outside the measured range.
        difference: Fine-tuned minus from-scratch loss [nats/token]; None likewise.
        difference_interval: Its interval; None if the noise is unknown.
        sign: −1 if pre-training surely helps, 1 if it surely hurts, else 0; see `Measured.sure`.
        transferred: D_T, or its bound if `censored`.
        transferred_interval: Interval of D_T; an end may be infinite, or −D_F. None if the noise is
            unknown.
        censored: `above`: D_T is more than `transferred`; `below`: it is less.
        detectable: The least D_T that would be significant at 5 % (one-sided); 0 if the noise is
            unknown.
        log_error: Standard error of ln D_T from seed noise; 0 if the noise is unknown, None if D_T
            is censored or not positive.
    """

    params: float
    data: float
    tuned: Variant
    scratch_loss: float | None
    difference: float | None
    difference_interval: Interval | None
    sign: int
    transferred: float
    transferred_interval: Interval | None
    censored: Censored
    detectable: float
    log_error: float | None

    @property
    def effective(self) -> float:
        """D_E, or its bound."""
        return self.data + self.transferred

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.data,
            "loss": self.tuned.loss,
            "scratch_loss": self.scratch_loss,
            "difference": self.difference,
            "difference_interval": to_contract(self.difference_interval),
            "sign": self.sign,
            "transferred": None if self.censored else self.transferred,
            "bound": self.transferred if self.censored else None,
            "censored": self.censored or None,
            "interval": to_contract(self.transferred_interval),
            "multiplier": None if self.censored else self.effective / self.data,
            "runs": len(self.tuned.losses),
            "trained_tokens": self.tuned.tokens,
            "learning_rate": self.tuned.learning_rate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Both arms compared, cell by cell.

    Attributes:
        cells: Ascending in N, then D_F.
        differences: Draws of each cell's difference, shape (b, cells), NaN where it has none; b is
            0 if the noise is unknown.
        sure: Probability from which a cell's sign counts as sure.
    """

    cells: tuple[TransferCell, ...]
    differences: FloatArray
    sure: float


def measure_cells(
    scratch: Sequence[Variant],
    tuned: Sequence[Variant],
    *,
    noise: tuple[float, int] | None,
    draws: int,
    level: float,
    seed: int,
) -> Measured:
    """Measure the effect of pre-training in every cell that both arms allow.

    Args:
        scratch, tuned: The best variants of the two arms. `scratch` needs two D_F at an N.
        noise: σ of ln L between seeds and its degrees of freedom; None if unknown, and then there
            are no intervals.
        draws: Number of noise draws.
        level: Level of the intervals. A sign is sure if the chance of a wrong sign in any cell is
            at most 1 − level (Bonferroni, two-sided).
        seed: Seeds the draws.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    sigma = _draw_sigma(noise, draws, rng)
    compared: list[tuple[Variant, _Side]] = []
    for params in sorted({one.params for one in tuned}):
        row = [one for one in scratch if one.params == params]
        if len(row) > 1:
            side = _Side.open(row, sigma, rng)
            compared += [(one, side) for one in tuned if one.params == params]
    sure = 1.0 - (1.0 - level) / (2.0 * max(1, len(compared)))
    cells, columns = [], []
    for one, side in compared:
        shaken = one.log_loss + sigma * rng.standard_normal(sigma.size) / math.sqrt(len(one.losses))
        cell, column = _measure_cell(one, side, shaken, noise, level=level, sure=sure)
        cells.append(cell)
        columns.append(column)
    differences = np.stack(columns, axis=1) if columns else np.empty((sigma.size, 0))
    return Measured(cells=tuple(cells), differences=differences, sure=sure)


@dataclass(frozen=True, slots=True)
class _Side:
    """The from-scratch arm at one N: its curve, and one curve per noise draw."""

    row: Sequence[Variant]
    curve: ScratchCurve
    drawn: tuple[ScratchCurve, ...]

    @staticmethod
    def open(row: Sequence[Variant], sigma: FloatArray, rng: np.random.Generator) -> _Side:
        log_data = np.log([one.data for one in row])
        seeds = np.array([float(len(one.losses)) for one in row])
        mean = np.array([one.log_loss for one in row])
        shifts = rng.standard_normal((sigma.size, mean.size)) / np.sqrt(seeds)
        shaken = mean + sigma[:, None] * shifts
        (curve,) = draw_curves(log_data, mean[None, :], seeds)
        return _Side(row, curve, draw_curves(log_data, shaken, seeds))

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the most text measured."""
        return self.row[0].data, self.row[-1].data


def _measure_cell(
    one: Variant,
    side: _Side,
    shaken: FloatArray,
    noise: tuple[float, int] | None,
    *,
    level: float,
    sure: float,
) -> tuple[TransferCell, FloatArray]:
    """Return the cell and draws of its difference."""
    at = math.log(one.data)
    scratch_loss = math.exp(side.curve.predict(at))
    apart = one.loss - scratch_loss
    pairs = zip(shaken.tolist(), side.drawn, strict=True)
    drawn = np.array([(math.exp(loss) - math.exp(curve.predict(at)), curve.find_data(loss))
                      for loss, curve in pairs]).reshape(-1, 2)  # fmt: skip
    differences, worth = drawn[:, 0], np.exp(drawn[:, 1])
    known = math.isfinite(scratch_loss)
    sign = 0
    if known and differences.size:
        sign = int(np.mean(differences > 0) >= sure) - int(np.mean(differences < 0) >= sure)
    found = side.curve.find_data(one.log_loss)
    least, most = side.ends
    censored: Censored = "above" if found == np.inf else "below" if found == -np.inf else ""
    effective = {"above": most, "below": least}.get(censored) or math.exp(found)
    error, detectable = _measure_errors(one, side, noise, effective)
    transferred = effective - one.data
    good = not censored and transferred > 0.0
    cell = TransferCell(
        params=one.params,
        data=one.data,
        tuned=one,
        scratch_loss=scratch_loss if known else None,
        difference=apart if known else None,
        difference_interval=find_interval(differences, level) if known and noise else None,
        sign=sign,
        transferred=transferred,
        transferred_interval=_bound_worth(worth, side.ends, one.data, level) if noise else None,
        censored=censored,
        detectable=detectable,
        log_error=error * effective / transferred if good else None,
    )
    return cell, differences


def _bound_worth(
    worth: FloatArray, ends: tuple[float, float], data: float, level: float
) -> Interval:
    """Return the interval of D_T from draws of D_E. A draw of 0 may lie anywhere below the least
    text measured, an infinite draw anywhere above the most."""
    least, most = ends
    lows = np.where(worth == np.inf, most, worth)
    highs = np.where(worth == 0.0, least, worth)
    low = find_interval(lows, level, as_drawn=True).low
    high = find_interval(highs, level, as_drawn=True).high
    return Interval(low=low - data, high=high - data, level=level)


def _measure_errors(
    one: Variant, side: _Side, noise: tuple[float, int] | None, effective: float
) -> tuple[float, float]:
    """Return the standard error of ln D_E, and the least significant D_T (one-sided, 5 %)."""
    if noise is None:
        return 0.0, 0.0
    nearest = min(side.row, key=lambda other: abs(math.log(other.data / one.data)))
    sigma = noise[0] * math.sqrt(1.0 / len(one.losses) + 1.0 / len(nearest.losses))
    slopes = [side.curve.measure_slope(math.log(data)) for data in (effective, one.data)]
    error, own = (sigma / slope if slope > 0.0 else math.inf for slope in slopes)
    return error, _ONE_SIDED * own * one.data


_ONE_SIDED = 1.6449  # Φ⁻¹(.95)
_FINE = 32  # points between two measured D_F at which a difference may cross 0


def _draw_sigma(
    noise: tuple[float, int] | None, draws: int, rng: np.random.Generator
) -> FloatArray:
    """σ of ln L of each draw; none without noise."""
    if noise is None:
        return np.empty(0)
    sigma, freedom = noise
    return np.asarray(sigma * np.sqrt(freedom / rng.chisquare(freedom, draws)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignChange:
    """Where pre-training turns from help to harm as D_F grows, at one N.

    Attributes:
        params: N.
        helps, hurts: The D_F at which it surely helps, and surely hurts.
        at: D_F between the two where the difference is 0; None without a sign change.
        interval: Its interval; None likewise.
    """

    params: float
    helps: tuple[float, ...]
    hurts: tuple[float, ...]
    at: float | None = None
    interval: Interval | None = None

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, at="tokens")


def find_sign_changes(measured: Measured, *, level: float) -> tuple[SignChange, ...]:
    """Find the D_F at which the difference crosses 0, for each N with a sure cell on either side.

    Between cells the difference is a monotone cubic in ln D_F; no law is assumed.
    """
    rows: dict[float, list[int]] = {}
    for at, cell in enumerate(measured.cells):
        if cell.difference is not None:
            rows.setdefault(cell.params, []).append(at)
    return tuple(_find_change(measured, params, places, level) for params, places in rows.items())


def _find_change(
    measured: Measured, params: float, places: Sequence[int], level: float
) -> SignChange:
    cells = [measured.cells[at] for at in places]
    by_sign: Mapping[int, tuple[float, ...]] = {
        sign: tuple(one.data for one in cells if one.sign == sign) for sign in (-1, 1)
    }
    found = SignChange(params=params, helps=by_sign[-1], hurts=by_sign[1])
    if not found.helps or not found.hurts or min(found.helps) > max(found.hurts):
        return found
    first = next(at for at, one in enumerate(cells) if one.sign == -1)
    last = max(at for at, one in enumerate(cells) if one.sign == 1)
    x = np.log([one.data for one in cells])
    y = np.array([[one.difference for one in cells]], dtype=np.float64)
    fine = np.interp(np.arange(first * _FINE, last * _FINE + 1) / _FINE, np.arange(x.size), x)
    rows = np.concatenate((y, measured.differences[:, list(places)]))
    curves = PchipInterpolator(x, rows, axis=1)(fine)
    at, *crossings = np.exp([_pass_zero(fine, one) for one in curves]).tolist()
    return dataclasses.replace(found, at=at, interval=find_interval(np.array(crossings), level))


def _pass_zero(x: FloatArray, y: FloatArray) -> float:
    """Return where the polyline last rises through 0; an end of x if it never does."""
    up = np.flatnonzero((y[:-1] < 0.0) & (y[1:] >= 0.0))
    if not up.size:
        return float(x[0] if y[0] >= 0.0 else x[-1])
    at = up[-1]
    return float(x[at] + (x[at + 1] - x[at]) * y[at] / (y[at] - y[at + 1]))

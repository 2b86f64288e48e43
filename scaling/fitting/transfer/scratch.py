"""The loss from scratch against the amount of text, at one N, and its inverse D_E(L).

    ln L falls with ln D: measured at each D_F, made monotone (pool adjacent violators), and
    interpolated by a monotone cubic. D_E(L) is where the curve reaches L.

ln D_E is −∞ if the least text already gives a lower loss, and +∞ if the most text does not.

Source: Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17:238 (monotone cubics); Barlow et al. 1972,
Statistical Inference under Order Restrictions (pool adjacent violators).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.units import FloatArray

_FINE = 32  # points per interval: between them the cubic is linear to 1e-3 of ln D


def make_falling(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Find the non-increasing values nearest by weighted least squares. Shapes (k,)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-1][0] > blocks[-2][0]:
            (mean, heavy, many), (last, light, few) = blocks[-2:]
            both = heavy + light
            blocks[-2:] = [((mean * heavy + last * light) / both, both, many + few)]
    return np.repeat([mean for mean, _, _ in blocks], [many for _, _, many in blocks])


def draw_curves(
    log_data: FloatArray, log_losses: FloatArray, weights: FloatArray
) -> tuple[ScratchCurve, ...]:
    """Draw one curve per row of losses.

    Args:
        log_data: ln D_F, ascending, shape (k,), at least two.
        log_losses: ln L at these D_F, shape (b, k).
        weights: Number of seeds per D_F, shape (k,).
    """
    if not len(log_losses):
        return ()
    falling = np.stack([make_falling(one, weights) for one in log_losses])
    share = np.arange((log_data.size - 1) * _FINE + 1) / _FINE
    x = np.interp(share, np.arange(log_data.size), log_data)
    fine = np.minimum.accumulate(PchipInterpolator(log_data, falling, axis=1)(x), axis=1)
    return tuple(ScratchCurve(x, one) for one in fine)


class ScratchCurve:
    """ln L against ln D at one N, linear between closely spaced points.

    Args:
        x, y: ln D, ascending, and ln L, falling; shape (points,).
    """

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self._x, self._y = x, y

    def predict(self, log_data: float) -> float:
        """Return ln L at ln D; NaN outside the measured range."""
        inside = self._x[0] - 1e-9 <= log_data <= self._x[-1] + 1e-9
        return float(np.interp(log_data, self._x, self._y)) if inside else np.nan

    def find_data(self, log_loss: float) -> float:
        """Return ln D_E: the least text whose loss is at most L."""
        at = int(np.searchsorted(-self._y, -log_loss))  # the first point that low
        if at == 0:
            return float(self._x[0]) if self._y[0] == log_loss else -np.inf
        if at == self._y.size:
            return np.inf
        above, below = self._y[at - 1], self._y[at]
        share = (above - log_loss) / (above - below)
        return float(self._x[at - 1] + share * (self._x[at] - self._x[at - 1]))

    def measure_slope(self, log_data: float) -> float:
        """Return −d ln L / d ln D at ln D; beyond the measured range, the slope at its end."""
        at = int(np.clip(np.searchsorted(self._x, log_data), 1, self._x.size - 1))
        low, high = max(0, at - _FINE // 2), min(self._x.size - 1, at + _FINE // 2)
        return float((self._y[low] - self._y[high]) / (self._x[high] - self._x[low]))

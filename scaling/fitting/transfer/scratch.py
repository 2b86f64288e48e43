"""The loss from scratch against the text there is, at one N, and the text that a loss is worth.

    ln L is a falling function of ln D: measured at each D_F, made monotone (pool adjacent
    violators), between them a monotone cubic; D_E(L) is where it passes L

D_E is −∞ (in ln D) where even the least text gives a lower loss, and +∞ where all of it does not.

Source: Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17:238 (monotone cubics); Barlow et al. 1972,
Statistical Inference under Order Restrictions (pool adjacent violators).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.units import FloatArray

_FINE = 32  # places between two measured ones: a cubic is a line there to 1e-3 of ln D


def make_falling(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The nearest non-increasing values, by weighted least squares. Shapes (k,)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
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
    """A curve for each row of losses.

    Args:
        log_data: ln D_F, ascending, shape (k,), at least two.
        log_losses: ln L there, shape (b, k).
        weights: Seeds behind each, shape (k,).
    """
    if not len(log_losses):
        return ()
    falling = np.stack([make_falling(one, weights) for one in log_losses])
    share = np.arange((log_data.size - 1) * _FINE + 1) / _FINE
    x = np.interp(share, np.arange(log_data.size), log_data)
    fine = np.minimum.accumulate(PchipInterpolator(log_data, falling, axis=1)(x), axis=1)
    return tuple(ScratchCurve(x, one) for one in fine)


class ScratchCurve:
    """ln L against ln D at one N, at places so near that it is a line between them.

    Args:
        x, y: ln D, ascending, and ln L, falling; shape (places,).
    """

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self._x, self._y = x, y

    def predict(self, log_data: float) -> float:
        """ln L at ln D; NaN outside what was measured."""
        inside = self._x[0] - 1e-9 <= log_data <= self._x[-1] + 1e-9
        return float(np.interp(log_data, self._x, self._y)) if inside else np.nan

    def find_data(self, log_loss: float) -> float:
        """ln D_E of ln L: the least text that gives so low a loss."""
        at = int(np.searchsorted(-self._y, -log_loss))  # the first that is as low
        if at == 0:
            return float(self._x[0]) if self._y[0] == log_loss else -np.inf
        if at == self._y.size:
            return np.inf
        above, below = self._y[at - 1], self._y[at]
        share = (above - log_loss) / (above - below)
        return float(self._x[at - 1] + share * (self._x[at] - self._x[at - 1]))

    def measure_slope(self, log_data: float) -> float:
        """−d ln L / d ln D at ln D; at an end's where it lies beyond."""
        at = int(np.clip(np.searchsorted(self._x, log_data), 1, self._x.size - 1))
        low, high = max(0, at - _FINE // 2), min(self._x.size - 1, at + _FINE // 2)
        return float((self._y[low] - self._y[high]) / (self._x[high] - self._x[low]))

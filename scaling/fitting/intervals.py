"""The percentile interval of draws, and Student's interval of a mean."""

from __future__ import annotations

import math

import numpy as np

from scaling.fitting.fitted import Interval
from scaling.units import FloatArray


def find_interval(
    draws: FloatArray, level: float, *, answer: float | None = None, as_drawn: bool = False
) -> Interval:
    """Central interval that holds `level` of the draws.

    Args:
        draws: Shape (b,), in any order.
        level: Share of them, 0 to 1.
        answer: Value that the interval is widened to include: a mixture's answer lies between its
            members, and may be nearer to one of little weight.
        as_drawn: Use draws themselves as ends, without interpolation; some draws are infinite.
    """
    ordered = np.sort(np.asarray(draws, dtype=np.float64))
    low, high = (_find_quantile(ordered, 0.5 + side * level / 2.0, as_drawn) for side in (-1, 1))
    if answer is not None:
        low, high = min(low, answer), max(high, answer)
    return Interval(low=low, high=high, level=level)


def find_mean_interval(values: FloatArray, level: float) -> Interval | None:
    """Student's t interval of the mean of values, shape (n,); None for fewer than two."""
    from scipy.special import stdtrit  # an answer needs no scipy

    if values.size < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
    half = float(stdtrit(values.size - 1, 0.5 + 0.5 * level)) * error
    return Interval(low=mean - half, high=mean + half, level=level)


def _find_quantile(ordered: FloatArray, share: float, as_drawn: bool) -> float:
    """Quantile of sorted values by numpy's methods `linear` or `inverted_cdf`. Calling numpy's
    `quantile` imports masked arrays, which takes longer than an answer."""
    if math.isnan(ordered[-1]):
        return math.nan
    if as_drawn:
        return float(ordered[max(0, math.ceil(ordered.size * share - 1))])
    place = (ordered.size - 1) * share
    below = math.floor(place)
    part = place - below
    low, high = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)])
    step = high - low
    return low + step * part if part < 0.5 else high - step * (1.0 - part)

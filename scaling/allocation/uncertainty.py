"""Draws of what coefficients do not know, and the intervals of answers.

**Intervals** hold three things, drawn together:

- the coefficients' bootstrap draws;
- for one new run, noise with the larger of the residuals' and the replicates' standard deviation;
- model error, none inside the data, beyond it a Gaussian of ln L whose standard deviation is
  τ·√decades, with τ drawn from its distribution (fitting/discrepancy.py: what forecasts within the
  table say of it), and one four times as wide of ln N*: over 18 backcasts of public tables the root
  mean square of what coefficients leave over of ln N* at one decade is .19, where τ is about .05.

Recipe error (a learning-rate bracket) and the held-out set's error are not in it.
Without bootstrap there are no draws and no interval.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.fitting.result import Fit, Interval
from scaling.units import FloatArray

# Model error of ln N* in units of that of ln L; see the module's docstring.
PARAMS_DRIFT = 4.0
_ANY = 20220329  # a seed


def draw_drift(
    fit: Fit, count: int, decades: float, *, times: float = 1.0, stream: int = 0
) -> FloatArray:
    """exp of model error `times` that of ln L, so many decades beyond the data, shape (count,)."""
    rates = np.zeros(1) if fit.discrepancy is None else np.array(fit.discrepancy.rates)
    # Spread over the draws in a fixed order that has nothing to do with theirs.
    rate = rates[np.random.default_rng((_ANY, stream, 1)).permutation(count) % rates.size]
    drift: FloatArray = np.exp(
        times * math.sqrt(decades) * rate * draw_gaussians(count, stream=stream)
    )
    return drift


def draw_gaussians(count: int, *, stream: int) -> FloatArray:
    """The same at every call, for answers must not flicker; streams are independent."""
    return np.random.default_rng((_ANY, stream)).standard_normal(count)


def find_interval(draws: FloatArray, level: float, answer: float) -> Interval:
    """Central percentile interval of draws, shape (b,), widened where it misses the answer: that
    of a mixture lies between its members, and may be nearer to one of little weight."""
    low, high = np.quantile(draws, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(low=min(float(low), answer), high=max(float(high), answer), level=level)

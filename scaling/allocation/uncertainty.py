"""Draws of what coefficients do not know, and the intervals of answers.

**Intervals** hold, drawn together:

- the coefficients' bootstrap draws, of clusters where rows share a trunk, a group or a run, moved
  by the recipe error that a bracket measured, or by what is assumed of one that nobody measured
  (fitting/bracket.py);
- for one new run, noise with the larger of the residuals' and the replicates' standard deviation;
- for the loss, and for one new run, the error that all runs share because they were evaluated on
  the same documents (the interval of the mean is that of the loss on these very documents);
- model error, none inside the data, beyond it half a Gaussian of ln L of size τ·√decades, with τ
  drawn from its distribution (fitting/discrepancy.py: what forecasts within the table say of it),
  downwards with the probability that plain fits over-predict; and of ln N* a Gaussian four times as
  wide: over 18 backcasts of public tables the root mean square of what coefficients leave over of
  ln N* at one decade is .19, where τ is about .05.

Without bootstrap there are no draws and no interval.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.fitting.fitted import Fit
from scaling.units import FloatArray

# Model error of ln N* / model error of ln L; see the module's docstring.
_PARAMS_DRIFT = 4.0
_ANY = 20220329  # a seed


def draw_loss_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """exp of the model error of ln L, so many decades beyond the data, shape (count,)."""
    size = np.abs(draw_gaussians(count, stream=0))
    below = 1.0 if fit.discrepancy is None else fit.discrepancy.below
    sign = np.where(np.random.default_rng((_ANY, 0, 2)).random(count) < below, -1.0, 1.0)
    return _draw_drift(fit, sign * size, decades, stream=0)


def draw_evaluation(fit: Fit, count: int) -> FloatArray:
    """exp of what other held-out documents would do to every loss, shape (count,)."""
    error: FloatArray = np.exp((fit.evaluation_error or 0.0) * draw_gaussians(count, stream=3))
    return error


def draw_params_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """The same of ln N*, to either side."""
    either = _PARAMS_DRIFT * draw_gaussians(count, stream=2)
    return _draw_drift(fit, either, decades, stream=2)


def _draw_drift(fit: Fit, errors: FloatArray, decades: float, *, stream: int) -> FloatArray:
    """exp of errors in units of τ·√decades, τ drawn from its distribution."""
    rates = np.zeros(1) if fit.discrepancy is None else np.array(fit.discrepancy.rates)
    # A fixed shuffle, so that the rates are independent of the other draws.
    order = np.random.default_rng((_ANY, stream, 1)).permutation(errors.size)
    drift: FloatArray = np.exp(math.sqrt(decades) * rates[order % rates.size] * errors)
    return drift


def draw_gaussians(count: int, *, stream: int) -> FloatArray:
    """The same at every call, for answers must not flicker; streams are independent."""
    return np.random.default_rng((_ANY, stream)).standard_normal(count)

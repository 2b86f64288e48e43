"""Draws of the errors that coefficients do not carry, and what the intervals of answers include.

**Intervals** combine:

- the coefficients' bootstrap draws, of clusters where rows share a trunk, a group or a run, shifted
  by the recipe error that a bracket measured, or by the assumed error if none was trained
  (fitting/bracket.py);
- for one new run, noise with the larger of the residuals' and the replicates' standard deviation;
- for the loss, and for one new run, the error that all runs share because they were evaluated on
  the same documents (the interval of the mean is that of the loss on these very documents);
- model error, none inside the data, beyond it half a Gaussian of ln L of size τ·√decades, with τ
  drawn from its distribution (estimated by forecasts within the table, fitting/discrepancy.py),
  downwards with the probability that plain fits over-predict; and of ln N* a Gaussian four times as
  wide: over 18 backcasts of public tables the root mean square of the error of ln N* at one decade
  that coefficients do not explain is .19, where τ is about .05.

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
    """exp of the model error of ln L at `decades` beyond the data, shape (count,)."""
    size = np.abs(draw_gaussians(count, stream=0))
    below = 1.0 if fit.discrepancy is None else fit.discrepancy.below
    sign = np.where(np.random.default_rng((_ANY, 0, 2)).random(count) < below, -1.0, 1.0)
    return _draw_drift(fit, sign * size, decades, stream=0)


def draw_evaluation(fit: Fit, count: int) -> FloatArray:
    """exp of the shift of every loss that other held-out documents would cause, shape (count,)."""
    error: FloatArray = np.exp((fit.evaluation_error or 0.0) * draw_gaussians(count, stream=3))
    return error


def draw_params_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """exp of the model error of ln N*, which is two-sided, shape (count,)."""
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
    """Standard normal numbers, equal at every call for stable answers; streams are independent."""
    return np.random.default_rng((_ANY, stream)).standard_normal(count)

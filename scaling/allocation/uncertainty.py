"""Draws of the errors that coefficients do not carry, and what the intervals of answers include.

**Intervals** combine:

- the coefficients' bootstrap draws, of clusters where rows share a trunk, a group or a run, shifted
  by the recipe error that a bracket measured, or by the assumed error if none was trained
  (fitting/bracket.py);
- for one new run, noise with the larger of the residuals' and the replicates' standard deviation;
- for the loss on other documents of the same text, the error that all runs share because they were
  evaluated on the same ones. A run of the answer is evaluated on those too, so the interval of its
  loss does not contain this error; it is told apart (`loss_on_text`, `new_run_on_text`);
- model error, none inside the data, beyond it half a Gaussian of ln L of size τ·√decades, with τ
  drawn from its distribution (estimated by forecasts within the table, fitting/discrepancy.py),
  downwards with the probability that plain fits over-predict; and of ln N* a Gaussian four times as
  wide: over 18 backcasts of public tables the root mean square of the error of ln N* at one decade
  that coefficients do not explain is .19, where τ is about .05. The ensemble's τ is about .02, and
  its N* scatters by .19 per root decade (1.48 times the median of 194 forecasts of five tables and
  six texts), of which its draws explain .13: seven times as wide;
- for the loss by the ensemble, half of what its members disagree by and half of τ. A draw has one
  member's law, but the answer is the mean of all, which misses by less than a member does; and it
  misses beyond the data at a smaller rate than from one part of the data to the other, which has
  fewer runs (decision 0156). N* keeps the disagreement in full.

Without bootstrap there are no draws and no interval.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.allocation.asked_fit import get_law
from scaling.fitting.fitted import Fit, Interval
from scaling.fitting.intervals import find_interval
from scaling.laws.ensemble import ENSEMBLE
from scaling.laws.registry import find_law
from scaling.units import FloatArray

# Model error of ln N* / model error of ln L, of one law and of the ensemble; see the module's
# docstring.
_PARAMS_DRIFT, _PARAMS_DRIFT_OF_MEAN = 4.0, 7.0
_ANY = 20220329  # a seed
# Of the ensemble's disagreement and rate of model error, in ln L; see the module's docstring.
SHARE = 0.5


def draw_loss_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """exp of the model error of ln L at `decades` beyond the data, shape (count,)."""
    size = np.abs(draw_gaussians(count, stream=0))
    below = 1.0 if fit.discrepancy is None else fit.discrepancy.below
    sign = np.where(np.random.default_rng((_ANY, 0, 2)).random(count) < below, -1.0, 1.0)
    return _draw_drift(fit, (SHARE if _is_mean(fit) else 1.0) * sign * size, decades, stream=0)


def draw_loss_error(
    fit: Fit, draws: FloatArray, decades: float, *, params: float, tokens: float
) -> FloatArray:
    """Factor on the loss of each draw, shape (count,): model error and, for the ensemble's draws,
    the way towards the loss of the ensemble.

    Args:
        fit: The fit.
        draws: Its draws, shape (count, p).
        decades: Distance beyond the data.
        params, tokens: N and D of the answer, D as if all tokens were fresh.
    """
    drift = draw_loss_drift(fit, len(draws), decades)
    return drift * _pull(fit, draws, params, tokens) if _is_mean(fit) else drift


def _pull(fit: Fit, draws: FloatArray, params: float, tokens: float) -> FloatArray:
    """Factor by which each draw's loss moves towards that of the ensemble, shape (count,)."""
    law, letters = get_law(fit)
    present, place = np.unique(ENSEMBLE.find_members(draws), return_inverse=True)
    n, d = np.array(params), np.array(tokens)
    ratio = law.loss(letters, n, d) / law.loss(ENSEMBLE.isolate(letters, present), n, d)
    return np.asarray(ratio[place] ** (1.0 - SHARE), dtype=np.float64)


def _is_mean(fit: Fit) -> bool:
    return fit.law is not None and find_law(fit.law.family) is ENSEMBLE


def find_text_interval(fit: Fit, losses: FloatArray, answer: float) -> Interval | None:
    """The interval of a loss on other held-out documents of the same text.

    Args:
        fit: The fit.
        losses: Draws of the loss on the held-out set of the runs, shape (count,).
        answer: The loss that the law predicts.

    Returns:
        None if the runs state no evaluation error.
    """
    if not fit.evaluation_error:
        return None
    shift = np.exp(fit.evaluation_error * draw_gaussians(losses.size, stream=3))
    return find_interval(losses * shift, fit.level, answer=answer)


def draw_params_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """exp of the model error of ln N*, which is two-sided, shape (count,)."""
    factor = _PARAMS_DRIFT_OF_MEAN if _is_mean(fit) else _PARAMS_DRIFT
    either = factor * draw_gaussians(count, stream=2)
    return _draw_drift(fit, either, decades, stream=2)


def _draw_drift(fit: Fit, errors: FloatArray, decades: float, *, stream: int) -> FloatArray:
    """exp of errors in units of τ·√decades, τ drawn from its distribution."""
    rates = np.zeros(1) if fit.discrepancy is None else np.array(fit.discrepancy.rates)
    # A fixed shuffle, so that the rates are independent of the other draws.
    order = np.random.default_rng((_ANY, stream, 1)).permutation(errors.size)
    drift: FloatArray = np.exp(
        math.sqrt(decades) * rates[order * rates.size // errors.size] * errors
    )
    return drift


def draw_gaussians(count: int, *, stream: int) -> FloatArray:
    """Standard normal numbers, equal at every call for stable answers; streams are independent."""
    return np.random.default_rng((_ANY, stream)).standard_normal(count)

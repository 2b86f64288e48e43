"""How far runs beyond the data drift from the law: model error, estimated from the table itself.

A law that fits is not therefore right where nothing was trained. So the law is fitted to the runs
of lower C, N or D again and again and forecasts those of higher. A forecast's miss m (mean of
ln measured − ln forecast) has three parts:

    m ~ Normal(0,  s² + σ²/n) ∓ |Normal(0, τ²·d)|

where the second part is negative (the runs come out below the forecast) with probability .83: plain
fits over-predict in 83 % of the forecasts of public tables (SCIENCE.md, Intervals). Here s is the
standard error of that forecast, σ²/n the noise of the n runs forecast, d the mean decades of
compute by which they lie beyond the fitted ones (a decade of N or D counts as two: C grows with
both), and τ the rate of model error: the root mean square of ln L per root decade. The root, not
the decades, because it makes the cuts of one table agree (DECISIONS.md, Uncertainty). τ is not one
number, for a sweep shows little of it; it has a distribution, prior times likelihood:

    P(τ = 0) = ½,   else ln τ ~ Normal(ln .05, 1)

.05 and 1 are the geometric mean and the spread of the rates by which Chinchilla's law missed in
the 17 of 20 forecasts of seven public tables that miss by more than they should
(benchmarks/extrapolate.py). The mass at zero is what leaves the intervals of a right law alone
(benchmarks/coverage.py). Windows of one axis share runs and count as one together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr

from scaling.fitting.bootstrap import estimate_clustered_covariance
from scaling.fitting.budgets import join_budgets
from scaling.fitting.checks import find_law_problem
from scaling.fitting.identification import estimate_covariance
from scaling.fitting.noise import BoolArray, estimate_residual_sigma, list_clusters
from scaling.fitting.parametric import ParametricFit, refit_rows
from scaling.fitting.result import Axis, Discrepancy, DriftWindow
from scaling.ledger.tables import RunTable, select_rows
from scaling.units import FloatArray

# Shares of the runs, smallest first, that are fitted in turn.
_WINDOWS = (0.3, 0.45, 0.6, 0.75, 0.85)
_MIN_FITTED = 10
_MIN_HELD = 3
# Beyond this many rows each window takes seconds.
_MAX_ROWS = 20_000
# The prior; see the module's docstring.
_NO_DRIFT = 0.5
_MEDIAN_RATE = 0.05
_LOG_WIDTH = 1.0
_BELOW = 0.83
# Windows within the scatter of one budget still say something of the law beyond their runs.
_LEAST_DECADES = 0.02
# Runs without noise are forecast to rounding only.
_LEAST_EXPECTED = 1e-8
_RATES = np.concatenate(([0.0], np.geomspace(1e-4, 0.5, 120)))
# Equally likely values by which the distribution is handed on: its 99 % point is one of them.
_VALUES = 200


def measure_discrepancy(table: RunTable, fit: ParametricFit) -> Discrepancy:
    """The rate of model error, from forecasts of a table's larger runs by its smaller ones.

    Args:
        table: Rows in canonical order.
        fit: The law on all of them.

    Returns:
        Its distribution and the forecasts behind it; the prior where no forecast can be made.
    """
    values: dict[Axis, FloatArray] = {"N": table.params}
    # Later points of a training run are no forecast from its earlier ones: they share its noise.
    if table.trajectory is None:
        values |= {"C": join_budgets(table), "D": table.tokens}
    windows = tuple(
        window
        for axis, column in values.items()
        for fitted in _cut(column)
        if (window := _forecast(table, fit, axis, column, fitted)) is not None
    )
    return _conclude(windows)


def assume_discrepancy() -> Discrepancy:
    """The prior, where a table says nothing of model error."""
    return _conclude(())


def _conclude(windows: tuple[DriftWindow, ...]) -> Discrepancy:
    return Discrepancy(rates=_list_rates(_weigh_rates(windows)), below=_BELOW, windows=windows)


def _cut(column: FloatArray) -> Iterator[BoolArray]:
    """The rows below each share of the runs, once where several shares fall between two values."""
    seen: set[int] = set()
    for share in _WINDOWS if column.size <= _MAX_ROWS else ():
        fitted = column <= np.quantile(column, share) * (1.0 + 1e-9)
        count = int(fitted.sum())
        if count not in seen and count >= _MIN_FITTED and column.size - count >= _MIN_HELD:
            yield fitted
        seen.add(count)


def _forecast(
    table: RunTable,
    whole: ParametricFit,
    axis: Axis,
    column: FloatArray,
    fitted: BoolArray,
) -> DriftWindow | None:
    family = whole.task.family
    lower = select_rows(table, np.flatnonzero(fitted))
    if find_law_problem(lower, family) is not None:
        return None
    fit = refit_rows(whole, np.flatnonzero(fitted))
    if not fit.converged:
        return None
    held = np.flatnonzero(~fitted)
    forecast, gradient = family.log_loss(fit.theta[None], whole.task.axes.take(held))
    slope = gradient[0].mean(axis=1)
    # Of both, the larger: clusters are too few here for the second, the first knows none.
    variance = max(
        slope @ estimate_covariance(fit) @ slope,
        slope @ estimate_clustered_covariance(fit, list_clusters(lower)) @ slope,
    )
    sigma = estimate_residual_sigma(fit.residuals, fit.theta.size)
    expected = np.sqrt(variance + sigma**2 / held.size)
    reach = float(column[fitted].max())
    decades = float(np.mean(np.log10(column[~fitted] / reach)))
    return DriftWindow(
        axis=axis,
        fitted_up_to=reach,
        fitted=len(lower),
        held=held.size,
        decades=decades if axis == "C" else 2.0 * decades,
        miss=float(np.mean(whole.task.target[held] - forecast[0])),
        expected=max(float(expected), _LEAST_EXPECTED),
    )


def _weigh_rates(windows: tuple[DriftWindow, ...]) -> FloatArray:
    """Probability of each of _RATES."""
    slab = np.exp(-0.5 * (np.log(_RATES[1:] / _MEDIAN_RATE) / _LOG_WIDTH) ** 2)
    prior = np.concatenate(([_NO_DRIFT], (1.0 - _NO_DRIFT) * slab / slab.sum()))
    log_weight = np.log(prior)
    alike = Counter(one.axis for one in windows)
    for one in windows:
        ratio = _RATES * math.sqrt(max(one.decades, _LEAST_DECADES)) / one.expected
        variance = one.expected**2 * (1.0 + ratio**2)
        log_likelihood = -0.5 * (one.miss**2 / variance + np.log(variance))
        # The sum of a normal and half a normal is skew normal (Azzalini 1985, Scand. J. Stat. 12).
        skew = ndtr(-ratio * one.miss / np.sqrt(variance))
        log_likelihood += np.log(_BELOW * skew + (1.0 - _BELOW) * (1.0 - skew))
        log_weight += log_likelihood / alike[one.axis]
    weight = np.exp(log_weight - log_weight.max())
    normed: FloatArray = weight / weight.sum()
    return normed


def _list_rates(weight: FloatArray) -> tuple[float, ...]:
    places = (np.arange(_VALUES) + 0.5) / _VALUES
    at = np.searchsorted(np.cumsum(weight), places)
    return tuple(_RATES[np.minimum(at, _RATES.size - 1)].tolist())

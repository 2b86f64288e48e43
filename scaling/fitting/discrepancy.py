"""How far runs beyond the data drift from the law: model error, estimated from the table itself.

A law that fits is not therefore right where nothing was trained. So the law is fitted to the runs
of lower C, N or D again and again and forecasts those of higher. A forecast's miss m (mean of
ln measured − ln forecast) has three parts:

    m ~ Normal(0,  s² + σ²/n) ∓ |Normal(0, τ²·d)|

where the second part is negative (the runs come out below the forecast) with probability .83 for
one law: plain fits over-predict in 83 % of the forecasts of public tables. Here s is the
standard error of that forecast, σ²/n the noise of the n runs forecast, d the mean decades of
compute by which they lie beyond the fitted ones (a decade of N or D counts as two: C grows with
both), and τ the rate of model error: the root mean square of ln L per root decade. The root, not
the decades, because it makes the cuts of one table agree (decision 0051). τ is not one
number, for a sweep shows little of it; it has a distribution, prior times likelihood:

    P(τ = 0) = ½,   else ln τ ~ Normal(ln .05, 1)

.05 and 1 are the geometric mean and the spread of the rates by which Chinchilla's law missed in
the 17 of 20 forecasts of seven public tables that miss by more than they should
(benchmarks/extrapolate.py). The ensemble misses by less, in 13 of 21 forecasts by a geometric mean
of .022, spread .94, and from above in 85 % of them (benchmarks/forecast.py --derive). The mass at
zero is what leaves the intervals of a right law alone (benchmarks/coverage.py). Windows of one axis
share runs and count as one together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from scaling.fitting.bootstrap import estimate_clustered_covariance
from scaling.fitting.budgets import join_budgets
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.fitted import Axis, Discrepancy, DriftWindow
from scaling.fitting.identification import estimate_covariance
from scaling.fitting.noise import BoolArray, estimate_residual_sigma, list_clusters
from scaling.fitting.parametric import ParametricFit, locate_rows, refit_rows
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray, IntArray

# Shares of the runs, smallest first, that are fitted in turn.
_WINDOWS = (0.3, 0.45, 0.6, 0.75, 0.85)
_MIN_FITTED = 10
_MIN_HELD = 3
# Beyond this many rows each window takes seconds.
_MAX_ROWS = 20_000
# The prior; see the module's docstring.
_NO_DRIFT = 0.5
# Windows within the scatter of one budget still say something of the law beyond their runs.
_LEAST_DECADES = 0.02
# Members that cannot be fitted to the smaller runs are left out, up to half of the weight.
_LEAST_WEIGHT = 0.5
# Runs without noise are forecast to rounding only.
_LEAST_EXPECTED = 1e-8
_RATES = np.concatenate(([0.0], np.geomspace(1e-4, 0.5, 120)))
# Equally likely values by which the distribution is handed on: its 99 % point is one of them.
_VALUES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPrior:
    """What is believed of τ before a table is looked at, where it is not 0.

    Attributes:
        median, log_width: Of its log-normal distribution.
        below: Probability that runs come out below the forecast.
    """

    median: float
    log_width: float
    below: float


ONE_LAW = DriftPrior(median=0.05, log_width=1.0, below=0.83)
SEVERAL_LAWS = DriftPrior(median=0.022, log_width=0.94, below=0.85)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMember:
    """A law that takes part in the forecasts: its optimum, the places of its rows in the table, and
    its weight among the laws."""

    fit: ParametricFit
    rows: IntArray
    weight: float


def measure_discrepancy(table: RunTable, members: tuple[DriftMember, ...]) -> Discrepancy:
    """The rate of model error, from forecasts of a table's larger runs by its smaller ones.

    Args:
        table: Rows in canonical order.
        members: The laws whose weighted mean of ln L forecasts; one law alone has the weight 1.

    Returns:
        Its distribution and the forecasts behind it; the prior where no forecast can be made.
    """
    prior = ONE_LAW if len(members) == 1 else SEVERAL_LAWS
    values: dict[Axis, FloatArray] = {"N": table.params}
    # Later points of a training run are no forecast from its earlier ones: they share its noise.
    if table.trajectory is None:
        values |= {"C": join_budgets(table), "D": table.tokens}
    windows = tuple(
        window
        for axis, column in values.items()
        for fitted in _cut(column)
        if (window := _forecast(table, members, axis, column, fitted)) is not None
    )
    return _conclude(windows, prior)


def assume_discrepancy() -> Discrepancy:
    """The prior, where a table says nothing of model error."""
    return _conclude((), ONE_LAW)


def _conclude(windows: tuple[DriftWindow, ...], prior: DriftPrior) -> Discrepancy:
    rates = _list_rates(_weigh_rates(windows, prior))
    return Discrepancy(rates=rates, below=prior.below, windows=windows)


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
    members: tuple[DriftMember, ...],
    axis: Axis,
    column: FloatArray,
    fitted: BoolArray,
) -> DriftWindow | None:
    held = np.flatnonzero(~fitted)
    found = []
    for member in members:
        one = _miss(table, member, fitted, held)
        if one is not None:
            found.append((member.weight, *one))
    total = sum(weight for weight, *_ in found)
    if total < _LEAST_WEIGHT * sum(member.weight for member in members):
        return None
    weights, misses, errors, sigmas = np.array(found).T
    weights /= total
    miss = float(weights @ misses)
    # Laws on the same runs err together; what they disagree by is known to be unknown.
    variance = (weights @ errors) ** 2 + weights @ (misses - miss) ** 2
    reach = float(column[fitted].max())
    decades = float(np.mean(np.log10(column[~fitted] / reach)))
    expected = float(np.sqrt(variance + (weights @ sigmas) ** 2 / held.size))
    return DriftWindow(
        axis=axis,
        fitted_up_to=reach,
        fitted=int(fitted.sum()),
        held=held.size,
        decades=decades if axis == "C" else 2.0 * decades,
        miss=miss,
        expected=max(expected, _LEAST_EXPECTED),
    )


def _miss(
    table: RunTable, member: DriftMember, fitted: BoolArray, held: IntArray
) -> tuple[float, float, float] | None:
    """(mean of ln measured - ln forecast, its standard error from the coefficients, σ of one run);
    None where the member has no proven law of the fitted rows."""
    whole = member.fit
    family = whole.task.family
    (inside,) = np.nonzero(fitted[member.rows])
    lower = select_rows(table, member.rows[inside])
    if find_law_problem(lower, family) is not None:
        return None
    fit = refit_rows(whole, inside)
    if not fit.converged:
        return None
    axes = whole.task.axes.take(held) if whole.task.axes.x.size == len(table) else None
    axes = locate_rows(whole.task, select_rows(table, held)) if axes is None else axes
    forecast, gradient = family.log_loss(fit.theta[None], axes)
    slope = gradient[0].mean(axis=1)
    # Of both, the larger: clusters are too few here for the second, the first knows none.
    variance = max(
        slope @ estimate_covariance(fit) @ slope,
        slope @ estimate_clustered_covariance(fit, list_clusters(lower)) @ slope,
    )
    measured = np.log(table.loss[held]) - axes.centre[2]
    sigma = estimate_residual_sigma(fit.residuals, fit.theta.size)
    return float(np.mean(measured - forecast[0])), float(np.sqrt(variance)), sigma


def _weigh_rates(windows: tuple[DriftWindow, ...], prior: DriftPrior) -> FloatArray:
    """Probability of each of _RATES."""
    slab = np.exp(-0.5 * (np.log(_RATES[1:] / prior.median) / prior.log_width) ** 2)
    mass = np.concatenate(([_NO_DRIFT], (1.0 - _NO_DRIFT) * slab / slab.sum()))
    log_weight = np.log(mass)
    alike = Counter(one.axis for one in windows)
    for one in windows:
        ratio = _RATES * math.sqrt(max(one.decades, _LEAST_DECADES)) / one.expected
        variance = one.expected**2 * (1.0 + ratio**2)
        log_likelihood = -0.5 * (one.miss**2 / variance + np.log(variance))
        # The sum of a normal and half a normal is skew normal (Azzalini 1985, Scand. J. Stat. 12).
        skew = ndtr(-ratio * one.miss / np.sqrt(variance))
        log_likelihood += np.log(prior.below * skew + (1.0 - prior.below) * (1.0 - skew))
        log_weight += log_likelihood / alike[one.axis]
    weight = np.exp(log_weight - log_weight.max())
    normed: FloatArray = weight / weight.sum()
    return normed


def _list_rates(weight: FloatArray) -> tuple[float, ...]:
    places = (np.arange(_VALUES) + 0.5) / _VALUES
    at = np.searchsorted(np.cumsum(weight), places)
    return tuple(_RATES[np.minimum(at, _RATES.size - 1)].tolist())

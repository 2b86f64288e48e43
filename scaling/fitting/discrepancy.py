"""How far runs beyond the data drift from the law: model error, estimated from the table itself.

A law that fits may still be wrong where nothing was trained. So the law is fitted repeatedly to the
runs of lower C, N or D and forecasts those of higher. A forecast's miss m (mean of ln measured −
ln forecast) has three parts:

    m ~ Normal(0,  s² + σ²/n) ∓ |Normal(0, τ²·d)|

where the second part is negative (the runs come out below the forecast) with probability .83 for
one law: plain fits over-predict in 83 % of the forecasts of public tables. Here s is the
standard error of that forecast, σ²/n the noise of the n runs forecast, d the mean decades of
compute by which they lie beyond the fitted ones (a decade of N or D counts as two: C grows with
both), and τ the rate of model error: the root mean square of ln L per root decade. The root of the
decades is used because it makes the cuts of one table agree (decision 0051). A sweep shows little
of τ, so it is not one number but has a distribution, prior times likelihood:

    P(τ = 0) = ½,   else ln τ ~ Normal(ln .05, 1)

.05 and 1 are the geometric mean and the spread of the rates by which Chinchilla's law missed in
the 17 of 20 forecasts of seven public tables that miss by more than they should
(benchmarks/extrapolate.py). The ensemble misses by less, in 22 of 33 forecasts of tables and texts
by a geometric mean of .020, spread .70, and from above in 77 % of them (benchmarks/forecast.py
--derive). The mass at
zero keeps the intervals of a correct law unchanged (benchmarks/coverage.py). Windows of one axis
share runs and count as one together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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

# Mean of ln measured − ln forecast, its standard error from the coefficients, σ of one run.
_Miss: TypeAlias = tuple[float, float, float]

# Shares of the runs, smallest first, that are fitted in turn.
_WINDOWS = (0.3, 0.45, 0.6, 0.75, 0.85)
_MIN_FITTED = 10
_MIN_HELD = 3
# Beyond this many rows each window takes seconds.
_MAX_ROWS = 20_000
# The prior; see the module's docstring.
_NO_DRIFT = 0.5
# Windows within one budget's scatter still test the law beyond their runs.
_LEAST_DECADES = 0.02
# Members that cannot be fitted to the smaller runs are left out, if the others keep this weight.
_LEAST_WEIGHT = 0.5
# Runs without noise are forecast to rounding error.
_LEAST_EXPECTED = 1e-8
_RATES = np.concatenate(([0.0], np.geomspace(1e-4, 0.5, 120)))
# Equally likely values that stand for the distribution, enough to include its 99 % point.
_VALUES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPrior:
    """The prior of τ, given that it is not 0.

    Attributes:
        median, log_width: Parameters of its log-normal distribution.
        below: Probability that runs come out below the forecast.
    """

    median: float
    log_width: float
    below: float


ONE_LAW = DriftPrior(median=0.05, log_width=1.0, below=0.83)
SEVERAL_LAWS = DriftPrior(median=0.02, log_width=0.7, below=0.77)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMember:
    """A law that takes part in the forecasts: its optimum, the indices of its rows in the table,
    and its weight among the laws."""

    fit: ParametricFit
    rows: IntArray
    weight: float


def measure_discrepancy(table: RunTable, members: tuple[DriftMember, ...]) -> Discrepancy:
    """The rate of model error, from forecasts of a table's larger runs by its smaller ones.

    Args:
        table: Rows in canonical order.
        members: The laws whose weighted mean of ln L forecasts; a single law has the weight 1.

    Returns:
        Its distribution and the forecasts behind it; the prior if no forecast can be made.
    """
    prior = ONE_LAW if len(members) == 1 else SEVERAL_LAWS
    values: dict[Axis, FloatArray] = {"N": table.params}
    # Later points of a run share the noise of its earlier ones, so they do not test a forecast.
    if table.trajectory is None:
        values |= {"C": join_budgets(table), "D": table.tokens}
    cuts = [(axis, column, fitted) for axis, column in values.items() for fitted in _cut(column)]
    misses = [_list_misses(table, member, [fitted for *_, fitted in cuts]) for member in members]
    windows = (
        _join_misses(cut, members, [of_member[at] for of_member in misses])
        for at, cut in enumerate(cuts)
    )
    return _conclude(tuple(one for one in windows if one is not None), prior)


def assume_discrepancy() -> Discrepancy:
    """The prior, for a table that shows nothing of model error."""
    return _conclude((), ONE_LAW)


def _conclude(windows: tuple[DriftWindow, ...], prior: DriftPrior) -> Discrepancy:
    rates = _list_rates(_weigh_rates(windows, prior))
    return Discrepancy(rates=rates, below=prior.below, windows=windows)


def _cut(column: FloatArray) -> Iterator[BoolArray]:
    """Yield the rows below each share of the runs, once if several shares give the same rows."""
    seen: set[int] = set()
    for share in _WINDOWS if column.size <= _MAX_ROWS else ():
        fitted = column <= np.quantile(column, share) * (1.0 + 1e-9)
        count = int(fitted.sum())
        if count not in seen and count >= _MIN_FITTED and column.size - count >= _MIN_HELD:
            yield fitted
        seen.add(count)


def _join_misses(
    cut: tuple[Axis, FloatArray, BoolArray],
    members: tuple[DriftMember, ...],
    by_member: Sequence[_Miss | None],
) -> DriftWindow | None:
    """The joint forecast of the members; None if too few of them can make one."""
    axis, column, fitted = cut
    found = [
        (member.weight, *one)
        for member, one in zip(members, by_member, strict=True)
        if one is not None
    ]
    held = int((~fitted).sum())
    total = sum(weight for weight, *_ in found)
    if total < _LEAST_WEIGHT * sum(member.weight for member in members):
        return None
    weights, misses, errors, sigmas = np.array(found).T
    weights /= total
    miss = float(weights @ misses)
    # Laws fitted to the same runs err together: their errors add, and their spread adds to them.
    variance = (weights @ errors) ** 2 + weights @ (misses - miss) ** 2
    reach = float(column[fitted].max())
    decades = float(np.mean(np.log10(column[~fitted] / reach)))
    expected = float(np.sqrt(variance + (weights @ sigmas) ** 2 / held))
    return DriftWindow(
        axis=axis,
        fitted_up_to=reach,
        fitted=int(fitted.sum()),
        held=held,
        decades=decades if axis == "C" else 2.0 * decades,
        miss=miss,
        expected=max(expected, _LEAST_EXPECTED),
    )


def _list_misses(
    table: RunTable, member: DriftMember, cuts: Sequence[BoolArray]
) -> list[_Miss | None]:
    """A member's miss for each cut; None if it has no proven law of the fitted rows."""
    inside = [np.flatnonzero(fitted[member.rows]) for fitted in cuts]
    lower = [select_rows(table, member.rows[rows]) for rows in inside]
    family = member.fit.task.family
    usable = [at for at, part in enumerate(lower) if find_law_problem(part, family) is None]
    fits = refit_rows(member.fit, [inside[at] for at in usable])
    misses: list[_Miss | None] = [None] * len(cuts)
    for at, fit in zip(usable, fits, strict=True):
        if fit.converged:
            held = np.flatnonzero(~cuts[at])
            misses[at] = _miss(table, member.fit, fit, list_clusters(lower[at]), held)
    return misses


def _miss(
    table: RunTable, whole: ParametricFit, fit: ParametricFit, cluster: IntArray, held: IntArray
) -> _Miss:
    """Miss on the held-out rows of a fit of other rows, whose clusters are given."""
    family = whole.task.family
    axes = whole.task.axes.take(held) if whole.task.axes.x.size == len(table) else None
    axes = locate_rows(whole.task, select_rows(table, held)) if axes is None else axes
    forecast, gradient = family.log_loss(fit.theta[None], axes)
    slope = gradient[0].mean(axis=1)
    # Take the larger: the first ignores clusters, and the second has too few of them.
    variance = max(
        slope @ estimate_covariance(fit) @ slope,
        slope @ estimate_clustered_covariance(fit, cluster) @ slope,
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

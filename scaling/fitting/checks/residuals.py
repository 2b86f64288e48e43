"""Validity checks of the residuals: against replicates, against axes, against evaluation.

Residuals are r = ln L − ln loss: positive for a run below the law. Both tests look for patterns
that the law could not have absorbed. Its tangent space at the optimum (the gradient of ln L by
coefficient) is projected out first, by least squares, so that the tests do not depend on how the
fit weighs outliers (Huber's δ) and account for the degrees of freedom of the coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.training import split_fifths
from scaling.fitting.fitted import Check, pass_if
from scaling.fitting.identification import measure_scale
from scaling.fitting.noise import estimate_residual_sigma, find_replicates
from scaling.fitting.parametric import HUBER_EFFICIENCY, ParametricFit
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray, format_count, format_flops

# There are some thirty checks: at .05 a sound fit would fail one or two by chance (ours).
_MAX_CHANCE = 0.01
# Beyond both, a run went wrong: seeds differ by .1 to .7 % (at most 3.6 % in the reference sweep),
# and starved runs in real tables are 5 to 9 % off their law (ours).
_FAR, _FAR_SIGMA = 0.10, 10.0
# With three, F reaches its 1 % point at misses of five times the noise; with four, below four.
_MIN_PURE_FREEDOM = 4
# With fewer residual degrees of freedom a trend says little.
_MIN_TREND_FREEDOM = 8
# A recipe that loses 1 % at the ends of D takes the coverage of a 10× forecast from .96 to .58
# (decision 0059); smaller patterns are named but pass.
_MIN_TREND = 0.01
# Below this, residuals are rounding.
_NOISE_FREE = 1e-6
_SHARED_NOISE = "Rows along one training run share its noise, which looks like a misfit."
# Share of their clustered standard errors on the same windows that runs of one budget do not have
# in common: at most .12, over twelve pairs on the standard library's 58 documents (decision 0060).
_OWN_SHARE = 0.12
# Error of the exponent a that moves N* by a factor of 1.26 per decade, as in `influence`.
_MAX_SLOPE_ERROR = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trend:
    """A pattern along one quantity: p-value and the fifth of the runs that is furthest off."""

    name: str
    chance: float
    size: float
    runs: str


def check_lack_of_fit(table: RunTable, fit: ParametricFit) -> Check:
    """F test of the means of replicated cells against their pure error.

        F = [SS_lof / (m − p)] / [SS_pure / (n − m)]

    SS_lof: weighted squares of the cell means' residuals, m cells, p free coefficients; SS_pure:
    squares of ln loss around the means of replicated cells. The test assumes equal noise in all
    cells; if only quiet cells are replicated, it fires too readily.

    Source: Draper & Smith 1998, Applied Regression Analysis, 3rd ed., sec. 2.1.
    """
    code = "lack_of_fit"
    if table.trajectory is not None:
        return pass_if(None, code, _SHARED_NOISE, "")
    member, several = find_replicates(table)
    count = np.bincount(member)
    pure_freedom = int((count[several] - 1).sum())
    if pure_freedom < _MIN_PURE_FREEDOM:
        seen = f"Seeds give {pure_freedom} degrees of freedom; {_MIN_PURE_FREEDOM} are needed."
        return pass_if(None, code, seen, "")
    mean = np.bincount(member, weights=fit.residuals) / count
    pure = float(np.sum(((fit.residuals - mean[member]) ** 2)[several[member]])) / pure_freedom
    first = np.unique(member, return_index=True)[1].astype(np.int64)
    weight = np.sqrt(np.where(several, count, 1))  # a repeated seed is not a second run
    tangent = _find_tangent(fit, first, weight)
    left = weight * mean
    left = left - tangent @ (tangent.T @ left)
    freedom = left.size - tangent.shape[1]
    if freedom < 1 or pure < _NOISE_FREE**2:
        seen = (
            "No more cells than parameters of the law."
            if freedom < 1
            else "Replicates do not differ."
        )
        return pass_if(None, code, seen, "")
    missed = float(left @ left) / freedom
    ratio = missed / pure
    chance = float(fdtrc(freedom, pure_freedom, ratio))
    seen = (
        f"The law misses cells by {math.sqrt(missed):.2%} ({freedom} degrees of freedom), seeds of "
        f"one cell differ by {math.sqrt(pure):.2%} ({pure_freedom}): F = {ratio:.2g}, "
        f"p = {chance:.1g} (threshold {_MAX_CHANCE:g})."
    )
    advice = (
        "More seeds will not shrink this: the law's form or an uneven recipe is at fault. See "
        "where the residuals lie, and trust forecasts less than their intervals say."
    )
    return pass_if(chance >= _MAX_CHANCE, code, seen, advice)


def check_outliers(table: RunTable, fit: ParametricFit) -> Check:
    """Check for rows far off the law, relative to the others' spread and in absolute terms."""
    code = "outliers"
    sigma = estimate_residual_sigma(fit.residuals, fit.theta.size)
    size = np.abs(fit.residuals)
    far = np.flatnonzero((size > _FAR_SIGMA * sigma) & (size > _FAR))
    if not far.size:
        return pass_if(True, code, f"No run lies more than {_FAR:.0%} off the law alone.", "")
    worst = int(far[np.argmax(size[far])])
    law = table.loss[worst] * math.exp(fit.residuals[worst])
    seen = (
        f"{far.size} of {len(table)} runs lie more than {_FAR:.0%} and {_FAR_SIGMA:g} times the "
        f"others' spread off the law; the furthest, run {table.run[worst]}, has a loss of "
        f"{table.loss[worst]:.4g} nats/token where the law has {law:.4g} nats/token."
    )
    advice = "Correct these rows or leave them out: Huber's loss weighs them little, not nothing."
    return pass_if(False, code, seen, advice)


def check_trend(table: RunTable, fit: ParametricFit) -> Check:
    """Check for a line or a parabola of the residuals against D/N, N, D, C and the recipe.

    For each quantity it is an F test of both terms at once, with residuals clipped to 1.345 robust
    σ and p times the number of quantities (Bonferroni). The quantities overlap (C is N·D; in most
    recipes the learning rate follows D), so the one named need not be the cause. To fail, some
    fifth of the runs along such a quantity must also have a median 1 % off the law. Runs are taken
    as independent; shared trunks make p too small.

    Source: added variables, Cook & Weisberg 1982, Residuals and Influence in Regression, sec. 2.3.
    """
    code = "residual_trend"
    if table.trajectory is not None:
        return pass_if(None, code, _SHARED_NOISE, "")
    tangent = _find_tangent(fit, np.arange(len(table)), np.ones(len(table)))
    freedom = len(table) - tangent.shape[1] - 2
    if freedom < _MIN_TREND_FREEDOM:
        return pass_if(None, code, f"{len(table)} runs are too few to see a pattern.", "")
    if float(np.abs(fit.residuals).max()) < _NOISE_FREE:
        return pass_if(True, code, "The law goes through every run.", "")
    quantities = _list_quantities(table)
    trends = [
        _find_trend(name, values, fit.residuals, tangent) for name, values in quantities.items()
    ]
    tested = f"{len(trends)} quantities ({', '.join(quantities)})"
    shown = [one for one in trends if one.chance * len(trends) < _MAX_CHANCE]
    if not shown:
        lowest = min(trends, key=lambda one: one.chance)
        chance = min(1.0, lowest.chance * len(trends))
        seen = (
            f"No pattern was shown against {tested}; the clearest, {lowest.name}, has p = "
            f"{chance:.2g} (threshold {_MAX_CHANCE:g})."
        )
        return pass_if(True, code, seen, "")
    worst = max(shown, key=lambda one: abs(one.size))
    side = "below" if worst.size > 0 else "above"
    seen = (
        f"The {worst.runs} lie {abs(worst.size):.1%} {side} the law (median; "
        f"p = {min(1.0, worst.chance * len(trends)):.1g}, corrected for {len(trends)} tests)."
    )
    advice = (
        "The law cannot follow these runs: look for what differs in their recipe or shape, or fit "
        "without them, and do not extrapolate that way."
    )
    return pass_if(abs(worst.size) < _MIN_TREND, code, seen, advice)


def check_evaluation(table: RunTable, fit: ParametricFit, *, slope_width: float) -> Check:
    """Check that evaluation errors that runs do not share cannot move the exponent a.

    A run's standard error is mostly due to the choice of documents. Runs on the same windows share
    that part: it moves all losses together, hence E and the forecast of the loss, but neither a nor
    N*. Only each run's own part matters, and a table does not state it. Taken here: .12 of the
    standard error if all runs share one corpus and so its windows (measured once; assumed
    elsewhere), all of it if windows may differ, and never more than the spread of the residuals,
    which contains it.

    Args:
        table: Table with or without `loss_se` [nats/token].
        fit: Fit of that table.
        slope_width: Width of the interval of a given its residuals; NaN without one.
    """
    code = "eval_noise"
    if table.loss_se is None or not np.isfinite(table.loss_se).any():
        return pass_if(None, code, "The table does not state errors of evaluation.", "")
    psi_square, slope = measure_scale(fit)
    sigma = math.sqrt(psi_square) / slope  # the σ behind slope_width
    if not math.isfinite(slope_width) or sigma < _NOISE_FREE:
        return pass_if(None, code, "The law has no noise or no frontier to compare with.", "")
    freedom = max(1, fit.residuals.size - fit.theta.size)
    spread = math.sqrt(float(np.sum(fit.residuals**2)) / freedom)
    error = float(np.nanmedian(table.loss_se / table.loss))
    shared = table.corpus is not None and len(set(table.corpus)) == 1
    own = min(spread, error * (_OWN_SHARE if shared else 1.0))
    half = 0.5 * slope_width * own / sigma
    seen = (
        f"Held-out losses have standard errors of {error:.1%}; what runs do not share of them, "
        f"about {own:.2%}, alone leaves a uncertain by ±{half:.2g}."
    )
    advice = "Evaluate every run on the same and on more held-out documents: cheaper than runs."
    return pass_if(half <= _MAX_SLOPE_ERROR, code, seen, advice)


def _find_tangent(fit: ParametricFit, rows: IntArray, weight: FloatArray) -> FloatArray:
    """Orthonormal basis (len(rows), p) of weighted ∇ ln L; coordinates on a bound are not free."""
    names = fit.task.family.param_names
    free = np.array([name not in fit.at_bound for name in names])
    basis, sizes, _ = np.linalg.svd((fit.gradient[free][:, rows] * weight).T, full_matrices=False)
    kept: FloatArray = basis[:, sizes > 1e-9 * sizes[0]]
    return kept


def _list_quantities(table: RunTable) -> dict[str, FloatArray]:
    """Quantities to test residuals against, by name, without those equal for all runs."""
    found = {
        "D/N": table.tokens / table.params,
        "N": table.params,
        "D": table.tokens,
        "C": list_flops(table),
    }
    for name, values in (
        ("learning rate", table.learning_rate),
        ("tokens per batch", table.batch_tokens),
        ("steps", table.steps),
    ):
        if values is not None and bool(np.all(np.isfinite(values) & (values > 0))):
            found[name] = values
    return {name: values for name, values in found.items() if np.ptp(np.log(values)) > 0.01}


def _find_trend(
    name: str, values: FloatArray, residuals: FloatArray, tangent: FloatArray
) -> _Trend:
    log = np.log(values)
    along = (log - log.mean()) / log.std()
    both = np.stack((along, along**2), axis=1)
    both = both - tangent @ (tangent.T @ both)
    basis, sizes, _ = np.linalg.svd(both, full_matrices=False)
    basis = basis[:, sizes > 1e-3 * math.sqrt(log.size)]  # drop what the law absorbs
    scale = 1.4826 * float(np.median(np.abs(residuals)))
    held = np.clip(residuals, -HUBER_EFFICIENCY * scale, HUBER_EFFICIENCY * scale)
    held = held - tangent @ (tangent.T @ held)
    terms = basis.shape[1]
    explained, total = float(np.sum((basis.T @ held) ** 2)), float(held @ held)
    freedom = log.size - tangent.shape[1] - terms
    chance = 1.0
    if terms and total > explained:
        chance = float(fdtrc(terms, freedom, explained / terms / ((total - explained) / freedom)))
    size, runs = _find_worst_fifth(name, values, residuals)
    return _Trend(name=name, chance=chance, size=size, runs=runs)


def _find_worst_fifth(name: str, values: FloatArray, residuals: FloatArray) -> tuple[float, str]:
    """Median residual of the fifth of the runs along `values` that is furthest off, and its
    description."""
    size, runs = 0.0, ""
    for inside in split_fifths(values):
        median = float(np.median(residuals[inside]))
        if abs(median) <= abs(size):
            continue
        low, high = (_format(name, end) for end in (values[inside].min(), values[inside].max()))
        ends = low if low == high else f"{low} … {high}"
        size, runs = median, f"{int(inside.sum())} runs with {name} {ends}"
    return size, runs


def _format(name: str, value: float) -> str:
    if name in ("D/N", "learning rate"):
        return f"{value:.3g}"
    return format_flops(value) if name == "C" else format_count(value)

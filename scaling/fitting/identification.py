"""What the data can tell: covariance at the optimum, profiles of E and the exponents, the rule.

A profile fixes one coordinate, refits the rest, and keeps the values whose objective is within
½·τ·t² of the lowest. τ = Σψ²/(n − p) / mean ρ'' turns a Huber objective into a likelihood's units
(Huber 1981, Robust Statistics, sec. 7.6; for least squares it is the residual variance). Unlike a
bootstrap interval it needs no draws, and it sees a ridge that bends. Where rows share noise (points
along a run, a stated group) variances and what a profile is allowed grow by the design effect.

**The rule.** A fit is `not_identified` if any of these holds:

- the profile of E at the fit's level is wider than 10 % of the lowest loss (ours): the loss
  forecast beyond a decade then leans on a floor that the data do not show;
- E moves by more than 10 % of the lowest loss when the lowest budget is left out;
- an exponent's profile reaches its bound, or spans more than a factor 3 (ours): a and b are then
  known worse than the difference between the published schools (a = .5 against .73).

How N is counted could move E too, and is not tested: one table knows one convention only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from scaling.fitting.noise import estimate_residual_sigma, measure_design_effect
from scaling.fitting.parametric import ParametricFit, estimate_exponent
from scaling.fitting.solver import solve
from scaling.sweep.cost_model import CostModel
from scaling.units import FloatArray, IntArray

MAX_FLOOR_WIDTH = 0.10
MAX_EXPONENT_RATIO = 3.0
# Where the profile is evaluated on either side, in standard errors times the quantile.
_REACH = np.array([0.4, 0.7, 0.9, 1.1, 1.5, 2.2, 4.0, 10.0])
# Above this many rows the normal approximation replaces the profile; they agree there.
_PROFILE_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What the data tell of the coefficients.

    Attributes:
        floor: Profile interval of E [nats/token]; None where the law fits none.
        exponents: Profile interval of each exponent, by parameter.
        slope_width: Predicted width of the interval of a, at the fit's level; NaN without one.
        problems: One sentence for each condition of the rule that fails (before a budget is left
            out).
    """

    floor: tuple[float, float] | None
    exponents: dict[str, tuple[float, float]]
    slope_width: float
    problems: tuple[str, ...]


def identify(
    fit: ParametricFit,
    *,
    cost: CostModel,
    flops: tuple[float, float],
    level: float,
    shared: IntArray | None = None,
) -> Identification:
    """Covariance, profiles and the rule.

    Args:
        fit: A finished fit.
        cost: FLOPs per token.
        flops: Range of budgets over which a is taken.
        level: Probability of each interval.
        shared: What each row shares noise with, as an index of shape (n,); None: nothing.
    """
    family, axes = fit.task.family, fit.task.axes
    size, count = fit.residuals.size, fit.theta.size
    units = size if shared is None else int(shared.max()) + 1
    quantile = float(stdtrit(max(1, units - count), 0.5 + level / 2.0))
    covariance = estimate_covariance(fit)
    # To judge the design, a coordinate on its bound counts as free, like the others.
    design = estimate_covariance(fit, hold=False)
    spread = 1.0 if shared is None else measure_design_effect(fit.residuals, shared)
    covariance, design = spread * covariance, spread * design
    which = family.exponents if family.floor is None else (family.floor, *family.exponents)
    ends = dict(zip(which, _profile(fit, which, design, quantile, spread), strict=True))
    scale = float(np.exp(axes.centre[2]))
    floor = None
    if family.floor is not None:
        floor = (ends[family.floor][0] * scale, ends[family.floor][1] * scale)
    names = family.theta_names
    # Where E cannot be solved for it is searched like an exponent; it is not listed as one.
    exponents = {names[at]: ends[at] for at in family.exponents if at != family.floor}
    lowest = float(np.exp(np.min(fit.task.target) + axes.centre[2]))
    problems = _judge(fit, floor, exponents, lowest, level)
    return Identification(
        floor=floor,
        exponents=exponents,
        slope_width=2.0 * quantile * _slope_error(fit, design, cost, flops)
        if family.has_frontier
        else math.nan,
        problems=problems,
    )


def estimate_covariance(fit: ParametricFit, *, hold: bool = True) -> FloatArray:
    """σ²_eff (JᵀJ)⁻¹ of theta, J = ∇ ln L, σ²_eff = E ψ² / (E ρ'')² with n − p for n.

    Args:
        fit: A finished fit.
        hold: Whether coordinates on a bound count as known.
    """
    psi_square, slope = measure_scale(fit)
    names = fit.task.family.theta_names
    free = np.array([not (hold and name in fit.at_bound) for name in names])
    jacobian = fit.gradient[free]
    information = jacobian @ jacobian.T
    covariance = np.zeros((free.size, free.size))
    inner = np.linalg.pinv(information, rcond=1e-14, hermitian=True)
    covariance[np.ix_(free, free)] = psi_square / slope**2 * inner
    return covariance


def measure_scale(fit: ParametricFit) -> tuple[float, float]:
    """(Σψ²/(n − p), mean ρ''). ρ'' is counted within half a robust σ where δ is narrower: for a
    tiny δ next to no residual lies inside, while the density there is what ρ'' stands for."""
    delta, count = fit.task.delta, fit.theta.size
    residuals = fit.residuals
    psi = np.clip(residuals, -delta, delta)
    psi_square = float(np.sum(psi**2) / max(1, residuals.size - count))
    width = max(delta, 0.5 * estimate_residual_sigma(residuals, count))
    share = float(np.mean(np.abs(residuals) <= width))
    return psi_square, max(share, 1.0 / residuals.size) * delta / width


def weigh_letters(fit: ParametricFit, parent: ParametricFit) -> float:
    """By how much the law is better than its parent on the same rows, in units of BIC: the fall of
    the objective as a likelihood ratio (see the module), less ln n for each further parameter.
    Below 0 the parent says as much with fewer.

    Source: Schwarz 1978, Ann. Statist. 6, 461; a robust form with the scale of the larger law:
    Ronchetti 1985, Stat. Probab. Lett. 3, 21.
    """
    psi_square, slope = measure_scale(fit)
    gained = 2.0 * (parent.objective - fit.objective) * slope / max(psi_square, 1e-300)
    return gained - (fit.theta.size - parent.theta.size) * math.log(fit.residuals.size)


def _profile(
    fit: ParametricFit,
    which: tuple[int, ...],
    covariance: FloatArray,
    quantile: float,
    spread: float,
) -> list[tuple[float, float]]:
    """Interval of each theta[which]; a bound where the objective stays low up to there.

    Args:
        fit: The optimum.
        which: Coordinates.
        covariance: Says how far to look; of a coordinate on its bound too.
        quantile: Student's t quantile of the level.
        spread: By which shared noise makes variances larger.
    """
    family, theta = fit.task.family, fit.theta
    psi_square, slope = measure_scale(fit)
    allowed = 0.5 * psi_square / slope * quantile**2 * spread
    errors = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    if fit.residuals.size > _PROFILE_ROWS or allowed <= 0.0:
        low = np.maximum(family.lower, theta - quantile * errors)
        high = np.minimum(family.upper, theta + quantile * errors)
        return [(float(low[at]), float(high[at])) for at in which]
    errors = np.maximum(errors, 1e-6 * (1.0 + np.abs(theta)))
    reach = quantile * np.concatenate((-_REACH[::-1], _REACH))
    starts, frozen = [], []
    for at in which:
        values = np.clip(theta[at] + errors[at] * reach, family.lower[at], family.upper[at])
        # Start along the ridge: the other coordinates follow the quadratic approximation.
        tangent = covariance[:, at] / max(float(covariance[at, at]), 1e-300)
        members = np.clip(
            theta + (values - theta[at])[:, None] * tangent, family.lower, family.upper
        )
        members[:, at] = values
        starts.append(members)
        frozen.append(np.broadcast_to(np.arange(theta.size) == at, members.shape))
    solved = solve(fit.task, np.concatenate(starts), frozen=np.concatenate(frozen))
    rise = np.sqrt(np.maximum(solved.objective - fit.objective, 0.0) / allowed)
    half, ends = _REACH.size, []
    for at, members, height in zip(which, starts, rise.reshape(len(which), 2 * half), strict=True):
        values, here = members[:, at], float(theta[at])
        low_end = _find_crossing(
            here, values[:half][::-1], height[:half][::-1], float(family.lower[at])
        )
        high_end = _find_crossing(here, values[half:], height[half:], float(family.upper[at]))
        ends.append((low_end, high_end))
    return ends


def _find_crossing(here: float, values: FloatArray, rise: FloatArray, bound: float) -> float:
    """Where √(rise) first passes 1 on the way out from `here`, linearly between points."""
    last_value, last_rise = here, 0.0
    for value, height in zip(values, rise, strict=True):
        if height >= 1.0:
            share = (1.0 - last_rise) / (height - last_rise)
            return float(last_value + share * (value - last_value))
        last_value, last_rise = float(value), float(height)
    return bound


def _slope_error(
    fit: ParametricFit, covariance: FloatArray, cost: CostModel, flops: tuple[float, float]
) -> float:
    """Standard error of a by the delta method, with central differences in theta."""
    family, axes = fit.task.family, fit.task.axes
    count = fit.theta.size
    step = 1e-4
    theta = np.repeat(fit.theta[None], 2 * count, axis=0)
    index = np.arange(count)
    theta[index, index] += step
    theta[count + index, index] -= step
    lines = estimate_exponent(family, family.to_coefficients(theta, axes), cost, flops)
    slope = (lines[:count, 0] - lines[count:, 0]) / (2.0 * step)
    variance = float(slope @ covariance @ slope)
    return math.sqrt(max(0.0, variance))


def _judge(
    fit: ParametricFit,
    floor: tuple[float, float] | None,
    exponents: dict[str, tuple[float, float]],
    lowest: float,
    level: float,
) -> tuple[str, ...]:
    problems = []
    share = 0.0 if floor is None else (floor[1] - floor[0]) / lowest
    if floor is not None and floor[1] >= lowest:
        problems.append(
            f"E may lie anywhere from {floor[0]:.3g} to the lowest loss, {lowest:.3g} nats "
            f"({level:.0%} profile)"
        )
    elif floor is not None and share > MAX_FLOOR_WIDTH:
        problems.append(
            f"E is only known to {floor[0]:.3g} … {floor[1]:.3g} nats "
            f"({level:.0%} profile), {share:.0%} of the lowest loss"
        )
    family = fit.task.family
    for name, (low, high) in exponents.items():
        at = family.theta_names.index(name)
        unbounded = low <= family.lower[at] or high >= family.upper[at]
        if unbounded or high / low > MAX_EXPONENT_RATIO:
            problems.append(f"{name} is only known to {low:.3g} … {high:.3g}")
    return tuple(problems)

"""Validity checks of a finished fit: convergence, bounds, what is identified, agreement."""

from __future__ import annotations

import math

import numpy as np

from scaling.fitting.fitted import Check, Frontier, pass_if
from scaling.fitting.identification import MAX_FLOOR_WIDTH, Identification
from scaling.fitting.parametric import ParametricFit
from scaling.units import FloatArray, format_count, format_flops

MAX_SLOPE_WIDTH = 0.3  # predicted 90 % width of the exponent a (decision 0065)
# An exponent off by .1 moves N* by a factor 1.26 per decade of extrapolation (ours).
_MAX_INFLUENCE = 0.1
# A difference of .05 in a moves N* by 12 % per decade: less than any interval here (ours).
_SAME_SLOPE = 0.05
_SAME_SIZE = 2.0
_APPROACHES = {"envelope": "Approach 1", "isoflop": "Approach 2"}


def check_convergence(fit: ParametricFit) -> Check:
    """Gradient, two starts, an independent method: see ParametricFit."""
    seen = (
        f"Scaled gradient {fit.gradient_norm:.1e}; {fit.basin_starts} of {fit.starts} starts end "
        f"in the best basin; variable projection ends {fit.projection_gap:.1e} above it."
    )
    advice = (
        "The lowest objective found is not proven to be the lowest there is: look for outliers "
        "and mixed recipes, or raise --huber-delta."
    )
    return pass_if(fit.converged, "not_converged", seen, advice)


def check_bounds(fit: ParametricFit) -> Check:
    """Whether a parameter of the law is at the edge of what is allowed."""
    family = fit.task.family
    words = []
    for name in fit.at_bound:
        at = family.theta_names.index(name)
        if at in family.weights:
            words.append(f"the term of {name} vanishes")
        else:
            words.append(f"{name} = {fit.theta[at]:.3g}")
    seen = "No parameter of the law is at a bound."
    if words:
        seen = f"At its bound: {', '.join(words)}."
    advice = (
        "The free optimum lies beyond the bound; widen the ranges of N and D, or look for bad runs."
    )
    return pass_if(not fit.at_bound, "parameter_at_bound", seen, advice)


def check_identification(
    known: Identification, floors: FloatArray | None, lowest_loss: float
) -> Check:
    """The rule of `identification`, the lowest block left out included.

    Args:
        known: Profiles of the full fit.
        floors: E of the full fit and without the lowest block [nats/token]; None: not evaluated.
        lowest_loss: Lowest loss of the fitted rows [nats/token].
    """
    problems = list(known.problems)
    if floors is not None and abs(floors[1] - floors[0]) > MAX_FLOOR_WIDTH * lowest_loss:
        problems.append(
            f"without the lowest budget E becomes {floors[1]:.3g} instead of {floors[0]:.3g}"
        )
    ranges = []
    if known.floor is not None:
        ranges.append(f"E {known.floor[0]:.3g} … {known.floor[1]:.3g}")
    ranges += [f"{name} {ends[0]:.3g} … {ends[1]:.3g}" for name, ends in known.exponents.items()]
    seen = f"Profiles: {', '.join(ranges)}."
    if problems:
        text = "; ".join(problems)
        seen = text[0].upper() + text[1:] + "."
    advice = "Trust N*, not the loss, beyond one decade; a wider range of C would identify them."
    return pass_if(not problems, "not_identified", seen, advice)


def check_precision(known: Identification, slope: float) -> Check:
    """What the design can tell of a, from the noise and the law."""
    width = known.slope_width
    if not math.isfinite(width):
        seen = "Not evaluated: this law has no frontier."
        return pass_if(None, "design_imprecise", seen, "")
    seen = f"The design determines a = {slope:.3g} to an interval {width:.2g} wide."
    advice = "Add budgets over a wider range of C first, then seeds: a wide C shortens it most."
    return pass_if(width <= MAX_SLOPE_WIDTH, "design_imprecise", seen, advice)


def check_influence(slope: float, slopes: FloatArray | None, names: tuple[str, ...]) -> Check:
    """How far a moves when one block is left out.

    Args:
        slope: a of the full fit.
        slopes: a without each block; None: not evaluated.
        names: Names of the blocks.
    """
    if slopes is None:
        return pass_if(None, "influence", "Not evaluated: too few or too many runs.", "")
    worst = int(np.argmax(np.abs(slopes - slope)))
    moved = float(abs(slopes[worst] - slope))
    seen = f"Without {names[worst]} a becomes {slopes[worst]:.3g} instead of {slope:.3g}."
    advice = "One block of runs decides the answer: check those runs, or add budgets near them."
    return pass_if(moved <= _MAX_INFLUENCE, "influence", seen, advice)


def check_agreement(parametric: Frontier | None, *others: Frontier | None) -> Check:
    """Whether Approach 3 and each of the others say the same; the first that does not is named."""
    known = [one for one in others if one is not None]
    if parametric is None or not known:
        return pass_if(None, "methods_disagree", "Only one approach gives a frontier.", "")
    checks = [_compare_frontiers(parametric, one) for one in known]
    return min(checks, key=lambda check: {False: 0, None: 1, True: 2}[check.passed])


def _compare_frontiers(parametric: Frontier, other: Frontier) -> Check:
    """Within their intervals; without any, a difference of slopes that noise could explain is not
    judged."""
    code = "methods_disagree"
    at = float(np.sqrt(other.range[0] * other.range[1]))
    sizes = [one.k_n * at**one.a for one in (parametric, other)]
    allowed = _SAME_SLOPE
    ends = [(one.intervals or {}).get("a") for one in (parametric, other)]
    known = ends[0] is not None and ends[1] is not None
    if known:
        halves = [(end.high - end.low) / 2.0 for end in ends if end is not None]
        allowed = max(allowed, math.hypot(*halves))
    apart = abs(parametric.a - other.a) > allowed
    far = (apart and known) or max(sizes) > _SAME_SIZE * min(sizes)
    seen = (
        f"Approach 3: a = {parametric.a:.3g}, N* = {format_count(sizes[0])} at "
        f"{format_flops(at)} FLOPs; {_APPROACHES[other.approach]}: a = {other.a:.3g}, "
        f"N* = {format_count(sizes[1])}."
    )
    if apart and not known and not far:
        return pass_if(None, code, f"{seen} Without intervals this may be noise.", "")
    advice = "Trust neither beyond the data: look at the residuals and at the rejected curves."
    return pass_if(not far, code, seen, advice)

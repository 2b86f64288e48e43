"""Whether the frontier lies in the regime of a power law: its local exponent must not rise with C.

    g = −d ln L* / d ln C,   and for L* = E + K / C^γ:   g = γ · (1 − E / L*)

Under such a law g falls as C grows, whatever E ≥ 0, and is constant where E = 0. So ln L* is convex
in ln C under every law with a floor, and the test needs no E. (With a floor taken off, the
exponent of L* − E would rise wherever E is guessed too high.) A rise means that the smallest runs
are of another regime: models that are too small, or too short, for the law of the larger ones.

Source: the test of one contrast, Draper & Smith 1998, Applied Regression Analysis, 3rd ed., ch. 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from scaling.fitting.fitted import Check, pass_if
from scaling.fitting.isoflop import Curve
from scaling.units import FloatArray, format_flops

# There are some thirty checks (see `residuals`).
MAX_CHANCE = 0.01
# A rise needs two local exponents.
_LEAST_BUDGETS = 3
# With fewer, t is so wide that only a broken sweep would fail; the intervals of Approach 2 need as
# many.
_MIN_FREEDOM = 3
# Below this, residuals of the parabolas are rounding.
_NOISE_FREE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Minima:
    """Lowest loss of each usable IsoFLOP curve, ascending in C; arrays of shape (k,).

    Attributes:
        flops: Realised C [FLOPs].
        log_loss: ln L* at the parabola's vertex.
        error: Its standard error, `sigma` times what the design makes of it.
        sigma: Standard deviation of ln loss of one run around the parabolas, pooled.
        freedom: Degrees of freedom of `sigma`.
    """

    flops: FloatArray
    log_loss: FloatArray
    error: FloatArray
    sigma: float
    freedom: int


def measure_minima(curves: tuple[Curve, ...]) -> Minima:
    """The minima with their standard errors, from the covariance of each parabola.

    The lowest value is c0 + c1·x* + c2·x*², and its gradient by the coefficients is (1, x*, x*²):
    x* moves nothing to first order.
    """
    accepted = [curve for curve in curves if not curve.rejection]
    square, freedom = 0.0, 0
    log_loss, lengths = [], []
    for curve in accepted:
        assert curve.vertex is not None  # an accepted curve has a minimum
        assert curve.lowest is not None
        design = np.stack((np.ones_like(curve.x), curve.x, curve.x**2), axis=1)
        inverse = np.linalg.pinv(design)  # (3, m)
        square += float(np.sum((curve.loss / (design @ (inverse @ curve.loss)) - 1.0) ** 2))
        freedom += curve.x.size - 3
        at = np.array([1.0, curve.vertex, curve.vertex**2])
        lengths.append(float(np.linalg.norm(at @ inverse)))
        log_loss.append(math.log(curve.lowest))
    sigma = math.sqrt(square / freedom) if freedom else math.nan
    flops = np.array([curve.budget.realised for curve in accepted])
    order = np.argsort(flops)
    return Minima(
        flops=flops[order],
        log_loss=np.array(log_loss)[order],
        error=sigma * np.array(lengths)[order],
        sigma=sigma,
        freedom=freedom,
    )


def check_regime(curves: tuple[Curve, ...], *, shared_noise: bool) -> Check:
    """Whether the local exponent rises with C by more than noise.

    For each set of the k lowest budgets, k = 3 …, the quadratic term of ln L* on ln C by weighted
    least squares, one-sided t, p times the number of sets (Bonferroni).

    Args:
        curves: One per budget, rejected ones included.
        shared_noise: Rows are points along training runs; their noise is not independent.
    """
    code = "below_scaling_regime"
    if shared_noise:
        return pass_if(None, code, "Rows along one training run share its noise.", "")
    minima = measure_minima(curves)
    count = minima.flops.size
    if count < _LEAST_BUDGETS or minima.freedom < _MIN_FREEDOM:
        seen = (
            f"{count} usable IsoFLOP minima leave {minima.freedom} degrees of freedom; "
            f"{_LEAST_BUDGETS} and {_MIN_FREEDOM} are needed."
        )
        return pass_if(None, code, seen, "")
    chance = find_rise(minima)
    local = -np.diff(minima.log_loss) / np.diff(np.log(minima.flops))
    ends = (format_flops(float(end)) for end in (minima.flops[0], minima.flops[-1]))
    seen = (
        f"The local exponents of the lowest loss from {' to '.join(ends)} FLOPs are "
        f"{', '.join(f'{one:.3f}' for one in local)}; no power law has rising ones (tested: p = "
        f"{chance:.1g}, threshold {MAX_CHANCE:g}, σ {minima.sigma:.2%} a run)."
    )
    return pass_if(chance >= MAX_CHANCE, code, seen, _advise(minima))


def find_rise(minima: Minima, first: int = 0) -> float:
    """p-value of a rising local exponent among the budgets from `first` on, all sets of lowest
    budgets tested; 1 with fewer than three budgets."""
    count = minima.flops.size - first
    chances = [
        _test_bend(minima, slice(first, first + size)) for size in range(_LEAST_BUDGETS, count + 1)
    ]
    return min([1.0, *(chance * len(chances) for chance in chances)])


def _test_bend(minima: Minima, chosen: slice) -> float:
    """One-sided p of a negative quadratic term of ln L* on ln C."""
    x = np.log(minima.flops[chosen])
    scale = float(np.ptp(x))
    along = (x - x.mean()) / scale
    error = np.maximum(minima.error[chosen], _NOISE_FREE)
    design = np.stack((np.ones_like(along), along, along**2), axis=1) / error[:, None]
    inverse = np.linalg.pinv(design)
    bend = float(inverse[2] @ (minima.log_loss[chosen] / error))
    return float(stdtr(minima.freedom, bend / float(np.linalg.norm(inverse[2]))))


def _advise(minima: Minima) -> str:
    """The lowest budget from which on no rise is seen, and what to do about those below it."""
    last = minima.flops.size - _LEAST_BUDGETS
    for first in range(1, last + 1):
        if find_rise(minima, first) >= MAX_CHANCE:
            below, lowest = float(minima.flops[first - 1]), float(minima.flops[first])
            between = format_flops(float(f"{math.sqrt(below * lowest):.2g}"))
            return (
                f"Runs up to {format_flops(below)} FLOPs are below the scaling regime: fit without "
                f"them (--flops-range {between}:), or start the grid at {format_flops(lowest)}; do "
                "not extrapolate a law that holds them."
            )
    return (
        f"No three budgets of this sweep show a power law: start the grid at "
        f"{format_flops(float(minima.flops[-2]))} FLOPs or above, with budgets beyond "
        f"{format_flops(float(minima.flops[-1]))}, and do not extrapolate this one."
    )

"""The logistic likelihood, its maximum, and the ends of profile-likelihood intervals.

    ℓ(β) = Σ_i [ w_i η_i − n_i ln(1 + e^{η_i}) ],   η = offset + Z β

with w successes of n trials; w may be a fraction (a share), which makes it the quasi-likelihood of
Papke and Wooldridge 1996, J. Applied Econometrics 11:619. ℓ is concave. Where a direction of β
separates successes from failures it has no maximum but a supremum (Albert and Anderson 1984,
Biometrika 71:1): Newton's steps then lengthen without end while ℓ rises by ever less, and stop
within `_GAIN` of the supremum, which is enough for a profile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scaling.units import FloatArray

# Gain in ℓ at which to stop: far below what moves an interval (χ²/2 is 1.35 at 90 %), far above the
# rounding of a sum over ten thousand trials.
_GAIN = 1e-9
_MOST_STEPS = 200
_MOST_HALVINGS = 40
# An end more than e^40 beyond the data is as good as infinite.
_FAR = 40.0
_BISECTIONS = 30  # of a step of 1/4 in the logarithm of a size: to 1e-10


@dataclass(frozen=True, slots=True)
class Trials:
    """Successes (whole or in shares) and number of trials at each place, shape (k,)."""

    wins: FloatArray
    count: FloatArray


def maximise(
    design: FloatArray,
    trials: Trials,
    offset: FloatArray | float = 0.0,
    start: FloatArray | None = None,
) -> tuple[FloatArray, float]:
    """(β, ℓ) at the maximum, or within 1e-9 of the supremum if there is no maximum.

    Args:
        design: Z, shape (k, p); p may be 0.
        trials: Observed successes and trials.
        offset: Added to η, shape (k,) or a number.
        start: β to begin at, shape (p,); None: 0.
    """
    beta = np.zeros(design.shape[1]) if start is None else start
    value = measure_likelihood(offset + design @ beta, trials)
    for _ in range(_MOST_STEPS if beta.size else 0):
        share = _squash(offset + design @ beta)
        slope = design.T @ (trials.wins - trials.count * share)
        bend = design.T @ (design * (trials.count * share * (1.0 - share))[:, None])
        step = np.linalg.pinv(bend, hermitian=True) @ slope
        for _ in range(_MOST_HALVINGS):
            better = measure_likelihood(offset + design @ (beta + step), trials)
            if better >= value:
                break
            step = 0.5 * step
        else:
            break
        beta, gain, value = beta + step, better - value, better
        if gain < _GAIN:
            break
    return beta, value


def measure_likelihood(eta: FloatArray, trials: Trials) -> float:
    """ℓ of log odds η, shape (k,)."""
    return float(np.sum(trials.wins * eta - trials.count * np.logaddexp(0.0, eta)))


def _squash(eta: FloatArray) -> FloatArray:
    """1 / (1 + e^−η) without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -eta)))


def find_end(
    profile: Callable[[float], float], *, start: float, step: float, limit: float, cut: float
) -> float:
    """Find where a profile likelihood that falls beyond `start` passes `cut`.

    Args:
        profile: ℓ as a function of one coefficient, maximised over all others.
        start: A value at which the profile is at least `cut`.
        step: First step; its sign gives the direction.
        limit: The profile at infinity on that side.
        cut: ℓ at the end of the interval.

    Returns:
        The end; ±inf if the profile does not fall that far.

    Source: Venzon and Moolgavkar 1988, Applied Statistics 37:87.
    """
    if limit >= cut:
        return math.copysign(math.inf, step)
    inside, far = start, start + step
    while profile(far) >= cut:
        inside, step = far, 2.0 * step
        far += step
        if abs(far - start) > _FAR:
            return math.copysign(math.inf, step)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (inside + far)
        inside, far = (middle, far) if profile(middle) >= cut else (inside, middle)
    return 0.5 * (inside + far)


def raise_log(log: float) -> float:
    """e^log; −inf gives 0."""
    return math.inf if log > 700.0 else math.exp(log)  # e^709 is the largest double

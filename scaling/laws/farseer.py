"""Farseer's law: floor, coefficient and exponent of the power law in D all move with N.

    L(N, D) = e^(a3·N^γ + b3) + e^(a2·N^β + b2) · D^(−e^(a1·N^α + b1))        [nats/token]

Source: Li et al. 2025, "Predictable Scale: Part II, Farseer", arXiv:2506.10972, eq. 3. Constants
below are quoted from memory and only set the search ranges; no fit depends on them.

Either sign of a and of the power is a decreasing function of N, and the published constants have
a3 < 0 with γ > 0 but a2 > 0 with β < 0. In these parameters the two branches meet only at infinity,
so each a·N^γ + b is fitted by its value c and slope s at the data's centre and its power, in Box
and Cox's form (1964, J. R. Stat. Soc. B 26, 211), which passes through γ = 0, a plain power of N:

    a·N^γ + b = c + s·(e^(γ·x) − 1)/γ,    x = ln N − mean

With u, v, w the three bends (e^(γ·x) − 1)/γ of γ, β, α and d the mean of ln D,

    L/s = e^(c3 + s3·u) + e^(c2 + s2·v + d·(q + q·s1·v − B) − y·B),    B = q·e^(s1·w)

where the effect of the exponent B alone on the second term at D's centre is taken out of c2 and s2;
otherwise both would be extrapolations to D = 1. Slopes and powers are kept as positive numbers
(above their lowest) because variable projection searches in logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.numeric import NumericAnswers, give_up_lost, take_logs
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT
from scaling.units import FloatArray

# Position of each coordinate of theta in the list "those of the floor, then those of the data".
_ORDER = [0, 3, 1, 2, 4, 5, 6, 7, 8]
# Published powers of N are .17, −.10 and .12; beyond ±1 the bend is a corner within a run table.
_POWER_SHIFT = 2.0
_POWERS = (1.0, 3.0)
# Published slopes at N = 1e9: floor −.12, coefficient −1.1, exponent −.20, all per e-fold of N.
_SLOPE_SHIFT = 5.0
_SLOPES = (1.0, 7.0)
# Below this, cancellation would leave the parameters of a power fewer than nine digits.
_SMALLEST_POWER = 1e-6
_NEAR = 0.1
_SERIES = np.poly1d([1.0 / math.factorial(k + 1) for k in reversed(range(11))])
# Largest exponent: the loss is then effectively infinite, yet finite in double precision.
_MOST = 600.0


class Farseer(NumericAnswers):
    """The family; it has no state. Its derivatives are written out: in Taylor arithmetic of nine
    variables a refit took .1 s, and a fit needs a thousand."""

    has_frontier = True
    name = "farseer"
    equation = "exp(a3*N^gamma + b3) + exp(a2*N^beta + b2) * D^-exp(a1*N^alpha + b1)"
    parent = "chinchilla"
    words = LawWords(
        origin="Li et al. 2025, arXiv:2506.10972, eq. 3: the exponent of data depends on the size"
    )
    param_names = ("a3", "b3", "gamma", "a2", "b2", "beta", "a1", "b1", "alpha")
    theta_names = (
        "floor",
        "coefficient",
        "slope of floor + 5",
        "gamma + 2",
        "slope of coefficient + 5",
        "beta + 2",
        "exponent",
        "slope of exponent + 5",
        "alpha + 2",
    )
    weights = (1,)
    exponents = (2, 3, 4, 5, 6, 7, 8)
    # Starts are drawn around Chinchilla's law in these coordinates.
    search = np.array(
        [(4.5, 5.0), (1.6, 2.4), (4.4, 5.4), (1.6, 2.4), (0.1, 1.0), (4.7, 5.2), (1.6, 2.4)]
    )
    lower = np.array(
        [-16.0, -16.0, *(_SLOPES[0], _POWERS[0]) * 2, MIN_EXPONENT, _SLOPES[0], _POWERS[0]]
    )
    upper = np.array(
        [6.0, 6.0, *(_SLOPES[1], _POWERS[1]) * 2, MAX_EXPONENT, _SLOPES[1], _POWERS[1]]
    )

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        parts = _evaluate(theta, axes)
        gradient = np.concatenate(
            (parts.floor_share * parts.floor_slope, parts.data_share * parts.data_slope), axis=1
        )
        value, gradient = parts.log_loss, gradient[:, _ORDER]
        give_up_lost(value, gradient)
        return value, gradient

    def curvature(
        self, theta: FloatArray, gradient: FloatArray, weight: FloatArray, axes: Axes
    ) -> FloatArray:
        """Each term contributes Σ weight · share · (slope slopeᵀ + bend); implements LawFamily."""
        parts = _evaluate(theta, axes)
        result = np.zeros((len(theta), 9, 9))
        first = 0
        for share, slope, bends in (
            (parts.floor_share, parts.floor_slope, parts.floor_bend),
            (parts.data_share, parts.data_slope, parts.data_bend),
        ):
            weighted = share * weight[:, None, :]
            size = slope.shape[1]
            block = (slope * weighted) @ slope.transpose(0, 2, 1)
            for (row, column), bend in bends.items():
                block[:, row, column] += np.sum(weighted[:, 0] * bend, axis=1)
                if row != column:
                    block[:, column, row] = block[:, row, column]
            result[:, first : first + size, first : first + size] = block
            first += size
        ordered = result[:, _ORDER][:, :, _ORDER]
        return np.asarray(np.nan_to_num(ordered, posinf=0.0, neginf=0.0), dtype=np.float64)

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """Basis of the law, which is linear in e^c3 and e^c2; implements LawFamily."""
        theta = np.concatenate((np.zeros((len(exponents), 2)), exponents), axis=1)
        parts = _evaluate(theta, axes)
        columns = np.exp(np.clip(np.stack((parts.floor, parts.data), axis=1), -_MOST, _MOST))
        return Basis(columns=columns, power=np.ones((len(exponents), 1)), offset=np.zeros((1, 1)))

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        return self.hold(np.concatenate((take_logs(linear), exponents), axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """a = s/(γ·N0^γ), b = c − s/γ; implements LawFamily."""
        log_n, log_d, log_s = axes.centre
        c3, c2, s3, gamma, s2, beta, q, s1, alpha = theta.T
        s3, s2, s1 = s3 - _SLOPE_SHIFT, s2 - _SLOPE_SHIFT, s1 - _SLOPE_SHIFT
        letters: list[FloatArray] = []
        for value, slope, power in (
            (c3 + log_s, s3, gamma),
            (c2 + log_s + log_d * q, s2 + log_d * q * s1, beta),
            (np.log(q), s1, alpha),
        ):
            power = power - _POWER_SHIFT
            near = np.abs(power) < _SMALLEST_POWER
            power = np.where(near, np.copysign(_SMALLEST_POWER, power), power)
            letters += [slope / power * np.exp(-power * log_n), value - slope / power, power]
        return np.stack(letters, axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        log_n, log_d, log_s = axes.centre
        a3, b3, gamma, a2, b2, beta, a1, b1, alpha = coefficients.T
        bent = [a * np.exp(p * log_n) for a, p in ((a3, gamma), (a2, beta), (a1, alpha))]
        q, s1 = np.exp(bent[2] + b1), bent[2] * alpha
        theta = (
            bent[0] + b3 - log_s,
            bent[1] + b2 - log_s - log_d * q,
            bent[0] * gamma + _SLOPE_SHIFT,
            gamma + _POWER_SHIFT,
            bent[1] * beta - log_d * q * s1 + _SLOPE_SHIFT,
            beta + _POWER_SHIFT,
            q,
            s1 + _SLOPE_SHIFT,
            alpha + _POWER_SHIFT,
        )
        return self.hold(np.stack(theta, axis=1))

    def _find_loss(self, letters: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
        a3, b3, gamma, a2, b2, beta, a1, b1, alpha = letters
        with np.errstate(over="ignore", invalid="ignore"):  # far away the powers may overflow
            floor = a3 * np.exp(gamma * log_n) + b3
            exponent = np.exp(np.minimum(a1 * np.exp(alpha * log_n) + b1, math.log(_MOST)))
            data = a2 * np.exp(beta * log_n) + b2 - exponent * log_d
        return np.asarray(np.exp(np.minimum(floor, _MOST)) + np.exp(np.minimum(data, _MOST)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Both terms at K points: logs (K, n), shares of L (K, 1, n), slopes of the logs by the term's
    own coordinates (K, 3 or 6, n), and the non-zero second derivatives of the logs."""

    log_loss: FloatArray
    floor: FloatArray
    data: FloatArray
    floor_share: FloatArray
    data_share: FloatArray
    floor_slope: FloatArray
    data_slope: FloatArray
    floor_bend: dict[tuple[int, int], FloatArray]
    data_bend: dict[tuple[int, int], FloatArray]


def _evaluate(theta: FloatArray, axes: Axes) -> _Parts:
    """Evaluate the floor, with coordinates c3, s3, γ, and the data term, c2, s2, β, q, s1, α."""
    c3, c2, s3, gamma, s2, beta, q, s1, alpha = theta.T[:, :, None]
    s3, s2, s1 = s3 - _SLOPE_SHIFT, s2 - _SLOPE_SHIFT, s1 - _SLOPE_SHIFT
    (u, u1, u2), (v, v1, v2), (w, w1, w2) = (
        _bend(power - _POWER_SHIFT, axes.x) for power in (gamma, beta, alpha)
    )
    d, one = axes.centre[1], np.ones_like(u)
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.exp(np.minimum(s1 * w, _MOST))  # B / q
        reach = -(axes.y + d) * grown  # derivative of the data term by q through B
        floor, data = c3 + s3 * u, c2 + s2 * v + q * (d * (1.0 + s1 * v) + reach)
        log_loss = np.logaddexp(floor, data)
        by_q, by_s1 = d * (1.0 + s1 * v) + reach, q * (d * v + reach * w)
        coefficient = s2 + d * q * s1  # coefficient of v
        return _Parts(
            log_loss=log_loss,
            floor=floor,
            data=data,
            floor_share=np.exp(floor - log_loss)[:, None],
            data_share=np.exp(data - log_loss)[:, None],
            floor_slope=np.stack((one, u, s3 * u1), axis=1),
            data_slope=np.stack(
                (one, v, coefficient * v1, by_q, by_s1, q * reach * s1 * w1), axis=1
            ),
            floor_bend={(1, 2): u1, (2, 2): s3 * u2},
            data_bend={
                (1, 2): v1,
                (2, 2): coefficient * v2,
                (2, 3): d * s1 * v1,
                (2, 4): d * q * v1,
                (3, 4): d * v + reach * w,
                (3, 5): reach * s1 * w1,
                (4, 4): q * reach * w**2,
                (4, 5): q * reach * w1 * (1.0 + s1 * w),
                (5, 5): q * reach * s1 * (s1 * w1**2 + w2),
            },
        )


def _bend(power: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(e^(power·x) − 1) / power, x where the power is 0, and two derivatives by the power.

    Closed forms; near 0, where those cancel, the series Σ z^k / (k + 1)! with z = power·x up to its
    tenth term, which is 1e-14 of the sum at |z| = .1.
    """
    z = power * x
    near = np.abs(z) < _NEAR
    far = np.where(near, 1.0, z)
    grown = np.exp(np.minimum(far, _MOST))
    value = np.expm1(np.minimum(far, _MOST)) / far
    slope = (grown * (far - 1.0) + 1.0) / far**2
    bend = (grown * (far**2 - 2.0 * far + 2.0) - 2.0) / far**3
    if near.any():
        small = z[near]
        value[near], slope[near] = _SERIES(small), _SERIES.deriv()(small)
        bend[near] = _SERIES.deriv(2)(small)
    return value * x, slope * x**2, bend * x**3


FARSEER = Farseer()

"""Farseer's law: the power law in D has a coefficient and an exponent that move with N.

    L(N, D) = e^(a3·N^γ + b3) + e^(a2·N^β + b2) · D^(−e^(a1·N^α + b1))        [nats/token]

Source: Li et al. 2025, "Predictable Scale: Part II, Farseer", arXiv:2506.10972, eq. 5.

Nine parameters: fit it to large grids. As published, a3 and a2 may have either sign and the powers
of N are small; here each is a positive rate with its sign in the formula (losses fall with N:
a3 > 0 with γ < 0; a2 > 0 with β < 0; a1 > 0 with α < 0 means that D helps large models less):

    theta = (c3, c2, g, h, p, b, q, a, r),   all centred at the data's mean ln N and ln D:
    ln L/s = ln(e^(c3 + g·(e^(−h·x) − 1)) + e^(c2 + p·(e^(−b·x) − 1) − B(x)·(y + d) + B(0)·d)),
    B(x) = q·e^(a·(e^(−r·x) − 1)),   d = mean ln D
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from scaling.laws.family import Axes, Basis
from scaling.laws.formula import Formula
from scaling.laws.jets import Jet, add_exponentials
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT
from scaling.units import FloatArray

Number: TypeAlias = Any  # a Jet, or an array: the law is written once for both

_RATE = (1e-3, 10.0)  # of what stands inside an exponential
_POWER = (0.01, 1.0)  # of N there; published: .1 … .3
_LIMITS = np.array([_RATE, _POWER, _RATE, _POWER, (MIN_EXPONENT, MAX_EXPONENT), _RATE, _POWER])
_WIDE, _NARROW = (0.05, 3.0), (0.03, 0.6)
_SEARCH = np.array([_WIDE, _NARROW, _WIDE, _NARROW, (0.1, 1.0), (0.01, 1.0), _NARROW])


class Farseer(Formula):
    """The family; it has no state."""

    name = "farseer"
    equation = "exp(a3*N^-gamma + b3) + exp(a2*N^-beta + b2) * D^-exp(a1*N^-alpha + b1)"
    parent = "chinchilla"
    param_names = ("b3", "b2", "a3", "gamma", "a2", "beta", "b1", "a1", "alpha")
    exponents = (2, 3, 4, 5, 6, 7, 8)
    search = _SEARCH
    lower = np.array([-16.0, -16.0, *_LIMITS[:, 0]])
    upper = np.array([6.0, 6.0, *_LIMITS[:, 1]])

    def evaluate(self, theta: list[Jet], axes: Axes) -> Jet:
        """See Formula."""
        floor, slope = _bend(axes, *theta[2:])
        return add_exponentials(theta[0] + floor, theta[1] + slope)

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """See LawFamily: linear in e^c3 and e^c2."""
        floor, slope = _bend(axes, *exponents.T[:, :, None])
        columns = np.exp(np.minimum(np.stack((floor, slope), axis=1), math.log(1e300)))
        return Basis(columns=columns, power=np.ones((len(exponents), 1)), offset=np.zeros((1, 1)))

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily."""
        with np.errstate(divide="ignore"):
            logs = np.log(linear)
        theta = np.concatenate((logs, exponents), axis=1)
        clipped: FloatArray = np.clip(theta, self.lower, self.upper)
        return clipped

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily: the published letters at N = D = 1, powers as positive numbers."""
        log_n, log_d, log_s = axes.centre
        c3, c2, g, h, p, b, q, a, r = theta.T
        letters = (
            c3 - g + log_s,
            c2 - p + q * log_d + log_s,
            g * np.exp(h * log_n),
            h,
            p * np.exp(b * log_n),
            b,
            np.log(q) - a,
            a * np.exp(r * log_n),
            r,
        )
        return np.stack(letters, axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily."""
        log_n, log_d, log_s = axes.centre
        b3, b2, a3, h, a2, b, b1, a1, r = coefficients.T
        g, p, a = a3 * np.exp(-h * log_n), a2 * np.exp(-b * log_n), a1 * np.exp(-r * log_n)
        q = np.exp(b1 + a)
        theta = np.stack((b3 + g - log_s, b2 + p - q * log_d - log_s, g, h, p, b, q, a, r), axis=1)
        clipped: FloatArray = np.clip(theta, self.lower, self.upper)
        return clipped

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        """See LawFamily."""
        b3, b2, a3, gamma, a2, beta, b1, a1, alpha = np.moveaxis(coefficients, -1, 0)
        log_n, log_d = np.log(params), np.log(tokens)
        floor = a3 * np.exp(-gamma * log_n) + b3
        power = np.exp(a1 * np.exp(-alpha * log_n) + b1)
        slope = a2 * np.exp(-beta * log_n) + b2 - power * log_d
        return np.asarray(np.exp(floor) + np.exp(slope), dtype=np.float64)


def _bend(
    axes: Axes, g: Number, h: Number, p: Number, b: Number, q: Number, a: Number, r: Number
) -> tuple[Number, Number]:
    """The two logarithms of the sum, without their constants."""
    centre = axes.centre[1]
    floor = g * (_exp(-h * axes.x) - 1.0)
    power = q * _exp(a * (_exp(-r * axes.x) - 1.0))
    slope = p * (_exp(-b * axes.x) - 1.0) - power * (axes.y + centre) + q * centre
    return floor, slope


def _exp(value: Number) -> Number:
    return value.exp() if isinstance(value, Jet) else np.exp(np.minimum(value, math.log(1e300)))


FARSEER = Farseer()

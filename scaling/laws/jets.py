"""Second-order Taylor arithmetic: a formula written once yields its gradient and Hessian.

A Jet carries a value with its first and second derivatives in p variables; every operation
propagates all three exactly (no step, no truncation). Source: Griewank & Walther 2008, Evaluating
Derivatives, ch. 13.
"""

from __future__ import annotations

import numpy as np

from scaling.units import BoolArray, FloatArray


class Jet:
    """A value, its gradient and Hessian.

    Attributes:
        value: Shape (K, n), or broadcastable to it.
        gradient: Shape (K, p, n).
        hessian: Shape (K, p, p, n).
    """

    __array_priority__ = 1.0  # makes `array * jet` call Jet.__rmul__
    __slots__ = ("gradient", "hessian", "value")

    def __init__(self, value: FloatArray, gradient: FloatArray, hessian: FloatArray) -> None:
        self.value, self.gradient, self.hessian = value, gradient, hessian

    def __add__(self, other: Jet | FloatArray | float) -> Jet:
        if isinstance(other, Jet):
            return Jet(
                self.value + other.value,
                self.gradient + other.gradient,
                self.hessian + other.hessian,
            )
        return Jet(self.value + other, self.gradient, self.hessian)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.gradient, -self.hessian)

    def __sub__(self, other: Jet | FloatArray | float) -> Jet:
        return self + (-other)

    def __rsub__(self, other: FloatArray | float) -> Jet:
        return -self + other

    def __mul__(self, other: Jet | FloatArray | float) -> Jet:
        if isinstance(other, Jet):
            cross = self.gradient[:, :, None] * other.gradient[:, None]
            return Jet(
                self.value * other.value,
                self.value[:, None] * other.gradient + other.value[:, None] * self.gradient,
                self.value[:, None, None] * other.hessian
                + other.value[:, None, None] * self.hessian
                + cross
                + cross.swapaxes(1, 2),
            )
        factor = np.asarray(other, dtype=np.float64)
        return Jet(self.value * factor, self.gradient * factor, self.hessian * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Jet | FloatArray | float) -> Jet:
        if isinstance(other, Jet):
            return self * other._invert()
        return self * (1.0 / np.asarray(other, dtype=np.float64))

    def __rtruediv__(self, other: FloatArray | float) -> Jet:
        return self._invert() * other

    def exp(self) -> Jet:
        """Exponential."""
        value = np.exp(self.value)
        return self._compose(value, value, value)

    def log(self) -> Jet:
        """Natural logarithm."""
        inverse = 1.0 / self.value
        return self._compose(np.log(self.value), inverse, -(inverse**2))

    def where(self, condition: BoolArray, other: Jet) -> Jet:
        """This jet where the condition holds, else the other; derivatives of that branch."""

        def choose(mine: FloatArray, theirs: FloatArray, mask: BoolArray) -> FloatArray:
            return np.asarray(np.where(mask, mine, theirs), dtype=np.float64)

        return Jet(
            choose(self.value, other.value, condition),
            choose(self.gradient, other.gradient, condition[:, None]),
            choose(self.hessian, other.hessian, condition[:, None, None]),
        )

    def _invert(self) -> Jet:
        inverse = 1.0 / self.value
        return self._compose(inverse, -(inverse**2), 2.0 * inverse**3)

    def _compose(self, value: FloatArray, slope: FloatArray, bend: FloatArray) -> Jet:
        """Apply f to this jet, given f, f' and f'' at its value."""
        outer = self.gradient[:, :, None] * self.gradient[:, None]
        return Jet(
            value,
            slope[:, None] * self.gradient,
            slope[:, None, None] * self.hessian + bend[:, None, None] * outer,
        )


def make_variables(theta: FloatArray) -> list[Jet]:
    """Make the p variables of K points, theta of shape (K, p); n broadcasts."""
    count = theta.shape[1]
    zero = np.zeros((1, count, count, 1))
    unit = np.eye(count)
    return [Jet(theta[:, at, None], unit[None, at, :, None], zero) for at in range(count)]


def add_exponentials(first: Jet, second: Jet) -> Jet:
    """ln(e^first + e^second), without overflow."""
    shift = np.maximum(first.value, second.value)
    return ((first - shift).exp() + (second - shift).exp()).log() + shift

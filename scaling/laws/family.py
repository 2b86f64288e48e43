"""LawFamily: what a law of L(N, D) must offer to be fitted, and the registry of those there are.

A family is a formula with two coordinate systems: *coefficients*, the published letters that are
stored and printed, and *theta*, the optimiser's, in which the problem is well scaled. Data enter
centred (`Axes`), so that theta of one table is of order one whatever its units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scaling.units import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The data's coordinates, centred: x = ln N − centre[0], y = ln D − centre[1].

    Attributes:
        x, y: Shape (n,).
        centre: Means of ln N, ln D and ln loss [ln nats/token] over the rows.
    """

    x: FloatArray
    y: FloatArray
    centre: tuple[float, float, float]


class LawFamily(Protocol):
    """One formula L(N, D) in nats/token; p parameters, K parameter vectors at once.

    Attributes:
        name: Machine-readable name.
        param_names: Letters of the coefficients, in the order of every array of them.
        exponents: Indices of the exponents, the coordinates of variable projection.
        lower, upper: Bounds of theta, shape (p,).
    """

    @property
    def name(self) -> str: ...
    @property
    def param_names(self) -> tuple[str, ...]: ...
    @property
    def exponents(self) -> tuple[int, ...]: ...
    @property
    def lower(self) -> FloatArray: ...
    @property
    def upper(self) -> FloatArray: ...

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        """(ln L − centre[2], ∇L / L), shapes (K, n) and (K, p, n), for theta of shape (K, p)."""
        ...

    def curvature(self, gradient: FloatArray, weight: FloatArray, axes: Axes) -> FloatArray:
        """Σ_i weight_i · (∇²L / L)_i, shape (K, p, p), from `log_loss`'s gradient."""
        ...

    def basis(self, exponents: FloatArray, axes: Axes) -> FloatArray:
        """Columns in which L is linear once the exponents are fixed: (K, m, n), all positive."""
        ...

    def join(self, exponents: FloatArray, linear: FloatArray) -> FloatArray:
        """theta (K, p) from exponents (K, q) and the non-negative weights (K, m) of `basis`."""
        ...

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """Published letters, (K, p) -> (K, p)."""
        ...

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        """Inverse of `to_coefficients`, clipped to the bounds."""
        ...

    def loss(self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray) -> FloatArray:
        """L(N, D) [nats/token]; the last axis of `coefficients` holds the letters, the rest
        broadcasts against N and D."""
        ...

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(∂ ln L / ∂ ln N, ∂ ln L / ∂ ln D), broadcast as in `loss`."""
        ...

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """D at which models of N parameters reach `loss`; inf where none does."""
        ...

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """N* where C = κ·N·D with one κ for every N."""
        ...

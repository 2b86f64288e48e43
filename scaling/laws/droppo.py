"""Droppo and Elibol's law: a floor and two power laws joined inside a power.

    L(N, D) = [L_∞^(1/α) + (N_c/N)^(α_N/α) + (D_c/D)^(α_D/α)]^α        [nats/token]

Source: Droppo & Elibol 2021, arXiv:2106.09488, eq. 5. With α = 1 it is Chinchilla's law, with
L_∞ = 0 and α = α_D Kaplan's: how sharply a run passes from lacking parameters to lacking data is
fitted instead of chosen.

Coordinates: theta = (e, a, b, p, r, α), with p = α_N/α and r = α_D/α:

    ln L/s = α · ln(e + e^(a − p·x) + e^(b − r·y))

N_c and D_c are kept as logarithms: with a small exponent they are beyond what a double holds.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.formula import Formula
from scaling.laws.jets import Jet
from scaling.laws.numeric import stack_joined, take_logs
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT, SEARCH
from scaling.units import FloatArray

# Below .1 the transition is a kink that no run resolves; above 4 the law is nearly a product.
_SHARPNESS = (0.1, 4.0)


class Droppo(Formula):
    """The family; it has no state."""

    rugged = False
    name = "droppo"
    equation = "[L_inf^(1/alpha) + (N_c/N)^(alpha_N/alpha) + (D_c/D)^(alpha_D/alpha)]^alpha"
    parent = "chinchilla"
    scored = True
    words = LawWords(
        title="Droppo and Elibol's law",
        origin="Droppo & Elibol 2021, arXiv:2106.09488, eq. 5: size and data limit the loss "
        "jointly",
        beside="Droppo and Elibol's form",
    )
    param_names = ("L_inf", "ln_N_c", "ln_D_c", "alpha_N", "alpha_D", "alpha")
    theta_names = ("L_inf", "N_c", "D_c", "alpha_N/alpha", "alpha_D/alpha", "alpha")
    weights = (1, 2)
    exponents = (3, 4, 5)
    search = np.array([SEARCH, SEARCH, (0.2, 2.0)])
    lower = np.array([0.0, -30.0, -30.0, MIN_EXPONENT, MIN_EXPONENT, _SHARPNESS[0]])
    upper = np.array([math.exp(30.0), 30.0, 30.0, MAX_EXPONENT, MAX_EXPONENT, _SHARPNESS[1]])

    def evaluate(self, theta: list[Jet], axes: Axes) -> Jet:
        inner, a, b, p, r, alpha = theta
        return alpha * (inner + (a - p * axes.x).exp() + (b - r * axes.y).exp()).log()

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """See LawFamily: (L/s)^(1/α) is linear in e, e^a and e^b."""
        columns = np.ones((len(exponents), 3, axes.x.size))
        columns[:, 1] = np.exp(-exponents[:, :1] * axes.x)
        columns[:, 2] = np.exp(-exponents[:, 1:2] * axes.y)
        return Basis(columns=columns, power=exponents[:, 2:], offset=np.zeros((1, 1)))

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        parts = (linear[:, :1], take_logs(linear[:, 1:]), exponents)
        return self.hold(np.concatenate(parts, axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily: L_∞ = s·e^α, ln N_c = (a + ln s/α)/p + mean ln N, D_c likewise."""
        log_n, log_d, log_s = axes.centre
        inner, a, b, p, r, alpha = theta.T
        letters = (
            np.exp(log_s) * np.maximum(inner, 0.0) ** alpha,
            (a + log_s / alpha) / p + log_n,
            (b + log_s / alpha) / r + log_d,
            p * alpha,
            r * alpha,
            alpha,
        )
        return np.stack(letters, axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        log_n, log_d, log_s = axes.centre
        floor, log_n_c, log_d_c, alpha_n, alpha_d, alpha = coefficients.T
        p, r = alpha_n / alpha, alpha_d / alpha
        theta = (
            (floor * math.exp(-log_s)) ** (1.0 / alpha),
            (log_n_c - log_n) * p - log_s / alpha,
            (log_d_c - log_d) * r - log_s / alpha,
            p,
            r,
            alpha,
        )
        return self.hold(np.stack(theta, axis=1))

    def _find_loss(self, letters: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
        floor, log_n_c, log_d_c, alpha_n, alpha_d, alpha = letters
        with np.errstate(over="ignore"):  # draws at a bound may overflow far from the data
            by_params = np.exp((log_n_c - log_n) * alpha_n / alpha)
            by_tokens = np.exp((log_d_c - log_d) * alpha_d / alpha)
        return np.asarray((floor ** (1.0 / alpha) + by_params + by_tokens) ** alpha)

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """See Law: everything is inside the power."""
        floor, log_n_c, log_d_c, alpha_n, alpha_d, k = np.moveaxis(coefficients, -1, 0)
        p, r = alpha_n / k, alpha_d / k
        return stack_joined(0.0, floor ** (1.0 / k), p * log_n_c, p, r * log_d_c, r, k)


DROPPO = Droppo()

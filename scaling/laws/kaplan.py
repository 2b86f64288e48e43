"""Kaplan's law: a power law of two power laws, without a floor.

    L(N, D) = [(N_c / N)^(α_N / α_D) + D_c / D]^α_D        [nats/token]

Source: Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5.

Coordinates: theta = (a, b, α_N, α_D), where e^a and e^b are the limits of L/s for endless data and
for an endless model at the data's centre:

    ln L/s = α_D · ln(e^((a − α_N·x)/α_D) + e^((b − α_D·y)/α_D))

N_c and D_c are kept as logarithms: with a small exponent they are beyond what a double holds.
"""

from __future__ import annotations

import numpy as np

from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.formula import Formula
from scaling.laws.jets import Jet, add_exponentials
from scaling.laws.numeric import stack_joined, take_logs
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT, SEARCH
from scaling.units import FloatArray

_FAR = 300.0  # largest exponent: the square of its exponential is still finite


class Kaplan(Formula):
    """The family; it has no state."""

    rugged = False
    name = "kaplan"
    equation = "[(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D"
    scored = True
    words = LawWords(
        origin="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5: a power law of two power laws, "
        "without a floor",
        title="Kaplan's law",
        beside="Kaplan's form",
    )
    param_names = ("ln_N_c", "ln_D_c", "alpha_N", "alpha_D")
    theta_names = param_names
    weights = (0, 1)
    exponents = (2, 3)
    search = np.array([SEARCH, SEARCH])
    lower = np.array([-16.0, -16.0, MIN_EXPONENT, MIN_EXPONENT])
    upper = np.array([6.0, 6.0, MAX_EXPONENT, MAX_EXPONENT])

    def evaluate(self, theta: list[Jet], axes: Axes) -> Jet:
        a, b, alpha_n, alpha_d = theta
        return alpha_d * add_exponentials((a - alpha_n * axes.x) / alpha_d, b / alpha_d - axes.y)

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """See LawFamily: (L/s)^(1/α_D) = weight · e^(−x·α_N/α_D) + weight · e^(−y)."""
        columns = np.empty((len(exponents), 2, axes.x.size))
        rate = exponents[:, :1] / exponents[:, 1:]
        columns[:, 0] = np.exp(np.clip(-rate * axes.x, -_FAR, _FAR))
        columns[:, 1] = np.exp(-axes.y)
        return Basis(columns=columns, power=exponents[:, 1:], offset=np.zeros((1, 1)))

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        logs = take_logs(linear) * exponents[:, 1:]
        return self.hold(np.concatenate((logs, exponents), axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily: (N_c/N)^α_N is e^a·s at the centre, (D_c/D)^α_D is e^b·s."""
        log_n, log_d, log_s = axes.centre
        result = theta.copy()
        result[:, 0] = (theta[:, 0] + log_s) / theta[:, 2] + log_n
        result[:, 1] = (theta[:, 1] + log_s) / theta[:, 3] + log_d
        return result

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        log_n, log_d, log_s = axes.centre
        theta = coefficients.copy()
        theta[:, 0] = (coefficients[:, 0] - log_n) * coefficients[:, 2] - log_s
        theta[:, 1] = (coefficients[:, 1] - log_d) * coefficients[:, 3] - log_s
        return self.hold(theta)

    def _find_loss(self, letters: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
        log_n_c, log_d_c, alpha_n, alpha_d = letters
        by_params = (log_n_c - log_n) * alpha_n / alpha_d
        return np.asarray(np.exp(alpha_d * np.logaddexp(by_params, log_d_c - log_d)))

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """See LawFamily: (N_c/N)^p + D_c/D is least at N^(1+p) = p·N_c^p·C/(κ·D_c), p = α_N/α_D."""
        log_n_c, log_d_c, alpha_n, alpha_d = np.moveaxis(coefficients, -1, 0)
        p = alpha_n / alpha_d
        log_params = (np.log(p) + p * log_n_c - log_d_c + np.log(flops) - np.log(kappa)) / (1.0 + p)
        return np.asarray(np.exp(np.clip(log_params, -_FAR, _FAR)), dtype=np.float64)

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """See Law: N_c^p and D_c for A and B, p = α_N/α_D and 1 for the exponents, k = α_D."""
        log_n_c, log_d_c, alpha_n, alpha_d = np.moveaxis(coefficients, -1, 0)
        p = alpha_n / alpha_d
        return stack_joined(0.0, 0.0, p * log_n_c, p, log_d_c, 1.0, alpha_d)


KAPLAN = Kaplan()

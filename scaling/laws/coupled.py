"""The coupled law: Chinchilla's two power laws joined inside a power, above a floor.

    L(N, D) = E + (A / N^α + B / D^β)^k        [nats/token]

Source: arXiv:2608.07222. With k = 1 it is Chinchilla's law, with E = 0 and β = 1 Kaplan's; Droppo
and Elibol's has the floor inside the power. Along the frontier the excess over E falls as
C^(−k·αβ/(α+β)). Apart from that rate, k sets how sharply the loss passes from being limited by
parameters to being limited by data.

Coordinates: theta = (ε, a, b, α, β, k):

    L/s = ε + e^g,   g = k·S,   S = ln(e^(a − α·x) + e^(b − β·y))

At fixed (ε, α, β, k) the law is linear in e^a and e^b inside the power, so ε is searched too. Its
derivatives are written out: in Taylor arithmetic of six variables a refit takes ten times as long,
and a fit needs a thousand.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.laws.chinchilla import split_budget
from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.numeric import NumericAnswers, give_up_lost, stack_joined, take_logs
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT, SEARCH
from scaling.units import FloatArray

# Below .1 the transition is a kink that no run resolves; above 4 the law is nearly a product.
_COUPLING = (0.1, 4.0)
# A floor of a thousandth of the mean loss counts as none, and its logarithm can be searched.
_NO_FLOOR = 1e-3


class Coupled(NumericAnswers):
    """The family; it has no state."""

    has_frontier = True
    name = "coupled"
    equation = "E + (A/N^alpha + B/D^beta)^k"
    parent = "chinchilla"
    words = LawWords(
        origin="arXiv:2608.07222: the two amounts of Hoffmann et al. raised to one power together",
        title="the coupled law",
    )
    param_names = ("E", "A", "B", "alpha", "beta", "k")
    theta_names = param_names
    weights = (1, 2)
    floor = 0
    exponents = (0, 3, 4, 5)
    search = np.array([(0.05, 0.9), SEARCH, SEARCH, (0.2, 2.0)])
    lower = np.array([_NO_FLOOR, -30.0, -30.0, MIN_EXPONENT, MIN_EXPONENT, _COUPLING[0]])
    upper = np.array([math.exp(6.0), 30.0, 30.0, MAX_EXPONENT, MAX_EXPONENT, _COUPLING[1]])

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        with np.errstate(over="ignore", invalid="ignore"):
            power, slope, _ = _evaluate(theta, axes)
            excess = np.exp(power)
            loss = theta[:, :1] + excess
            value, gradient = np.log(loss), slope * (excess / loss)[:, None]
            gradient[:, 0] = 1.0 / loss
        give_up_lost(value, gradient)
        return value, gradient

    def curvature(
        self, theta: FloatArray, gradient: FloatArray, weight: FloatArray, axes: Axes
    ) -> FloatArray:
        """Curvature from ∇²L / L = e^g/L · (∇g ∇gᵀ + ∇²g); implements LawFamily."""
        with np.errstate(over="ignore", invalid="ignore"):
            power, slope, share = _evaluate(theta, axes)
            k = theta[:, 5:]
            weighted = weight / (1.0 + theta[:, :1] * np.exp(-power))
            result = (slope * weighted[:, None]) @ slope.transpose(0, 2, 1)
            # Hessian of S by a, b, α, β: share·(1 − share)·z zᵀ.
            z = np.stack((np.ones_like(axes.x), -np.ones_like(axes.x), -axes.x, axes.y))
            bend = (k * share * (1.0 - share) * weighted)[:, None] * z
            result[:, 1:5, 1:5] += bend @ z.T
            mixed = np.einsum("kpn,kn->kp", slope[:, 1:5], weighted) / k
            result[:, 1:5, 5] += mixed
            result[:, 5, 1:5] += mixed
        return np.asarray(np.nan_to_num(result, posinf=0.0, neginf=0.0), dtype=np.float64)

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """Basis of (L/s − ε)^(1/k), which is linear in e^a and e^b; implements LawFamily."""
        columns = np.empty((len(exponents), 2, axes.x.size))
        columns[:, 0] = np.exp(-exponents[:, 1:2] * axes.x)
        columns[:, 1] = np.exp(-exponents[:, 2:3] * axes.y)
        return Basis(columns=columns, power=exponents[:, 3:], offset=exponents[:, :1])

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        parts = (exponents[:, :1], take_logs(linear), exponents[:, 1:])
        return self.hold(np.concatenate(parts, axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """E = s·ε, A = s^(1/k)·exp(a + α·mean ln N), B likewise; implements LawFamily."""
        log_n, log_d, log_s = axes.centre
        floor, a, b, alpha, beta, k = theta.T
        letters = (
            floor * math.exp(log_s),
            np.exp(a + log_s / k + alpha * log_n),
            np.exp(b + log_s / k + beta * log_d),
            alpha,
            beta,
            k,
        )
        return np.stack(letters, axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        log_n, log_d, log_s = axes.centre
        floor, big_a, big_b, alpha, beta, k = coefficients.T
        theta = (
            floor * math.exp(-log_s),
            np.log(big_a) - log_s / k - alpha * log_n,
            np.log(big_b) - log_s / k - beta * log_d,
            alpha,
            beta,
            k,
        )
        return self.hold(np.stack(theta, axis=1))

    def _find_loss(self, letters: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
        floor, big_a, big_b, alpha, beta, k = letters
        by_params, by_tokens = np.log(big_a) - alpha * log_n, np.log(big_b) - beta * log_d
        with np.errstate(over="ignore"):  # draws at a bound may overflow far from the data
            return np.asarray(floor + np.exp(k * np.logaddexp(by_params, by_tokens)))

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """D = (B / ((L − E)^(1/k) − A/N^α))^(1/β); implements LawFamily."""
        floor, big_a, big_b, alpha, beta, k = np.moveaxis(coefficients, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            joined = np.maximum(loss - floor, 0.0) ** (1.0 / k)
            gap = joined - np.exp(np.log(big_a) - alpha * np.log(params))
            tokens = np.exp((np.log(big_b) - np.log(gap)) / beta)
        return np.where(gap > 0.0, tokens, np.inf)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """N* of Chinchilla's law, since L grows with the sum in the power; implements LawFamily."""
        _, big_a, big_b, alpha, beta, _ = np.moveaxis(coefficients, -1, 0)
        return split_budget(alpha, beta, big_a, big_b, np.log(flops) - np.log(kappa))

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """The JOINED parameters with G = 0; implements Law."""
        floor, big_a, big_b, alpha, beta, k = np.moveaxis(coefficients, -1, 0)
        return stack_joined(floor, 0.0, np.log(big_a), alpha, np.log(big_b), beta, k)


def _evaluate(theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(g, ∇g, e^(a − α·x − S)), shapes (K, n), (K, 6, n) and (K, n)."""
    _, a, b, alpha, beta, k = theta.T[:, :, None]
    by_params, by_tokens = a - alpha * axes.x, b - beta * axes.y
    total = np.logaddexp(by_params, by_tokens)
    share = np.exp(by_params - total)
    other = np.exp(by_tokens - total)
    slope = np.zeros((len(theta), 6, axes.x.size))
    slope[:, 1], slope[:, 2] = k * share, k * other
    slope[:, 3], slope[:, 4] = -axes.x * slope[:, 1], -axes.y * slope[:, 2]
    slope[:, 5] = total
    return k * total, slope, share


COUPLED = Coupled()

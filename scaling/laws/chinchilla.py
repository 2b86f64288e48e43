"""The Chinchilla law, Approach 3: a floor and two power laws.

    L(N, D) = E + A / N^α + B / D^β        [nats/token]

Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 2 and sec. D.2.

The optimiser's coordinates are theta = (ε, a, b, α, β) with s = exp(mean ln loss):

    L / s = ε + exp(a − α·x) + exp(b − β·y),   x = ln N − mean,  y = ln D − mean

Centring takes the correlation between a and α away (the raw ln A is an extrapolation to N = 1).
ε is linear, not a logarithm as in the published code: E = 0 is then an ordinary bound that an
active set can hold, where ln E → −∞ would creep along a vanishing gradient and look converged.
Within the bounds no exponential overflows (|a − α·x| < 3·40 for any N, D below e^40 apart), so no
maximum is subtracted before the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.laws.family import Axes
from scaling.units import FloatArray

# A term that contributes less than 1e-7 of the loss at the data's centre has vanished: it is a
# hundredth of the smallest residual scale that run tables show (Huber 1e-3, σ ≥ .1 %).
_LOG_VANISHED = math.log(1e-7)
# Published exponents of language models lie in .05 … .8 (Kaplan .076, misfitting .67). Below .01
# a term is flat over any run table and cannot be told from E; above 3 it is a step.
MIN_EXPONENT = 0.01
MAX_EXPONENT = 3.0
# Where a term has vanished its optimum runs away; 1e±100 is away, and its cube still a double.
_FAR = 230.0


@dataclass(frozen=True, slots=True)
class Chinchilla:
    """The family; it has no state."""

    @property
    def name(self) -> str:
        return "chinchilla"

    @property
    def param_names(self) -> tuple[str, ...]:
        return ("E", "A", "B", "alpha", "beta")

    @property
    def exponents(self) -> tuple[int, ...]:
        return (3, 4)

    @property
    def lower(self) -> FloatArray:
        return np.array([0.0, _LOG_VANISHED, _LOG_VANISHED, MIN_EXPONENT, MIN_EXPONENT])

    @property
    def upper(self) -> FloatArray:
        # Each of the three terms is positive, so none exceeds a loss by much; e^6 is room for
        # rows far from the centre, not a constraint that any fit meets.
        return np.array([math.exp(6.0), 6.0, 6.0, MAX_EXPONENT, MAX_EXPONENT])

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        """See LawFamily."""
        gradient = np.empty((len(theta), 5, axes.x.size))
        inverse, n_share, d_share = gradient[:, 0], gradient[:, 1], gradient[:, 2]
        np.multiply(theta[:, 3, None], axes.x, out=n_share)
        np.subtract(theta[:, 1, None], n_share, out=n_share)
        np.exp(n_share, out=n_share)
        np.multiply(theta[:, 4, None], axes.y, out=d_share)
        np.subtract(theta[:, 2, None], d_share, out=d_share)
        np.exp(d_share, out=d_share)
        np.add(n_share, d_share, out=inverse)
        inverse += theta[:, 0, None]
        log_loss = np.log(inverse)
        np.reciprocal(inverse, out=inverse)
        n_share *= inverse
        d_share *= inverse
        np.multiply(n_share, -axes.x, out=gradient[:, 3])
        np.multiply(d_share, -axes.y, out=gradient[:, 4])
        return log_loss, gradient

    def curvature(self, gradient: FloatArray, weight: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily. L is linear in ε; each power term brings a 2×2 block {1, −x, x²}."""
        hessian = np.zeros((len(gradient), 5, 5))
        for term, exponent, along in ((1, 3, axes.x), (2, 4, axes.y)):
            moments = (weight * gradient[:, term]) @ np.stack(
                (np.ones_like(along), -along, along**2), axis=1
            )
            hessian[:, term, term] = moments[:, 0]
            hessian[:, term, exponent] = hessian[:, exponent, term] = moments[:, 1]
            hessian[:, exponent, exponent] = moments[:, 2]
        return hessian

    def basis(self, exponents: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily: 1, e^(−α·x), e^(−β·y)."""
        columns = np.empty((len(exponents), 3, axes.x.size))
        columns[:, 0] = 1.0
        np.exp(-exponents[:, 0, None] * axes.x, out=columns[:, 1])
        np.exp(-exponents[:, 1, None] * axes.y, out=columns[:, 2])
        return columns

    def join(self, exponents: FloatArray, linear: FloatArray) -> FloatArray:
        """See LawFamily."""
        with np.errstate(divide="ignore"):  # a weight of 0 is a vanished term, clipped below
            logs = np.log(linear[:, 1:])
        theta = np.concatenate((linear[:, :1], logs, exponents), axis=1)
        clipped: FloatArray = np.clip(theta, self.lower, self.upper)
        return clipped

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily: E = s·ε, A = s·exp(a + α·mean ln N), B likewise."""
        log_n, log_d, log_s = axes.centre
        result = theta.copy()
        result[:, 0] = theta[:, 0] * math.exp(log_s)
        result[:, 1] = np.exp(theta[:, 1] + theta[:, 3] * log_n + log_s)
        result[:, 2] = np.exp(theta[:, 2] + theta[:, 4] * log_d + log_s)
        return result

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        """See LawFamily."""
        log_n, log_d, log_s = axes.centre
        theta = coefficients.copy()
        theta[:, 0] = coefficients[:, 0] * math.exp(-log_s)
        theta[:, 1] = np.log(coefficients[:, 1]) - coefficients[:, 3] * log_n - log_s
        theta[:, 2] = np.log(coefficients[:, 2]) - coefficients[:, 4] * log_d - log_s
        clipped: FloatArray = np.clip(theta, self.lower, self.upper)
        return clipped

    def loss(self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray) -> FloatArray:
        """See LawFamily."""
        n_term, d_term = _terms(coefficients, params, tokens)
        return np.asarray(coefficients[..., 0] + n_term + d_term, dtype=np.float64)

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """See LawFamily: (−α·A/N^α / L, −β·B/D^β / L)."""
        n_term, d_term = _terms(coefficients, params, tokens)
        loss = coefficients[..., 0] + n_term + d_term
        return -coefficients[..., 3] * n_term / loss, -coefficients[..., 4] * d_term / loss

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """See LawFamily: D = (B / (L − E − A/N^α))^(1/β)."""
        floor = coefficients[..., 0] + _power(coefficients[..., 1], coefficients[..., 3], params)
        gap = np.asarray(loss - floor, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            tokens = np.exp((np.log(coefficients[..., 2]) - np.log(gap)) / coefficients[..., 4])
        return np.where(gap > 0, tokens, np.inf)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """See LawFamily: N* = G·(C/κ)^(β/(α+β)), G = (αA / βB)^(1/(α+β)).

        Source: Hoffmann et al. 2022, eq. 4.
        """
        alpha, beta = coefficients[..., 3], coefficients[..., 4]
        log_g = np.log(alpha * coefficients[..., 1]) - np.log(beta * coefficients[..., 2])
        log_params = (log_g + beta * (np.log(flops) - np.log(kappa))) / (alpha + beta)
        return np.asarray(np.exp(np.clip(log_params, -_FAR, _FAR)), dtype=np.float64)


def _power(scale: FloatArray, exponent: FloatArray, count: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.log(scale) - exponent * np.log(count)), dtype=np.float64)


def _terms(
    coefficients: FloatArray, params: FloatArray, tokens: FloatArray
) -> tuple[FloatArray, FloatArray]:
    n_term = _power(coefficients[..., 1], coefficients[..., 3], params)
    return n_term, _power(coefficients[..., 2], coefficients[..., 4], tokens)


CHINCHILLA = Chinchilla()

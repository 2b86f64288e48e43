"""The data-constrained law: repeated tokens, and parameters beyond what the unique ones can feed,
are worth less and less.

    L(N, D, U) = E + A / N'^α + B / D'^β                          [nats/token]
    D' = U_D + U_D·R_D·(1 − e^(−(D/U_D − 1)/R_D)),   U_D = min(D, U)
    N' = U_N + U_N·R_N·(1 − e^(−(N/U_N − 1)/R_N)),   U_N = min(N, N*(U_D))
    N*(U_D) = G·(G·U_D)^(β/α),   G = (αA / βB)^(1/(α+β)):  the size that is best for U_D tokens

Source: Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 and appendix A; N* for given data follows
from Hoffmann et al. 2022, eq. 4. Without U every token counts as unique, and N' = N where the
model is not larger than its data can feed.

Coordinates: theta = (ε, b, α, β, R_D, R_N, γ) with γ = ln N*(at the data's mean ln D) − mean ln N
shifted to be positive, so that at fixed (α, β, R_D, R_N, γ) the law is linear in (ε, e^b):
αA/N*^α = βB/D^β ties A to B.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.formula import Formula
from scaling.laws.jets import Jet
from scaling.laws.numeric import stack_joined, take_logs
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT, SEARCH
from scaling.units import FloatArray

# R is a number of epochs: below .1 the second epoch is worth nothing; above 1000 no run table can
# tell repeats from new data.
_EPOCHS = (0.1, 1000.0)
Number: TypeAlias = Any  # a Jet, or an array: the law is written once for both

# γ + _SHIFT is searched as a positive coordinate: N* within e^±15 of the data's centre.
_SHIFT = 16.0


class DataConstrained(Formula):
    """The family.

    Args:
        base: (E, A, B, α, β) held at published values, so that only R_D and R_N are fitted; None:
            all seven.
    """

    needs_repeats = True
    words = LawWords(
        origin="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5: repeated data is worth less with "
        "every pass"
    )

    def __init__(self, base: tuple[float, float, float, float, float] | None = None) -> None:
        self._base = base
        self.name = "data_constrained" if base is None else "data_constrained_base"
        self.equation = "E + A/N'^alpha + B/D'^beta, N' and D' saturating with epochs"
        self.parent = "chinchilla"
        decay = np.array([_EPOCHS, _EPOCHS])
        if base is not None:
            self.param_names = self.theta_names = ("R_D", "R_N")
            self.exponents = (0, 1)
            self.search, self.floor = decay, None
            self.lower, self.upper = decay.T
            return
        self.param_names = ("E", "A", "B", "alpha", "beta", "R_D", "R_N")
        self.theta_names = ("E", "B", "alpha", "beta", "R_D", "R_N", "N* of the data")
        self.loss_letters = ("E", "A", "B")
        self.weights = (1,)
        self.floor = 0
        self.exponents = (2, 3, 4, 5, 6)
        self.search = np.array([SEARCH, SEARCH, *decay, (_SHIFT - 8.0, _SHIFT + 8.0)])
        self.lower = np.array([0.0, -16.0, MIN_EXPONENT, MIN_EXPONENT, *decay[:, 0], 1.0])
        self.upper = np.array(
            [math.exp(6.0), 6.0, MAX_EXPONENT, MAX_EXPONENT, *decay[:, 1], 2 * _SHIFT - 1.0]
        )

    def evaluate(self, theta: list[Jet], axes: Axes) -> Jet:
        if self._base is not None:
            held: Jet = self._log_held(theta[0], theta[1], axes)
            return held
        floor, b, alpha, beta, r_d, r_n, gamma = theta
        gamma = gamma - _SHIFT
        a = b + beta.log() - alpha.log() + alpha * gamma  # αA/N*^α = βB/D^β at the centre
        log_d, log_n = _effective(axes, alpha, beta, r_d, r_n, gamma)
        result: Jet = (floor + _exp(a - alpha * log_n) + _exp(b - beta * log_d)).log()
        return result

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """See LawFamily; a held base has no weight of its own."""
        one = np.ones((len(exponents), 1))
        if self._base is not None:
            r_d, r_n = exponents.T[:, :, None]
            whole = np.exp(self._log_held(r_d, r_n, axes))
            none = np.empty((len(exponents), 0, axes.x.size))
            return Basis(columns=none, power=one, offset=whole)
        alpha, beta, r_d, r_n, gamma = exponents.T[:, :, None]
        gamma = gamma - _SHIFT
        log_d, log_n = _effective(axes, alpha, beta, r_d, r_n, gamma)
        columns = np.ones((len(exponents), 2, axes.x.size))
        ratio = np.log(beta / alpha) + alpha * gamma
        columns[:, 1] = np.exp(ratio - alpha * log_n) + np.exp(-beta * log_d)
        return Basis(columns=columns, power=one, offset=np.zeros((1, 1)))

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        if self._base is not None:
            return self.hold(exponents)
        parts = (linear[:, :1], take_logs(linear[:, 1:]), exponents)
        return self.hold(np.concatenate(parts, axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        if self._base is not None:
            return theta.copy()
        log_n, log_d, log_s = axes.centre
        floor, b, alpha, beta, r_d, r_n, gamma = theta.T
        a = b + np.log(beta / alpha) + alpha * (gamma - _SHIFT)
        letters = (
            floor * math.exp(log_s),
            np.exp(a + alpha * log_n + log_s),
            np.exp(b + beta * log_d + log_s),
            alpha,
            beta,
            r_d,
            r_n,
        )
        return np.stack(letters, axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        if self._base is not None:
            return self.hold(coefficients)
        log_n, log_d, log_s = axes.centre
        floor, big_a, big_b, alpha, beta, r_d, r_n = coefficients.T
        a = np.log(big_a) - alpha * log_n - log_s
        b = np.log(big_b) - beta * log_d - log_s
        gamma = (a - b - np.log(beta / alpha)) / alpha + _SHIFT
        theta = np.stack((floor * math.exp(-log_s), b, alpha, beta, r_d, r_n, gamma), axis=1)
        return self.hold(theta)

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        if self._base is None:
            floor, big_a, big_b, alpha, beta, r_d, r_n = np.moveaxis(coefficients, -1, 0)
        else:
            floor, big_a, big_b, alpha, beta = (np.asarray(value) for value in self._base)
            r_d, r_n = np.moveaxis(coefficients, -1, 0)
        log_d = np.log(tokens)
        unique = log_d if unique_tokens is None else np.minimum(np.log(unique_tokens), log_d)
        gamma = (np.log(alpha * big_a) - np.log(beta * big_b)) / alpha
        fed = gamma + beta / alpha * unique
        log_d, log_n = _saturate(np.log(params), log_d, unique, fed, r_d, r_n)
        n_term = np.exp(np.log(big_a) - alpha * log_n)
        return np.asarray(floor + n_term + np.exp(np.log(big_b) - beta * log_d), dtype=np.float64)

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """See Law: R_D and R_N are its own."""
        letters = coefficients
        if self._base is not None:
            base = np.broadcast_to(self._base, (*coefficients.shape[:-1], 5))
            letters = np.concatenate((base, coefficients), axis=-1)
        floor, big_a, big_b, alpha, beta, r_d, r_n = np.moveaxis(letters, -1, 0)
        log_a, log_b = np.log(big_a), np.log(big_b)
        return stack_joined(floor, 0.0, log_a, alpha, log_b, beta, 1.0, r_d, r_n)

    def _log_held(self, r_d: Number, r_n: Number, axes: Axes) -> Number:
        """ln L − centre[2] of the held base."""
        assert self._base is not None
        floor, big_a, big_b, alpha, beta = self._base
        log_n, log_d, log_s = axes.centre
        a = math.log(big_a) - alpha * log_n - log_s
        b = math.log(big_b) - beta * log_d - log_s
        gamma = (a - b - math.log(beta / alpha)) / alpha
        data, model = _effective(axes, alpha, beta, r_d, r_n, gamma)
        terms = _exp(a - alpha * model) + _exp(b - beta * data)
        return _log(floor * math.exp(-log_s) + terms)


def _effective(
    axes: Axes, alpha: Number, beta: Number, r_d: Number, r_n: Number, gamma: Number
) -> tuple[Number, Number]:
    """(ln D', ln N'), centred, of numbers, arrays or Jets."""
    unique = axes.y
    if axes.log_unique is not None:
        unique = np.minimum(axes.y, axes.log_unique - axes.centre[1])
    return _saturate(axes.x, axes.y, unique, gamma + (beta / alpha) * unique, r_d, r_n)


def _saturate(
    log_n: FloatArray, log_d: FloatArray, unique: FloatArray, fed: Number, r_d: Number, r_n: Number
) -> tuple[Number, Number]:
    """(ln D', ln N') from ln N, ln D, ln U_D and ln N*(U_D)."""
    d_epochs = np.exp(log_d - unique) - 1.0
    data = unique + _log(1.0 + r_d * (1.0 - _exp(-d_epochs / r_d)))
    excess = log_n - fed
    over = (excess.value if isinstance(excess, Jet) else excess) > 0.0
    if isinstance(excess, Jet):
        excess = excess.where(over, excess * 0.0)
        base = fed.where(over, fed * 0.0 + log_n)
    else:
        excess, base = np.where(over, excess, 0.0), np.where(over, fed, log_n)
    n_epochs = _exp(excess) - 1.0
    return data, base + _log(1.0 + r_n * (1.0 - _exp(-n_epochs / r_n)))


def _exp(value: Number) -> Number:
    return value.exp() if isinstance(value, Jet) else np.exp(value)


def _log(value: Number) -> Number:
    return value.log() if isinstance(value, Jet) else np.log(value)


DATA_CONSTRAINED = DataConstrained()

"""Laws that are sums of power laws, as a list of terms.

    L = E + Σ_j W_j · Π_k q_k^(−e_k)        [nats/token],   q_k one of N, D or N·D

The optimiser's coordinates are theta = (ε, w_1 … w_m, e_1 … e_q) with s = exp(mean ln loss):

    L / s = ε + Σ_j exp(w_j − Σ_k e_k·z_k),   z_k = ln q_k − mean

Centring removes the correlation between w and e (the raw ln A is an extrapolation to N = 1).
ε is linear, not a logarithm as in published code: E = 0 is then an ordinary bound that an active
set can hold, whereas ln E → −∞ would creep along a vanishing gradient and look converged. Within
the bounds no exponential overflows (|w − e·z| < 3·80 for any N, D below e^40 apart), so no maximum
is subtracted before the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.laws.family import Axes, Basis, LawWords
from scaling.laws.numeric import NumericAnswers, take_logs
from scaling.units import FloatArray

Quantity = Literal["N", "D", "ND"]

# A term that contributes less than 1e-7 of the loss at the data's centre has vanished: run tables
# show no residual scale anywhere near it (Huber 1e-3, σ ≥ .1 %).
_LOG_VANISHED = math.log(1e-7)
# Published exponents of language models lie in .05 … .8 (Kaplan .076, misfitting .67). Below .01
# a term is flat over any run table and cannot be told from E; above 3 it is a step.
MIN_EXPONENT = 0.01
MAX_EXPONENT = 3.0
# The search reaches well past both ends of the published exponents.
SEARCH = (0.03, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One power law.

    Attributes:
        letter: Name of its weight.
        factors: Pairs of an exponent's parameter and its base (N, D or N·D), each once.
        group: The recipe whose rows it applies to; None: every row.
    """

    letter: str
    factors: tuple[tuple[str, Quantity], ...]
    group: int | None = None


class PowerSum(NumericAnswers):
    """A family that is a sum of power laws.

    Args:
        name, equation, parent: As in LawFamily.
        terms: Its power laws.
        floor: "fitted", or the value [nats/token] at which E is held.
        words, scored: As in LawFamily.
    """

    def __init__(
        self,
        name: str,
        *,
        equation: str,
        terms: tuple[Term, ...],
        parent: str | None = None,
        floor: Literal["fitted"] | float = "fitted",
        words: LawWords | None = None,
        scored: bool = False,
    ) -> None:
        self.words, self.scored = words or LawWords(), scored
        self.name, self.equation, self.parent, self._terms = name, equation, parent, terms
        letters = [letter for term in terms for letter, _ in term.factors]
        exponents = tuple(dict.fromkeys(letters))
        self._held_floor = 0.0 if floor == "fitted" else float(floor)
        fitted = ("E",) if floor == "fitted" else ()
        self.floor = 0 if fitted else None
        self.param_names = (*fitted, *(term.letter for term in terms), *exponents)
        self.theta_names = self.param_names
        self.loss_letters = (*fitted, *(term.letter for term in terms))
        self._first = len(fitted)
        self.weights = tuple(range(self._first, self._first + len(terms)))
        after = self._first + len(terms)
        self.exponents = tuple(range(after, after + len(exponents)))
        self.search = np.array([SEARCH] * len(exponents))
        self._at = {letter: after + at for at, letter in enumerate(exponents)}
        quantities = {what for term in terms for _, what in term.factors}
        self.has_frontier = {"N", "D"} <= quantities
        # Each term of the sum is positive, so none exceeds the loss by much; e^6 allows for rows
        # far from the centre and constrains no fit.
        count = len(terms)
        self.lower = np.array(
            [0.0] * len(fitted) + [_LOG_VANISHED] * count + [MIN_EXPONENT] * len(exponents)
        )
        self.upper = np.array(
            [math.exp(6.0)] * len(fitted) + [6.0] * count + [MAX_EXPONENT] * len(exponents)
        )

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        """Implements LawFamily; each term is computed where its share L_j / L will be stored."""
        gradient = np.empty((len(theta), len(self.param_names), axes.x.size))
        total = np.zeros((len(theta), axes.x.size))
        for at, term in enumerate(self._terms, start=self._first):
            share = gradient[:, at]
            share[:] = theta[:, at, None]
            for letter, what in term.factors:
                share -= theta[:, self._at[letter], None] * _coordinate(axes, what)
            np.exp(share, out=share)
            if term.group is not None and axes.group is not None:
                share *= axes.group == term.group
            total += share
        total += self._floor(theta, axes)[:, None]
        log_loss = np.log(total)
        np.reciprocal(total, out=total)
        if self.floor is not None:
            gradient[:, 0] = total
        gradient[:, self._first : self._first + len(self._terms)] *= total[:, None]
        seen: set[str] = set()
        for at, term in enumerate(self._terms, start=self._first):
            for letter, what in term.factors:
                slot = gradient[:, self._at[letter]]
                if letter in seen:
                    slot -= gradient[:, at] * _coordinate(axes, what)
                else:
                    np.multiply(gradient[:, at], -_coordinate(axes, what), out=slot)
                seen.add(letter)
        return log_loss, gradient

    def curvature(
        self, theta: FloatArray, gradient: FloatArray, weight: FloatArray, axes: Axes
    ) -> FloatArray:
        """L is linear in ε; a term contributes Σ share · (1, −z)(1, −z)ᵀ. Implements LawFamily."""
        count = len(self.param_names)
        hessian = np.zeros((len(gradient), count, count))
        for at, term in enumerate(self._terms, start=self._first):
            where = [at, *(self._at[letter] for letter, _ in term.factors)]
            slopes = [np.ones_like(axes.x), *(-_coordinate(axes, what) for _, what in term.factors)]
            size = len(where)
            pairs = [(row, column) for row in range(size) for column in range(row, size)]
            products = np.stack([slopes[row] * slopes[column] for row, column in pairs], axis=1)
            moments = (weight * gradient[:, at]) @ products
            for index, (row, column) in enumerate(pairs):
                hessian[:, where[row], where[column]] += moments[:, index]
                if row != column:
                    hessian[:, where[column], where[row]] += moments[:, index]
        return hessian

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """Basis with the columns 1, e^(−α·x), e^(−β·y) and so on; implements LawFamily."""
        columns = np.ones((len(exponents), self._first + len(self._terms), axes.x.size))
        first = self.exponents[0]
        for at, term in enumerate(self._terms, start=self._first):
            for letter, what in term.factors:
                rate = exponents[:, self._at[letter] - first, None]
                columns[:, at] *= np.exp(-rate * _coordinate(axes, what))
            if term.group is not None and axes.group is not None:
                columns[:, at] *= axes.group == term.group
        offset = np.full((1, 1), 0.0 if self.floor is not None else self._held(axes))
        return Basis(columns=columns, power=np.ones((len(exponents), 1)), offset=offset)

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        parts = (linear[:, : self._first], take_logs(linear[:, self._first :]), exponents)
        return self.hold(np.concatenate(parts, axis=1))

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """E = s·ε, A = s·exp(a + α·mean ln N), others likewise; implements LawFamily."""
        result = theta.copy()
        result[:, : self._first] = theta[:, : self._first] * math.exp(axes.centre[2])
        for at in range(self._first, self._first + len(self._terms)):
            result[:, at] = np.exp(theta[:, at] + self._shift(theta, at, axes))
        return result

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        theta = coefficients.copy()
        theta[:, : self._first] = coefficients[:, : self._first] * math.exp(-axes.centre[2])
        for at in range(self._first, self._first + len(self._terms)):
            theta[:, at] = np.log(coefficients[:, at]) - self._shift(coefficients, at, axes)
        return self.hold(theta)

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        log_n, log_d = np.log(params), np.log(tokens)
        total = self._floor_value(coefficients)
        for at in range(len(self._terms)):
            total = total + self._value(coefficients, at, log_n, log_d)
        return np.asarray(total, dtype=np.float64)

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(−Σ e·L_j over the terms with N, likewise with D) / L; implements LawFamily."""
        log_n, log_d = np.log(params), np.log(tokens)
        loss = self.loss(coefficients, params, tokens)
        along = {"N": np.zeros_like(loss), "D": np.zeros_like(loss)}
        for at, term in enumerate(self._terms):
            value = self._value(coefficients, at, log_n, log_d)
            for letter, what in term.factors:
                for name in what:
                    along[name] = along[name] - coefficients[..., self._at[letter]] * value
        return along["N"] / loss, along["D"] / loss

    def _floor(self, theta: FloatArray, axes: Axes) -> FloatArray:
        if self.floor is not None:
            return theta[:, 0]
        return np.full(len(theta), self._held(axes))

    def _held(self, axes: Axes) -> float:
        """The held floor divided by s."""
        return self._held_floor * math.exp(-axes.centre[2])

    def _floor_value(self, coefficients: FloatArray) -> FloatArray | float:
        return coefficients[..., 0] if self.floor is not None else self._held_floor

    def _value(
        self, coefficients: FloatArray, at: int, log_n: FloatArray, log_d: FloatArray
    ) -> FloatArray:
        """Term `at` [nats/token]."""
        power = np.log(coefficients[..., self._first + at])
        for letter, what in self._terms[at].factors:
            for name in what:
                power = power - coefficients[..., self._at[letter]] * (
                    log_n if name == "N" else log_d
                )
        return np.asarray(np.exp(power), dtype=np.float64)

    def _shift(self, values: FloatArray, at: int, axes: Axes) -> FloatArray:
        """ln of the ratio of a weight at the origin to its value at the data's centre."""
        log_n, log_d, log_s = axes.centre
        centre = {"N": log_n, "D": log_d, "ND": log_n + log_d}
        shift = np.full(len(values), log_s)
        for letter, what in self._terms[at - self._first].factors:
            shift += values[:, self._at[letter]] * centre[what]
        return shift


def _coordinate(axes: Axes, what: Quantity) -> FloatArray:
    return axes.x if what == "N" else axes.y if what == "D" else axes.x + axes.y

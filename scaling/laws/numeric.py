"""Numerical answers for every law, by evaluating it; laws with closed forms override them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scaling.laws.family import LawWords
from scaling.laws.searching import find_crossing, find_lowest
from scaling.units import FloatArray

_STEP = 1e-5  # step in ln N and ln D: central differences give an elasticity to 1e-9
LARGEST = 40.0 * math.log(10.0)  # the largest ln D that is tried
_HALVINGS = 42  # bisections of ninety e-folds of D: to 2e-11 of one
_REACH = 10.0 * math.log(10.0)
_POINTS, _ZOOMS = (41, 41), 4  # from ten decades either side down to 1e-5 in ln N
_LOST = 1e3  # ln L/s that stands for a point at which the formula overflows


def take_logs(weights: FloatArray) -> FloatArray:
    """ln of weights; −∞ for a vanished term, to be clipped to its bound."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights))


def give_up_lost(log_loss: FloatArray, gradient: FloatArray) -> None:
    """Mark points where a step overshot to where the formula has no value: infinite loss, zero
    gradient. Writes log_loss, shape (K, n), and gradient, (K, p, n), in place."""
    lost = ~(np.isfinite(log_loss).all(axis=1) & np.isfinite(gradient).all(axis=(1, 2)))
    log_loss[lost], gradient[lost] = _LOST, 0.0


def stack_joined(*letters: FloatArray | float) -> FloatArray:
    """Stack the parameters of JOINED, shape (..., 9); R_D and R_N default to infinity."""
    each = (*letters, math.inf, math.inf)[:9]
    return np.stack(np.broadcast_arrays(*each), axis=-1).astype(np.float64)


class NumericAnswers:
    """Mixin of a LawFamily; needs `_find_loss` or `loss`, and `hold` the bounds."""

    lower: FloatArray
    upper: FloatArray
    loss_letters: tuple[str, ...] | None = None
    words = LawWords()
    scored = False

    def hold(self, theta: FloatArray) -> FloatArray:
        """theta within the bounds, shape (K, p)."""
        held: FloatArray = np.clip(theta, self.lower, self.upper)
        return held

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """None: the law has another form; implements Law."""
        return None

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        """The loss of a law that does not model repeated tokens; implements LawFamily."""
        last = coefficients.ndim - 1  # np.moveaxis takes twenty times as long
        letters = coefficients.transpose(last, *range(last))
        loss = self._find_loss(letters, np.log(params), np.log(tokens))
        return np.asarray(loss, dtype=np.float64)

    def _find_loss(self, letters: FloatArray, log_n: FloatArray, log_d: FloatArray) -> FloatArray:
        """L [nats/token] from the parameters along the first axis."""
        raise NotImplementedError

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Elasticities by central differences; implements LawFamily."""
        up, down = math.exp(_STEP), math.exp(-_STEP)

        def slope(high: FloatArray, low: FloatArray) -> FloatArray:
            return np.asarray((np.log(high) - np.log(low)) / (2.0 * _STEP), dtype=np.float64)

        by_params = slope(
            self.loss(coefficients, params * up, tokens),
            self.loss(coefficients, params * down, tokens),
        )
        by_tokens = slope(
            self.loss(coefficients, params, tokens * up),
            self.loss(coefficients, params, tokens * down),
        )
        return by_params, by_tokens

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """D by a search, since L falls with D; implements LawFamily."""
        shape = np.broadcast_shapes(coefficients.shape[:-1], np.shape(params), np.shape(loss))
        wide, n = coefficients[..., None, :], np.broadcast_to(params, shape)[..., None]
        wanted = np.broadcast_to(loss, shape)[..., None]

        def is_enough(log_tokens: FloatArray) -> NDArray[np.bool_]:
            return np.less_equal(self.loss(wide, n, np.exp(log_tokens)), wanted)

        high = np.full(shape, LARGEST)
        found = find_crossing(is_enough, 0.0 * high, high, halvings=_HALVINGS, at_once=True)
        return np.where(is_enough(high[..., None])[..., 0], np.exp(found), np.inf)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """N* by a search around √(C/κ), one token per parameter; implements LawFamily."""
        budget = np.log(flops) - np.log(kappa)
        shape = np.broadcast_shapes(coefficients.shape[:-1], np.shape(budget))
        log_c = np.broadcast_to(budget, shape)[..., None]
        wide = coefficients[..., None, :]
        found = find_lowest(
            lambda log_n: self.loss(wide, np.exp(log_n), np.exp(log_c - log_n)),
            np.broadcast_to(0.5 * budget, shape),
            reach=_REACH,
            points=_POINTS,
            zooms=_ZOOMS,
        )
        return np.asarray(np.exp(found), dtype=np.float64)

"""The over-training law: loss as a power of compute, scaled by tokens per parameter M = D/N.

    L(C, M) = E + (a·M^η + b·M^−η) · C^−η        [nats/token],   C = 6·N·D

Source: Gadre et al. 2024, arXiv:2403.08540, eq. 4. With C = 6·N·D it is Chinchilla's law with tied
exponents in other parameters, and is fitted as that:

    C^−η·M^η = 6^−η·N^−2η,   C^−η·M^−η = 6^−η·D^−2η,   so α = 2η, A = a·6^−η, B = b·6^−η
"""

from __future__ import annotations

import numpy as np

from scaling.laws.chinchilla import TIED, Chinchilla
from scaling.laws.family import Axes, LawWords
from scaling.sweep.counting import FLOPS_PER_PARAM_TOKEN
from scaling.units import FloatArray


class OverTraining(Chinchilla):
    """The tied law under the parameters E, a, b, eta."""

    def __init__(self) -> None:
        equation = "E + (a*M^eta + b*M^-eta)*C^-eta, M = D/N, C = 6*N*D"
        words = LawWords(
            origin="Gadre et al. 2024, arXiv:2403.08540, eq. 4: a power law of compute at each "
            "ratio of tokens to parameters, of one exponent"
        )
        super().__init__("over_training", equation=equation, tied=True, words=words)
        self.param_names = ("E", "a", "b", "eta")
        self.loss_letters = ("E", "a", "b")

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        floor, big_a, big_b, alpha = super().to_coefficients(theta, axes).T
        root = FLOPS_PER_PARAM_TOKEN ** (alpha / 2.0)
        return np.stack((floor, big_a * root, big_b * root, alpha / 2.0), axis=1)

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        return super().to_theta(_to_tied(coefficients), axes)

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        return TIED.loss(_to_tied(coefficients), params, tokens)

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return TIED.loss_elasticity(_to_tied(coefficients), params, tokens)

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        return TIED.tokens_for_loss(_to_tied(coefficients), params, loss)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        return TIED.optimal_params(_to_tied(coefficients), flops, kappa)

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        return TIED.join_powers(_to_tied(coefficients))


def _to_tied(coefficients: FloatArray) -> FloatArray:
    """(E, a, b, η) as (E, A, B, α)."""
    floor, a, b, eta = np.moveaxis(coefficients, -1, 0)
    root = FLOPS_PER_PARAM_TOKEN**-eta
    return np.stack((floor, a * root, b * root, 2.0 * eta), axis=-1)


OVER_TRAINING = OverTraining()

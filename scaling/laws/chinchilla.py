"""The Chinchilla law, Approach 3: a floor and two power laws; and the same with parts held.

    L(N, D) = E + A / N^α + B / D^β        [nats/token]

Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 2 and sec. D.2. Tied exponents, α = β: the
data-constrained study, Muennighoff et al. 2023, arXiv:2305.16264, whose published constants have
α = β; Gadre et al. 2024, arXiv:2403.08540, eq. 4, writes it as E + (a·M^η + b·M^−η)·C^−η with
M = D/N, which under C = 6ND is the tied law with η = α/2.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from scaling.laws.family import LawWords
from scaling.laws.numeric import stack_joined
from scaling.laws.power_sum import PowerSum, Term
from scaling.units import FloatArray

# If a term has vanished, the optimum runs off; it is clipped at 1e±100, whose cube is still finite.
_FAR = 230.0


def split_budget(
    alpha: FloatArray, beta: FloatArray, a: FloatArray, b: FloatArray, log_budget: FloatArray
) -> FloatArray:
    """N* = G·(C/κ)^(β/(α+β)), G = (αA / βB)^(1/(α+β)), from ln C/κ.

    Source: Hoffmann et al. 2022, eq. 4.
    """
    log_g = np.log(alpha * a) - np.log(beta * b)
    log_params = (log_g + beta * log_budget) / (alpha + beta)
    return np.asarray(np.exp(np.clip(log_params, -_FAR, _FAR)), dtype=np.float64)


class Chinchilla(PowerSum):
    """E + A/N^α + B/D^β with its closed forms; β may be α, E may be held."""

    def __init__(
        self,
        name: str,
        *,
        equation: str,
        parent: str | None = None,
        tied: bool = False,
        floor: Literal["fitted"] | float = "fitted",
        words: LawWords | None = None,
        scored: bool = False,
    ) -> None:
        by_tokens = "alpha" if tied else "beta"
        terms = (
            Term(letter="A", factors=(("alpha", "N"),)),
            Term(letter="B", factors=((by_tokens, "D"),)),
        )
        super().__init__(
            name, equation=equation, terms=terms, parent=parent, floor=floor, words=words,
            scored=scored,
        )  # fmt: skip

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """See LawFamily: D = (B / (L − E − A/N^α))^(1/β)."""
        scale, beta = coefficients[..., self._first + 1], coefficients[..., self._at_tokens]
        n_term = self._value(coefficients, 0, np.log(params), np.zeros(()))
        gap = np.asarray(loss - self._floor_value(coefficients) - n_term, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            tokens = np.exp((np.log(scale) - np.log(gap)) / beta)
        return np.where(gap > 0, tokens, np.inf)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """See LawFamily and split_budget."""
        alpha, beta = coefficients[..., self._at["alpha"]], coefficients[..., self._at_tokens]
        a, b = coefficients[..., self._first], coefficients[..., self._first + 1]
        return split_budget(alpha, beta, a, b, np.log(flops) - np.log(kappa))

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """See Law: G = 0 and k = 1."""
        log_a, log_b = (np.log(coefficients[..., self._first + at]) for at in (0, 1))
        alpha, beta = coefficients[..., self._at["alpha"]], coefficients[..., self._at_tokens]
        return stack_joined(self._floor_value(coefficients), 0.0, log_a, alpha, log_b, beta, 1.0)

    @property
    def _at_tokens(self) -> int:
        return self._at.get("beta", self._at["alpha"])


_SOURCE = "Hoffmann et al. 2022, arXiv:2203.15556, eq. 2"
CHINCHILLA = Chinchilla(
    "chinchilla",
    equation="E + A/N^alpha + B/D^beta",
    parent="tied",
    scored=True,
    words=LawWords(
        title="Chinchilla's law",
        origin=f"{_SOURCE}: finite size and finite data cost separate amounts, each a power law",
        beside="E + A/N^alpha + B/D^beta",
    ),
)
TIED = Chinchilla(
    "tied",
    equation="E + A/N^alpha + B/D^alpha",
    tied=True,
    scored=True,
    words=LawWords(
        title="Chinchilla's law with equal exponents",
        origin=f"{_SOURCE}, with one exponent for both: N* and D* grow alike",
        beside="equal exponents for size and data",
    ),
)
NO_FLOOR = Chinchilla(
    "no_floor",
    equation="A/N^alpha + B/D^beta",
    floor=0.0,
    scored=True,
    words=LawWords(
        origin=f"{_SOURCE}, with E = 0: the loss falls to 0",
        beside="no floor E",
    ),
)


def hold_floor(floor: float) -> Chinchilla:
    """The law with E held at a value [nats/token], e.g. one that is known or published."""
    name, equation = f"floor:{floor!r}", f"{floor!r} + A/N^alpha + B/D^beta"
    words = LawWords(origin=f"{_SOURCE}, with E held at the stated value")
    return Chinchilla(name, equation=equation, parent="no_floor", floor=floor, words=words)

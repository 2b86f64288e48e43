"""A law for a limited stock of unique tokens: training beyond the stock repeats it.

    L(N, D) = law(N, D, U),   U the stock

The compute-optimal split of a budget then weighs epochs against parameters.
Source: Muennighoff et al. 2023, arXiv:2305.16264, sec. 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.laws.family import Law
from scaling.laws.numeric import NumericAnswers
from scaling.units import FloatArray


@dataclass(frozen=True, slots=True)
class Limited(NumericAnswers):
    """A law limited to a stock of unique tokens.

    Attributes:
        law: A law that models repeated tokens.
        stock: Number of unique tokens.
    """

    law: Law
    stock: float

    @property
    def name(self) -> str:
        return self.law.name

    @property
    def equation(self) -> str:
        return self.law.equation

    @property
    def param_names(self) -> tuple[str, ...]:
        return self.law.param_names

    @property
    def has_frontier(self) -> bool:
        return self.law.has_frontier

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        """Implements Law; U defaults to the stock."""
        unique = np.asarray(self.stock) if unique_tokens is None else unique_tokens
        return self.law.loss(coefficients, params, tokens, unique)

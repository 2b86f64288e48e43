"""A forecast by several laws at once, weighted by their errors on held-out runs.

    ln L(N, D) = Σ_i w_i · ln L_i(N, D),   Σ w_i = 1

The members are fixed in advance: Chinchilla's law, its simpler parent (tied exponents), its
extension (the coupled law) and the opposite extreme, Kaplan's law without a floor. Each is fitted
to all runs and to those with at least four tokens per parameter. Chinchilla's law over-predicts
most expensive runs and a floorless law under-predicts them; if held-out runs cannot tell the two
apart, neither deserves all the weight. Averaging forecasts of which none is surely best:
Bates & Granger 1969, doi:10.1057/jors.1969.103. fitting/ensemble finds the weights. Results on
published tables: docs/decisions/0066-ensemble.md.

Parameters: those of each member, named member.parameter, and member.weight. A bootstrap draw has
the parameters of one member, and each member has draws in proportion to its weight, so that draws
spread as much as the members disagree. A member's E and k are effective values: they also absorb
what its form leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.chinchilla import CHINCHILLA, TIED
from scaling.laws.coupled import COUPLED
from scaling.laws.family import LawFamily
from scaling.laws.kaplan import KAPLAN
from scaling.laws.numeric import NumericAnswers
from scaling.units import FloatArray, IntArray

MIN_RATIO = 4.0  # tokens per parameter; runs below are starved of data and bend every law


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One law on some of the runs.

    Attributes:
        name: Name of the member.
        family: Its law.
        min_ratio: Least tokens per parameter of the runs it is fitted to; 0: all runs.
    """

    name: str
    family: LawFamily
    min_ratio: float


class Ensemble(NumericAnswers):
    """A Law that averages several members, as the module's docstring describes."""

    name = "ensemble"
    equation = "product of the members' laws, each to the power of its weight"
    has_frontier = True

    def __init__(self) -> None:
        families = (CHINCHILLA, TIED, KAPLAN, COUPLED)
        self.members = tuple(
            Member(name=family.name + suffix, family=family, min_ratio=ratio)
            for family in families
            for suffix, ratio in (("", 0.0), ("/4", MIN_RATIO))
        )
        names: list[str] = []
        self.slices: list[slice] = []
        for member in self.members:
            first = len(names)
            names += [f"{member.name}.{letter}" for letter in member.family.param_names]
            self.slices.append(slice(first, len(names)))
        names += [f"{member.name}.weight" for member in self.members]
        self.param_names = tuple(names)

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        if coefficients.size == len(self.param_names):
            return self._join_members(coefficients, params, tokens, unique_tokens)
        shape = np.broadcast_shapes(coefficients.shape[:-1], np.shape(params), np.shape(tokens))
        total = np.zeros(shape)
        for at, (member, part) in enumerate(zip(self.members, self.slices, strict=True)):
            # Most draws have a single member: evaluate each member only for the rows that need it.
            rows = _find_rows(coefficients[..., at - len(self.members)], shape)
            if rows is None:
                continue
            letters = _cut(coefficients, rows, shape, depth=len(shape) + 1)
            n, d = (_cut(np.asarray(one), rows, shape) for one in (params, tokens))
            unique = None if unique_tokens is None else np.asarray(unique_tokens)
            loss = member.family.loss(letters[..., part], n, d, unique)
            weight = letters[..., at - len(self.members)]
            total[rows] += np.where(weight > 0.0, weight * np.log(loss), 0.0)
        return np.asarray(np.exp(total), dtype=np.float64)

    def _join_members(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None,
    ) -> FloatArray:
        """The loss for one set of parameters, from every member at every point."""
        weights = coefficients[..., -len(self.members) :].ravel().tolist()
        logs = [
            weight * np.log(member.family.loss(coefficients[..., part], params, tokens))
            for member, part, weight in zip(self.members, self.slices, weights, strict=True)
            if weight > 0.0
        ]
        return np.asarray(np.exp(sum(logs)), dtype=np.float64)

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """See Law; a draw's is its member's."""
        if not self._are_draws(coefficients):
            return super().tokens_for_loss(coefficients, params, loss)
        return self._ask_members("tokens_for_loss", coefficients, params, loss)

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """See Law; a draw's is its member's."""
        if not self._are_draws(coefficients):
            return super().optimal_params(coefficients, flops, kappa)
        return self._ask_members("optimal_params", coefficients, flops, kappa)

    def isolate(self, letters: FloatArray, members: IntArray) -> FloatArray:
        """One row of parameters for each of these members alone, from those of all, shape (p,)."""
        alone = np.repeat(letters[None], members.size, axis=0)
        alone[:, -len(self.members) :] = np.eye(len(self.members))[members]
        return alone

    def find_members(self, draws: FloatArray) -> IntArray:
        """Which member each draw's law is, from draws of shape (count, p)."""
        return np.asarray(draws[:, -len(self.members) :].argmax(axis=1))

    def _are_draws(self, coefficients: FloatArray) -> bool:
        """Whether every row has one member alone."""
        weights = coefficients[..., -len(self.members) :]
        return coefficients.ndim > 1 and bool((weights.max(axis=-1) == 1.0).all())

    def _ask_members(
        self, what: str, coefficients: FloatArray, first: FloatArray, second: FloatArray
    ) -> FloatArray:
        """What each row's own member answers, by the name of the question."""
        pair = (np.asarray(first), np.asarray(second))
        shape = np.broadcast_shapes(coefficients.shape[:-1], *(one.shape for one in pair))
        result = np.empty(shape)
        for at, (member, part) in enumerate(zip(self.members, self.slices, strict=True)):
            rows = _find_rows(coefficients[..., at - len(self.members)], shape)
            if rows is not None:
                letters = _cut(coefficients, rows, shape, depth=len(shape) + 1)[..., part]
                asked = (_cut(one, rows, shape) for one in pair)
                result[rows] = getattr(member.family, what)(letters, *asked)
        return result


def _find_rows(weight: FloatArray, shape: tuple[int, ...]) -> Any:
    """Index of the rows (first axis) in which a member has a weight; None where none has."""
    if not weight.any():
        return None
    if weight.ndim < len(shape) or not shape or len(weight) != shape[0]:
        return ...
    return np.flatnonzero(weight.reshape(len(weight), -1).any(axis=1))


def _cut(
    array: FloatArray, rows: Any, shape: tuple[int, ...], *, depth: int | None = None
) -> FloatArray:
    """Those rows of an array that runs along the first axis of `shape`, by its number of axes."""
    depth = len(shape) if depth is None else depth
    along = bool(shape) and array.ndim == depth and len(array) == shape[0]
    return array[rows] if along else array


ENSEMBLE = Ensemble()
ALIAS = "mixture"  # former name, still accepted on the command line and in stored fits

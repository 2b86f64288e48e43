"""A forecast by several laws at once, weighted by how well each forecast held-out runs.

    ln L(N, D) = Σ_i w_i · ln L_i(N, D),   Σ w_i = 1

The members are declared, not searched for: Chinchilla's law, its simpler parent (tied exponents)
and its extension (Droppo and Elibol's), each fitted to all runs and to those with at least four
tokens per parameter. Averaging forecasts of which none is surely best: Bates & Granger 1969,
doi:10.1057/jors.1969.103, whose weights are inverse squared errors too. How weights are found:
fitting/mixture.py. On published tables: DECISIONS.md, "Mixture".

Letters: those of each member, named member.letter, and member.weight. A bootstrap draw has the
letters of one member, and each member has draws in proportion to its weight, so that draws spread
as much as the members disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.chinchilla import CHINCHILLA, TIED
from scaling.laws.droppo import DROPPO
from scaling.laws.family import LawFamily
from scaling.laws.numeric import NumericAnswers
from scaling.units import FloatArray

MIN_RATIO = 4.0  # tokens per parameter; below it runs are starved of data and bend every law


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One law on some of the runs.

    Attributes:
        name: Of the member.
        family: Its law.
        min_ratio: Tokens per parameter from which runs count; 0: all.
    """

    name: str
    family: LawFamily
    min_ratio: float


class Mixture(NumericAnswers):
    """A Law of several; see the module."""

    name = "mixture"
    equation = "product of the members' laws, each to the power of its weight"
    has_frontier = True

    def __init__(self) -> None:
        families = (CHINCHILLA, TIED, DROPPO)
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
        """See Law."""
        shape = np.broadcast_shapes(coefficients.shape[:-1], np.shape(params), np.shape(tokens))
        weights = coefficients[..., -len(self.members) :]
        total = np.zeros(shape)
        for at, (member, part) in enumerate(zip(self.members, self.slices, strict=True)):
            # Most draws have one member: evaluate each for the rows that need it.
            rows = _find_rows(weights[..., at], shape)
            if rows is None:
                continue
            letters = _cut(coefficients, rows, shape, depth=len(shape) + 1)
            n = _cut(np.asarray(params), rows, shape, depth=len(shape))
            d = _cut(np.asarray(tokens), rows, shape, depth=len(shape))
            unique = None if unique_tokens is None else np.asarray(unique_tokens)
            loss = member.family.loss(letters[..., part], n, d, unique)
            weight = letters[..., -len(self.members) + at]
            total[rows] += np.where(weight > 0.0, weight * np.log(loss), 0.0)
        return np.asarray(np.exp(total), dtype=np.float64)


def _find_rows(weight: FloatArray, shape: tuple[int, ...]) -> Any:
    """Index of the rows (first axis) in which a member has a weight; None where none has."""
    if not weight.any():
        return None
    if weight.ndim < len(shape) or not shape or len(weight) != shape[0]:
        return ...
    return np.flatnonzero(weight.reshape(len(weight), -1).any(axis=1))


def _cut(array: FloatArray, rows: Any, shape: tuple[int, ...], *, depth: int) -> FloatArray:
    """Those rows of an array that runs along the first axis of `shape`."""
    along = bool(shape) and array.ndim == depth and len(array) == shape[0]
    return array[rows] if along else array


MIXTURE = Mixture()

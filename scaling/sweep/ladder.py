"""The one fixed ladder of shapes of each family, from which a sweep's models are taken.

A ladder depends on vocabulary, sequence length and the family's own settings only (of a
transformer: the size of a head; of any: a depth that is the same for every size), never on a
sweep's budgets: two sweeps that share those share their rungs, and adding budgets or sizes never
changes a finished run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.families.registry import family_of, find_family, list_settings
from scaling.sweep.shapes import MAX_LAYERS, ModelShape

LARGEST_PARAMS = 1e13  # beyond any model trained so far; the ladder up to it has 3000 rungs


def iterate_ladder(
    vocab_size: int, seq_len: int, *, family: str = "transformer", **settings: Any
) -> Iterator[ModelShape]:
    """The rungs in ascending N; those of a family that is built here have no end."""
    return find_family(family).iterate_ladder(vocab_size, seq_len, settings)


@functools.lru_cache(maxsize=8)  # shared by the cost model and the answers
def list_ladder(
    vocab_size: int,
    seq_len: int,
    *,
    max_params: float,
    family: str = "transformer",
    **settings: Any,
) -> tuple[ModelShape, ...]:
    """The rungs with at most `max_params` matmul parameters, ascending."""
    return tuple(
        _take_rungs(iterate_ladder(vocab_size, seq_len, family=family, **settings), max_params)
    )


@dataclass(frozen=True, slots=True)
class Ladder:
    """Every rung of the ladder that a shape belongs to, far beyond any budget, ascending. Each is
    made when it is read: an answer reads some hundred of three thousand.

    Attributes:
        shape: One of its rungs.
        layers: Depth of all of them; None: it is not fixed.
    """

    shape: ModelShape
    layers: int | None = None

    def __iter__(self) -> Iterator[ModelShape]:
        shape, settings = self.shape, _list_settings(self.shape, self.layers)
        rungs = iterate_ladder(shape.vocab_size, shape.seq_len, family=shape.family, **settings)
        return _take_rungs(rungs, LARGEST_PARAMS)


def is_first(shape: ModelShape, *, layers: int | None = None) -> bool:
    """Return whether a shape is the first rung of its ladder, or of that of a fixed depth."""
    return next(iter(Ladder(shape, layers)), None) == shape


def list_ladder_of(shape: ModelShape, *, layers: int | None = None) -> tuple[ModelShape, ...]:
    """Every rung of the ladder that a shape belongs to, far beyond any budget.

    Args:
        shape: One of its rungs.
        layers: Depth of all of them; None: it is not fixed.
    """
    return list_ladder(
        shape.vocab_size,
        shape.seq_len,
        family=shape.family,
        max_params=LARGEST_PARAMS,
        **_list_settings(shape, layers),
    )


def find_layers(shapes: Sequence[ModelShape]) -> int | None:
    """The depth that a sweep file fixed, as far as its models tell: one that they share, and the
    ladder of any depth lacks one of them.

    Args:
        shapes: Models that share vocabulary, context, family and its settings.
    """
    depths = {one.n_layers for one in shapes}
    if len(depths) > 1 or "layers" not in family_of(shapes[0]).settings:
        return None
    (layers,) = depths
    usual = layers > MAX_LAYERS or set(shapes) <= set(list_ladder_of(shapes[0]))
    return None if usual else layers


def _take_rungs(rungs: Iterator[ModelShape], max_params: float) -> Iterator[ModelShape]:
    return itertools.takewhile(lambda rung: count_matmul_params(rung) <= max_params, rungs)


def _list_settings(shape: ModelShape, layers: int | None) -> dict[str, int]:
    fixed = {} if layers is None else {"layers": layers}
    return list_settings(shape) | fixed

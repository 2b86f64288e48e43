"""Two searches for what has no closed form: where a condition begins, and where a value is
lowest. Both work on many problems at once, in the logarithm of the unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from scaling.units import BoolArray, FloatArray

Condition: TypeAlias = Callable[[FloatArray], BoolArray]

# Up to this many problems an evaluation costs its call overhead, at one point each or at 63.
_FEW = 32
_CELLS = 64


def find_crossing(
    is_beyond: Condition, low: FloatArray, high: FloatArray, *, halvings: int, at_once: bool = False
) -> FloatArray:
    """Find where a condition begins that holds at `high` and not at `low`.

    Args:
        is_beyond: The condition on an array of low's shape; with `at_once` of one more axis.
        low, high: Ends; `high` may lie below `low`.
        halvings: The answer is accurate to |high − low| / 2^halvings.
        at_once: Evaluate many points together; few problems are cut into sixty-fourths, six
            halvings in one.

    Returns:
        The nearest point found at which it holds, low's shape.
    """
    width = np.asarray(high - low, dtype=np.float64)
    cells = _CELLS if at_once and width.size <= _FEW else 2
    for _ in range(math.ceil(halvings / math.log2(cells))):
        width = width / cells
        grid = low[..., None] + width[..., None] * np.arange(1, cells)
        beyond = is_beyond(grid) if at_once else is_beyond(grid[..., 0])[..., None]
        first = np.where(beyond.any(axis=-1), beyond.argmax(axis=-1), cells - 1)
        low = low + width * first
    return np.asarray(low + width, dtype=np.float64)


def find_lowest(
    value: Callable[[FloatArray], FloatArray],
    centre: FloatArray,
    *,
    reach: float,
    points: tuple[int, int],
    zooms: int,
) -> FloatArray:
    """Find where a value is lowest, by nested grids: each extends one step of the previous grid to
    either side.

    Args:
        value: Function of an array of shape (..., k) where centre has shape (...).
        centre: Middle of the first grid, shape (...).
        reach: Distance from the middle to either end.
        points: Sizes of the first grid and of the others.
        zooms: Number of the others.
    """
    for count in (points[0], *[points[1]] * zooms):
        grid = centre[..., None] + reach * np.linspace(-1.0, 1.0, count)
        best = np.argmin(value(grid), axis=-1)[..., None]
        centre = np.take_along_axis(grid, best, axis=-1)[..., 0]
        reach *= 2.0 / (count - 1)
    return centre

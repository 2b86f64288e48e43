"""From a grid to the (N, D) it asks for, on rungs of the ladder.

An IsoFLOP grid is centred on the prior N*(C) of the sweep file. For each budget the rungs of the
ladder within ×span of it are candidates; `sizes` of them are taken in an order that halves the
gaps (centre, both ends, the quarters, ...), so that asking for more sizes or budgets only adds
cells.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.shapes import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A grid point, which may turn out to be impossible to train. `unique_tokens` limits the text
    that its run may see; None means all of it."""

    shape: ModelShape
    tokens: float
    budget: float | None = None
    extra: bool = False
    unique_tokens: int | None = None


def choose_rungs(
    ladder: Sequence[ModelShape], centre: float, *, sizes: int, span: float
) -> tuple[ModelShape, ...]:
    """Choose `sizes` rungs within ×span of `centre`, or as many as the ladder has; ascending.

    The rungs for fewer sizes are always among those for more.
    """
    reach = math.log(span)
    low = bisect.bisect_left(ladder, centre / span * (1 - 1e-9), key=count_matmul_params)
    high = bisect.bisect_right(ladder, centre * span * (1 + 1e-9), key=count_matmul_params)
    free = {at: math.log(count_matmul_params(ladder[at]) / centre) for at in range(low, high)}
    chosen: list[int] = []
    for target in _halve_gaps():
        if len(chosen) == sizes or not free:
            break
        nearest = min(free, key=lambda index: abs(free[index] - target * reach))
        del free[nearest]
        chosen.append(nearest)
    return tuple(ladder[index] for index in sorted(chosen))


def _halve_gaps() -> Iterator[float]:
    """Yield 0, then −1 and 1, then the middle of every gap, and so on without end."""
    yield 0.0
    yield -1.0
    yield 1.0
    step = 0.5
    while True:
        position = step
        while position < 1:
            yield -position
            yield position
            position += 2 * step
        step /= 2


def find_rung(ladder: Sequence[ModelShape], params: float) -> ModelShape:
    """The rung nearest to `params` in ratio; of two equally near, the smaller."""
    above = bisect.bisect_left(ladder, params, key=count_matmul_params)
    if above == 0:
        return ladder[0]
    ratio = params / count_matmul_params(ladder[above - 1])
    return ladder[above if count_matmul_params(ladder[above]) / params < ratio else above - 1]

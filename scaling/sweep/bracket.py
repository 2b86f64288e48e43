"""Which runs bracket the recipe: other learning rates and batches at three corners of the grid.

    corners        largest D/N, smallest D/N, and the middle of the grid
    learning rate  × ¼, ½, 2, 4 of the recipe's
    batch          × ½, 2 of the recipe's, its learning rate by rule

A recipe that is wrong by a factor at one end of a grid bends the law and leaves no trace in its
residuals: one percent of the loss at both ends of D reduces the coverage of a forecast at ten times
the data from .96 to .58 (decision 0047). Bracket runs measure that; none of them enters a fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.runspec import RunSpec

Varied = Literal["learning_rate", "batch"]

LEARNING_RATE_FACTORS = (0.25, 0.5, 2.0, 4.0)
BATCH_FACTORS = (0.5, 2.0)


def choose_corners(runs: Sequence[RunSpec]) -> tuple[RunSpec, ...]:
    """The runs of largest and of smallest D/N, and the one nearest to the middle of the grid in
    ln N and ln D; fewer if they coincide. Ties go to the smaller run_id."""
    logs = [(math.log(count_matmul_params(run.shape)), math.log(run.tokens)) for run in runs]
    middle = [sum(column) / len(logs) for column in zip(*logs, strict=True)]

    def pick(scores: list[float]) -> RunSpec:
        return min(zip(scores, runs, strict=True), key=lambda pair: (pair[0], pair[1].run_id))[1]

    corners = (
        pick([size - tokens for size, tokens in logs]),
        pick([tokens - size for size, tokens in logs]),
        pick([math.dist(one, middle) for one in logs]),
    )
    return tuple({run.run_id: run for run in corners}.values())

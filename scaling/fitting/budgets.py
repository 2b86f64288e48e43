"""Which runs share a budget: the curves of Approach 2 and the blocks left out one at a time.

The declared `budget` column decides where there is one. Otherwise C is taken apart at its gaps:
neighbours within 2 % belong together (marin: 85 distinct C, 7 budgets). A chain of such steps that
drifts by more than 10 % from end to end is no budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray

_GAP = 0.02
_MAX_DRIFT = 0.10
# As many as a parabola has coefficients.
MIN_SIZES = 3
# Runs whose C is only close may form a curve by chance: such a group needs five sizes that span at
# least ×3, over which a curve bends by 1–3 % of the loss. Epoch's digitised table has two chance
# groups, ×1.9 and ×2.9 wide, neither of them a budget of its source.
_EXACT = 1e-3
_MIN_CLOSE_SIZES = 5
_MIN_CLOSE_SPAN = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Runs that share a budget.

    Attributes:
        flops: Declared budget, or the geometric mean of the runs' C [FLOPs].
        realised: Geometric mean of the runs' C [FLOPs].
        rows: Their rows in the table.
        sizes: How many distinct N.
        problem: Why it is not one budget; empty if it is.
    """

    flops: float
    realised: float
    rows: IntArray
    sizes: int
    problem: str


def list_flops(table: RunTable) -> FloatArray:
    """C of every row [FLOPs]: stated, or by the table's cost model. Shape (n,)."""
    if table.flops is not None:
        return table.flops
    return table.tokens * table.cost.flops_per_token(table.params)


def group_budgets(table: RunTable) -> tuple[Budget, ...]:
    """The budgets with enough model sizes for a parabola, ascending; other rows are in none."""
    flops = list_flops(table)
    declared = table.budget if table.budget is not None else np.full(len(table), np.nan)
    stated = np.isfinite(declared) & (declared > 0)
    label = np.log(np.where(stated, declared, flops))
    if stated.any():  # rows without a declared budget belong to none
        rows = np.flatnonzero(stated)
        gap = 1e-9
    else:
        rows = np.arange(len(table))
        gap = _GAP
    rows = rows[np.argsort(label[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(label[rows]) > np.log1p(gap)) + 1
    budgets = []
    for part in np.split(rows, cuts):
        sizes = int(np.unique(table.params[part]).size)
        span = float(table.params[part].max() / table.params[part].min())
        drift = float(np.exp(np.ptp(label[part]))) - 1.0
        if sizes < MIN_SIZES:
            continue
        if drift > _EXACT and (sizes < _MIN_CLOSE_SIZES or span < _MIN_CLOSE_SPAN):
            continue
        problem = ""
        if drift > _MAX_DRIFT:
            problem = (
                f"C drifts by {drift:.0%} over its {part.size} runs without a gap of 2 %; "
                f"declare budgets in a budget column"
            )
        budgets.append(
            Budget(
                flops=float(np.exp(label[part].mean())),
                realised=float(np.exp(np.log(flops[part]).mean())),
                rows=np.sort(part),
                sizes=sizes,
                problem=problem,
            )
        )
    return tuple(budgets)


def average_sizes(
    table: RunTable, budget: Budget, values: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """ln N of a budget's distinct sizes, ascending, how many runs each has, and the mean of a value
    over them, each of shape (sizes,); `values` has one entry for every row of the table."""
    sizes, member = np.unique(np.log(table.params[budget.rows]), return_inverse=True)
    runs = np.bincount(member)
    return sizes, runs, np.bincount(member, weights=values[budget.rows]) / runs


def join_budgets(table: RunTable) -> FloatArray:
    """C of each row, one value for all runs of a budget [FLOPs]: what is cut by C then cuts between
    budgets, and not by the rounding of their runs."""
    flops = list_flops(table).copy()
    for budget in group_budgets(table):
        if not budget.problem:
            flops[budget.rows] = budget.realised
    return flops

"""Which law the runs of a metric allow, and which of them it can forecast from the others.

    m = E + A/N^α + B/D^β      if N and D vary enough, as `scaling fit --metric` fits it
    m = E + A/N^α              else along N, on the D with the most sizes
    m = E + B/D^β              else along D, of the N with the most

The largest budget is held out if budgets are declared, else the largest N, else the largest D, else
the most expensive cell: the first without which the law can still be fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.noise import BoolArray
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.one_axis import OF_PARAMS, OF_TOKENS
from scaling.laws.power_sum import PowerSum
from scaling.tables.run_table import RunTable, select_rows, sort_rows
from scaling.units import FloatArray, format_count

Along = Literal["C", "N", "D"]

# A law of one variable has three coefficients; a fourth size shows whether it fits, and a fifth is
# forecast.
FEWEST_SIZES = 5
_SAME = 1.0 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A law that runs allow.

    Attributes:
        family: The law.
        table: The runs that it is of, in canonical order.
        at: The D (or N) that these share, if the law is of one variable; else None.
        along: The quantity by which the largest are held out; None if too few would be left.
        held: Mask of the runs held out.
    """

    family: PowerSum
    table: RunTable
    at: float | None
    along: Along | None
    held: BoolArray

    @property
    def smaller(self) -> RunTable:
        """The runs that are not held out; all if none is."""
        return select_rows(self.table, np.flatnonzero(~self.held))


def choose_form(table: RunTable) -> Form | str:
    """The law for the runs of a metric in place of the loss; or why there is none."""
    problem = find_law_problem(table, CHINCHILLA)
    if problem is None:
        return _hold_out_of_two(sort_rows(table))
    for family, along, others in (
        (OF_PARAMS, "N", table.tokens),
        (OF_TOKENS, "D", table.params),
    ):
        sizes = table.params if along == "N" else table.tokens
        at, count = _find_longest_line(sizes, others)
        if count < FEWEST_SIZES:
            continue
        kept = sort_rows(select_rows(table, np.flatnonzero(others == at)))
        sizes = kept.params if along == "N" else kept.tokens
        held = np.greater_equal(sizes, _SAME * sizes.max())
        return Form(family=family, table=kept, at=at, along="N" if along == "N" else "D", held=held)
    counts = (np.unique(table.params).size, np.unique(table.tokens).size)
    return (
        f"too few sizes: {counts[0]} N and {counts[1]} D. A law of both needs 10 cells with 3 of "
        f"each; a law of one needs {FEWEST_SIZES} N at one D, or {FEWEST_SIZES} D at one N"
    )


def name_held(form: Form) -> str:
    """The runs that are held out, in words."""
    if form.along == "C":
        return "the largest C"
    sizes = form.table.params if form.along == "N" else form.table.tokens
    return f"the largest {form.along} ({format_count(float(sizes.max()))})"


def _hold_out_of_two(table: RunTable) -> Form:
    columns: list[tuple[Along, FloatArray]] = [("N", table.params), ("D", table.tokens)]
    columns.append(("C", list_flops(table)))
    if table.budget is not None and np.isfinite(table.budget).any():
        columns.insert(0, ("C", table.budget))
    for along, column in columns:
        held = np.greater_equal(column, _SAME * np.nanmax(column))
        rest = select_rows(table, np.flatnonzero(~held))
        if find_law_problem(rest, CHINCHILLA) is None:
            return Form(family=CHINCHILLA, table=table, at=None, along=along, held=held)
    return Form(
        family=CHINCHILLA, table=table, at=None, along=None, held=np.zeros(len(table), np.bool_)
    )


def _find_longest_line(sizes: FloatArray, others: FloatArray) -> tuple[float, int]:
    """The value of `others` with the most sizes, the largest of equals, and how many."""
    values = np.unique(others)
    counts = [np.unique(sizes[others == one]).size for one in values]
    best = max(range(values.size), key=lambda at: (counts[at], values[at]))
    return float(values[best]), int(counts[best])

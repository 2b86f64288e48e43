"""A member of the ensemble on a table: which rows it takes, and its law through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.fitting.noise import list_cells
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.laws.ensemble import MIN_RATIO, Member
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import IntArray

# The least that determines the parameters of the richest member.
_MIN_ROWS, _MIN_CELLS = 8, 7
_MIN_DESCRIBED = 3  # with fewer held-out runs that all members describe, score all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMember:
    """A member's law through its rows of a table.

    Attributes:
        member: Which.
        rows: Its rows' places in the table, ascending.
        fit: The law through them.
    """

    member: Member
    rows: IntArray
    fit: ParametricFit


def fit_member(
    table: RunTable, member: Member, *, delta: float, within: IntArray | None = None
) -> FittedMember | None:
    """The member's law; None where the rows cannot carry it.

    Args:
        table: Rows in canonical order.
        member: Which.
        delta: Huber's threshold on log residuals.
        within: Places of the rows that may be used, for a forecast of others; None: all.
    """
    allowed = np.arange(len(table)) if within is None else within
    rows = allowed[table.tokens[allowed] >= member.min_ratio * table.params[allowed]]
    taken = select_rows(table, rows)
    if len(taken) < _MIN_ROWS or int(list_cells(taken).max()) + 1 < _MIN_CELLS:
        return None
    fit = fit_parametric(taken, member.family, delta=delta, prove=within is None)
    return FittedMember(member=member, rows=rows, fit=fit)


def list_described(table: RunTable, held: IntArray) -> IntArray:
    """Those of the held-out rows that all members describe, D/N >= 4: what misses runs that are
    starved of data says nothing of the frontier. All of them where fewer than three are."""
    described = held[table.tokens[held] >= MIN_RATIO * table.params[held]]
    return described if described.size >= _MIN_DESCRIBED else held

"""Runs held out of a table, and the error on them of a law fitted to the others."""

from __future__ import annotations

import numpy as np

from scaling.fitting.noise import BoolArray
from scaling.laws.family import Law
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray


def hold_out(column: FloatArray, *, above: float) -> BoolArray:
    """Mask of the rows at or above this quantile of a column, shape (n,)."""
    return np.greater_equal(column, np.quantile(column, above))


def list_below(column: FloatArray, held: BoolArray, *, up_to: float) -> IntArray:
    """Indices, ascending, of the rows up to this quantile of a column that are not held out."""
    return np.flatnonzero((column <= np.quantile(column, up_to)) & ~held)


def measure_miss(
    law: Law, coefficients: FloatArray, table: RunTable, rows: IntArray | slice = slice(None)
) -> FloatArray:
    """ln forecast − ln measured loss of a table's rows; coefficients broadcast as in `Law.loss`."""
    unique = None if table.unique_tokens is None else table.unique_tokens[rows]
    forecast = law.loss(coefficients, table.params[rows], table.tokens[rows], unique)
    return np.asarray(np.log(forecast / table.loss[rows]), dtype=np.float64)

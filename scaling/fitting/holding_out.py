"""Runs held out of a table, and what a law that was fitted to others misses of them."""

from __future__ import annotations

import numpy as np

from scaling.fitting.noise import BoolArray
from scaling.laws.family import Law
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray


def hold_out(column: FloatArray, *, above: float) -> BoolArray:
    """The rows with the largest values of a column, from this quantile of them on, shape (n,)."""
    return np.greater_equal(column, np.quantile(column, above))


def list_below(column: FloatArray, held: BoolArray, *, up_to: float) -> IntArray:
    """Places of the rows up to this quantile of a column that are not held out, ascending."""
    return np.flatnonzero((column <= np.quantile(column, up_to)) & ~held)


def measure_miss(
    law: Law, coefficients: FloatArray, table: RunTable, rows: IntArray | slice = slice(None)
) -> FloatArray:
    """ln L forecast − ln L measured of a table's rows, coefficients broadcast as in `Law.loss`."""
    unique = None if table.unique_tokens is None else table.unique_tokens[rows]
    forecast = law.loss(coefficients, table.params[rows], table.tokens[rows], unique)
    return np.asarray(np.log(forecast / table.loss[rows]), dtype=np.float64)

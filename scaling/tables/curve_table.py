"""Tables that state one variable and a loss: x = C, N or D, for laws of one variable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scaling.errors import TableError
from scaling.tables.cells import ReadOptions, Where, read_cells
from scaling.tables.reading import convert_loss
from scaling.tables.rows import shorten_problems
from scaling.tables.states import USUAL, StateRule
from scaling.units import FloatArray
from scaling.units.losses import LossUnit


def read_curve(
    path: Path,
    variable: str,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit = "nats",
    drop_bad: bool = False,
    states: StateRule = USUAL,
    where: Where = (),
) -> tuple[FloatArray, FloatArray, list[str]]:
    """x and loss [nats/token] of each run, shape (n,), and what a reader should know.

    Args:
        path: A file or a folder of files, as for `read_table`.
        variable: C, N or D.
        columns, loss_unit, drop_bad, states, where: As for `read_table`.

    Raises:
        TableError: A column is missing, rows are malformed, or no row is left.
    """
    options = ReadOptions(
        columns=columns or {}, states=states, where=where, loss_unit=loss_unit,
        needed=(variable, "loss"),
    )  # fmt: skip
    cells = read_cells(path, options)
    if cells.problems and not drop_bad:
        raise TableError(shorten_problems(cells.problems, str(path)))
    if not cells.rows.size:
        raise TableError([f"{path}: no row is left to fit"])
    values = {key: cells.columns[key] for key in (variable, "loss")}
    convert_loss(values, loss_unit, str(path))
    return values[variable], values["loss"], cells.notes

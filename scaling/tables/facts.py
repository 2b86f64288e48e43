"""What was understood of a table, before anything is fitted: `scaling read`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import TableError
from scaling.tables.cells import Cells, ReadOptions, read_cells
from scaling.tables.columns import TABLE_COLUMNS
from scaling.tables.reading import assemble_table, judge_table
from scaling.tables.run_table import RunTable
from scaling.units.losses import LossScale, LossUnit

_PROBLEMS_SHOWN = 50
# Optional columns and what each is good for, the most helpful first.
_USES = (
    ("seed", "seeds of one (N, D) measure the noise"),
    ("lr", "learning rates show whether each cell has its best recipe"),
    ("C", "training compute as you count it; 6·N·D without it"),
    ("budget", "declared budgets make IsoFLOP curves"),
    ("U", "unique tokens show which runs repeat their data"),
    ("batch_tokens", "batches show whether the recipe changes with size"),
    ("loss_se", "errors of the evaluation are told from noise"),
    ("steps", "steps, warmup_steps and decay_steps show runs that were not cooled"),
    ("corpus", "corpora show whether losses are of one text"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """A column of the contract as it was read.

    Attributes:
        name: Column of the contract.
        source: What the file's columns make it of.
        unit: Unit of the contract.
        stated: Rows that state it.
        values: Lowest and highest, or up to three words.
    """

    name: str
    source: str
    unit: str
    stated: int
    values: tuple[float, float] | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What was understood of a table.

    Attributes:
        source: Its path.
        rows: How many are read.
        cells: Distinct (N, D) among them.
        columns: Those that were read.
        notes: What a reader should know.
        problems: Malformed rows and columns.
        doubts: Numbers in other units than they seem.
        missing: (column, what it would be good for).
        loss_unit: That of the losses, here too.
    """

    source: str
    rows: int
    cells: int
    columns: tuple[ColumnFacts, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    doubts: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    loss_unit: LossUnit = "nats"

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling read`."""
        missing = [{"name": name, "use": use} for name, use in self.missing]
        return (
            LossScale(self.loss_unit).to_contract()
            | dataclasses.asdict(self)
            | {"missing": missing}
        )


def describe_table(path: Path, options: ReadOptions, *, loss_unit: LossUnit) -> TableFacts:
    """Read a table as a fit would, with its malformed rows left out and listed.

    Raises:
        TableError: It cannot be read, or lacks a column that is needed; every problem in it.
    """
    cells = read_cells(path, options)
    scale = LossScale(loss_unit)
    table: RunTable | None = None
    problems = list(cells.problems)
    if cells.rows.size:
        try:
            table = assemble_table(cells, str(path), loss_unit)
        except TableError as error:
            problems += error.problems
    doubts = (
        () if table is None else tuple(scale.reword(str(doubt)) for doubt in judge_table(table))
    )
    pairs = set() if table is None else set(zip(table.params, table.tokens, strict=True))
    return TableFacts(
        source=str(path),
        rows=int(cells.rows.size),
        cells=len(pairs),
        columns=tuple(_describe_column(cells, name, scale) for name in cells.names),
        notes=tuple(cells.notes) if table is None else table.notes,
        problems=tuple(problems[:_PROBLEMS_SHOWN]),
        doubts=doubts,
        missing=tuple((name, use) for name, use in _USES if name not in cells.names),
        loss_unit=loss_unit,
    )


def _describe_column(cells: Cells, name: str, scale: LossScale) -> ColumnFacts:
    (column,) = (one for one in TABLE_COLUMNS if one.name == name)
    values: tuple[float, float] | tuple[str, ...]
    if name in cells.columns:
        known = cells.columns[name][np.isfinite(cells.columns[name])]
        stated = int(known.size)
        values = (float(known.min()), float(known.max())) if stated else ()
    else:
        words: Sequence[str] = [one for one in cells.texts.get(name, ()) if one]
        stated, values = len(words), tuple(dict.fromkeys(words))[:3]
    return ColumnFacts(
        name=name,
        source=cells.names[name],
        unit=scale.label if name == "loss" else column.unit,
        stated=stated,
        values=values,
    )

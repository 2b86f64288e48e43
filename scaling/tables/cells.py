"""From text cells to numbers, for every format: all problems at once, as `file:line: column: seen`.

A column whose cells are mostly wrong in one way is one problem. Python's own float is tried first,
because it is exact and takes integers of any size (6·N·D of a large run overflows int64); what it
refuses is read as people write numbers (`units.numbers`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scaling.errors import TableError
from scaling.tables.columns import NUMBERS, TABLE_COLUMNS, TEXTS
from scaling.tables.expressions import Expression
from scaling.tables.header import REQUIRED_COLUMNS, FileHeader, list_unit_notes, locate_columns
from scaling.tables.index_rows import IndexRows, open_index
from scaling.tables.opening import RUN_COLUMNS, open_rows
from scaling.tables.rows import LONGEST_NAME, RawTable, Row, refuse_rows
from scaling.tables.states import (
    USUAL,
    StateRule,
    StateTally,
    describe_unfinished,
    find_state_column,
)
from scaling.units import FloatArray, IntArray
from scaling.units.numbers import PLAIN, Marks, NumberError, Quantity, find_marks, read_number

_LARGEST = 1e40  # for N, D and C: far beyond any training run, well within float64
# Fits take logarithms and powers of N and D, which fail at 1e-300. Values that are only small for
# their unit (parameters in billions, FLOPs in ZFLOP) are left to the check of units.
SMALLEST: Mapping[str, float] = {
    "N": 1e-9, "D": 1e-9, "loss": 1e-12, "C": 1e-30, "budget": 1e-30,
}  # fmt: skip
_LARGEST_SEED = 2**53 - 1  # integers are exact in a double up to here
_KINDS = {one.name: one.kind for one in TABLE_COLUMNS}
_QUANTITIES: Mapping[str, Quantity] = {
    "N": "parameters", "D": "tokens", "U": "tokens", "batch_tokens": "tokens", "C": "FLOP",
    "budget": "FLOP",
}  # fmt: skip
# Parts of the schedule; one that is longer than the whole is in another unit or of another run.
_PARTS_OF_STEPS = ("warmup_steps", "decay_steps")
# If at least this many cells of a column, and more than half of it, are wrong in the same way,
# they are reported as one problem.
_MANY_ALIKE = 4
_CHUNK_ROWS = 50_000
_BY_ROW = "correct the cell, or leave such rows out with --drop-bad"
Where = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a file is read.

    Attributes:
        columns: Contract name -> column or expression of the file; empty: not read.
        states: Which rows count by how their run ended.
        where: (column, value) of the file; only rows that match all of them are read.
        loss_unit: For notes only.
        needed: Columns that must be there, in every row.
        metrics: Further columns of finite numbers that must be there; and their `_se`, if any.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    states: StateRule = USUAL
    where: Where = ()
    loss_unit: str = "nats"
    needed: tuple[str, ...] = REQUIRED_COLUMNS
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The columns of the contract, one value for each row that is sound.

    Attributes:
        columns: Numbers by contract name, shape (n,), NaN where an optional cell is blank.
        texts: Texts by contract name; where `run` is not among them, also each of `RUN_COLUMNS`
            that the file has.
        rows: Number of each row in the file, from 1.
        names: Contract name -> what it is made of, for messages.
        index: What the rows say of each other where they are an index of runs.
        problems: Every malformed row or column, one line each.
        rejected: One line for each row that is left out because it is malformed.
        notes: What a reader should know.
    """

    columns: dict[str, FloatArray]
    texts: dict[str, list[str]]
    rows: IntArray
    names: dict[str, str]
    index: IndexRows
    problems: list[str]
    rejected: list[str]
    notes: list[str]


class _Wrong(NamedTuple):
    """One cell: the row it spoils, in which way, and in words."""

    row: int
    kind: str
    seen: str


def read_cells(path: Path, options: ReadOptions) -> Cells:
    """Read and parse the contract's columns of a file.

    Raises:
        TableError: The file cannot be read, lacks or doubles a column, or has more rows than are
            read.
        UsageError: It is Parquet, and pyarrow is not installed.
    """
    reader = _Reader(path, options)
    while chunk := list(islice(reader.raw.rows, _CHUNK_ROWS)):
        reader.add(chunk)
        refuse_rows(reader.name, reader.read)
    return reader.finish()


def list_values(path: Path, column: str, where: Where = ()) -> tuple[str, ...]:
    """The distinct cells of one column among the rows that match, in the file's order.

    Raises:
        TableError: The file cannot be read or lacks the column.
    """
    raw = open_rows(path, [column, *(one for one, _ in where)])
    missing = [one for one in (column, *(name for name, _ in where)) if one not in raw.header]
    if missing:
        raise TableError([f"{path}: --group-by {missing[0]}: no such column; the file has "
                          f"{', '.join(raw.names[:30])}"])  # fmt: skip
    at = list(raw.header).index(column)
    rules = [(list(raw.header).index(one), value) for one, value in where]
    rows = (row.cells for row in raw.rows if not row.problem)
    kept = (cells for cells in rows if all(_is_same(cells[i], value) for i, value in rules))
    return tuple(dict.fromkeys(cells[at].strip() for cells in kept))


class _Reader:
    """Rows as they come; what needs all of them is settled in `finish`."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.options = options
        self.name = str(path)
        words = [*options.columns.values(), *(column for column, _ in options.where)]
        self.raw: RawTable = open_rows(path, [*words, options.states.column or ""])
        self.header = FileHeader(
            file=self.name, format=self.raw.format, names=self.raw.names,
            has_line=not self.raw.place, remedy=self.raw.remedy,
        )  # fmt: skip
        beside = [name for one in options.metrics for name in (one, f"{one}_se")]
        needed = (*options.needed, *options.metrics)
        self.where = locate_columns(self.header, options.columns, needed, beside)
        self.number_keys = (*NUMBERS, *beside)
        used = {name for one in self.where.values() for name in one.columns}
        self.sources = [name for key in self.number_keys for name in self._columns_of(key)]
        self.sources = list(dict.fromkeys(self.sources))
        runs = () if "run" in options.columns or "run" in self.where else RUN_COLUMNS
        named = {key: self.where[key].columns[0] for key in TEXTS if key in self.where}
        self.texts_of = named | {one: one for one in runs if one in self.raw.header}
        self.at = {name: self.raw.header.index(name) for name in
                   (*self.sources, *self.texts_of.values())}  # fmt: skip
        self.filters = [(self._find(column, "--where"), value) for column, value in options.where]
        self.state = self._find_state(used)
        known = {key: one.columns[0] for key, one in self.where.items() if one.is_column}
        places = {key: list(self.raw.header).index(name) for key, name in known.items()}
        self.index = open_index(self.raw.header, places)
        self.numbers: list[int] = []
        self.parts: dict[str, list[FloatArray]] = {name: [] for name in self.sources}
        self.odd: dict[str, dict[int, str]] = {name: {} for name in self.sources}
        self.texts: dict[str, list[str]] = {name: [] for name in self.texts_of}
        self.spoilt: list[tuple[int, str, str]] = []
        self.unfinished: list[Row] = []
        self.places: list[int] = []
        self.read = 0
        self.unmatched = 0

    def add(self, chunk: Sequence[Row]) -> None:
        """Parse one chunk; odd cells are kept as text until all are known."""
        start = len(self.numbers)
        good = [row for row in chunk if self._admit(row)]
        for key, name in self.texts_of.items():
            at = self.at[name]
            self.texts[key].extend(row.cells[at].strip() for row in good)
        for name in self.sources:
            at = self.at[name]
            values, odd = _parse_cells([row.cells[at] for row in good])
            self.parts[name].append(values)
            self.odd[name] |= {start + index: text for index, text in odd.items()}

    def finish(self) -> Cells:
        size = len(self.numbers)
        parts = self.parts.items()
        values = {name: np.concatenate(some) if some else np.empty(0) for name, some in parts}
        notes: list[str] = []
        faults = self._settle(values, notes)
        columns: dict[str, FloatArray] = {}
        wrong: dict[str, list[_Wrong]] = {}
        for key in self.number_keys:
            if key in self.where:
                columns[key] = self._evaluate(key, values, size)
                wrong[key] = self._judge(key, columns, faults)
        problems, rejected, bad = self._report(wrong, size)
        good = np.ones(size, dtype=np.bool_)
        good[sorted(bad)] = False
        return Cells(
            columns={key: column[good] for key, column in columns.items()},
            texts={key: [one for one, ok in zip(cells, good, strict=True) if ok]
                   for key, cells in self.texts.items()},
            rows=np.array(self.numbers, dtype=np.int64)[good],
            names={key: one.text for key, one in self.where.items()},
            index=self.index,
            problems=problems,
            rejected=rejected,
            notes=[*self._list_notes(size), *list_unit_notes(self.where, self.options.loss_unit),
                   *notes],
        )  # fmt: skip

    def _columns_of(self, key: str) -> tuple[str, ...]:
        return self.where[key].columns if key in self.where else ()

    def _find(self, column: str, option: str) -> int:
        if column in self.raw.header:
            return list(self.raw.header).index(column)
        raise TableError([f"{self.header.place}: {option} {column}: no such column; the file has "
                          f"{', '.join([one for one in self.raw.names if one][:30])}"]
                         )  # fmt: skip

    def _find_state(self, used: set[str]) -> tuple[int, StateTally] | None:
        rule = self.options.states
        if rule.column is not None:
            return self._find(rule.column, "--state"), StateTally(rule.column, rule)
        header = list(self.raw.header)
        name = find_state_column([one for one in header if one not in used])
        return None if name is None else (header.index(name), StateTally(name, rule))

    def _admit(self, row: Row) -> bool:
        """Whether the cells of a row are judged at all."""
        self.read += 1
        if row.problem:
            self.index.pass_over()
            self._spoil(row, row.problem)
            return False
        if not all(_is_same(row.cells[at], value) for at, value in self.filters):
            self.index.pass_over()
            self.unmatched += 1
            return False
        finished = True
        if self.state is not None:
            at, tally = self.state
            finished = tally.judge(row.cells[at])
            if not finished and tally.rule.accepted is not None:
                self.index.pass_over()
                tally.count(row.cells[at], counts=False)
                return False
        verdict = self.index.judge(row.cells, finished=finished)
        if verdict not in ("take", "leave"):
            self._spoil(row, verdict)
        if verdict != "take":
            return False
        if self.state is not None:
            self.state[1].count(row.cells[self.state[0]], counts=finished)
        if not finished:
            self.unfinished.append(row)
            return False
        if long := self._find_long_name(row.cells):
            self._spoil(row, long)
            return False
        self.numbers.append(self.read)
        self.places.append(row.at)
        return True

    def _find_long_name(self, cells: Sequence[str]) -> str:
        """What is wrong with the names of a row; columns that nobody named are not judged."""
        for key, name in self.texts_of.items():
            text = cells[self.at[name]].strip()
            if key in self.where and len(text) > LONGEST_NAME:
                return (f"{name}: {text[:20]!r} and {len(text) - 20} characters more; a name has "
                        f"at most {LONGEST_NAME}")  # fmt: skip
        return ""

    def _spoil(self, row: Row, problem: str) -> None:
        line = f"{self._place(row.at)}: {problem}"
        self.spoilt.append((row.at, line, line))

    def _settle(self, values: dict[str, FloatArray], notes: list[str]) -> dict[str, dict[int, str]]:
        """Read the odd cells as people write numbers; what remains is a fault, by its column."""
        marks = find_marks(text for odd in self.odd.values() for text in odd.values())
        if isinstance(marks, str):
            notes.append(f"numbers are written in two ways: {marks}")
            marks = PLAIN
        asked = {
            one.text: _QUANTITIES[key]
            for key, one in self.where.items()
            if key in _QUANTITIES and one.is_column
        }
        faults: dict[str, dict[int, str]] = {}
        for name, odd in self.odd.items():
            understood: list[tuple[str, float]] = []
            for row, text in odd.items():
                fault, values[name][row] = _read_odd(text, asked.get(name, ""), marks)
                if fault:
                    faults.setdefault(name, {})[row] = fault
                else:
                    understood.append((text, float(values[name][row])))
            if understood:
                text, value = understood[0]
                notes.append(f"{name}: {len(understood)} cells are read as people write numbers: "
                             f"{text!r} is {value:.10g}")  # fmt: skip
        return faults

    def _evaluate(self, key: str, values: Mapping[str, FloatArray], size: int) -> FloatArray:
        return np.array(np.broadcast_to(self.where[key].evaluate(values), size))

    def _judge(
        self, key: str, columns: Mapping[str, FloatArray], faults: Mapping[str, Mapping[int, str]]
    ) -> list[_Wrong]:
        """The cells of one column that cannot be taken."""
        made, values = self.where[key], columns[key]
        found: dict[int, _Wrong] = {}
        for name in made.columns:
            for row, fault in faults.get(name, {}).items():
                seen = fault if made.is_column else f"{name}: {fault}"
                found.setdefault(row, _Wrong(row, fault.split("'")[0], seen))
        blank = np.isnan(values)
        for at in np.flatnonzero(~_is_valid(key, values)).tolist():
            if at in found:
                continue
            if blank[at]:
                if key in self.options.needed:
                    found[at] = _Wrong(at, "empty", "empty")
                continue
            kind = _name_fault(key, float(values[at]))
            shown = self._show(made, at, float(values[at]))
            found[at] = _Wrong(at, kind, f"{shown} {kind}")
        if key in _PARTS_OF_STEPS and "steps" in columns:
            steps = columns["steps"]
            # False for NaN: not stated, or already a problem.
            for at in np.flatnonzero(values > steps).tolist():
                seen = f"{values[at]:g} of {steps[at]:g} steps; count both in optimiser steps"
                found.setdefault(at, _Wrong(at, "longer than its run", seen))
        return [found[row] for row in sorted(found)]

    def _show(self, made: Expression, row: int, value: float) -> str:
        text = self.odd.get(made.text, {}).get(row) if made.is_column else None
        return text or f"{value:.12g}"

    def _report(
        self, wrong: Mapping[str, list[_Wrong]], size: int
    ) -> tuple[list[str], list[str], set[int]]:
        """(problems, one line for each rejected row, the rows that are spoilt)."""
        lines = list(self.spoilt)
        if self.unfinished:
            lines += self._describe_unfinished()
        by_row: dict[int, list[str]] = {}
        for key, cells in wrong.items():
            name = self.where[key].text
            kind, count = Counter(one.kind for one in cells).most_common(1)[0] if cells else ("", 0)
            alike = count >= _MANY_ALIKE and count > size / 2
            first = True
            for one in cells:
                place = self._place(self.places[one.row])
                line = f"{place}: {name}: {one.seen}; {_BY_ROW}"
                by_row.setdefault(one.row, []).append(line)
                if alike and one.kind == kind:
                    if not first:
                        continue
                    first = False
                    out = f"leave the column out with --columns {key}=, "
                    out = "" if key in self.options.needed else out
                    line = (f"{place}: {name}: {one.seen}, and so in {count} of {size} rows; "
                            f"{out}{_BY_ROW}")  # fmt: skip
                lines.append((self.places[one.row], line, ""))
        lines.sort(key=lambda one: one[0])
        rejected = [(at, said) for at, _, said in lines if said]
        rejected += [(self.places[row], "; ".join(said)) for row, said in by_row.items()]
        return [line for _, line, _ in lines if line], [s for _, s in sorted(rejected)], set(by_row)

    def _describe_unfinished(self) -> Iterator[tuple[int, str, str]]:
        assert self.state is not None
        at, tally = self.state
        said = describe_unfinished(tally)
        for index, row in enumerate(self.unfinished):
            place = self._place(row.at)
            word = row.cells[at].strip()
            yield (row.at, "" if index else f"{place}: {said}",
                   f"{place}: {tally.column}: {word!r}, the run did not finish")  # fmt: skip

    def _list_notes(self, size: int) -> list[str]:
        notes = list(self.raw.notes)
        if self.options.where:
            said = " and ".join(f"{column} = {value}" for column, value in self.options.where)
            notes.append(f"{self.read - self.unmatched} of {self.read} rows have {said}; the "
                         f"others are not read")  # fmt: skip
        notes += self.index.list_notes()
        return notes + (self.state[1].list_notes() if self.state else [])

    def _place(self, at: int) -> str:
        return f"{self.name}:{self.raw.place}{at}"


def _parse_cells(cells: Sequence[str]) -> tuple[FloatArray, dict[int, str]]:
    """Numbers, NaN where a cell is blank or odd; the text of each odd cell by position."""
    try:
        values = np.array([float(cell) for cell in cells], dtype=np.float64)
        plain = all(cell.isascii() and "_" not in cell for cell in cells)
        if plain and np.isfinite(values).all():
            return values, {}
    except ValueError:
        pass
    values, odd = np.full(len(cells), np.nan), {}
    for at, cell in enumerate(cells):
        text = cell.strip()
        if not text:
            continue
        try:
            values[at] = float(text)
        except ValueError:
            odd[at] = text
        else:
            if "_" in text or not text.isascii() or not math.isfinite(values[at]):
                odd[at], values[at] = text, math.nan
    return values, odd


def _read_odd(text: str, quantity: Quantity, marks: Marks) -> tuple[str, float]:
    """(what is wrong or "", value) of a cell that is no plain number."""
    shown = text if len(text) <= 40 else text[:37] + "..."
    try:
        value = float(text)
    except ValueError:
        pass
    else:
        if not text.isascii():
            return f"{shown!r} is written in digits of another script; write 0 to 9", math.nan
        if "_" not in text:
            return f"{shown} is not a finite number", math.nan
    try:
        value = read_number(text, of=quantity, marks=marks)
    except NumberError as error:
        if "_" in text:
            return f"{shown!r} is written with an underscore", math.nan
        return str(error), math.nan
    return ("", value) if math.isfinite(value) else (f"{shown} is not a finite number", math.nan)


def _is_valid(column: str, values: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    valid = np.isfinite(values)
    kind = _KINDS.get(column)  # None: a metric, which may have any size and sign
    if kind is None:
        valid &= np.abs(values) < _LARGEST
    elif kind == "whole":
        valid &= (values == np.floor(values)) & (np.abs(values) <= _LARGEST_SEED)
    else:
        valid &= (values > 0) if kind == "positive" else (values >= 0)
        valid &= (values < _LARGEST) & (values >= SMALLEST.get(column, 0.0))
    return valid


def _name_fault(column: str, value: float) -> str:
    """Why a number is none of its column."""
    if not math.isfinite(value):
        return "is not a finite number"
    kind = _KINDS.get(column)
    if kind == "whole":
        return "is not a whole number below 2^53"
    if kind == "positive" and value <= 0:
        return "is not above 0"
    if value < 0 and kind is not None:
        return "is below 0"
    if value < SMALLEST.get(column, 0.0):
        return f"is too small to compute with (at least {SMALLEST[column]:g})"
    return f"is beyond any run (at most {_LARGEST:g})"


def _is_same(cell: str, value: str) -> bool:
    """Numbers compare as numbers: 3e-4 is 0.0003."""
    cell, value = cell.strip(), value.strip()
    if cell == value:
        return True
    one, other = (_as_number(text) for text in (cell, value))
    return one is not None and one == other


def _as_number(text: str) -> float | None:
    try:
        return read_number(text)
    except NumberError:
        return None

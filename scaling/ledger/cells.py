"""From text cells to numbers, for every format: all problems at once, as `file:line: column: seen`.

Only the columns of the contract are parsed; Python's own float is used, because it is exact and
takes integers of any size (6·N·D of a large run overflows int64).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import numpy as np

from scaling.errors import TableError
from scaling.ledger.columns import NUMBERS, OPTIONAL, REQUIRED, TABLE_COLUMNS, TEXTS
from scaling.ledger.index_rows import INDEX_COLUMNS, IndexRows, open_index
from scaling.ledger.json_rows import read_json_lines, read_json_list
from scaling.ledger.parquet_rows import read_parquet_rows
from scaling.ledger.rows import RawTable, Row, read_csv_rows
from scaling.units import FloatArray, IntArray

REQUIRED_COLUMNS = tuple(one.name for one in REQUIRED)
OPTIONAL_COLUMNS = tuple(one.name for one in OPTIONAL)
_KNOWN = REQUIRED_COLUMNS + OPTIONAL_COLUMNS
_LARGEST = 1e40  # of N, D, C: far beyond any training run, far inside float64
_LARGEST_SEED = 2**53 - 1  # whole numbers are exact in a double up to there
_KINDS = {one.name: one.kind for one in TABLE_COLUMNS}
# Names that other people's tables use, for the suggestion only; nothing is mapped silently.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "N": (
        "params",
        "n_params",
        "num_params",
        "parameters",
        "parameter_count",
        "model_size",
        "size",
    ),
    "D": ("tokens", "n_tokens", "num_tokens", "total_tokens", "train_tokens", "training_tokens"),
    "loss": ("val_loss", "eval_loss", "validation_loss", "test_loss", "final_loss", "nll", "bpb"),
}
# A part of the schedule that is longer than the whole is in another unit, or of another run.
_PARTS_OF_STEPS = ("warmup_steps", "decay_steps")
# Where a tracker says how a run ended, and its words for runs that did not finish. W&B: State in
# its table's CSV, state in its API; MLflow: status in search_runs, info.status in `mlflow runs
# describe`; diverged is this program's own (index/runs.csv).
# Source: docs.wandb.ai/models/runs/run-states; mlflow/entities/run_status.py.
_STATE_COLUMNS = ("State", "state", "status", "info.status")
_UNFINISHED = frozenset(
    ("crashed", "failed", "killed", "pending", "preempted", "preempting", "running", "scheduled",
     "diverged")
)  # fmt: skip
_MAX_NAMES = 30
_CHUNK_ROWS = 50_000


@dataclass(slots=True)
class Cells:
    """Columns as they are read, chunk by chunk."""

    name: str
    raw: RawTable
    where: Mapping[str, int]
    state: int | None
    index: IndexRows
    columns: dict[str, list[FloatArray]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    rows: list[IntArray] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    states: set[str] = field(default_factory=set)
    read: int = 0
    kept: int = 0

    def add(self, chunk: Sequence[Row]) -> None:
        """Parse one chunk; bad rows go to `problems`."""
        blank = [""] * len(self.raw.header)
        bad: dict[int, list[str]] = {}
        for at, row in enumerate(chunk):
            problem = self._judge_row(row)
            if problem is not None:
                bad[at] = [f"{self._place(row)}: {problem}"] if problem else []
        broken = frozenset(bad)  # their other cells are not judged
        texts = [blank if at in broken else row.cells for at, row in enumerate(chunk)]
        parsed: dict[str, FloatArray] = {}
        for column in NUMBERS:
            if column not in self.where:
                continue
            index = self.where[column]
            values, problems = _parse_column(column, [cells[index] for cells in texts], broken)
            problems |= _compare_steps(column, values, parsed)
            parsed[column] = values
            for at, problem in problems.items():
                place = f"{self._place(chunk[at])}: {self.raw.header[index]}"
                bad.setdefault(at, []).append(f"{place}: {problem}")
        good = np.array([at not in bad for at in range(len(chunk))], dtype=np.bool_)
        for column, values in parsed.items():
            self.columns.setdefault(column, []).append(values[good])
        for column in TEXTS:
            if column in self.where:
                index = self.where[column]
                cells = [texts[at][index].strip() for at in np.flatnonzero(good)]
                self.texts.setdefault(column, []).extend(cells)
        self.rows.append(self.read + 1 + np.flatnonzero(good))
        for at in sorted(bad):
            self.problems.extend(bad[at])
            if bad[at]:
                self.rejected.append("; ".join(bad[at]))
        self.read += len(chunk)
        self.kept += int(good.sum())

    def list_notes(self) -> list[str]:
        """What a reader should know: rows that no fit sees, and states of runs that nothing is
        known about."""
        notes = self.index.list_notes()
        strange = sorted(self.states - _UNFINISHED - {"finished"})
        if self.state is None or not strange or len(strange) == len(self.states):
            return notes
        shown = ", ".join(repr(state) for state in strange[:5])
        column, verb = self.raw.header[self.state], "are" if len(strange) > 1 else "is"
        return [*notes, f"{column}: {shown} {verb} no state of a run that is known here; such rows "
                        f"are kept"]  # fmt: skip

    def _judge_row(self, row: Row) -> str | None:
        """What is wrong with the row as a whole; empty where no fit sees it, None where it is
        taken."""
        if row.problem:
            self.index.pass_over()
            return row.problem
        unfinished = self._judge_state(row.cells)
        verdict = self.index.judge(row.cells, finished=not unfinished)
        if verdict == "leave":
            return ""
        return unfinished or None if verdict == "take" else verdict

    def _judge_state(self, cells: Sequence[str]) -> str:
        """Why the run does not count, by what the tracker says of it."""
        if self.state is None:
            return ""
        state = cells[self.state].strip().lower()
        self.states.add(state)
        if state not in _UNFINISHED:
            return ""
        return (f"{self.raw.header[self.state]}: {cells[self.state].strip()!r}, the run did not "
                f"finish; leave such rows out with --drop-bad")  # fmt: skip

    def _place(self, row: Row) -> str:
        return f"{self.name}:{self.raw.place}{row.at}"


def read_cells(path: Path, mapping: Mapping[str, str]) -> Cells:
    """Read and parse the contract's columns of a table; its suffix names the format.

    Args:
        path: CSV, TSV, JSON Lines, JSON or Parquet.
        mapping: Contract name -> the file's name.

    Raises:
        TableError: The file cannot be read, or lacks or doubles a column.
        UsageError: It is Parquet, and pyarrow is not installed.
    """
    wanted = {mapping.get(one, one) for one in _KNOWN}.union(_STATE_COLUMNS, INDEX_COLUMNS)
    raw = _open_rows(path, wanted)
    where = _locate_columns(raw, mapping, str(path))
    used = {raw.header[index] for index in where.values()}
    states = [raw.header.index(one) for one in _STATE_COLUMNS if one in raw.header]
    state = next((index for index in states if raw.header[index] not in used), None)
    index = open_index(raw.header, where)
    cells = Cells(name=str(path), raw=raw, where=where, state=state, index=index)
    while chunk := list(islice(raw.rows, _CHUNK_ROWS)):
        cells.add(chunk)
    return cells


def _open_rows(path: Path, wanted: Collection[str]) -> RawTable:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(path, wanted=wanted)
    if suffix == ".json":
        return read_json_list(path, wanted=wanted)
    if suffix == ".parquet":
        return read_parquet_rows(path, wanted=wanted)
    return read_csv_rows(path, delimiter="\t" if suffix == ".tsv" else ",")


def _parse_column(
    column: str, raw: Sequence[str], broken: Collection[int]
) -> tuple[FloatArray, dict[int, str]]:
    """Numbers of one column, NaN where an optional cell is blank; problems by position."""
    optional = column in OPTIONAL_COLUMNS
    try:  # Python's float is exact and takes integers of any size
        values = np.array([float(cell) for cell in raw], dtype=np.float64)
        suspect = any("_" in cell for cell in raw) or not _is_valid(column, values).all()
    except ValueError:
        values, suspect = np.full(len(raw), np.nan), True
    problems: dict[int, str] = {}
    if not suspect:
        return values, problems
    for at, cell in enumerate(raw):
        cell = cell.strip()
        if at in broken or (optional and not cell):
            values[at] = math.nan
            continue
        problem, values[at] = _read_cell(column, cell)
        if problem:
            problems[at] = problem
    return values, problems


def _is_valid(column: str, values: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    valid = np.isfinite(values)
    kind = _KINDS[column]
    if kind == "whole":
        valid &= (values == np.floor(values)) & (np.abs(values) <= _LARGEST_SEED)
    else:
        valid &= (values > 0) if kind == "positive" else (values >= 0)
        valid &= values < _LARGEST
    return valid


def _compare_steps(
    column: str, values: FloatArray, parsed: Mapping[str, FloatArray]
) -> dict[int, str]:
    """Parts of the schedule that are longer than the steps of their row; problems by position."""
    if column not in _PARTS_OF_STEPS or "steps" not in parsed:
        return {}
    steps = parsed["steps"]
    return {
        int(at): f"{values[at]:g} of {steps[at]:g} steps; count both in optimiser steps, or leave "
        f"such rows out with --drop-bad"
        for at in np.flatnonzero(values > steps)  # NaN: not stated, or a problem already
    }


def _read_cell(column: str, cell: str) -> tuple[str, float]:
    """(problem or "", value) of one cell."""
    remedy = "correct the cell, or leave such rows out with --drop-bad"
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    if not cell:
        return f"empty; {remedy}", math.nan
    try:
        value = float(cell)
    except ValueError:
        kind = "a truth value" if cell.lower() in ("true", "false") else "text"
        return f"{kind} {shown!r} where a number is needed; {remedy}", math.nan
    if "_" in cell:
        return f"{shown!r} is written with an underscore; {remedy}", math.nan
    if not math.isfinite(value):
        return f"{shown} is not a finite number; {remedy}", math.nan
    kind = _KINDS[column]
    if kind == "whole":
        if value != math.floor(value) or abs(value) > _LARGEST_SEED:
            return f"{shown} is not a whole number below 2^53; {remedy}", math.nan
    elif kind == "positive" and value <= 0:
        return f"{shown} is not above 0; {remedy}", math.nan
    elif value < 0:
        return f"{shown} is below 0; {remedy}", math.nan
    elif value >= _LARGEST:
        return f"{shown} is beyond any run (at most {_LARGEST:g}); {remedy}", math.nan
    return "", value


def _locate_columns(raw: RawTable, mapping: Mapping[str, str], name: str) -> dict[str, int]:
    """Contract name -> position; every missing, doubled or unknown name is one problem."""
    problems = []
    for key in mapping:
        if key not in _KNOWN:
            close = get_close_matches(key, _KNOWN, n=1, cutoff=0.0)
            problems.append(f"{name}: columns: {key!r} is not a column of the contract "
                            f"({', '.join(_KNOWN)}); did you mean {close[0]}?")  # fmt: skip
    where = {}
    for column in _KNOWN:
        wanted = mapping.get(column, column)
        if wanted not in raw.header:
            if column in REQUIRED_COLUMNS or column in mapping:
                problems.append(_describe_missing(column, wanted, raw, mapping, name))
            continue
        where[column] = raw.header.index(wanted)
        count = sum(one == wanted for one in raw.names)
        if count > 1:
            problems.append(f"{name}:1: {wanted}: this column stands {count} times in the header; "
                            f"rename or remove the others")  # fmt: skip
    if problems:
        raise TableError(problems)
    return where


def _describe_missing(
    column: str, wanted: str, raw: RawTable, mapping: Mapping[str, str], name: str
) -> str:
    if len(raw.names) == 1 and any(mark in raw.names[0] for mark in ";\t|,"):
        marks = "tabs" if raw.format == "TSV" else "commas"
        return (f"{name}:1: {column}: the header is one cell, {raw.names[0]!r}; "
                f"separate columns by {marks}, as in {raw.format}")  # fmt: skip
    names = [one for one in raw.names if one]
    shown = ", ".join(names[:_MAX_NAMES]) or "none"
    if len(names) > _MAX_NAMES:
        shown += f" and {len(names) - _MAX_NAMES} more"
    hint = ""
    close = _suggest(column, wanted, [one for one in names if one not in mapping.values()])
    if close:
        hint = f'; did you mean "--columns {column}={close}"?'
    elif raw.format in ("CSV", "TSV") and {"config", "summary"} <= set(names):
        hint = ("; the cells of config and summary are whole dictionaries: write one JSON object "
                "per run to a .jsonl file instead")  # fmt: skip
    place = "" if raw.place else ":1"
    return (
        f"{name}{place}: {wanted}: no such column; read as {raw.format}, the file has {shown}{hint}"
    )


def _suggest(column: str, wanted: str, names: list[str]) -> str | None:
    """The column that was meant: by the names others use, else by likeness. A tracker's prefix
    (`params.`, `config.`) does not count; `val/loss` is val_loss."""
    bare = {one.lower().rsplit(".", 1)[-1].replace("/", "_"): one for one in reversed(names)}
    close = [bare[one] for one in (column.lower(), *_ALIASES.get(column, ())) if one in bare]
    lowered = {one.lower(): one for one in reversed(names)}
    close += [lowered[one] for one in get_close_matches(wanted.lower(), lowered, n=1, cutoff=0.6)]
    return close[0] if close else None

"""Cells of a foreign CSV of runs: every problem at once, as `file:line: column: what was seen`.

Only the columns of the contract are parsed; Python's own float is used, because it is exact and
takes integers of any size (6·N·D of a large run overflows int64).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from scaling.errors import TableError
from scaling.units import FloatArray, IntArray

REQUIRED_COLUMNS = ("N", "D", "loss")
OPTIONAL_COLUMNS = ("C", "budget", "U", "seed", "lr", "group")
_POSITIVE = ("N", "D", "loss", "C", "budget", "U", "lr")
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
_CHUNK_ROWS = 50_000
# A file with a wrong column has as many problems as rows; a reader needs the first of them.
MAX_PROBLEMS = 1000


@dataclass(slots=True)
class Cells:
    """Columns as they are read, chunk by chunk."""

    name: str
    header: list[str]
    where: Mapping[str, int]
    columns: dict[str, list[FloatArray]] = field(default_factory=dict)
    group: list[str] = field(default_factory=list)
    rows: list[IntArray] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    read: int = 0
    kept: int = 0

    def add(self, chunk: list[tuple[int, list[str]]]) -> None:
        """Parse one chunk of (line number, cells); bad rows go to `problems`."""
        width = len(self.header)
        lines = [line for line, _ in chunk]
        bad: dict[int, list[str]] = {}
        for at, (line, row) in enumerate(chunk):
            if len(row) != width:
                bad[at] = [f"{self.name}:{line}: {len(row)} cells where the header has {width}; "
                           f"quote cells that contain commas"]  # fmt: skip
        texts = [row if at not in bad else [""] * width for at, (_, row) in enumerate(chunk)]
        parsed: dict[str, FloatArray] = {}
        for column, index in self.where.items():
            if column == "group":
                continue
            raw = [row[index] for row in texts]
            parsed[column] = self._parse(column, raw, lines, bad)
        good = np.array([at not in bad for at in range(len(chunk))], dtype=np.bool_)
        for column, values in parsed.items():
            self.columns.setdefault(column, []).append(values[good])
        if "group" in self.where:
            index = self.where["group"]
            self.group.extend(texts[at][index].strip() for at in np.flatnonzero(good))
        self.rows.append(self.read + 1 + np.flatnonzero(good))
        for at in sorted(bad):
            self.problems.extend(bad[at])
            self.rejected.append("; ".join(bad[at]))
        self.read += len(chunk)
        self.kept += int(good.sum())

    def _parse(
        self, column: str, raw: list[str], lines: list[int], bad: dict[int, list[str]]
    ) -> FloatArray:
        """Numbers of one column; NaN where an optional cell is blank."""
        optional = column in OPTIONAL_COLUMNS
        try:  # Python's float is exact and takes integers of any size
            values = np.array([float(cell) for cell in raw], dtype=np.float64)
            suspect = any("_" in cell for cell in raw) or not _is_valid(column, values).all()
        except ValueError:
            values, suspect = np.full(len(raw), np.nan), True
        if not suspect:
            return values
        for at, cell in enumerate(raw):
            cell = cell.strip()
            if at in bad and len(bad[at]) and " cells where " in bad[at][0]:
                continue
            if optional and not cell:
                values[at] = math.nan
                continue
            problem, values[at] = _read_cell(column, cell)
            if problem:
                heading = self.header[self.where[column]]
                bad.setdefault(at, []).append(f"{self.name}:{lines[at]}: {heading}: {problem}")
        return values


def read_cells(path: Path, mapping: Mapping[str, str]) -> Cells:
    """Read and parse the contract's columns of a CSV.

    Args:
        path: UTF-8, comma-separated, one header line.
        mapping: Contract name -> the file's name.

    Raises:
        TableError: The file cannot be read, or its header lacks or doubles a column.
    """
    name = str(path)
    text = _read_text(path, name)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(lines)]
    except (StopIteration, csv.Error):
        raise TableError(
            [
                f"{name}:1: the file is empty; a table of runs needs columns "
                f"{', '.join(REQUIRED_COLUMNS)} and one row per run"
            ]
        ) from None
    cells = Cells(name=name, header=header, where=_locate_columns(header, mapping, name))
    for chunk in _iterate_chunks(lines, name):
        cells.add(chunk)
    return cells


def _is_valid(column: str, values: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    valid = np.isfinite(values)
    if column in _POSITIVE:
        valid &= values > 0
    if column == "seed":
        valid &= values == np.floor(values)
    return valid


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
    if column in _POSITIVE and value <= 0:
        return f"{shown} is not above 0; {remedy}", math.nan
    if column == "seed" and value != math.floor(value):
        return f"{shown} is not a whole number; {remedy}", math.nan
    return "", value


def _read_text(path: Path, name: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise TableError([f"{name}: cannot be read ({reason}); name a CSV file of runs"]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TableError([f"{name}:{line}: not UTF-8 text (byte {error.start}); "
                          f"save the table as CSV in UTF-8"]) from None  # fmt: skip
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError([f"{name}:{line}: a NUL byte; save the table as CSV in UTF-8"])
    return text


def _iterate_chunks(lines: Iterator[list[str]], name: str) -> Iterator[list[tuple[int, list[str]]]]:
    """Rows with their line numbers, blank lines left out, some tens of thousands at a time."""
    chunk: list[tuple[int, list[str]]] = []
    reader = lines
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            line = getattr(reader, "line_num", 0)
            raise TableError([f"{name}:{line}: not readable as CSV ({error}); "
                              f"check its quotes"]) from None  # fmt: skip
        if row and (len(row) > 1 or row[0].strip()):
            chunk.append((getattr(reader, "line_num", 0), row))
            if len(chunk) == _CHUNK_ROWS:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _locate_columns(header: list[str], mapping: Mapping[str, str], name: str) -> dict[str, int]:
    """Contract name -> position; every missing, doubled or unknown name is one problem."""
    problems = []
    known = REQUIRED_COLUMNS + OPTIONAL_COLUMNS
    for one in sorted({cell for cell in header if cell and header.count(cell) > 1}):
        problems.append(f"{name}:1: {one}: this column stands {header.count(one)} times in the "
                        f"header; rename or remove the others")  # fmt: skip
    for key in mapping:
        if key not in known:
            close = get_close_matches(key, known, n=1, cutoff=0.0)
            problems.append(f"{name}: columns: {key!r} is not a column of the contract "
                            f"({', '.join(known)}); did you mean {close[0]}?")  # fmt: skip
    where = {}
    for column in known:
        wanted = mapping.get(column, column)
        if wanted in header:
            where[column] = header.index(wanted)
        elif column in REQUIRED_COLUMNS or column in mapping:
            problems.append(_describe_missing(column, wanted, header, mapping, name))
    if problems:
        raise TableError(problems)
    return where


def _describe_missing(
    column: str, wanted: str, header: list[str], mapping: Mapping[str, str], name: str
) -> str:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        return (f"{name}:1: {column}: the header is one cell, {header[0]!r}; "
                f"separate columns by commas")  # fmt: skip
    shown = ", ".join(cell for cell in header if cell) or "none"
    lowered = {cell.lower(): cell for cell in reversed(header) if cell not in mapping.values()}
    close = [lowered[alias] for alias in _ALIASES.get(column, ()) if alias in lowered]
    close += [lowered[one] for one in get_close_matches(wanted.lower(), lowered, n=1, cutoff=0.6)]
    hint = f'; did you mean "--columns {column}={close[0]}"?' if close else ""
    return f"{name}:1: {wanted}: no such column; the file has {shown}{hint}"


def shorten_problems(problems: list[str], name: str) -> list[str]:
    """The first MAX_PROBLEMS of them, and how many more there are."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    more = f"{name}: and {len(problems) - MAX_PROBLEMS} more such problems"
    return [*problems[:MAX_PROBLEMS], more]

"""Any file of runs, or a folder of them, as rows of text: the suffix names the format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from scaling.errors import TableError
from scaling.tables.columns import TABLE_COLUMNS
from scaling.tables.index_rows import INDEX_COLUMNS
from scaling.tables.json_rows import read_json_lines, read_json_list
from scaling.tables.parquet_rows import read_parquet_rows
from scaling.tables.rows import RawTable, Row, read_csv_rows
from scaling.tables.shapes import Melt, find_log, find_melt
from scaling.tables.states import is_state_column

# Columns that commonly name a row's training run; used if `run` is not mapped.
RUN_COLUMNS = ("run_name", "run_id", "run", "Run", "Run ID", "Run Name", "name", "Name",
               "trial_id", "trial", "experiment", "file")  # fmt: skip
FORMATS = (
    ("`.csv`, any other", "commas; semicolons, tabs, bars or blanks where the header has no comma; "
     "a table of `\\| cells \\|` as Markdown, also between other lines"),
    ("`.tsv`", "tabs"),
    ("`.jsonl`, `.ndjson`", "an object per line"),
    ("`.json`", "a list of objects, or an object that holds rows (below)"),
    ("`.parquet`", "by pyarrow (`pip install 'scaling[parquet]'`)"),
    ("`.gz` after any text", "unpacked"),
    ("a folder", "its tables and those one level below, all of one header, as one table; the "
     "column `file` names the file"),
)  # fmt: skip
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".md")
_FEWEST_FILES = 2


class Wanted:
    """Names of columns that may be asked for: the contract's, states, runs, and every name that
    occurs in what the user wrote (an expression is parsed only when the header is known)."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = "\n".join(words)
        self._known: dict[str, bool] = {}
        self._usual = {one.name for one in TABLE_COLUMNS}.union(RUN_COLUMNS, INDEX_COLUMNS)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._known:
            usual = name in self._usual or is_state_column(name)
            self._known[name] = usual or bool(name and name in self._words)
        return self._known[name]


def open_rows(path: Path, words: Iterable[str]) -> RawTable:
    """The rows of a file or a folder of files.

    Args:
        path: The file or folder.
        words: What the user wrote of columns; others than those and the usual ones are only named.

    Raises:
        TableError: It cannot be read.
        UsageError: It is Parquet, and pyarrow is not installed.
    """
    wanted = Wanted(words)
    if path.is_dir():
        return _open_folder(path, wanted)
    return _open_file(path, wanted)


def list_table_files(folder: Path) -> list[Path]:
    """The tables in a folder and one level below, by name."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return sorted(one for one in found if one.is_file() and _find_suffix(one) in SUFFIXES)


def _find_suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return "." + name.rsplit(".", 1)[-1] if "." in name else ""


def _open_file(path: Path, wanted: Wanted) -> RawTable:
    suffix = _find_suffix(path)
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(path, wanted=wanted)
    if suffix == ".json":
        return read_json_list(path, wanted=wanted)
    if suffix == ".parquet":
        return read_parquet_rows(path, wanted=wanted)
    raw = read_csv_rows(path, delimiter="\t" if suffix == ".tsv" else None)
    melt = find_melt(raw.names)
    if melt is None:
        return dataclasses.replace(raw, remedy=find_log(raw.names))
    return _melt_rows(raw, melt)


def _open_folder(folder: Path, wanted: Wanted) -> RawTable:
    files = list_table_files(folder)
    if len(files) < _FEWEST_FILES:
        raise TableError([f"{folder}: neither a results folder (no sweep.json) nor a folder of "
                          f"tables ({len(files)} files of runs); name a file of runs"]
                         )  # fmt: skip
    first = _open_file(files[0], wanted)
    # Each file is opened twice, for its header and for its rows, so that only one is in memory.
    odd = [str(file) for file in files[1:]
           if list(_open_file(file, wanted).names) != list(first.names)]  # fmt: skip
    if odd:
        raise TableError([f"{folder}: {odd[0]} has other columns than {files[0]}; put files of one "
                          f"kind into a folder of their own"])  # fmt: skip
    names = list(first.names)
    label = "file" if "file" not in names else "file name"

    def iterate() -> Iterator[Row]:
        at = 0
        for file in files:
            for row in _open_file(file, wanted).rows:
                at += 1
                yield Row(at, [*row.cells, _name_run(file, folder)], row.problem)

    note = f"{len(files)} files are read as one table; the column {label} names the file"
    return dataclasses.replace(
        first, names=[*names, label], header=[*first.header, label], rows=iterate(), place="row ",
        notes=(*first.notes, note),
    )  # fmt: skip


def _name_run(file: Path, folder: Path) -> str:
    """By the folder below, where each run has one; else by the file."""
    if file.parent != folder:
        return str(file.parent.relative_to(folder))
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]


def _melt_rows(raw: RawTable, melt: Melt) -> RawTable:
    names = [*(raw.names[at] for at in melt.kept), *melt.names]

    def iterate() -> Iterator[Row]:
        for row in raw.rows:
            if row.problem:
                yield Row(row.at, [""] * len(names), row.problem)
                continue
            kept = [row.cells[at] for at in melt.kept]
            for at, label in zip(melt.spread, melt.labels, strict=True):
                if row.cells[at].strip():
                    yield Row(row.at, [*kept, label, row.cells[at]])

    return dataclasses.replace(
        raw, names=names, header=names, rows=iterate(), notes=(*raw.notes, melt.note),
        remedy=melt.remedy,
    )  # fmt: skip

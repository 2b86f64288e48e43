"""Rows of a foreign file as text cells, whatever its format; nothing here is read as a number.

`opening` chooses the format. Nested objects become dotted columns (`config.n_params`). A JSON
number keeps the digits it is written with, so every format takes the one path from text to numbers,
in `cells`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scaling.errors import TableError

# 10^7 runs of a hundred characters each; a larger file is not a table of runs.
MAX_ROWS = 10**7
MAX_BYTES = 2**30
_KEEP_LESS = "keep one row per run and the columns that are fitted"
_MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_DASHES = re.compile(":?-+:?")
_NEEDED = "a table of runs needs a header and one row per run"
# Characters of a name (group, run, corpus): numpy stores every name at the length of the longest,
# four bytes a character, so one long name among 10^7 short ones would exhaust the memory.
LONGEST_NAME = 256
# A wrong column makes as many problems as rows; the first ones are enough.
MAX_PROBLEMS = 1000
_OF_A_ROW = re.compile(r"(.+?):(\d+): (.+)", re.DOTALL)
_ROWS_SHOWN = 5


class Row(NamedTuple):
    """One run: its line (or number) in the file, its cells, and what spoils the row as a whole."""

    at: int
    cells: Sequence[str]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """A file of runs before its cells are judged.

    Attributes:
        format: What the file was read as, for messages.
        names: Every column of the file, for messages.
        header: The column of each cell of a row.
        rows: In the file's order; may raise TableError where the file breaks off.
        place: What `Row.at` counts where it is not lines, e.g. "row ".
        notes: What was understood of its shape.
        remedy: What to say where a needed column is missing.
    """

    format: str
    names: Sequence[str]
    header: Sequence[str]
    rows: Iterator[Row]
    place: str = ""
    notes: Sequence[str] = ()
    remedy: str = ""


def read_csv_rows(path: Path, *, delimiter: str | None) -> RawTable:
    """The rows of a CSV or TSV, blank lines left out.

    Args:
        path: The file.
        delimiter: Between cells; None: a comma, or what the header has in its place.

    Raises:
        TableError: The file cannot be read, is empty, or has an unclosed quote.
    """
    name = str(path)
    kind = "TSV" if delimiter == "\t" else "CSV"
    text = read_text(path, kind)
    if delimiter is None and _holds_markdown(text):
        return _read_markdown(text, name)
    notes = []
    if delimiter is None:
        delimiter = _find_delimiter(text)
        if delimiter != ",":
            notes.append(f"columns are separated by {_MARKS[delimiter]}")
        if delimiter == " ":  # any number of blanks, also before the first cell
            text = re.sub(r"(?m)^[ \t]+|[ \t]+(?=\r?$)|(?<=\S)[ \t]+(?=\S)", _one_blank, text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(lines)]
    except StopIteration:
        raise TableError([f"{name}:1: the file is empty; {_NEEDED}"]) from None
    except csv.Error as error:
        raise TableError([f"{name}:{lines.line_num}: {_explain(error, kind)}"]) from None

    def iterate() -> Iterator[Row]:
        try:
            for cells in lines:
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                problem = ""
                if len(cells) != len(header):
                    problem = _describe_width(len(cells), len(header), _MARKS[delimiter])
                yield Row(lines.line_num, cells, problem)
        except csv.Error as error:
            raise TableError([f"{name}:{lines.line_num}: {_explain(error, kind)}"]) from None

    return RawTable(format=kind, names=header, header=header, rows=iterate(), notes=notes)


def _find_delimiter(text: str) -> str:
    """A comma, or the mark that the header has where it has no comma outside quotes."""
    lines = text.lstrip("\r\n").split("\n", 2)
    bare = "".join(lines[0].split('"')[::2])
    found = next((mark for mark in (",", ";", "\t", "|") if mark in bare), ",")
    if found == "," and "," not in bare and len(lines) > 1:
        head, first = bare.split(), lines[1].split()
        if len(head) == len(first) > 1 and '"' not in lines[0] + lines[1]:
            return " "  # the header and the row below have equally many words
    return found


def _one_blank(found: re.Match[str]) -> str:
    """A blank between cells, nothing at the ends of a line."""
    inside = found.start() > 0 and found.string[found.start() - 1] != "\n"
    ends = found.end() == len(found.string) or found.string[found.end()] in "\r\n"
    return " " if inside and not ends else ""


def _holds_markdown(text: str) -> bool:
    """A line of bars and below it a line of dashes, perhaps after other words."""
    if text.lstrip()[:1] == "|":
        return True
    return re.search(r"(?m)^\s*\|.*\|\s*\n\s*\|(?:\s*:?-+:?\s*\|)+\s*$", text) is not None


def _read_markdown(text: str, name: str) -> RawTable:
    """A table of `| cells |` with a line of dashes below its header; other lines are left out.

    Raises:
        TableError: There are several, of other columns.
    """
    lines = [(at, line.strip()) for at, line in enumerate(text.splitlines(), start=1)]
    rows = [(at, [cell.strip() for cell in line.strip("|").split("|")])
            for at, line in lines if line.startswith("|")]  # fmt: skip
    _, header = rows[0]
    body = [(at, cells) for at, cells in rows[1:] if not all(_DASHES.fullmatch(c) for c in cells)]
    dashed = {at for at, cells in rows if all(_DASHES.fullmatch(cell) for cell in cells)}
    others = [cells for at, cells in body if at + 1 in dashed]
    if any(cells != header for cells in others):
        raise TableError([f"{name}: several tables in one file; write the one of the runs to a "
                          f"file of its own"])  # fmt: skip
    body = [(at, cells) for at, cells in body if at + 1 not in dashed]
    return RawTable(
        format="Markdown",
        names=header,
        header=header,
        rows=iter(
            Row(at, cells, _describe_width(len(cells), len(header), "bars")
                if len(cells) != len(header) else "")
            for at, cells in body
        ),
        notes=["the table is read as Markdown"],
    )  # fmt: skip


def _describe_width(cells: int, header: int, marks: str) -> str:
    return f"{cells} cells where the header has {header}; quote cells that contain {marks}"


def _explain(error: csv.Error, kind: str) -> str:
    if "field limit" in str(error):
        limit = csv.field_size_limit()
        return (f"a cell of more than {limit} characters, the longest that is read; leave that "
                f"column out, or close its quote")  # fmt: skip
    return f"not readable as {kind} ({error}); check its quotes"


def read_text(path: Path, kind: str) -> str:
    """The whole file, without a byte order mark; unpacked where it is named .gz.

    Raises:
        TableError: It cannot be read, is larger than 1 GiB (unpacked too), has more than 10^7
            lines, or is no text in UTF-8, or in UTF-16 with its mark.
    """
    name = str(path)
    refuse_waiting(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if path.suffix.lower() == ".gz" and len(raw) <= MAX_BYTES:
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
                raw = packed.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError([f"{name}: not readable as gzip ({error}); pack it again"]) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise TableError([f"{name}: cannot be read ({reason}); name a file of runs"]) from None
    if len(raw) > MAX_BYTES:
        raise TableError([f"{name}: larger than {MAX_BYTES / 2**30:.3g} GiB; {_KEEP_LESS}"])
    refuse_rows(name, raw.count(b"\n") - 1)  # less the header
    try:
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TableError([f"{name}:{line}: not UTF-8 text (byte {error.start}); "
                          f"save the table as {kind} in UTF-8"]) from None  # fmt: skip
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError([f"{name}:{line}: a NUL byte; save the table as {kind} in UTF-8"])
    return text


def refuse_waiting(path: Path) -> None:
    """A named pipe without a writer, or a device, would be waited for without end; the shell's own
    pipes are read.

    Raises:
        TableError: It is a named pipe, a device or a socket, or a link to one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it will report the error
        return
    if stat.S_ISFIFO(mode) and not str(path).startswith("/dev/"):
        raise TableError([f"{path}: a named pipe; name a file of runs"])
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise TableError([f"{path}: a device or a socket; name a file of runs"])


def refuse_rows(name: str, count: int) -> None:
    """Refuse a table before its rows are decoded.

    Raises:
        TableError: It has more rows than there are runs anywhere.
    """
    if count > MAX_ROWS:
        raise TableError([f"{name}: {count} rows; at most {MAX_ROWS:.0e} are read; {_KEEP_LESS}"])


def shorten_problems(problems: list[str], name: str) -> list[str]:
    """The first MAX_PROBLEMS of them, and how many more there are."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    more = f"{name}: and {len(problems) - MAX_PROBLEMS} more such problems"
    return [*problems[:MAX_PROBLEMS], more]


def join_rejected(lines: Sequence[str]) -> list[str]:
    """Lines about rows that were left out, one for each cause: the first rows and how many."""
    causes: dict[tuple[str, str], list[str]] = {}
    plain = []
    for line in lines:
        found = _OF_A_ROW.fullmatch(line)
        if found is None:
            plain.append(line)
        else:
            causes.setdefault((found[1], found[3]), []).append(found[2])
    joined = []
    for (name, cause), rows in causes.items():
        more = "" if len(rows) <= _ROWS_SHOWN else f" and {len(rows) - _ROWS_SHOWN} more"
        joined.append(f"{name}:{', '.join(rows[:_ROWS_SHOWN])}{more}: {cause}")
    return [*joined, *plain]

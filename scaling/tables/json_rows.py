"""Rows of JSON Lines (one object per line) or of a JSON list of objects.

What run trackers hand out in JSON: W&B's runs as {"state", "config": {...}, "summary" or
"summaryMetrics": {...}}, MLflow's as {"info": {"status"}, "data": {"params", "metrics"}}, where its
REST interface has lists of {"key", "value"}. W&B's server sends `config` and `summaryMetrics` as
JSON inside a string, and each configured value as {"value": ...}; both become columns
(`config.n_params.value`).

Source: wandb/apis/public/runs.py (RunFragment, _convert_to_dict), mlflow/entities/run.py
(to_dictionary).
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from scaling.errors import TableError
from scaling.tables.rows import RawTable, Row, read_text, refuse_rows, shorten_problems
from scaling.tables.shapes import find_records

_BLANK = " \t\r\n"
_TOO_DEEP = "nested too deeply; write one flat object per run"
_PACKED = ("config", "summaryMetrics")
# Key under which an object stores the name of a duplicate key; JSON keys are never None.
_DOUBLED = None


def read_json_lines(path: Path, *, wanted: Container[str]) -> RawTable:
    """The rows of JSON Lines; a line that is no object is a row with a problem.

    Args:
        path: UTF-8, one object per line.
        wanted: The columns whose cells are kept; all others are only named.
    """
    text = read_text(path, "JSON Lines")
    collector = _Collector(wanted)
    for at, line in enumerate(_iterate_lines(text), start=1):
        if line.strip(_BLANK):
            collector.add(at, line)
    return collector.finish("JSON Lines", str(path))


def read_json_list(path: Path, *, wanted: Container[str]) -> RawTable:
    """The rows of a JSON list of objects, or of an object that holds rows (`tables.shapes`); any
    other single object is one row.

    Raises:
        TableError: The file is not JSON, or holds several lists of rows.
    """
    name = str(path)
    text = read_text(path, "JSON")
    collector = _Collector(wanted)
    line, counted = 1, 0
    try:
        if text.lstrip(_BLANK)[:1] == "{":
            ((_, whole),) = _iterate_values(text)
            assert isinstance(whole, dict)
            found = find_records(whole, wanted)
            if found.remedy and not found.rows:
                raise TableError([f"{name}: {found.remedy}"])
            refuse_rows(name, len(found.rows))
            for at, row in enumerate(found.rows, start=1):
                collector.add_value(at, row)
            raw = collector.finish("JSON", name)
            place = "row " if found.note else ""
            notes = [found.note] if found.note else []
            return dataclasses.replace(raw, place=place, notes=notes, remedy=found.remedy)
        for start, value in _iterate_values(text):
            line, counted = line + text.count("\n", counted, start), start
            refuse_rows(name, len(collector.rows))
            collector.add_value(line, value)
    except json.JSONDecodeError as error:
        raise TableError([f"{name}:{error.lineno}: not readable as JSON ({error.msg}); a list of "
                          f"objects is needed, one per run (one object per line: name the file "
                          f".jsonl)"]) from None  # fmt: skip
    except RecursionError:
        raise TableError([f"{name}: nested too deeply to be a table of runs"]) from None
    return collector.finish("JSON", name)


class _Collector:
    """Rows of the wanted columns, and the names of all."""

    def __init__(self, wanted: Container[str]) -> None:
        self.wanted = wanted
        self.names: dict[str, None] = {}
        self.rows: list[tuple[int, dict[str, str], str]] = []

    def add(self, at: int, text: str) -> None:
        try:
            value = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            problem = f"not JSON ({error.msg}, column {error.colno}); write one object per line"
            self.rows.append((at, {}, problem))
        except RecursionError:
            self.rows.append((at, {}, _TOO_DEEP))
        else:
            self.add_value(at, value)

    def add_value(self, at: int, value: object) -> None:
        cells: dict[str, str] = {}
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else f"{_show_value(value)!r:.40}"
            self.rows.append((at, {}, f"{kind} where an object is needed, one per run"))
            return
        try:
            problem = self._flatten(value, "", cells)
        except RecursionError:  # the decoder can nest deeper than this function
            problem = _TOO_DEEP
        self.rows.append((at, cells, problem))

    def _flatten(self, value: dict[Any, Any], prefix: str, cells: dict[str, str]) -> str:
        """Fill `cells`; what is wrong with the object, or nothing."""
        problem = ""
        if _DOUBLED in value:
            problem = f"{prefix}{value[_DOUBLED]} stands twice in one object; keep one"
        for key, inner in value.items():
            if key is _DOUBLED:
                continue
            name = f"{prefix}{key}"
            if name in _PACKED and isinstance(inner, str) and inner.lstrip(_BLANK)[:1] == "{":
                inner = _unpack(inner)
            if _is_pairs(inner):  # MLflow's REST interface
                inner = {one["key"]: one["value"] for one in inner}
            if isinstance(inner, dict):
                problem = problem or self._flatten(inner, f"{name}.", cells)
                shown = "{…}"
            else:
                self.names.setdefault(name)
                shown = _show_value(inner) if name in self.wanted else ""
            if name in self.wanted:
                if name in cells:
                    problem = problem or f"{name} is given twice in one object; keep one"
                cells[name] = shown
        return problem

    def finish(self, kind: str, source: str) -> RawTable:
        if not self.rows:
            raise TableError([f"{source}:1: the file is empty; a table of runs needs one object "
                              f"per run"])  # fmt: skip
        if not self.names:  # report the rows' problems rather than missing columns
            problems = [f"{source}:{at}: {problem or 'an object without values'}"
                        for at, _, problem in self.rows]  # fmt: skip
            raise TableError(shorten_problems(problems, source))
        header = [name for name in self.names if name in self.wanted]

        def iterate() -> Iterator[Row]:
            for at, cells, problem in self.rows:
                yield Row(at, [cells.get(name, "") for name in header], problem)

        return RawTable(format=kind, names=list(self.names), header=header, rows=iterate())


def _is_pairs(value: object) -> bool:
    """A list of {"key": …, "value": …}, each key once."""
    if not (isinstance(value, list) and value and all(isinstance(one, dict) for one in value)):
        return False
    if not all("key" in one and "value" in one and isinstance(one["key"], str) for one in value):
        return False
    return len({one["key"] for one in value}) == len(value)


def _iterate_lines(text: str) -> Iterator[str]:
    """Lines as JSON has them: U+2028 and its like stand inside a string."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _iterate_values(text: str) -> Iterator[tuple[int, object]]:
    """(offset, value) of each element of a list, or of the one value that the text is."""
    at = _skip_blank(text, 0)
    if text[at : at + 1] != "[":
        if at < len(text):
            value, end = _DECODER.raw_decode(text, at)
            _expect(text, _skip_blank(text, end), "")
            yield at, value
        return
    at = _skip_blank(text, at + 1)
    if text[at : at + 1] == "]":
        _expect(text, _skip_blank(text, at + 1), "")
        return
    while True:
        value, end = _DECODER.raw_decode(text, at)
        yield at, value
        at = _skip_blank(text, end)
        if text[at : at + 1] == "]":
            _expect(text, _skip_blank(text, at + 1), "")
            return
        _expect(text, at, ",")
        at = _skip_blank(text, at + 1)


def _expect(text: str, at: int, sign: str) -> None:
    """`sign` stands at that place; where it is empty, the text ends there."""
    if text[at : at + 1] != sign:
        wanted = f"{sign!r}" if sign else "the end"
        raise json.JSONDecodeError(f"expected {wanted}", text, at)


def _skip_blank(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANK:
        at += 1
    return at


def _unpack(text: str) -> object:
    """The object that a string holds, or the string."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        return text


def _show_value(value: object) -> str:
    """A cell; numbers come as the text they were written with, NaN and Infinity too."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{len(value)} values]"
    return str(value)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    made: dict[Any, Any] = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        made[_DOUBLED] = next(key for key, count in counts.items() if count > 1)
    return made


_DECODER = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_make_object
)

"""A strict reader of YAML 1.2 mappings: plain data with the place of every value, or every problem.

What YAML can do and a sweep file does not need is refused with a sentence: several documents,
anchors and aliases (also the way to exhaust memory), tags, merge keys, duplicate keys, deep
nesting.
Scalars follow the core schema of YAML 1.2 (sec. 10.3.2): `1e18` is a number, `no` and `1:30` are
text, and `0123`, which YAML 1.1 and 1.2 read differently, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 20
_MAX_DEPTH = 32
_TOO_DEEP = f"nested more than {_MAX_DEPTH} levels deep."
_MAX_DIGITS = 400  # more digits than float64's exponent range add nothing

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

KeyPath = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class YamlDocument:
    """A parsed file.

    Attributes:
        value: Mappings, sequences and scalars; None if nothing could be read.
        places: (line, column), 1-based, of the value at each path.
        key_places: The same for the key of each mapping entry.
        problems: (line, column, sentence) of everything refused.
    """

    value: Any = None
    places: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    key_places: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    problems: list[tuple[int, int, str]] = field(default_factory=list)


def parse_yaml(content: bytes) -> YamlDocument:
    """Read one YAML document; problems are collected, not raised."""
    document = YamlDocument()
    text = _decode(content, document)
    if text is None:
        return document
    try:
        _Builder(document).build(text)
    except _StopReadingError:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = (error.problem or "cannot be read").replace("\t", "\\t")
        line = text.split("\n")[place[0] - 1 : place[0]]
        hint = " Indent with spaces, not tabs." if line and line[0].startswith("\t") else ""
        # libyaml looks far ahead for the end of a key and may hit its own limit before ours.
        deep = "nesting depth" in problem
        sentence = _TOO_DEEP if deep else f"not valid YAML: {problem}.{hint}"
        document.problems.append((*place, sentence))
    except yaml.YAMLError as error:
        document.problems.append((1, 1, f"not valid YAML: {str(error).splitlines()[0]}."))
    return document


def _decode(content: bytes, document: YamlDocument) -> str | None:
    if len(content) > MAX_BYTES:
        problem = f"the file has {len(content)} bytes; a sweep file has at most {MAX_BYTES}."
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = "the file is UTF-16. Save it as UTF-8."
    elif content.startswith(b"\xef\xbb\xbf"):
        problem = "the file starts with a byte order mark. Save it as UTF-8 without BOM."
    elif b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        document.problems.append((line, 1, "a NUL byte: this is not a text file."))
        return None
    else:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
            document.problems.append((line, column, "not UTF-8 text. Save the file as UTF-8."))
            return None
    document.problems.append((1, 1, problem))
    return None


class _StopReadingError(Exception):
    """Reading further would not help; the problem is recorded."""


class _Builder:
    """Turns the parser's events into plain data, without recursion."""

    def __init__(self, document: YamlDocument) -> None:
        self.document = document
        # One frame per open collection: (container, its path, its pending key).
        self.frames: list[tuple[dict[str, Any] | list[Any], KeyPath]] = []
        self.keys: list[str | None] = []
        self.documents = 0

    def build(self, text: str) -> None:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self._refuse(event, "a second document starts here. Keep one per file.")
                    raise _StopReadingError
            elif isinstance(event, yaml.AliasEvent):
                self._refuse(event, f"alias *{_clip(str(event.anchor))}: write the value out.")
                self._place_value(event, None)
            elif isinstance(event, yaml.ScalarEvent):
                self._add_scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self.frames.pop()
                self.keys.pop()

    def _open(self, event: Any) -> None:
        self._check_node(event)
        if len(self.frames) >= _MAX_DEPTH:
            self._refuse(event, _TOO_DEEP)
            raise _StopReadingError
        container: dict[str, Any] | list[Any] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        if self._awaits_key():
            self._refuse(event, "a key must be plain text, not a list or mapping.")
            raise _StopReadingError
        path = self._place_value(event, container)
        self.frames.append((container, path))
        self.keys.append(None)

    def _add_scalar(self, event: Any) -> None:
        self._check_node(event)
        if self._awaits_key():
            self._take_key(event)
            return
        value = event.value if event.style else self._resolve(event)
        self._place_value(event, value)

    def _awaits_key(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[-1][0], dict) and self.keys[-1] is None

    def _take_key(self, event: Any) -> None:
        key = event.value
        container, path = self.frames[-1]
        assert isinstance(container, dict)
        if not event.style and key == "<<":
            self._refuse(event, "merge key <<: write the values out.")
        elif not event.style and not isinstance(self._resolve(event), str):
            self._refuse(event, f"key {_clip(key)!r} is not text. Quote it if it is meant.")
        if key in container:
            line, _ = self.document.key_places[(*path, key)]
            self._refuse(event, f"key {_clip(key)!r} is given twice; first in line {line}.")
        self.document.key_places.setdefault((*path, key), _place(event))
        self.keys[-1] = key

    def _place_value(self, event: Any, value: Any) -> KeyPath:
        if not self.frames:
            self.document.value = value
            self.document.places[()] = _place(event)
            return ()
        container, path = self.frames[-1]
        if isinstance(container, list):
            own: KeyPath = (*path, len(container))
            container.append(value)
        else:
            key = self.keys[-1]
            if key is None:  # an alias in place of a key; already refused
                self.keys[-1] = ""
                return path
            own = (*path, key)
            container[key] = value
            self.keys[-1] = None
        self.document.places[own] = _place(event)
        return own

    def _check_node(self, event: Any) -> None:
        if event.anchor is not None:
            self._refuse(event, f"anchor &{_clip(event.anchor)}: write the value out.")
        if event.tag is not None and event.tag != "!":
            self._refuse(event, f"tag {_clip(event.tag)}: tags are not used here. Remove it.")

    def _resolve(self, event: Any) -> Any:
        """A plain scalar by YAML 1.2's core schema."""
        text: str = event.value
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.match(text):
            digits = text.lstrip("+-")
            if len(digits) > _MAX_DIGITS:
                return self._refuse(event, f"a number of {len(digits)} digits.")
            if len(digits) > 1 and digits.startswith("0"):
                return self._refuse(
                    event,
                    f"{text} could be octal or decimal. Write {digits.lstrip('0') or '0'}, "
                    f"or '{text}' in quotes if text is meant.",
                )
            return int(text)
        if _BASED.match(text) and len(text) <= _MAX_DIGITS:
            return int(text, 0)
        if _FLOAT.match(text) and len(text) <= _MAX_DIGITS:
            value = float(text)
            if value in (float("inf"), float("-inf")):
                return self._refuse(event, f"{_clip(text)} is too large for a 64-bit float.")
            return value
        if _SPECIAL_FLOAT.match(text):
            return float(text.replace(".", "", 1))
        return text

    def _refuse(self, event: Any, sentence: str) -> None:
        self.document.problems.append((*_place(event), sentence))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

"""Reading a sweep file: into a SweepSpec, or every problem of the file at once.

Each problem is reported as

    file:line:column: path.in.the.spec: what is wrong, what was seen. What to do.
"""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scaling.errors import SpecError
from scaling.sweep.fields import REFUSED
from scaling.sweep.grids import Grid, choose_grid
from scaling.sweep.spec import SweepSpec
from scaling.sweep.strict_yaml import MAX_BYTES, KeyPath, YamlDocument, parse_yaml
from scaling.sweep.trainer_files import find_file_problems
from scaling.sweep.trainer_spec import find_word_problems

_OF_A_KEY = "[key]"  # pydantic's name for a mapping's key, as opposed to its value


def load_sweep(path: Path) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        path: A YAML file with the keys of docs/sweep-file.md.

    Returns:
        The checked sweep; nothing is prepared or planned yet.

    Raises:
        SpecError: The file is wrong; the message names every problem, one line each.
    """
    try:
        if not path.is_file():  # a folder, a FIFO or missing
            kind = "a folder" if path.is_dir() else "not a file" if path.exists() else "not there"
            raise SpecError([f"{path}: {kind}. Name a sweep file, e.g. sweeps/quickstart.yaml."])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([f"{path}: cannot be read ({error.strerror})."]) from error
    return parse_sweep(content, source=str(path), base=path.resolve().parent)


def parse_sweep(content: bytes, *, source: str, base: Path | None = None) -> SweepSpec:
    """Parse the bytes of a sweep file into a SweepSpec.

    Args:
        content: Bytes of the file.
        source: Its name in messages.
        base: Its folder, in which a trainer's files are looked for; None: they are not checked.

    Raises:
        SpecError: The file is wrong; the message names every problem.
    """
    document = parse_yaml(content)
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        if not problems:
            seen = "nothing" if document.value is None else type(document.value).__name__
            sentence = f"a sweep file is a mapping (name:, corpus:, grid:), this holds {seen}."
            problems.append((1, 1, sentence))
        raise SpecError(_format(problems, source))
    trainer = document.value.get("trainer")
    outside = [] if base is None else find_file_problems(trainer, base)
    for at, sentence in (*find_word_problems(trainer), *outside):
        path = ("trainer", *at)
        place = document.places.get(path, _nearest(document, path))
        problems.append((*place, f"{'.'.join(map(str, path))}: {sentence}"))
    refused = {(line, column) for line, column, _ in problems}
    try:
        spec = SweepSpec.model_validate(document.value)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            if details["type"] == "too_short" and details["input"]:
                continue  # pydantic counts valid items only; the invalid ones are listed
            for place, sentence in _explain_all(details, document):
                # The YAML reader has refused it already; one sentence is enough.
                if place not in refused:
                    problems.append((*place, sentence))
        raise SpecError(_format(problems, source)) from None
    if problems:
        raise SpecError(_format(problems, source))
    return spec


def name_place(text: str, source: str, path: KeyPath) -> str:
    """`file:line:column: path` of the value at a path of a sweep file, or of the nearest one."""
    document = parse_yaml(text.encode("utf-8"))
    line, column = document.places.get(path) or _nearest(document, path)
    return f"{source}:{line}:{column}: {'.'.join(str(part) for part in path)}"


def _format(problems: Iterable[tuple[int, int, str]], source: str) -> list[str]:
    ordered = sorted(set(problems))
    return [f"{source}:{line}:{column}: {sentence}" for line, column, sentence in ordered]


def _explain_all(
    details: ErrorDetails, document: YamlDocument
) -> Iterator[tuple[tuple[int, int], str]]:
    """Place and sentence of a problem, or of each of several that one rule found."""
    if details["type"] != "several":
        yield _explain(details, document)
        return
    for path, why in details["ctx"]["all"]:
        place = document.places.get(path, _nearest(document, path))
        yield place, f"{'.'.join(map(str, path))}: {why}"


def _explain(details: ErrorDetails, document: YamlDocument) -> tuple[tuple[int, int], str]:
    path: KeyPath = tuple(part for part in details["loc"] if part != _OF_A_KEY)
    dotted = ".".join(str(part) for part in path) or "the file"
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        place = document.key_places.get(path, _nearest(document, path))
        fields = _find_model(path[:-1], document).model_fields
        known = [field.alias or name for name, field in fields.items()]
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
        advice = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
        return place, f"{_clip(dotted)}: unknown key. {advice}"
    path += context.get("at", ())  # a rule about several keys names the offending one
    dotted = ".".join(str(part) for part in path) or "the file"
    place = document.places.get(path, _nearest(document, path))
    if details["loc"][-1:] == (_OF_A_KEY,):
        place = document.key_places.get(path, place)
    if kind == "missing":
        return place, f"{dotted}: this key is required and missing."
    if kind == REFUSED:
        return place, f"{dotted}: {details['msg']}"
    if kind in _WANTED:
        wanted = _WANTED[kind].format(**context)
    else:  # pydantic's own message, which may contain braces from the file
        wanted = details["msg"][:1].lower() + details["msg"][1:]
    return place, f"{dotted}: expected {wanted}, got {_show(details['input'])}."


_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text (quote it if it is meant as text)",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": "a name of a-z, 0-9, - and _, at most 64, starting with a letter "
    "or digit",
}


def _find_model(path: KeyPath, document: YamlDocument) -> type[BaseModel]:
    """The model of a place in the spec, by walking the models as pydantic did."""
    model: type[BaseModel] = SweepSpec
    for part in path:  # skips list indices and names given by the file
        key = model.model_fields.get(str(part))
        inner = None if key is None else _find_inner(key.annotation)
        if inner is Grid:
            inner = choose_grid(document.value["grid"])
        model = inner or model
    return model


def _find_inner(annotation: object) -> type[BaseModel] | None:
    """The model in a type, at any depth; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_find_inner(one) for one in typing.get_args(annotation))
    return next((one for one in found if one is not None), None)


def _nearest(document: YamlDocument, path: KeyPath) -> tuple[int, int]:
    """Place of the innermost enclosing value that has one; that of its key, if it has a key."""
    while path:
        place = document.key_places.get(path) or document.places.get(path)
        if place:
            return place
        path = path[:-1]
    return document.places.get((), (1, 1))


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _clip("a list" if isinstance(value, list) else repr(value))


def _clip(text: str) -> str:
    safe = text if text.isprintable() else ascii(text)
    return safe if len(safe) <= 80 else safe[:77] + "..."

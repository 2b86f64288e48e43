"""Documents as bytes: canonical JSON, sealed with a digest when written, checked when read.

A folder may come from a stranger, so every field is checked against its type when it is read.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from scaling.errors import IntegrityError

SCHEMA_VERSION = 1
_TEXT_LIMIT = 2_000
_MAPPING_LIMIT = 1_000
_INT_LIMIT = 10**30  # above the FLOPs of every model trained so far


def canonical_json(value: object) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def seal_document(body: Mapping[str, Any]) -> bytes:
    """JSON of `body` with its own SHA-256 inside, as it is stored.

    Raises:
        ValueError: A number is not finite.
    """
    document = dict(body) | {"schema_version": SCHEMA_VERSION}
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False)
    return (text + "\n").encode("utf-8")


def open_document(document: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Body and digest of a sealed document.

    Raises:
        IntegrityError: The document is not sealed, was changed since, or is of a newer version.
    """
    body = dict(document)
    stated = body.pop("sha256", None)
    try:
        found = hashlib.sha256(canonical_json(body)).hexdigest()
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"it holds a value that has no digest ({error})") from error
    if stated != found:
        raise IntegrityError("its SHA-256 does not match its content: it was changed or torn")
    version = body.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise IntegrityError(f"schema_version is {version!r}; this program reads {SCHEMA_VERSION}")
    return body, found


def build_value(kind: type[Any], value: object, where: str) -> Any:
    """Build the frozen dataclass `kind` from a JSON object, checking every field against its type;
    `build(value, where)` makes the value of a field of type Annotated[..., build].

    Raises:
        IntegrityError: A field without a default is missing, or one is unknown, of another type,
            too large or not finite.
    """
    if not isinstance(value, dict):
        raise IntegrityError(f"{where} is not an object")
    checks, needed = _find_checks(kind)
    missing, unknown = needed - value.keys(), value.keys() - checks.keys()
    if missing or unknown:
        wrong = sorted(str(key)[:40] for key in missing | unknown)
        raise IntegrityError(f"{where}: fields missing or unknown: {', '.join(wrong[:5])}")
    return kind(**{name: checks[name](item, f"{where}.{name}") for name, item in value.items()})


# Checks a value, given its place in the document, and returns it as the field takes it.
_Check: TypeAlias = Callable[[Any, str], Any]
_checks: dict[type[Any], tuple[dict[str, _Check], frozenset[str]]] = {}


def _find_checks(kind: type[Any]) -> tuple[dict[str, _Check], frozenset[str]]:
    """The check of each field, and the fields that a document must have: one written before a field
    existed lacks it, and takes its default."""
    if kind not in _checks:  # resolving annotations costs more than a thousand checks
        hints, fields = typing.get_type_hints(kind, include_extras=True), dataclasses.fields(kind)
        needed = frozenset(one.name for one in fields if one.default is dataclasses.MISSING)
        _checks[kind] = {one.name: _make_check(hints[one.name]) for one in fields}, needed
    return _checks[kind]


def _make_check(hint: Any) -> _Check:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        build: _Check = args[1]
        return build
    if dataclasses.is_dataclass(hint):
        return functools.partial(build_value, typing.cast(type[Any], hint))
    if origin in (typing.Union, types.UnionType):
        (arm,) = (one for one in args if one is not type(None))
        check_arm = _make_check(arm)
        return lambda value, where: None if value is None else check_arm(value, where)
    check_item = _make_check(args[0]) if origin is tuple else None
    fits = _FITS[origin or hint]

    def check(value: Any, where: str) -> Any:
        if not fits(value) or (origin is Literal and value not in args):
            raise IntegrityError(f"{where} is {str(value)[:40]!r}, which is not {_name_of(hint)}")
        if check_item is not None:
            return tuple(check_item(one, f"{where}[{at}]") for at, one in enumerate(value))
        return _check_mapping(value, where) if origin is collections.abc.Mapping else value

    return check


_FITS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: type(value) is int and abs(value) <= _INT_LIMIT,
    float: lambda value: type(value) in (int, float) and math.isfinite(_as_float(value)),
    str: lambda value: isinstance(value, str) and len(value) <= _TEXT_LIMIT,
    Literal: lambda value: isinstance(value, str),
    collections.abc.Mapping: lambda value: isinstance(value, dict),
    tuple: lambda value: isinstance(value, list) and len(value) <= _MAPPING_LIMIT,
}


def _check_mapping(value: dict[str, Any], where: str) -> dict[str, str]:
    if len(value) > _MAPPING_LIMIT:
        raise IntegrityError(f"{where} has {len(value)} entries")
    for key, item in value.items():
        if len(key) > _TEXT_LIMIT or not isinstance(item, str) or len(item) > _TEXT_LIMIT:
            raise IntegrityError(f"{where}.{key[:40]} is not text")
    return value


def _as_float(value: object) -> float:
    try:
        return float(typing.cast(float, value))
    except OverflowError:
        return math.inf


def _name_of(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)

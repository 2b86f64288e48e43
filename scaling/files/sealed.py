"""Documents as bytes: canonical JSON, sealed with a digest when written, checked when read.

A folder may come from a stranger, so every field is checked against its type when it is read.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

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
    hints, fields = _hints_of(kind), dataclasses.fields(kind)
    # Documents written before a field existed may lack it.
    optional = {one.name for one in fields if one.default is not dataclasses.MISSING}
    missing, unknown = hints.keys() - optional - value.keys(), value.keys() - hints.keys()
    if missing or unknown:
        wrong = sorted(str(key)[:40] for key in missing | unknown)
        raise IntegrityError(f"{where}: fields missing or unknown: {', '.join(wrong[:5])}")
    return kind(
        **{name: _check_value(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    )


_hints: dict[type[Any], dict[str, Any]] = {}


def _hints_of(kind: type[Any]) -> dict[str, Any]:
    if kind not in _hints:  # resolving annotations costs more than a thousand checks
        hints = typing.get_type_hints(kind, include_extras=True)
        _hints[kind] = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return _hints[kind]


def _check_value(hint: Any, value: object, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        _, build = typing.get_args(hint)
        return build(value, where)
    if dataclasses.is_dataclass(hint):
        return build_value(typing.cast(type[Any], hint), value, where)
    if origin in (typing.Union, types.UnionType):
        arms = typing.get_args(hint)
        if value is None and type(None) in arms:
            return None
        (hint,) = (arm for arm in arms if arm is not type(None))
        return _check_value(hint, value, where)
    if origin is Literal:
        if isinstance(value, str) and value in typing.get_args(hint):
            return value
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if type(value) is int and abs(value) <= _INT_LIMIT:
            return value
    elif hint is float:
        if type(value) in (int, float) and math.isfinite(_as_float(value)):
            return value
    elif hint is str:
        if isinstance(value, str) and len(value) <= _TEXT_LIMIT:
            return value
    elif origin is collections.abc.Mapping and isinstance(value, dict):
        return _check_mapping(value, where)
    elif origin is tuple and isinstance(value, list) and len(value) <= _MAPPING_LIMIT:
        item = typing.get_args(hint)[0]
        return tuple(_check_value(item, one, f"{where}[{at}]") for at, one in enumerate(value))
    wanted = hint.__name__ if isinstance(hint, type) else str(hint)
    raise IntegrityError(f"{where} is {str(value)[:40]!r}, which is not {wanted}")


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

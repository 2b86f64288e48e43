"""The bytes of a result: sealed with a digest when written, judged without trust when read.

    {"schema_version": 1, "run_id": …, "run": {…}, "loss": …, …, "sha256": digest of all the rest}

A results folder may come from a stranger: every field is checked for its type before anything
uses it, the run_id is computed again from the run, and names of files stay inside the attempt.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from scaling.errors import IntegrityError
from scaling.ledger.results import RunResult
from scaling.sweep.runspec import canonical_json

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"
CURVE_SUFFIX = ".jsonl"
RESULT_LIMIT_BYTES = 10 * 2**20
CURVE_LIMIT_BYTES = 256 * 2**20  # a row of 100 bytes for each of two million steps

ATTEMPT_NAME = re.compile(r"[0-9]{1,9}-[0-9]{1,9}-[0-9a-f]{8}")
RUN_NAME = re.compile(r"[0-9a-f]{16}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXT_LIMIT = 2_000
_MAPPING_LIMIT = 1_000
_INT_LIMIT = 10**30  # FLOPs of anything that was ever trained stay below


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
        IntegrityError: It is not sealed, was changed since, or is of a newer version.
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


def read_result(document: Mapping[str, Any], run_id: str) -> tuple[RunResult, str]:
    """The result in a document found in the folder of `run_id`, and its digest.

    Raises:
        IntegrityError: Changed, malformed, not finite, or the result of another run.
    """
    body, digest = open_document(document)
    if body.pop("run_id", None) != run_id:
        raise IntegrityError("it names another run than its folder")
    result = build_value(RunResult, body, "result")
    if result.run.run_id != run_id:
        raise IntegrityError(f"its run has the run_id {result.run.run_id}, not that of its folder")
    _check_names(result)
    _check_numbers(result)
    return result, digest


def check_file_name(name: str) -> None:
    """A file an attempt may leave: one plain name, no folders.

    Raises:
        IntegrityError: A separator, a leading dot, a control character, or too long.
    """
    if not _FILE_NAME.fullmatch(name):
        raise IntegrityError(f"{name[:120]!r} is not a plain file name")


def build_value(kind: type[Any], value: object, where: str) -> Any:
    """The frozen dataclass `kind` from a JSON object, every field checked against its type.

    Raises:
        IntegrityError: A field is missing, unknown, of another type, too large or not finite.
    """
    if not isinstance(value, dict):
        raise IntegrityError(f"{where} is not an object")
    hints = _hints_of(kind)
    if value.keys() != hints.keys():
        wrong = sorted(str(key)[:40] for key in value.keys() ^ hints.keys())
        raise IntegrityError(f"{where}: fields missing or unknown: {', '.join(wrong[:5])}")
    return kind(
        **{name: _check_value(hints[name], value[name], f"{where}.{name}") for name in hints}
    )


_hints: dict[type[Any], dict[str, Any]] = {}


def _hints_of(kind: type[Any]) -> dict[str, Any]:
    if kind not in _hints:  # resolving annotations costs more than a thousand checks
        hints = typing.get_type_hints(kind)
        _hints[kind] = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return _hints[kind]


def _check_value(hint: Any, value: object, where: str) -> Any:
    origin = typing.get_origin(hint)
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
    raise IntegrityError(f"{where} is {str(value)[:40]!r}, which is not {_name_of(hint)}")


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


def _check_names(result: RunResult) -> None:
    if not ATTEMPT_NAME.fullmatch(result.attempt_id):
        raise IntegrityError(f"{result.attempt_id[:60]!r} is not the name of an attempt")
    for name, digest in result.files.items():
        check_file_name(name)
        if not _DIGEST.fullmatch(digest):
            raise IntegrityError(f"the digest of {name} is not a SHA-256")


def _check_numbers(result: RunResult) -> None:
    if result.status == "finished" and (result.loss is None or result.loss <= 0):
        raise IntegrityError(f"it is finished with the loss {result.loss}")
    if result.tokens <= 0 or result.flops <= 0:
        raise IntegrityError(f"it claims {result.tokens} tokens and {result.flops} FLOPs")

"""A Fit on disk: JSON with a SHA-256 of its content, written whole or not at all.

    {"format": "scaling-fit", "version": …, "sha256": of the bytes of {…}, "fit": {…}}

Reading imports neither scipy nor pandas, and hashes bytes instead of serialising the draws again,
so `allocate` on a stored fit answers at once. Draws, seventy thousand numbers, are the number of
columns and base64 of float64, little-endian, row after row: as decimals they took five times as
long to read.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import EnvironmentFault, IntegrityError
from scaling.files.durable import read_plain, write_durably
from scaling.fitting.fitted import (
    Backcast,
    Check,
    Coverage,
    Discrepancy,
    DriftWindow,
    EnsembleEstimate,
    Fit,
    Frontier,
    Interval,
    LawEstimate,
    MeasuredRun,
    MemberScore,
    Objective,
)
from scaling.sweep.cost_model import CostModel
from scaling.tables.metrics import MetricFacts
from scaling.units import FloatArray

FORMAT = "scaling-fit"
_BODY = b',"fit":'
_LIMIT_BYTES = 256 * 2**20  # 10^5 draws in 70 columns of 11 characters are 77 MB
FORMAT_VERSION = 13  # raise when an older fit would be misread


def write_fit(path: str | Path, fit: Fit) -> None:
    """Write the fit to `path`, replacing it atomically and durably.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    target = Path(path)
    # Keys keep their order: the columns of the draws follow the order of the law's parameters.
    body = _dump(fit)
    head = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target, _dump(head)[:-1] + _BODY + body + b"}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(
            f"{target}: the fit cannot be written ({reason}). Choose another folder."
        ) from error


def read_fit(path: str | Path) -> Fit:
    """The Fit that `write_fit` wrote, equal field by field.

    Raises:
        EnvironmentFault: The file cannot be read.
        IntegrityError: The file is not a stored fit, or its content is not what was written.
    """
    remedy = 'delete it and run "scaling fit" again'
    try:
        raw = read_plain(Path(path).parent, Path(path).name, limit=_LIMIT_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(f'{path}: no stored fit ({reason}). Run "scaling fit".') from error
    try:
        start, _, body = raw.partition(_BODY)
        head, body = json.loads(start + b"}"), body[:-1]
        if head["format"] != FORMAT:
            raise IntegrityError(f"{path}: not a stored fit; {remedy}.")
        if head["version"] != FORMAT_VERSION:
            raise IntegrityError(
                f"{path}: stored in version {head['version']}, this program reads "
                f"{FORMAT_VERSION}; {remedy}."
            )
        if hashlib.sha256(body).hexdigest() != head["sha256"]:
            raise IntegrityError(f"{path}: its content does not have its SHA-256; {remedy}.")
        return _from_json(json.loads(body, parse_constant=_refuse))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{path}: not a stored fit ({error!r:.80}); {remedy}.") from error


def _dump(value: object) -> bytes:
    """JSON bytes; a dataclass is written by its fields, without the copies of `asdict`."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_list_fields).encode()


def _list_fields(one: Any) -> dict[str, Any]:
    fields = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    return fields | {"draws": _pack(fields["draws"])} if "draws" in fields else fields


def _pack(draws: tuple[tuple[float, ...], ...]) -> tuple[int, str]:
    """The number of columns, and the numbers as text."""
    table = _verify_finite(np.array(draws, dtype="<f8"))
    return len(draws[0]) if draws else 1, base64.b64encode(table.tobytes()).decode()


def _unpack(columns: int, text: str) -> tuple[tuple[float, ...], ...]:
    table = _verify_finite(np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8"))
    return tuple(map(tuple, table.reshape(-1, columns).tolist()))


def _verify_finite(table: FloatArray) -> FloatArray:
    if not np.isfinite(table).all():
        raise ValueError("a draw is not finite")
    return table


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _from_json(value: Mapping[str, Any]) -> Fit:
    fields = dict(value)
    law, objective = fields.pop("law"), fields.pop("objective")
    covered, backcast = fields.pop("covered"), fields.pop("backcast")
    discrepancy, floor = fields.pop("discrepancy"), fields.pop("floor")
    answer, metric = fields.pop("answer"), fields.pop("metric", None)
    return Fit(
        metric=None if metric is None else MetricFacts(**metric),
        law=None if law is None else _read_law(law),
        objective=None if objective is None else Objective(**objective),
        approaches={name: _read_frontier(one) for name, one in fields.pop("approaches").items()},
        covered=None if covered is None else Coverage(**_tuples(covered)),
        backcast=None if backcast is None else Backcast(**_tuples(backcast)),
        discrepancy=None if discrepancy is None else _read_discrepancy(discrepancy),
        floor=None if floor is None else Interval(**floor),
        checks=tuple(Check(**one) for one in fields.pop("checks")),
        members=tuple(_read_member(one) for one in fields.pop("members")),
        measured=tuple(MeasuredRun(**one) for one in fields.pop("measured")),
        answer=None if answer is None else _read_ensemble(answer),
        cost=CostModel(**_tuples(fields.pop("cost"))),
        **_tuples(fields),
    )


def _read_discrepancy(value: Mapping[str, Any]) -> Discrepancy:
    windows = tuple(DriftWindow(**one) for one in value["windows"])
    return Discrepancy(rates=tuple(value["rates"]), below=value["below"], windows=windows)


def _read_ensemble(value: Mapping[str, Any]) -> EnsembleEstimate:
    fields = dict(value)
    return EnsembleEstimate(
        law=_read_law(fields.pop("law")),
        frontier=_read_frontier(fields.pop("frontier")),
        members=tuple(_read_member(one) for one in fields.pop("members")),
        **_tuples(fields),
    )


def _read_member(value: Mapping[str, Any]) -> MemberScore:
    fields = dict(value)
    interval = fields.pop("weight_interval")
    return MemberScore(
        weight_interval=None if interval is None else Interval(**interval), **_tuples(fields)
    )


def _read_law(value: Mapping[str, Any]) -> LawEstimate:
    return LawEstimate(
        family=value["family"],
        params=value["params"],
        intervals=_read_intervals(value["intervals"]),
    )


def _read_frontier(value: Mapping[str, Any]) -> Frontier:
    fields = dict(value)
    intervals = _read_intervals(fields.pop("intervals"))
    return Frontier(intervals=intervals, **_tuples(fields))


def _read_intervals(value: Mapping[str, Any] | None) -> dict[str, Interval] | None:
    return None if value is None else {name: Interval(**one) for name, one in value.items()}


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert lists of JSON, and packed draws, back to tuples."""
    read = {
        name: _to_tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
    }
    return read | {"draws": _unpack(*read["draws"])} if "draws" in read else read


def _to_tuple(value: list[Any]) -> tuple[Any, ...]:
    if value and isinstance(value[0], list):
        return tuple(map(tuple, value))
    return tuple(value)

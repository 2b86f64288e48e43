"""Values of probes: what was measured of a finished run beside its loss.

    runs/<run_id>/probes/<name>-<version>.json             options as by default
    runs/<run_id>/probes/<name>-<version>-<8 hex>.json     the digest of other ones

A value is a sealed document, committed by an exclusive link and never replaced. It names the
attempt whose result it belongs to, so that it dies with that result. `result.json` knows of none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import IntegrityError
from scaling.files.durable import digest_file, read_document, read_plain
from scaling.files.sealed import build_value, canonical_json, open_document, seal_document
from scaling.ledger.commit import Ledger
from scaling.ledger.forecasts import write_sealed
from scaling.ledger.found import Damage
from scaling.ledger.results import RunResult
from scaling.ledger.signs import name_now
from scaling.sweep.probes import AskedProbe, Direction, ProbeCurve
from scaling.tables.metrics import Metric

FOLDER = "probes"
# A trainer reports probe values in a result file of this name:
# {"accuracy": {"value": 0.81, "standard_error": 0.01}}.
REPORTED_FILE = "probes.json"
_LIMIT_BYTES = 100_000
_LIMIT_FILES = 1_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}-[0-9]{1,9}(-[0-9a-f]{8})?\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeValue:
    """One quantity of one run.

    Attributes:
        run_id, attempt_id: The run, and the attempt whose result counts.
        name, version, unit, direction, bound: As in `sweep.probes.Probe`.
        options: Those that are not by default, as JSON.
        value, standard_error: In its unit; the error None where it is not known.
        measured_at: ISO 8601, UTC.
        curve: What the value sums up; None: nothing.
    """

    run_id: str
    attempt_id: str
    name: str
    version: int
    unit: str
    direction: Direction
    bound: float | None
    options: Mapping[str, str]
    value: float
    standard_error: float | None
    measured_at: str
    curve: ProbeCurve | None = None

    @property
    def file(self) -> str:
        """Name of its document."""
        return _name_file(self.name, self.version, self.options)

    @property
    def kind(self) -> tuple[str, int, str]:
        """Equal for values that may be compared: name, version and options."""
        return self.name, self.version, self.file


@dataclass(frozen=True, slots=True)
class StoredProbes:
    """Values by run_id, and what is damaged."""

    values: Mapping[str, tuple[ProbeValue, ...]]
    damaged: tuple[Damage, ...]


def commit_probe(
    ledger: Ledger,
    result: RunResult,
    asked: AskedProbe,
    value: float,
    standard_error: float | None,
    curve: ProbeCurve | None = None,
) -> bool:
    """Store a value of a run, if it has none yet; whether this call did.

    Raises:
        IntegrityError: The value is not finite, or there is a link in the way.
        EnvironmentFault: The disk is full, read-only or has no hard links.
    """
    probe = asked.probe
    found = ProbeValue(
        run_id=result.run.run_id,
        attempt_id=result.attempt_id,
        name=probe.name,
        version=probe.version,
        unit=probe.unit,
        direction=probe.direction,
        bound=probe.bound,
        options=_write_options(asked),
        value=float(value),
        standard_error=None if standard_error is None else float(standard_error),
        measured_at=name_now(),
        curve=curve,
    )
    body = dataclasses.asdict(found)
    if curve is None:
        del body["curve"]
    try:
        data = seal_document(body)
    except ValueError as error:
        raise IntegrityError(f"probe {probe.name}: {value} is not finite") from error
    home = f"runs/{result.run.run_id}/{FOLDER}"
    _, made = write_sealed(ledger.folder, home, data, created=found.measured_at, name=found.file)
    return made


def read_probes(ledger: Ledger, results: Mapping[str, RunResult]) -> StoredProbes:
    """Every value of the given results, intact ones apart from damaged ones."""
    values: dict[str, tuple[ProbeValue, ...]] = {}
    damaged: list[Damage] = []
    for run_id, result in results.items():
        found = []
        for name in _list_files(ledger, run_id, damaged):
            path = f"runs/{run_id}/{FOLDER}/{ascii(name)[1:-1][:100]}"
            try:
                found.append(_read_value(ledger, result, name))
            except (IntegrityError, OSError) as error:
                damaged.append(Damage(path=path, what=str(error), run_id=run_id))
        if found:
            values[run_id] = tuple(found)
    return StoredProbes(values=values, damaged=tuple(damaged))


def tabulate_probes(
    ledger: Ledger, results: Mapping[str, RunResult], rows: Sequence[str]
) -> tuple[Metric, ...]:
    """The metrics of runs, in the order of their names; of several versions or options of a probe
    those that were measured last.

    Args:
        ledger, results: Where the values are.
        rows: run_ids, in the order of the table.
    """
    stored = read_probes(ledger, {run_id: results[run_id] for run_id in rows}).values
    newest: dict[str, ProbeValue] = {}
    for one in (value for values in stored.values() for value in values):
        known = newest.setdefault(one.name, one)
        if (one.measured_at, one.kind) > (known.measured_at, known.kind):
            newest[one.name] = one
    metrics = []
    for name, kind in sorted(newest.items()):
        own = [
            next((one for one in stored.get(run_id, ()) if one.kind == kind.kind), None)
            for run_id in rows
        ]
        errors = [None if one is None else one.standard_error for one in own]
        metrics.append(
            Metric(
                name=name,
                values=np.array([None if one is None else one.value for one in own], np.float64),
                errors=np.array(errors, np.float64) if any(errors) else None,
                unit=kind.unit,
                higher_is_better=kind.direction == "higher",
                bound=kind.bound,
            )
        )
    return tuple(metrics)


def has_probe(ledger: Ledger, run_id: str, asked: AskedProbe) -> bool:
    """Whether a run has a value of a probe, intact or not; it is not read."""
    name = _name_file(asked.probe.name, asked.probe.version, _write_options(asked))
    return os.path.lexists(ledger.folder / "runs" / run_id / FOLDER / name)


def read_reported(ledger: Ledger, result: RunResult) -> dict[str, tuple[float, float | None]]:
    """Value and standard error by name, as the trainer of a run reported them.

    Raises:
        IntegrityError: The file is not what the result rests on, or holds something else.
    """
    if REPORTED_FILE not in result.files:
        return {}
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/{REPORTED_FILE}"
    if digest_file(ledger.folder, path, limit=_LIMIT_BYTES) != result.files[REPORTED_FILE]:
        raise IntegrityError(f"{path} was changed or torn")
    try:
        given = json.loads(read_plain(ledger.folder, path, limit=_LIMIT_BYTES))
        return {
            str(name): (float(one["value"]), _float_or_none(one.get("standard_error")))
            for name, one in given.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f'{path}: write {{"name": {{"value": 0.81, "standard_error": 0.01}}}} ({error!r})'
        ) from error


def _read_value(ledger: Ledger, result: RunResult, name: str) -> ProbeValue:
    if not _NAME.fullmatch(name):
        raise IntegrityError("is no value of a probe")
    path = f"runs/{result.run.run_id}/{FOLDER}/{name}"
    body, _ = open_document(read_document(ledger.folder, path, limit=_LIMIT_BYTES))
    value: ProbeValue = build_value(ProbeValue, body, "probe")
    if value.run_id != result.run.run_id or value.file != name:
        raise IntegrityError("it belongs to another run or probe than its name says")
    if value.attempt_id != result.attempt_id:
        raise IntegrityError("it was measured on a result that does not count any more")
    if value.standard_error is not None and value.standard_error < 0:
        raise IntegrityError(f"its standard error is {value.standard_error}")
    return value


def _list_files(ledger: Ledger, run_id: str, damaged: list[Damage]) -> Iterator[str]:
    path = f"runs/{run_id}/{FOLDER}"
    folder = ledger.folder / path
    if folder.is_symlink() or not folder.is_dir():
        if os.path.lexists(folder):
            damaged.append(Damage(path=path, what="is a link, or no folder", run_id=run_id))
        return
    names = sorted(one.name for one in os.scandir(folder) if one.name.endswith(".json"))
    yield from names[:_LIMIT_FILES]


def _name_file(name: str, version: int, options: Mapping[str, str]) -> str:
    changed = hashlib.sha256(canonical_json(dict(options))).hexdigest()[:8]
    return f"{name}-{version}{f'-{changed}' if options else ''}.json"


def _write_options(asked: AskedProbe) -> dict[str, str]:
    return {key: json.dumps(one) for key, one in sorted(asked.changed.items())}


def _float_or_none(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]

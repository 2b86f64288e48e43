"""Forecasts based on a table of runs: the prediction of a run, and its outcome.

    ROOT/forecasts/<stem of the table>/<date>-<12 hex digits>.json            the forecast
    ROOT/forecasts/<stem of the table>/<date>-<12 hex digits>.outcome.json    its outcome

A table has no folder and its runs have no shape, so N, D and C identify a run, and the user enters
the outcome. Both are sealed documents whose digest is checked when they are read; neither is ever
replaced. The score is that of `forecasts`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import IntegrityError, UsageError
from scaling.files.durable import read_document
from scaling.files.sealed import build_value, open_document, seal_document
from scaling.ledger.forecasts import score_interval, write_sealed
from scaling.units.losses import NATS, LossScale, LossUnit

FOLDER = "forecasts"
_LIMIT_BYTES = 100_000
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}-([0-9a-f]{12})\.json")
_OUTCOME = ".outcome.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForecast:
    """The forecast of one run.

    Attributes:
        created: Time of registration, ISO 8601, UTC.
        table, table_digest: File name, and SHA-256 of the rows that were fitted.
        params, tokens, flops: N, D and C of the run, counted as the table counts them.
        loss: Predicted loss [nats/token; nats/byte for a table in bits per byte].
        low, high, level: Interval of one new run.
        law, fit_status, fit_digest, fitted_runs, largest_flops: The fit that forecasts.
        version: Version of this program.
        loss_unit: Unit of the table's losses.
    """

    created: str
    table: str
    table_digest: str
    params: float
    tokens: float
    flops: float
    loss: float
    low: float
    high: float
    level: float
    law: str
    fit_status: str
    fit_digest: str
    fitted_runs: int
    largest_flops: float
    version: str
    loss_unit: LossUnit = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOutcome:
    """The outcome of a run: when it was entered, the forecast's SHA-256, the loss [nats/token]."""

    created: str
    forecast: str
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedForecast:
    """A stored forecast, and its outcome if it has one.

    Attributes:
        name, digest: Name of its file and the SHA-256 in it.
        forecast, outcome: The forecast, and its outcome or None.
        error: ln measured − ln predicted; None without an outcome.
        inside: Whether the interval held it.
        interval_score: Interval score of ln loss.
    """

    name: str
    digest: str
    forecast: TableForecast
    outcome: TableOutcome | None
    error: float | None
    inside: bool | None
    interval_score: float | None


def are_comparable(one: LossUnit, other: LossUnit) -> bool:
    """Return whether losses of the two units are both per token, or both per byte."""
    return (one == "bpb") == (other == "bpb")


def name_home(table: Path) -> str:
    """The folder of a table's forecasts, relative to the root."""
    stem = re.sub(r"[^\w.-]", "_", table.name.split(".")[0]) or "table"
    return f"{FOLDER}/{stem}"


def register(root: Path, table: Path, forecast: TableForecast) -> str:
    """Write a forecast and return the name of its file.

    Raises:
        EnvironmentFault, IntegrityError: As for `write_sealed`.
    """
    data = seal_document(dataclasses.asdict(forecast))
    return write_sealed(root, name_home(table), data, created=forecast.created)[0]


def tell_outcome(root: Path, table: Path, outcome: TableOutcome, *, name: str) -> None:
    """Write the outcome beside the forecast of that file name.

    Raises:
        UsageError: The forecast has an outcome already.
    """
    home = name_home(table)
    data = seal_document(dataclasses.asdict(outcome))
    _, made = write_sealed(
        root, home, data, created=outcome.created, name=name.removesuffix(".json") + _OUTCOME
    )
    if not made:
        raise UsageError(f"{root / home / name}: it has an outcome, which is never replaced.")


def read_judged(root: Path, table: Path) -> tuple[list[JudgedForecast], list[str]]:
    """Every forecast of a table, oldest first, and sentences about damaged files."""
    home = name_home(table)
    folder = root / home
    if folder.is_symlink() or not folder.is_dir():
        return [], []
    found, damaged = [], []
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        matched = _NAME.fullmatch(entry.name)
        if matched is None:
            continue
        try:
            body, digest = open_document(
                read_document(root, f"{home}/{entry.name}", limit=_LIMIT_BYTES)
            )
            forecast: TableForecast = build_value(TableForecast, body, "forecast")
            if digest[:12] != matched[1] or not forecast.low <= forecast.loss <= forecast.high:
                raise IntegrityError("its name or its interval is not its own")
            found.append(
                _judge(entry.name, digest, forecast, _read_outcome(root, home, entry.name))
            )
        except (IntegrityError, OSError) as error:
            damaged.append(f"{home}/{ascii(entry.name)[1:-1]}: {error}")
    return sorted(found, key=lambda one: (one.forecast.created, one.name)), damaged


def describe_judged(
    found: list[JudgedForecast], damaged: list[str], scale: LossScale = NATS
) -> dict[str, Any]:
    """The JSON of `scaling forecast TABLE`; losses in the unit of `scale`, scores of ln nats."""
    scored = [one for one in found if one.interval_score is not None]
    return {
        **scale.to_contract(),
        "forecasts": [
            {"file": one.name, "sha256": one.digest, **dataclasses.asdict(one.forecast),
             **{name: scale.to(getattr(one.forecast, name)) for name in ("loss", "low", "high")},
             "loss_unit": scale.unit,
             "outcome": None if one.outcome is None else {
                 "loss": scale.to(one.outcome.loss), "created": one.outcome.created,
                 "error": one.error,
                 "inside": one.inside, "interval_score": one.interval_score}}
            for one in found
        ],
        "score": {
            "registered": len(found),
            "checked": len(scored),
            "covered": sum(bool(one.inside) for one in scored),
            "mean_interval_score": _mean([one.interval_score for one in scored]),
            "mean_abs_error": _mean([abs(one.error or 0.0) for one in scored]),
            "bias": _mean([one.error for one in scored]),
        },
        "damaged": damaged,
    }  # fmt: skip


def _judge(
    name: str, digest: str, forecast: TableForecast, outcome: TableOutcome | None
) -> JudgedForecast:
    if outcome is None or outcome.forecast != digest:
        return JudgedForecast(name=name, digest=digest, forecast=forecast, outcome=None,
                              error=None, inside=None, interval_score=None)  # fmt: skip
    x, low, high = (math.log(value) for value in (outcome.loss, forecast.low, forecast.high))
    return JudgedForecast(
        name=name,
        digest=digest,
        forecast=forecast,
        outcome=outcome,
        error=x - math.log(forecast.loss),
        inside=low <= x <= high,
        interval_score=score_interval(x, low, high, forecast.level),
    )


def _read_outcome(root: Path, home: str, name: str) -> TableOutcome | None:
    path = f"{home}/{name.removesuffix('.json')}{_OUTCOME}"
    if not os.path.lexists(root / path):
        return None
    body, _ = open_document(read_document(root, path, limit=_LIMIT_BYTES))
    outcome: TableOutcome = build_value(TableOutcome, body, "outcome")
    if not (math.isfinite(outcome.loss) and outcome.loss > 0):
        raise IntegrityError("its outcome is no loss")
    return outcome


def _mean(values: list[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return statistics.fmean(known) if known else None

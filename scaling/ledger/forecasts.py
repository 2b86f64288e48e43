"""Registered forecasts: the prediction of a run before it was trained, and its outcome.

    results/<sweep>/forecasts/<date>-<first 12 hex digits of the digest>.json

A forecast is a sealed document: its SHA-256 covers the prediction, the digest of the fit it rests
on and the date, and is part of its name. It is written once and never replaced. Its outcome is not
stored but computed from the result of the run that it names.

The score of a forecast is the interval score of ln loss (smaller is better),

    (u − l) + 2/a · max(0, l − x, x − u),   a = 1 − level,

which rewards narrow intervals and penalises every miss. Source: Gneiting & Raftery 2007,
doi:10.1198/016214506000001437, eq. 43. A forecast whose run ended before it was registered is
shown and not scored.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import (
    TEMPORARY_SUFFIX,
    link_exclusively,
    make_folder,
    read_document,
    refuse_links,
    write_durably,
)
from scaling.files.sealed import build_value, open_document, seal_document
from scaling.ledger.found import Damage
from scaling.ledger.results import RunResult, RunStatus
from scaling.sweep.counting import CountConvention, count_params
from scaling.sweep.runspec import RunSpec

FOLDER = "forecasts"
_LIMIT_BYTES = 100_000
_LIMIT_FILES = 10_000  # guards against a stranger's folder
_SHOWN = 80  # characters shown of an invalid name
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}-([0-9a-f]{12})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The forecast of one run.

    Attributes:
        created: Time of registration, ISO 8601, UTC.
        budget: The FLOPs asked for; the run's own are those of a whole number of steps.
        run: The forecast run: the nearest shape that can be built, with the sweep's recipe.
        params: Its N under `count`.
        count: How the fit counted N.
        loss: Predicted loss [nats/token].
        low, high, level: Interval of one new run.
        law: Family of the law.
        fit_status: Status of the fit.
        fit_digest: SHA-256 of the fit: law, frontier, checks.
        table_digest: SHA-256 of the fitted rows.
        fitted_runs: Number of fitted runs.
        largest_flops: Largest fitted C [FLOPs].
        version: Version of this program.
    """

    created: str
    budget: float
    run: RunSpec
    params: float
    count: CountConvention
    loss: float
    low: float
    high: float
    level: float
    law: str
    fit_status: str
    fit_digest: str
    table_digest: str
    fitted_runs: int
    largest_flops: float
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredForecast:
    """A stored forecast: its file's name and the SHA-256 in it."""

    name: str
    digest: str
    forecast: Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredForecasts:
    """Every forecast of a folder, oldest first, and the damaged files."""

    forecasts: tuple[RegisteredForecast, ...]
    damaged: tuple[Damage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastOutcome:
    """A forecast and the result of its run.

    Attributes:
        registered: The forecast.
        status: Status of its run; None: not trained yet.
        measured: Measured loss [nats/token]; None without one.
        late: Whether the run had ended before the forecast was made.
        error: ln measured − ln predicted; None without a finished run.
        inside: Whether the interval held it.
        interval_score: Interval score of ln loss.
    """

    registered: RegisteredForecast
    status: RunStatus | None
    measured: float | None
    late: bool
    error: float | None
    inside: bool | None
    interval_score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRecord:
    """All forecasts of a sweep and their score, over those that were made before their run ended.

    Attributes:
        outcomes: Oldest first.
        scored: Number of forecasts with a score.
        covered: Number of those whose interval held the outcome.
        mean_interval_score, mean_abs_error, bias: In ln loss; None if none is scored. With a
            positive bias, runs ended higher than forecast.
        damaged: Damaged files.
    """

    outcomes: tuple[ForecastOutcome, ...]
    scored: int
    covered: int
    mean_interval_score: float | None
    mean_abs_error: float | None
    bias: float | None
    damaged: tuple[Damage, ...]


def register_forecast(folder: Path, forecast: Forecast) -> RegisteredForecast:
    """Write a forecast under a unique name; no existing file is ever replaced.

    Raises:
        EnvironmentFault: The folder cannot be written, or has no hard links.
        IntegrityError: There is a file or a link in its place.
    """
    data = seal_document(dataclasses.asdict(forecast))
    # Unless the same bytes are there.
    name, _ = write_sealed(folder, FOLDER, data, created=forecast.created)
    _, digest = open_document(read_document(folder, f"{FOLDER}/{name}", limit=_LIMIT_BYTES))
    return RegisteredForecast(name=name, digest=digest, forecast=forecast)


def write_sealed(
    folder: Path, home: str, data: bytes, *, created: str, name: str | None = None
) -> tuple[str, bool]:
    """Write a sealed document to folder/home, named by its date and digest or by the given name; no
    existing file is ever replaced.

    Returns:
        Its name, and whether this call made it.

    Raises:
        EnvironmentFault: The folder cannot be written, or has no hard links.
        IntegrityError: There is a link in its place.
    """
    refuse_links(folder, home)
    make_folder(folder / home)
    temporary = folder / home / f"{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    write_durably(temporary, data)
    try:
        document = read_document(folder, f"{home}/{temporary.name}", limit=_LIMIT_BYTES)
        _, digest = open_document(document)
        name = name or f"{created[:10]}-{digest[:12]}.json"
        made = link_exclusively(temporary, folder / home / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name, made


def read_forecasts(folder: Path) -> StoredForecasts:
    """Read every forecast of a results folder."""
    home = folder / FOLDER
    if home.is_symlink() or not home.is_dir():
        lost = Damage(path=FOLDER, what="is a link, or no folder")
        damaged = (lost,) if os.path.lexists(home) else ()
        return StoredForecasts(forecasts=(), damaged=damaged)
    found, unread = [], []
    names = sorted(entry.name for entry in os.scandir(home) if entry.name.endswith(".json"))
    for name in names[:_LIMIT_FILES]:
        try:
            found.append(_read_forecast(folder, name))
        except (IntegrityError, OSError) as error:
            shown = ascii(name)[1:-1][:_SHOWN]  # a foreign name may hold control characters
            unread.append(Damage(path=f"{FOLDER}/{shown}", what=str(error)))
    found.sort(key=lambda one: (one.forecast.created, one.name))
    return StoredForecasts(forecasts=tuple(found), damaged=tuple(unread))


def judge_forecasts(stored: StoredForecasts, results: Mapping[str, RunResult]) -> ForecastRecord:
    """Compare each forecast with the result of its run, and score them."""
    outcomes = tuple(_judge(one, results.get(one.forecast.run.run_id)) for one in stored.forecasts)
    scored = [
        (one.interval_score, one.error, one.inside)
        for one in outcomes
        if one.interval_score is not None and one.error is not None
    ]
    count = len(scored)
    return ForecastRecord(
        outcomes=outcomes,
        scored=count,
        covered=sum(bool(inside) for _, _, inside in scored),
        mean_interval_score=sum(score for score, _, _ in scored) / count if count else None,
        mean_abs_error=sum(abs(error) for _, error, _ in scored) / count if count else None,
        bias=sum(error for _, error, _ in scored) / count if count else None,
        damaged=stored.damaged,
    )


def score_interval(value: float, low: float, high: float, level: float) -> float:
    """Gneiting and Raftery's interval score, as in the module's docstring."""
    return (high - low) + 2.0 / (1.0 - level) * max(0.0, low - value, value - high)


def _judge(registered: RegisteredForecast, result: RunResult | None) -> ForecastOutcome:
    said = registered.forecast
    if result is None or result.loss is None or result.status != "finished":
        return ForecastOutcome(
            registered=registered,
            status=None if result is None else result.status,
            measured=None if result is None else result.loss,
            late=False,
            error=None,
            inside=None,
            interval_score=None,
        )
    late = _read_time(result.finished_at) < _read_time(said.created)
    x, low, high = (math.log(value) for value in (result.loss, said.low, said.high))
    return ForecastOutcome(
        registered=registered,
        status=result.status,
        measured=result.loss,
        late=late,
        error=x - math.log(said.loss),
        inside=low <= x <= high,
        interval_score=None if late else score_interval(x, low, high, said.level),
    )


def _read_forecast(folder: Path, name: str) -> RegisteredForecast:
    body, digest = open_document(read_document(folder, f"{FOLDER}/{name}", limit=_LIMIT_BYTES))
    forecast: Forecast = build_value(Forecast, body, "forecast")
    matched = _NAME.fullmatch(name)
    if matched is None or matched[1] != digest[:12] or name[:10] != forecast.created[:10]:
        raise IntegrityError("its name is not that of its date and digest")
    if not (0.0 < forecast.low <= forecast.loss <= forecast.high and 0.0 < forecast.level < 1.0):
        raise IntegrityError("its prediction is no loss with an interval around it")
    if not forecast.law.isprintable():
        raise IntegrityError("the name of its law is not text")
    if forecast.params != float(count_params(forecast.run.shape, forecast.count)):
        raise IntegrityError("its N is not that of its run")
    _read_time(forecast.created)
    return RegisteredForecast(name=name, digest=digest, forecast=forecast)


def _read_time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise IntegrityError(f"{text[:40]!r} is not a date") from error
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)

"""Registered forecasts and their outcomes, in words that page and terminal share."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.ledger.forecasts import ForecastOutcome, ForecastRecord
from scaling.units import format_count, format_flops
from scaling.units.losses import NATS, LossScale


def describe_score(record: ForecastRecord) -> str:
    """The score of all forecasts in a sentence."""
    if not record.outcomes:
        return "No forecast is registered."
    if record.mean_interval_score is None or record.bias is None or record.mean_abs_error is None:
        return f"{len(record.outcomes)} registered, none checked yet."
    side = "above" if record.bias >= 0 else "below"
    return (
        f"{record.scored} of {len(record.outcomes)} checked: {record.covered} within the interval; "
        f"mean error {record.mean_abs_error:.2%} of the loss, measured on average "
        f"{abs(record.bias):.2%} {side} the forecast; mean interval score of ln loss "
        f"{record.mean_interval_score:.4f} (smaller is better)."
    )


def describe_verdict(outcome: ForecastOutcome) -> str:
    """The verdict on one forecast, in a few words."""
    if outcome.status is None:
        return "not trained yet"
    if outcome.error is None:
        return "its run diverged"
    side = "above" if outcome.error >= 0 else "below"
    within = "within" if outcome.inside else "outside"
    late = "; made after its run had ended, not scored" if outcome.late else ""
    return f"{abs(outcome.error):.2%} {side} the forecast, {within} the interval{late}"


@dataclass(frozen=True, slots=True)
class CheckedForecast:
    """A forecast whose run is trained, in a sentence, and whether the interval held it."""

    words: str
    inside: bool


def list_checked(record: ForecastRecord, scale: LossScale = NATS) -> list[CheckedForecast]:
    """Every forecast that was made before its run ended and can be judged."""
    checked = []
    for outcome in record.outcomes:
        if outcome.measured is None or outcome.error is None or outcome.late:
            continue
        said = outcome.registered.forecast
        loss, low, high = (scale.to(one) for one in (said.loss, said.low, said.high))
        words = (
            f"Checked: for {format_flops(said.run.flops)} FLOPs, "
            f"{said.run.flops / said.largest_flops:.3g} times the largest budget fitted, "
            f"{loss:.3f} ({low:.3f} to {high:.3f}) {scale.label} was forecast before the run was "
            f"trained; it reached {scale.to(outcome.measured):.3f}."
        )
        checked.append(CheckedForecast(words, bool(outcome.inside)))
    return checked


def list_forecast_rows(record: ForecastRecord, scale: LossScale = NATS) -> list[tuple[str, ...]]:
    """One row for each forecast: when, which run, forecast with interval, outcome, verdict."""
    rows: list[tuple[str, ...]] = []
    for outcome in record.outcomes:
        said = outcome.registered.forecast
        loss, low, high = (scale.to(one) for one in (said.loss, said.low, said.high))
        rows.append(
            (
                said.created[:10],
                f"{format_flops(said.run.flops)} (×{said.run.flops / said.largest_flops:.3g})",
                f"{format_count(said.params)} on {format_count(said.run.tokens)}",
                said.law,
                f"{loss:.3f} ({low:.3f} to {high:.3f})",
                "–" if outcome.measured is None else f"{scale.to(outcome.measured):.3f}",
                describe_verdict(outcome),
            )
        )
    return rows

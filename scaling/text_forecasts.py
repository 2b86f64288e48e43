"""Forecasts and their outcomes, as text for a terminal and as JSON."""

from __future__ import annotations

from typing import Any

from scaling.ledger.forecasts import ForecastOutcome, ForecastRecord
from scaling.units import format_count, format_flops


def format_forecasts(record: ForecastRecord) -> str:
    """One paragraph for each forecast, the score below."""
    lines = [line for outcome in record.outcomes for line in _format_outcome(outcome)]
    lines += [f"left out, damaged: {what}" for what in record.damaged]
    lines.append(describe_score(record))
    return "\n".join(lines)


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
    """What became of one forecast, in a few words."""
    if outcome.status is None:
        return "not trained yet"
    if outcome.error is None:
        return "its run diverged"
    side = "above" if outcome.error >= 0 else "below"
    within = "within" if outcome.inside else "outside"
    late = "; made after its run had ended, not scored" if outcome.late else ""
    return f"{abs(outcome.error):.2%} {side} the forecast, {within} the interval{late}"


def list_forecast_rows(record: ForecastRecord) -> list[tuple[str, ...]]:
    """One row for each forecast: when, which run, forecast with interval, outcome, verdict."""
    rows: list[tuple[str, ...]] = []
    for outcome in record.outcomes:
        said = outcome.registered.forecast
        rows.append(
            (
                said.created[:10],
                f"{format_flops(said.run.flops)} (×{said.run.flops / said.largest_flops:.3g})",
                f"{format_count(said.params)} on {format_count(said.run.tokens)}",
                said.law,
                f"{said.loss:.3f} ({said.low:.3f} to {said.high:.3f})",
                "–" if outcome.measured is None else f"{outcome.measured:.3f}",
                describe_verdict(outcome),
            )
        )
    return rows


def describe_forecasts(record: ForecastRecord) -> dict[str, Any]:
    """The JSON of `scaling forecast`."""
    return {
        "schema_version": 1,
        "forecasts": [_describe_outcome(outcome) for outcome in record.outcomes],
        "score": {
            "registered": len(record.outcomes),
            "checked": record.scored,
            "covered": record.covered,
            "mean_interval_score": record.mean_interval_score,
            "mean_abs_error": record.mean_abs_error,
            "bias": record.bias,
        },
        "damaged": [str(one) for one in record.damaged],
    }


def _describe_outcome(outcome: ForecastOutcome) -> dict[str, Any]:
    said = outcome.registered.forecast
    return {
        "file": outcome.registered.name,
        "sha256": outcome.registered.digest,
        "created": said.created,
        "budget": said.budget,
        "run_id": said.run.run_id,
        "params": said.params,
        "tokens": said.run.tokens,
        "flops": said.run.flops,
        "loss": said.loss,
        "level": said.level,
        "interval": [said.low, said.high],
        "law": said.law,
        "fit_status": said.fit_status,
        "fit_digest": said.fit_digest,
        "largest_flops": said.largest_flops,
        "outcome": {
            "status": outcome.status,
            "loss": outcome.measured,
            "late": outcome.late,
            "error": outcome.error,
            "inside": outcome.inside,
            "interval_score": outcome.interval_score,
        },
    }


def _format_outcome(outcome: ForecastOutcome) -> list[str]:
    said = outcome.registered.forecast
    shape = said.run.shape
    measured = "" if outcome.measured is None else f"{outcome.measured:.4f} nats/token, "
    return [
        f"{said.created}  {outcome.registered.name}",
        f"  {format_flops(said.run.flops)} FLOPs, ×{said.run.flops / said.largest_flops:.3g} the "
        f"largest fitted: {shape.d_model} wide × {shape.n_layers} layers "
        f"({format_count(said.params)} parameters) on {format_count(said.run.tokens)} tokens",
        f"  forecast  {said.loss:.4f}  [{said.low:.4f}, {said.high:.4f}] ({said.level:.0%}) "
        f"nats/token, {said.law}",
        f"  outcome   {measured}{describe_verdict(outcome)}",
        "",
    ]

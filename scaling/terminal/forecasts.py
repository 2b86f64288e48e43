"""Forecasts and their outcomes, as text for a terminal and as JSON."""

from __future__ import annotations

from typing import Any

from scaling.ledger.forecasts import ForecastOutcome, ForecastRecord
from scaling.sweep.families.registry import describe_shape
from scaling.units import format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.forecasts import describe_score, describe_verdict


def format_forecasts(record: ForecastRecord, scale: LossScale = NATS) -> str:
    """One paragraph for each forecast, and the score below them."""
    lines = [line for outcome in record.outcomes for line in _format_outcome(outcome, scale)]
    lines += [f"left out, damaged: {what}" for what in record.damaged]
    lines.append(describe_score(record))
    return "\n".join(lines)


def describe_forecasts(record: ForecastRecord, scale: LossScale = NATS) -> dict[str, Any]:
    """The JSON of `scaling forecast`; losses in the unit of `scale`, scores of ln nats."""
    return {
        **scale.to_contract(),
        "forecasts": [_describe_outcome(outcome, scale) for outcome in record.outcomes],
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


def _describe_outcome(outcome: ForecastOutcome, scale: LossScale) -> dict[str, Any]:
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
        "loss": scale.to(said.loss),
        "level": said.level,
        "interval": [scale.to(said.low), scale.to(said.high)],
        "law": said.law,
        "fit_status": said.fit_status,
        "fit_digest": said.fit_digest,
        "largest_flops": said.largest_flops,
        "outcome": {
            "status": outcome.status,
            "loss": scale.to_or_none(outcome.measured),
            "late": outcome.late,
            "error": outcome.error,
            "inside": outcome.inside,
            "interval_score": outcome.interval_score,
        },
    }


def _format_outcome(outcome: ForecastOutcome, scale: LossScale) -> list[str]:
    said = outcome.registered.forecast
    loss, low, high = (scale.to(one) for one in (said.loss, said.low, said.high))
    measured = ""
    if outcome.measured is not None:
        measured = f"{scale.to(outcome.measured):.4f} {scale.label}, "
    return [
        f"{said.created}  {outcome.registered.name}",
        f"  {format_flops(said.run.flops)} FLOPs, ×{said.run.flops / said.largest_flops:.3g} the "
        f"largest fitted: {describe_shape(said.run.shape).line} "
        f"({format_count(said.params)} parameters) on {format_count(said.run.tokens)} tokens",
        f"  forecast  {loss:.4f}  [{low:.4f}, {high:.4f}] ({said.level:.0%}) {scale.label}, "
        f"{said.law}",
        f"  outcome   {measured}{describe_verdict(outcome)}",
        "",
    ]

"""The verb that says beforehand how a run will end: forecast."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.errors import UsageError
from scaling.units import clean_text, format_count, format_flops
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import (
    describe_refusal,
    obtain_fit,
    refusal_as_json,
    say_damage,
    settle_unit,
    wording,
)
from scaling.verbs.options import (
    FLOPS,
    Real,
    fit_options,
    json_option,
    root_option,
    source_argument,
)
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.ledger.table_forecasts import JudgedForecast
    from scaling.units.losses import LossScale


@click.command()
@source_argument
@click.option("--flops", type=FLOPS, multiple=True, help="Budget C to forecast [FLOP].")
@click.option(
    "--near",
    is_flag=True,
    help='By the runs near the forecast, not by one law of all: what "scaling suggest" is for.',
)
@click.option("--far", is_flag=True, help="Forecast even beyond three decades from the data.")
@click.option(
    "--outcome",
    type=Real(),
    help="For a table: the measured loss of the run of --flops, in --loss-unit; never replaced.",
)
@root_option
@fit_options
@json_option
def forecast(
    source: Path,
    flops: tuple[float, ...],
    near: bool,
    far: bool,
    outcome: float | None,
    root: Path,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling forecast results/quickstart --flops 2e12
    scaling forecast results/quickstart --json

    Register what the fit says of a run that is not trained yet: dated, with a digest, never
    replaced. "scaling run SWEEP.yaml --validate" then trains it. Without --flops: every registered
    forecast, its outcome, and the score of all.

    Forecasts of a table lie in ROOT/forecasts/, and --outcome tells what a run came to.
    """
    from scaling.ledger.contents import holds_sweep
    from scaling.terminal.forecasts import describe_forecasts, format_forecasts
    from scaling.workflow.forecasting import forecast_run, review_forecasts
    from scaling.workflow.stored import open_results

    if options["approach"] not in ("all", "parametric"):
        raise UsageError(f"--approach {options['approach']} forecasts no loss; leave it out.")
    if (near or far or options["anyway"]) and not flops:
        raise UsageError("--near, --far and --anyway need a budget; name it with --flops.")
    scale, options = settle_unit(source, options)
    if source.exists() and not holds_sweep(source):
        return _forecast_table(
            source,
            flops,
            options,
            scale,
            near=near,
            far=far,
            outcome=outcome,
            root=root,
            as_json=as_json,
        )
    if outcome is not None:
        raise UsageError(f"{source} is a results folder: scaling run --validate finds outcomes.")
    if flops:
        found, stored = obtain_fit(source, options)
        assert stored is not None  # the source is a folder
        refuse = partial(describe_refusal, found.fit, "forecasts", scale)
        with wording(scale), refusal_as_json(as_json, refuse):
            rows = found.table if near else None
            for budget in flops:
                how = {"far": far, "anyway": options["anyway"]}
                forecast_run(stored, found.fit, flops=budget, near=rows, **how)
    else:
        stored = open_results(source)
    record = review_forecasts(stored)
    if as_json:
        click.echo(dump_json(describe_forecasts(record, scale)))
    else:
        click.echo(format_forecasts(record, scale))
    return DAMAGED if say_damage(stored) or record.damaged else 0


def _forecast_table(
    table: Path,
    flops: tuple[float, ...],
    options: dict[str, Any],
    scale: LossScale,
    *,
    near: bool,
    far: bool,
    outcome: float | None,
    root: Path,
    as_json: bool,
) -> int:
    from scaling.ledger.table_forecasts import are_comparable, describe_judged, read_judged
    from scaling.workflow.forecasting import forecast_table_run, tell_table_outcome

    if outcome is not None:
        if len(flops) != 1:
            raise UsageError("--outcome is that of one forecast: name its budget with --flops.")
        loss = scale.from_(outcome)
        if not (math.isfinite(loss) and loss > 0):
            raise UsageError(f"--outcome is {outcome:g}; say a positive loss in {scale.label}.")
        tell_table_outcome(root, table, flops=flops[0], loss=loss, unit=scale.unit)
    elif flops:
        found, _ = obtain_fit(table, options)
        refuse = partial(describe_refusal, found.fit, "forecasts", scale)
        with wording(scale), refusal_as_json(as_json, refuse):
            for budget in flops:
                forecast_table_run(
                    root,
                    table,
                    found.fit,
                    flops=budget,
                    rows=found.table,
                    near=near,
                    far=far,
                    anyway=options["anyway"],
                )
    every, damaged = read_judged(root, table)
    judged = [one for one in every if are_comparable(one.forecast.loss_unit, scale.unit)]
    if len(judged) < len(every):
        per, unit = ("token", "nats") if scale.unit == "bpb" else ("byte", "bpb")
        left = f"{len(every) - len(judged)} forecasts are per {per}; --loss-unit {unit} lists them"
        click.echo(f"note: {left}", err=True)
    if as_json:
        click.echo(dump_json(describe_judged(judged, damaged, scale)))
    else:
        click.echo(_format_judged(judged, damaged, scale))
    return DAMAGED if damaged else 0


def _format_judged(judged: list[JudgedForecast], damaged: list[str], scale: LossScale) -> str:
    lines = []
    for one in judged:
        said = one.forecast
        loss, low, high = (scale.to(end) for end in (said.loss, said.low, said.high))
        lines += [
            f"{said.created}  {one.name}",
            f"  {format_flops(said.flops)} FLOPs, ×{said.flops / said.largest_flops:.3g} the "
            f"largest fitted: {format_count(said.params)} parameters on "
            f"{format_count(said.tokens)} tokens",
            f"  forecast  {loss:.4f}  [{low:.4f}, {high:.4f}] ({said.level:.0%}) {scale.label}, "
            f"{said.law}",
        ]
        if one.outcome is not None and one.error is not None:
            side = "above" if one.error >= 0 else "below"
            within = "within" if one.inside else "outside"
            lines.append(
                f"  outcome   {scale.to(one.outcome.loss):.4f}, {abs(one.error):.2%} {side} the "
                f"forecast, {within} the interval"
            )
    lines += [f"left out, damaged: {what}" for what in damaged]
    return clean_text("\n".join(lines or ["No forecast is registered."]))

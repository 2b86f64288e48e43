"""The verb that says beforehand how a run will end: forecast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.errors import UsageError
from scaling.units import clean_text, format_count, format_flops
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import obtain_fit, refusal_as_json, say_damage
from scaling.verbs.options import FLOPS, fit_options, json_option, root_option, source_argument
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.ledger.table_forecasts import JudgedForecast


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
    type=float,
    default=None,
    help="Of a table: the loss that the run of --flops came to [nats/token]; never replaced.",
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
        raise UsageError(
            "--near, --far and --anyway say how to forecast a budget; name it with --flops."
        )
    if source.exists() and not holds_sweep(source):
        return _forecast_table(
            source, flops, options, near=near, far=far, outcome=outcome, root=root, as_json=as_json
        )
    if outcome is not None:
        raise UsageError(f"{source} is a results folder: scaling run --validate finds outcomes.")
    if flops:
        found, stored = obtain_fit(source, options)
        assert stored is not None  # of a folder
        with refusal_as_json(found.fit, "forecasts", as_json):
            rows = found.table if near else None
            for budget in flops:
                how = {"far": far, "anyway": options["anyway"]}
                forecast_run(stored, found.fit, flops=budget, near=rows, **how)
    else:
        stored = open_results(source)
    record = review_forecasts(stored)
    click.echo(dump_json(describe_forecasts(record)) if as_json else format_forecasts(record))
    return DAMAGED if say_damage(stored) or record.damaged else 0


def _forecast_table(
    table: Path,
    flops: tuple[float, ...],
    options: dict[str, Any],
    *,
    near: bool,
    far: bool,
    outcome: float | None,
    root: Path,
    as_json: bool,
) -> int:
    from scaling.ledger.table_forecasts import describe_judged, read_judged
    from scaling.workflow.forecasting import forecast_table_run, tell_table_outcome

    if near:
        raise UsageError("--near forecasts runs of a results folder; leave it out for a table.")
    if outcome is not None:
        if len(flops) != 1:
            raise UsageError("--outcome is that of one forecast: name its budget with --flops.")
        tell_table_outcome(root, table, flops=flops[0], loss=outcome)
    elif flops:
        found, _ = obtain_fit(table, options)
        with refusal_as_json(found.fit, "forecasts", as_json):
            for budget in flops:
                forecast_table_run(
                    root, table, found.fit, flops=budget, far=far, anyway=options["anyway"]
                )
    judged, damaged = read_judged(root, table)
    if as_json:
        click.echo(dump_json(describe_judged(judged, damaged)))
    else:
        click.echo(_format_judged(judged, damaged))
    return DAMAGED if damaged else 0


def _format_judged(judged: list[JudgedForecast], damaged: list[str]) -> str:
    lines = []
    for one in judged:
        said = one.forecast
        lines += [
            f"{said.created}  {one.name}",
            f"  {format_flops(said.flops)} FLOPs, ×{said.flops / said.largest_flops:.3g} the "
            f"largest fitted: {format_count(said.params)} parameters on "
            f"{format_count(said.tokens)} tokens",
            f"  forecast  {said.loss:.4f}  [{said.low:.4f}, {said.high:.4f}] ({said.level:.0%})",
        ]
        if one.outcome is not None and one.error is not None:
            side = "above" if one.error >= 0 else "below"
            within = "within" if one.inside else "outside"
            lines.append(f"  outcome   {one.outcome.loss:.4f}, {abs(one.error):.2%} {side} the "
                         f"forecast, {within} the interval")  # fmt: skip
    lines += [f"left out, damaged: {what}" for what in damaged]
    return clean_text("\n".join(lines or ["No forecast is registered."]))

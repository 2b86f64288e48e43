"""The verb that says beforehand how a run will end: forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scaling.errors import UsageError
from scaling.options import FLOPS, fit_options, json_option, results_argument
from scaling.text import dump_json
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import obtain_fit, refusal_as_json, say_damage


@click.command()
@results_argument
@click.option("--flops", type=FLOPS, multiple=True, help="Budget C to forecast [FLOP].")
@click.option(
    "--near",
    is_flag=True,
    help='By the runs near the forecast, not by one law of all: what "scaling suggest" is for.',
)
@click.option("--far", is_flag=True, help="Forecast even beyond three decades from the data.")
@fit_options
@json_option
def forecast(
    results: Path,
    flops: tuple[float, ...],
    near: bool,
    far: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling forecast results/quickstart --flops 2e12
    scaling forecast results/quickstart --json

    Register what the fit says of a run that is not trained yet: dated, with a digest, never
    replaced. "scaling run SWEEP.yaml --validate" then trains it. Without --flops: every registered
    forecast, its outcome, and the score of all.
    """
    from scaling.forecasting import forecast_run, review_forecasts
    from scaling.text_forecasts import describe_forecasts, format_forecasts
    from scaling.workflow import open_results

    if not results.is_dir():
        raise UsageError(f"{results} is no results folder; only those can train a forecast's run.")
    if options["approach"] not in ("all", "parametric"):
        raise UsageError(f"--approach {options['approach']} forecasts no loss; leave it out.")
    if near and not flops:
        raise UsageError("--near says how to forecast a budget; name it with --flops.")
    if flops:
        found, stored = obtain_fit(results, options)
        assert stored is not None  # of a folder
        with refusal_as_json(found.fit, "forecasts", as_json):
            rows = found.table if near else None
            for budget in flops:
                forecast_run(
                    stored,
                    found.fit,
                    flops=budget,
                    near=rows,
                    far=far,
                    anyway=options["anyway"],
                )
    else:
        stored = open_results(results)
    record = review_forecasts(stored)
    click.echo(dump_json(describe_forecasts(record)) if as_json else format_forecasts(record))
    return DAMAGED if say_damage(stored) or record.damaged else 0

"""Verbs that look at a sweep while it runs, show it elsewhere, and end it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from scaling.verbs.completing import complete_run
from scaling.verbs.exits import DAMAGED
from scaling.verbs.options import json_option, results_argument
from scaling.verbs.output import dump_json

_WATCH_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@results_argument
@click.option("--watch", is_flag=True, help="Look again every 2 s until nothing runs any more.")
@click.option("--verbose", "-v", is_flag=True, help="With the run_id of each run.")
@json_option
def status(results: Path, watch: bool, verbose: bool, as_json: bool) -> int:
    """\b
    scaling status results/quickstart
    scaling status results/quickstart --watch

    Which runs of the plan are finished, running, diverged, failed, damaged, cancelled or missing;
    of those that run: tokens, tokens/s, time left, last heartbeat. Read from files alone, so it
    works from any shell or node. With --watch --json: one object a line.
    """
    from scaling.terminal.status import format_status
    from scaling.workflow.watching import SweepWatch, is_over

    sweep = SweepWatch(results)
    while True:
        described = sweep.describe()
        if not watch:
            click.echo(
                dump_json(described) if as_json else format_status(described, verbose=verbose)
            )
        elif as_json:
            click.echo(json.dumps(described, allow_nan=False))
        else:
            text = format_status(described, verbose=verbose)
            click.echo((_CLEAR if sys.stdout.isatty() else "") + text)
        if not watch or is_over(described):
            return DAMAGED if described["damaged"] else 0
        time.sleep(_WATCH_SECONDS)


@click.command()
@results_argument
@click.argument("run_id", required=False, metavar="[RUN]", shell_complete=complete_run)
@click.option("--follow", is_flag=True, help="Go on until the run ends.")
def logs(results: Path, run_id: str | None, follow: bool) -> None:
    """\b
    scaling logs results/quickstart
    scaling logs results/quickstart 0123 --follow

    Show the newest attempt of a run: its log, its training curve, and how it ended, with the
    traceback of a failure. Without a run_id, the run that wrote last; the beginning of a run_id is
    enough ("scaling status -v" lists them).
    """
    from scaling.units import clean_line
    from scaling.words.runs import name_run
    from scaling.workflow.watching import find_newest_run, find_run, read_log

    ledger, run = find_newest_run(results) if run_id is None else find_run(results, run_id)
    click.echo(clean_line(f"run {run.run_id}: {name_run(run)}"), err=True)
    for line in read_log(ledger, run, follow=follow):
        click.echo(clean_line(line))


@click.command()
@results_argument
@click.argument("run_id", required=False, metavar="[RUN]", shell_complete=complete_run)
def cancel(results: Path, run_id: str | None) -> None:
    """\b
    scaling cancel results/quickstart
    scaling cancel results/quickstart 0123456789abcdef

    End a sweep, or one run of it, in order: running attempts write a checkpoint and stop within
    seconds, finished runs stay. Works by files alone, so from any shell or node. The same
    "scaling run" continues a sweep; "scaling retry" takes a cancelled run up again.
    """
    from scaling.ledger.cancelling import cancel_run, cancel_sweep
    from scaling.ledger.commit import Ledger
    from scaling.workflow.watching import find_run

    if run_id is None:
        if cancel_sweep(Ledger.open(results)):
            click.echo(f"{results}: its driver is asked to end", err=True)
        else:
            click.echo(f"{results}: no driver is at work; nothing runs here any more", err=True)
        return
    ledger, run = find_run(results, run_id)
    if ledger.find_result(run.run_id) is not None:
        click.echo(f"run {run.run_id} has its result already; nothing is cancelled", err=True)
        return
    cancel_run(ledger, run.run_id)
    click.echo(
        f'run {run.run_id} is cancelled; "scaling retry {results} {run.run_id}" takes it up again',
        err=True,
    )


@click.command()
@results_argument
@click.option(
    "--to", "name", type=click.Choice(["wandb", "mlflow"]), required=True, help="Which tracker."
)
def track(results: Path, name: Any) -> None:
    """\b
    scaling track results/quickstart --to wandb
    scaling track results/quickstart --to mlflow

    Send every finished run that the tracker does not have: W&B in its offline mode, into
    trackers/wandb of the results folder; MLflow into trackers/mlflow there, or where
    MLFLOW_TRACKING_URI says. `scaling run --track` does it while runs finish.
    """
    from scaling.workflow.keeping import send_to_tracker

    click.echo(f"{send_to_tracker(results, name)} run(s) sent to {name}", err=True)

"""Verbs that spend: run, plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from scaling.options import json_option, root_option, sweep_argument
from scaling.text import dump_json
from scaling.verbs.exits import DAMAGED, SIGNAL_BASE, SOME_RUNS_FAILED, find_exit_code
from scaling.verbs.keeping import write_report_page


@click.command()
@sweep_argument
@root_option
@click.option(
    "--executor",
    type=click.Choice(["ray", "inline"]),
    default="ray",
    show_default=True,
    help="ray: all cores; inline: one run after another in this process.",
)
@click.option("--address", default=None, help="Join this Ray cluster (auto or host:port).")
@click.option(
    "--track",
    type=click.Choice(["wandb", "mlflow"]),
    multiple=True,
    help="Copy each finished run to W&B (offline) or MLflow (a local file, or "
    "MLFLOW_TRACKING_URI). Needs the extra of that name.",
)
@click.option("--retrain", is_flag=True, help="Train runs of an older trainer version again.")
def run(
    sweep_file: Path,
    root: Path,
    executor: Any,
    address: str | None,
    track: tuple[Any, ...],
    retrain: bool,
) -> int:
    """\b
    scaling run sweeps/quickstart.yaml
    scaling run sweeps/quickstart.yaml --executor inline

    Plan, train, fit, report, and print the answer. Running it again resumes; when all is done it
    only prints the answer again.
    """

    def work() -> int:
        return _run(sweep_file, root, executor, address, retrain, track)

    if executor == "inline":
        return work()
    from scaling.orchestration.guardian import guard

    return guard(lambda: find_exit_code(work), resume=_invocation())


def _run(
    sweep_file: Path,
    root: Path,
    executor: Any,
    address: str | None,
    retrain: bool,
    track: Any,
) -> int:
    from scaling.errors import EnvironmentFault
    from scaling.units import clean_line, clean_text, format_count
    from scaling.workflow import open_ledger, prepare_sweep, train_sweep

    sweep = prepare_sweep(sweep_file, root=root, runs_here=address is None)
    for line in sweep.plan.warnings:
        click.echo(clean_line(f"warning: {line}"), err=True)
    for cell in sweep.plan.rejected:
        click.echo(
            f"not trained: N {format_count(cell.params)}, D {format_count(cell.tokens)}: "
            f"{cell.reason}",
            err=True,
        )
    ledger = open_ledger(sweep, root=root, retrain=retrain)
    try:
        outcome = train_sweep(sweep, ledger, executor=executor, address=address, track=track)
    except EnvironmentFault as fault:
        click.echo(clean_text(f"{fault}\nTo continue:\n  {_invocation()}"), err=True)
        return fault.exit_code
    for failed in outcome.failed:
        click.echo(
            clean_text(
                f"run {failed.run_id} failed ({failed.cause}): {failed.message}\n"
                f"  see {failed.folder}"
            ),
            err=True,
        )
    for run_id in outcome.cancelled:
        click.echo(f'run {run_id} is cancelled; "scaling retry" takes it up again', err=True)
    for damage in outcome.damaged:
        click.echo(clean_line(f"left out, damaged: {damage.path}: {damage.what}"), err=True)
    if outcome.interrupted_by is not None:
        click.echo(
            f"stopped; {len(outcome.finished)} runs are kept. To continue:\n  {_invocation()}",
            err=True,
        )
        return SIGNAL_BASE + outcome.interrupted_by
    code = write_report_page(ledger.folder, root)
    if outcome.damaged:
        return DAMAGED
    some = outcome.failed or outcome.diverged or outcome.cancelled
    return code or (SOME_RUNS_FAILED if some else 0)


@click.command()
@sweep_argument
@root_option
@json_option
def plan(sweep_file: Path, root: Path, as_json: bool) -> None:
    """\b
    scaling plan sweeps/quickstart.yaml
    scaling plan sweeps/quickstart.yaml --json

    Every cell: N, D, FLOPs, steps, memory, cached or not and why. Trains nothing; writes nothing
    but results/.cache.
    """
    from scaling.descriptions import describe_plan
    from scaling.text import format_plan
    from scaling.workflow import prepare_sweep

    described = describe_plan(prepare_sweep(sweep_file, root=root), root=root)
    click.echo(dump_json(described) if as_json else format_plan(described))


def _invocation() -> str:
    from scaling.workflow import quote_command

    return quote_command(["scaling", *sys.argv[1:]])

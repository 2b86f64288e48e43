"""Verbs about a results folder: report, status, verify, retry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scaling.options import (
    family_option,
    filter_options,
    json_option,
    list_given,
    make_filters,
    results_argument,
    root_option,
)
from scaling.text import dump_json
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import say_damage


@click.command()
@results_argument
@root_option
@family_option
@filter_options
@click.option("--backtest", is_flag=True, help="Show how well several laws forecast (seconds).")
def report(results: Path, root: Path, **options: Any) -> int:
    """\b
    scaling report results/quickstart
    scaling report results/quickstart --family mixture --flops-range 3e10: --backtest

    Fit again where needed and write reports/<sweep>/index.html.
    """
    return write_report_page(results, root, options=options)


@click.command()
@results_argument
@json_option
def status(results: Path, as_json: bool) -> int:
    """\b
    scaling status results/quickstart
    scaling status results/quickstart --json

    Which runs of the plan are finished, diverged, failed or missing.
    """
    from scaling.descriptions import describe_status
    from scaling.text import format_status

    described = describe_status(results)
    click.echo(dump_json(described) if as_json else format_status(described))
    return DAMAGED if described["damaged"] else 0


@click.command()
@results_argument
@click.option("--repair", is_flag=True, help="Restore what can be, rebuild, tidy up.")
@json_option
def verify(results: Path, repair: bool, as_json: bool) -> int:
    """\b
    scaling verify results/quickstart
    scaling verify results/quickstart --repair

    Check every stored byte against the digest written with it, and six more invariants
    (docs/faults.md). --repair puts lost results back that their attempt kept, rebuilds the index
    and removes stray temporary files.
    """
    from scaling.workflow import verify_results

    findings = verify_results(results, repair=repair)
    if as_json:
        click.echo(dump_json({"schema_version": 1, "findings": findings}))
    else:
        for finding in findings:
            click.echo(
                f"{finding['kind']}: {finding['path']}: {finding['what']}"
                + (" (repaired)" if finding["repaired"] else "")
            )
        click.echo(f"{results}: {len(findings)} finding(s)")
    return DAMAGED if any(not finding["repaired"] for finding in findings) else 0


@click.command()
@results_argument
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
def retry(results: Path, run_ids: tuple[str, ...]) -> None:
    """\b
    scaling retry results/quickstart
    scaling retry results/quickstart 0123456789abcdef

    Set damaged results (or those of the named runs) aside, so that the next `scaling run` trains
    them again. Nothing is deleted.
    """
    from scaling.workflow import set_results_aside

    aside = set_results_aside(results, run_ids)
    for path in aside:
        click.echo(str(path))
    click.echo(f"{len(aside)} result(s) set aside; run the sweep again to train them.", err=True)


def write_report_page(results: Path, root: Path, *, options: dict[str, Any] | None = None) -> int:
    """Write the page; without options, as after a run: only where it shows something else."""
    from scaling.reporting import report_sweep
    from scaling.text import format_allocation, format_fit
    from scaling.workflow import open_results, quote_command

    stored = open_results(results)
    found = stored.ledger.read_results()
    after_run = options is None
    command = f"scaling report {results}"
    choices: dict[str, Any] = {}
    if options is not None:
        asked = {name: value for name, value in options.items() if value != "chinchilla"}
        command = quote_command(["scaling", "report", str(results), *list_given(asked)])
        choices = {
            "family": options["family"],
            "filters": make_filters(options),
            "backtest": options["backtest"],
        }
    page, fitted, answers = report_sweep(
        stored, found, root=root, command=command, keep_current=after_run, **choices
    )
    if after_run:
        click.echo(format_fit(fitted))
        for answer in answers:
            click.echo("\n" + format_allocation(answer, said=fitted.checks))
    click.echo(f"\nreport: {page}" if after_run else str(page))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0

"""Verbs about a results folder: report, verify, retry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from scaling.files.sealed import SCHEMA_VERSION
from scaling.units import clean_line
from scaling.verbs.completing import complete_run
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import say_damage, settle_unit
from scaling.verbs.options import (
    family_option,
    filter_options,
    json_option,
    list_given,
    make_filters,
    metric_options,
    read_how,
    read_metric,
    reading_options,
    results_argument,
    root_option,
    source_argument,
)
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.fitting.fitted import Fit

_UNREAD = {
    "columns": "", "loss_unit": "nats", "drop_bad": False, "state": None, "where": (),
    "anyway": False, "metric": None, "higher_is_better": False, "bound": None,
}  # fmt: skip
_READING = tuple(_UNREAD)


@click.command()
@source_argument
@root_option
@family_option
@reading_options
@filter_options
@metric_options
@click.option("--backtest", is_flag=True, help="Show how well several laws forecast (seconds).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md"]),
    default="html",
    show_default=True,
    help="html: the page; md: the same in Markdown, report.md beside it, without figures.",
)
def report(source: Path, root: Path, form: Any, **options: Any) -> int:
    """\b
    scaling report results/quickstart
    scaling report results/quickstart --family mixture --flops-range 3e10: --backtest

    Fit again where needed and write reports/<sweep>/index.html; of a table of runs
    reports/<its name>/index.html, without what only a sweep can show. Of a --metric: <metric>.md
    beside it, with the law, answers and checks.
    """
    from scaling.ledger.contents import holds_sweep

    reading = {name: options.pop(name) for name in _READING}
    if read_metric(reading) is not None:
        given = click.get_current_context().get_parameter_source("form")
        if form == "html" and given is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                "a --metric has no page: give --format md, or leave --format out."
            )
        return write_metric_report(source, root, options=options, reading=reading)
    if source.exists() and not holds_sweep(source):
        return write_table_report(source, root, options=options, reading=reading, form=form)
    unit = reading.pop("loss_unit")
    if any(one != _UNREAD[name] for name, one in reading.items()):
        raise click.UsageError("--columns and the like are for tables of runs.")
    return write_report_page(source, root, options=options | {"loss_unit": unit}, form=form)


@click.command()
@results_argument
@click.option("--repair", is_flag=True, help="Restore what can be, rebuild, tidy up.")
@json_option
def verify(results: Path, repair: bool, as_json: bool) -> int:
    """\b
    scaling verify results/quickstart
    scaling verify results/quickstart --repair

    Check every stored byte against the digest written with it, and seven more invariants
    (docs/faults.md). --repair puts lost results back that their attempt kept, rebuilds the index
    and removes stray temporary files.
    """
    from scaling.workflow.keeping import verify_results

    findings = verify_results(results, repair=repair)
    if as_json:
        click.echo(dump_json({"schema_version": SCHEMA_VERSION, "findings": findings}))
    else:
        for finding in findings:
            click.echo(
                clean_line(f"{finding['kind']}: {finding['path']}: {finding['what']}")
                + (" (repaired)" if finding["repaired"] else "")
            )
        click.echo(f"{results}: {len(findings)} finding(s)")
    return DAMAGED if any(not finding["repaired"] for finding in findings) else 0


@click.command()
@results_argument
@click.argument("run_ids", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@click.option("--failed", is_flag=True, help="Also what failed, diverged or was cancelled.")
@click.option("--diverged", is_flag=True, help="Also what diverged.")
def retry(results: Path, run_ids: tuple[str, ...], failed: bool, diverged: bool) -> None:
    """\b
    scaling retry results/quickstart
    scaling retry results/quickstart --failed

    Let the next `scaling run` train again what has a damaged result (or the named runs: whatever
    their result, or cancelled). Results are set aside, nothing is deleted.
    """
    from scaling.errors import UsageError
    from scaling.workflow.keeping import renew_runs

    if (failed or diverged) and run_ids:
        raise UsageError("Name runs, or give --failed or --diverged, not both.")
    renewed = renew_runs(results, run_ids, failed=failed, diverged=diverged)
    for path in renewed.aside:
        click.echo(str(path))
    for what, names in (("taken up again", renewed.allowed), ("tried again", renewed.failed)):
        for run_id in names:
            click.echo(f"{run_id} will be {what}", err=True)
    click.echo(
        f"{len(renewed.aside)} result(s) set aside; run the sweep again to train them.", err=True
    )


def write_report_page(
    results: Path,
    root: Path,
    *,
    options: dict[str, Any] | None = None,
    form: Any = "html",
    verbose: bool = False,
) -> int:
    """Write the page. Without options, as after a run, it is written only if its content changes,
    and the answers are printed, in full if `verbose`."""
    from scaling.workflow.reporting import report_sweep
    from scaling.workflow.stored import open_results

    stored = open_results(results)
    after_run = options is None
    choices: dict[str, Any] = {}
    if options is not None:
        told = {name: one for name, one in options.items() if name != "backtest"}
        scale, options = settle_unit(results, options)
        if scale.unit == "nats":
            del told["loss_unit"]
        choices = {
            "asked": list_given(told),
            "form": form,
            "scale": scale,
            "family": options["family"],
            "filters": make_filters(options),
            "backtest": options["backtest"],
        }
    page, fitted, answers = report_sweep(stored, root=root, keep_current=after_run, **choices)
    if after_run:
        click.echo((_say_everything if verbose else _say_answers)(fitted, answers))
    click.echo(f"\nreport: {page}" if after_run else str(page))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


def _say_answers(fitted: Fit, answers: Sequence[Allocation]) -> str:
    """Print the answer, how sure it is, its distance from the data, and the failed checks."""
    from scaling.terminal.brief import (
        format_answer_briefly,
        format_fit_briefly,
        format_growth,
        list_failures,
    )

    if not answers:
        return format_fit_briefly(fitted)
    every = [*fitted.checks, *(check for one in answers for check in one.checks)]
    told = {check.code: check for check in every}
    parts = [format_answer_briefly(one) for one in answers]
    return "\n".join([*parts, format_growth(fitted), *list_failures(told.values())])


def _say_everything(fitted: Fit, answers: Sequence[Allocation]) -> str:
    from scaling.terminal.answers import format_allocation, format_fit

    parts = [format_allocation(one, said=fitted.checks) for one in answers]
    return "\n\n".join([format_fit(fitted), *parts])


def write_metric_report(
    source: Path, root: Path, *, options: dict[str, Any], reading: dict[str, Any]
) -> int:
    """Write reports/<stem>/<metric>.md of a folder or a table below `root`; prints its path."""
    from scaling.files.durable import make_folder, write_durably
    from scaling.workflow.table_reporting import describe_metric

    text, fitted = describe_metric(
        source,
        read_how(reading | {"count": "matmul"}),
        family=options["family"],
        filters=make_filters(options),
        backtest=options["backtest"],
    )
    name = re.sub(r"[^\w.-]", "_", reading["metric"])
    page = root / "reports" / source.name.split(".")[0] / f"{name}.md"
    make_folder(page.parent)
    write_durably(page, text.encode("utf-8"))
    click.echo(str(page))
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


def write_table_report(
    table: Path, root: Path, *, options: dict[str, Any], reading: dict[str, Any], form: Any
) -> int:
    """Write reports/<stem>/ of a table of runs; prints the path.

    Args:
        table: The file or folder.
        root: Folder that contains reports/.
        options: Family, filters and backtest.
        reading: How the table is read.
        form: html or md.
    """
    from scaling.workflow.table_reporting import report_table

    scale, asking = settle_unit(table, options | reading)
    backtest = options["backtest"]
    told = {name: one for name, one in (reading | options).items() if name != "backtest"}
    page, fitted = report_table(
        table,
        read_how(reading | {"count": "matmul"}),
        root=root,
        scale=scale,
        asked=list_given({name: one for name, one in told.items() if one != _UNREAD.get(name)}),
        family=asking["family"],
        filters=make_filters(options),
        backtest=backtest,
        form=form,
    )
    click.echo(str(page))
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0

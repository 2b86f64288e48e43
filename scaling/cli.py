"""The door: verbs to calls, results to text. No logic lives here.

Answers go to standard output, everything else to standard error. Exit codes: 0 ok · 1 our bug ·
2 bad usage or spec · 3 finished, some runs failed · 4 no usable fit · 5 environment · 6 locked by
another driver · 7 integrity · 130/143 signals.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from scaling._version import __version__
from scaling.errors import ScalingError
from scaling.options import (
    family_option,
    filter_options,
    fit_options,
    json_option,
    list_given,
    make_filters,
    make_fit_options,
    read_columns,
    results_argument,
    root_option,
    source_argument,
    sweep_argument,
)

if TYPE_CHECKING:
    from scaling.fitting.result import Fit
    from scaling.ledger.tables import RunTable
    from scaling.sweep.shapes import ModelShape
    from scaling.workflow import FilteredFit, StoredSweep

SOME_RUNS_FAILED = 3
NO_USABLE_FIT = 4
DAMAGED = 7
SIGNAL_BASE = 128


def main() -> NoReturn:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    warnings.showwarning = _show_warning
    try:
        code = cli.main(standalone_mode=False)
    except ScalingError as error:
        click.echo(str(error), err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:  # the reader of our output left; nothing is wrong
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(message: Warning | str, *rest: object, **more: object) -> None:
    click.echo(f"warning: {message}", err=True)


class _Commands(click.Group):
    """Lists verbs in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scaling")
def cli() -> None:
    """\b
    scaling run sweeps/quickstart.yaml
    scaling allocate results/quickstart --flops 6e12

    How large a language model, and on how many tokens, for the compute you have: train a grid of
    small models, fit a scaling law, ask.
    """


# --- run, plan ------------------------------------------------------------------------------


@cli.command()
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
@click.option("--retrain", is_flag=True, help="Train runs of an older trainer version again.")
def run(sweep_file: Path, root: Path, executor: Any, address: str | None, retrain: bool) -> int:
    """\b
    scaling run sweeps/quickstart.yaml
    scaling run sweeps/quickstart.yaml --executor inline

    Plan, train, fit, report, and print the answer. Running it again resumes; when all is done it
    only prints the answer again.
    """
    from scaling.units import format_count
    from scaling.workflow import open_ledger, prepare_sweep, train_sweep

    sweep = prepare_sweep(sweep_file, root=root)
    for line in sweep.plan.warnings:
        click.echo(f"warning: {line}", err=True)
    for cell in sweep.plan.rejected:
        click.echo(
            f"not trained: N {format_count(cell.params)}, D {format_count(cell.tokens)}: "
            f"{cell.reason}",
            err=True,
        )
    ledger = open_ledger(sweep, root=root, retrain=retrain)
    outcome = train_sweep(sweep, ledger, executor=executor, address=address)
    for failed in outcome.failed:
        click.echo(
            f"run {failed.run_id} failed ({failed.cause}): {failed.message}\n  see {failed.folder}",
            err=True,
        )
    for damage in outcome.damaged:
        click.echo(f"left out, damaged: {damage.path}: {damage.what}", err=True)
    if outcome.interrupted_by is not None:
        click.echo(
            f"stopped; {len(outcome.finished)} runs are kept. To continue:\n  {_invocation()}",
            err=True,
        )
        return SIGNAL_BASE + outcome.interrupted_by
    code = _report(ledger.folder, root)
    if outcome.damaged:
        return DAMAGED
    return code or (SOME_RUNS_FAILED if outcome.failed or outcome.diverged else 0)


@cli.command()
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
    from scaling.text import format_plan
    from scaling.workflow import describe_plan, prepare_sweep

    described = describe_plan(prepare_sweep(sweep_file, root=root), root=root)
    click.echo(_dump(described) if as_json else format_plan(described))


# --- fit, allocate, predict -----------------------------------------------------------------


@cli.command()
@source_argument
@fit_options
@json_option
def fit(source: Path, as_json: bool, **options: Any) -> int:
    """\b
    scaling fit results/quickstart
    scaling fit runs.csv --columns N=params,D=tokens,loss=val_loss --json

    Laws, intervals, checks.
    """
    from scaling.text import format_fit, format_unfiltered

    found, stored = _obtain_fit(source, options, compare=True)
    fitted = found.fit
    if as_json:
        click.echo(_dump(found.to_contract()))
    else:
        click.echo(format_fit(fitted))
        if found.unfiltered is not None:
            click.echo("\n" + format_unfiltered(found.unfiltered, fitted))
    if _say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


@cli.command()
@source_argument
@click.option("--flops", type=float, multiple=True, required=True, help="Budget C [FLOP].")
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option("--anyway", is_flag=True, help="Answer even from a fit that did not converge.")
@fit_options
@json_option
def allocate(
    source: Path, flops: tuple[float, ...], far: bool, anyway: bool, as_json: bool, **options: Any
) -> int:
    """\b
    scaling allocate results/quickstart --flops 6e12
    scaling allocate runs.csv --flops 1e21 --flops 1e22 --json

    The N and D to train for a budget, with intervals.
    """
    from scaling.allocation import allocate as allocate_budget
    from scaling.text import format_allocation

    fitted, ladder, damaged = _obtain_answerer(source, options)
    asked = None if options["approach"] == "all" else options["approach"]
    with _refusal_as_json(fitted, "answers", as_json):
        answers = [
            allocate_budget(fitted, one, ladder=ladder, approach=asked, far=far, anyway=anyway)
            for one in flops
        ]
    if as_json:
        click.echo(_dump({"schema_version": 1, "answers": [a.to_contract() for a in answers]}))
    else:
        click.echo("\n\n".join(format_allocation(answer) for answer in answers))
    return DAMAGED if damaged() else 0


@cli.command()
@source_argument
@click.option("--params", type=float, required=True, help="N.")
@click.option("--tokens", type=float, required=True, help="D.")
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option("--anyway", is_flag=True, help="Answer even from a fit that did not converge.")
@fit_options
@json_option
def predict(
    source: Path,
    params: float,
    tokens: float,
    far: bool,
    anyway: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling predict results/quickstart --params 2e5 --tokens 5e6
    scaling predict runs.csv --params 3.3e9 --tokens 5e10 --json

    The loss of a model of N parameters trained on D tokens.
    """
    from scaling.allocation import predict as predict_loss
    from scaling.text import format_prediction

    fitted, _, damaged = _obtain_answerer(source, options)
    with _refusal_as_json(fitted, "predictions", as_json):
        answer = predict_loss(fitted, params=params, tokens=tokens, far=far, anyway=anyway)
    if as_json:
        click.echo(_dump({"schema_version": 1, "predictions": [answer.to_contract()]}))
    else:
        click.echo(format_prediction(answer))
    return DAMAGED if damaged() else 0


@cli.command()
@source_argument
@click.option(
    "--families",
    default="chinchilla,tied,no_floor,kaplan,droppo,compute",
    show_default=True,
    help="Laws to score, separated by commas.",
)
@fit_options
@json_option
def backtest(source: Path, families: str, as_json: bool, **options: Any) -> int:
    """\b
    scaling backtest results/quickstart
    scaling backtest runs.csv --families chinchilla,droppo --json

    How well each law forecasts the runs of the table that it was not fitted to.
    """
    from scaling.text import format_backtest
    from scaling.workflow import backtest_table

    table, stored = _read_kept(source, options)
    names = tuple(name.strip() for name in families.split(",") if name.strip())
    scored = backtest_table(table, names, huber_delta=options["huber_delta"])
    click.echo(_dump(scored.to_contract()) if as_json else format_backtest(scored))
    if _say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if scored.chosen is None else 0


@cli.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--flops", type=float, default=None, help="Budget C.  [default: largest of both]")
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@fit_options
@json_option
def compare(
    first: Path, second: Path, flops: float | None, far: bool, as_json: bool, **options: Any
) -> int:
    """\b
    scaling compare results/quickstart results/other
    scaling compare a.csv b.csv --flops 1e21 --json

    How much of A's compute B needs for the same loss. Both are results folders or tables of runs.
    """
    from scaling.comparison import compare as compare_recipes
    from scaling.errors import NoFitError
    from scaling.text import format_comparison

    if (options["family"], options["approach"]) != ("chinchilla", "all"):
        raise click.UsageError("compare fits Chinchilla's law only: leave --family and --approach.")
    (one, stored_one), (two, stored_two) = (_read_kept(path, options) for path in (first, second))
    same = None
    if stored_one and stored_two:
        same = stored_one.ledger.corpus.digest == stored_two.ledger.corpus.digest
    try:
        answer = compare_recipes(
            one,
            two,
            flops=flops,
            far=far,
            huber_delta=options["huber_delta"],
            bootstrap=None if options["no_bootstrap"] else options["bootstrap"],
            level=options["level"],
            seed=options["seed"],
            same_text=same,
        )
    except NoFitError as error:
        if as_json:
            click.echo(_dump({"schema_version": 1, "multiplier": None, "reason": str(error)}))
        raise
    click.echo(_dump(answer.to_contract()) if as_json else format_comparison(answer))
    damaged = [_say_damage(stored) for stored in (stored_one, stored_two)]
    return DAMAGED if any(damaged) else 0


# --- report, status, verify, retry ----------------------------------------------------------


@cli.command()
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
    return _report(results, root, options=options)


@cli.command()
@results_argument
@json_option
def status(results: Path, as_json: bool) -> int:
    """\b
    scaling status results/quickstart
    scaling status results/quickstart --json

    Which runs of the plan are finished, diverged, failed or missing.
    """
    from scaling.text import format_status
    from scaling.workflow import describe_status

    described = describe_status(results)
    click.echo(_dump(described) if as_json else format_status(described))
    return DAMAGED if described["damaged"] else 0


@cli.command()
@results_argument
@click.option("--repair", is_flag=True, help="Rebuild the index, remove stray temporary files.")
@json_option
def verify(results: Path, repair: bool, as_json: bool) -> int:
    """\b
    scaling verify results/quickstart
    scaling verify results/quickstart --repair

    Check every stored byte against the digest written with it.
    """
    from scaling.workflow import verify_results

    findings = verify_results(results, repair=repair)
    if as_json:
        click.echo(_dump({"schema_version": 1, "findings": findings}))
    else:
        for finding in findings:
            click.echo(
                f"{finding['path']}: {finding['what']}"
                + (" (repaired)" if finding["repaired"] else "")
            )
        click.echo(f"{results}: {len(findings)} finding(s)")
    return DAMAGED if any(not finding["repaired"] for finding in findings) else 0


@cli.command()
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


# --- shared ---------------------------------------------------------------------------------


def _obtain_fit(
    source: Path, options: dict[str, Any], *, compare: bool = False
) -> tuple[FilteredFit, StoredSweep | None]:
    from scaling.workflow import fit_filtered, read_runs

    table, stored = read_runs(
        source,
        count=options["count"],
        columns=read_columns(options["columns"]),
        loss_unit=options["loss_unit"],
        drop_bad=options["drop_bad"],
    )
    filters = make_filters(options)
    found = fit_filtered(table, stored, make_fit_options(options), filters, compare=compare)
    for note in (*found.fit.notes, *found.table.rejected):
        click.echo(f"note: {note}", err=True)
    return found, stored


def _read_kept(path: Path, options: dict[str, Any]) -> tuple[RunTable, StoredSweep | None]:
    """The rows of a source that the filters keep."""
    from scaling.ledger.filters import apply_filters
    from scaling.workflow import read_runs

    table, stored = read_runs(
        path,
        count=options["count"],
        columns=read_columns(options["columns"]),
        loss_unit=options["loss_unit"],
        drop_bad=options["drop_bad"],
    )
    return apply_filters(table, make_filters(options))[0], stored


def _obtain_answerer(
    source: Path, options: dict[str, Any]
) -> tuple[Fit, tuple[ModelShape, ...] | None, Callable[[], bool]]:
    """What answers: the fit, the shapes that can be built, and what names damage in the end."""
    from scaling.ledger.fingerprint import fingerprint_folder
    from scaling.recall import recall_fit

    fingerprint = fingerprint_folder(source)
    known = recall_fit(source, fingerprint, options) if fingerprint else None
    if known is not None:
        fitted, rungs = known
        for note in fitted.notes:
            click.echo(f"note: {note}", err=True)
        return fitted, rungs, lambda: False
    from scaling.workflow import list_sweep_ladder, note_found

    found, stored = _obtain_fit(source, options)
    if stored is None:
        return found.fit, None, lambda: False
    if fingerprint:
        how = make_fit_options(options)
        note_found(found, stored, how, question=options, fingerprint=fingerprint)
    ladder = list_sweep_ladder(stored.spec, stored.ledger.corpus)
    return found.fit, ladder, lambda: _say_damage(stored)


@contextlib.contextmanager
def _refusal_as_json(fitted: Fit, key: str, as_json: bool) -> Iterator[None]:
    """Scripts get the reason on standard output too where a fit has no answer (exit 4)."""
    from scaling.errors import NoFitError

    try:
        yield
    except NoFitError as error:
        if as_json:
            contract = fitted.to_contract()
            kept = {name: contract[name] for name in ("schema_version", "status", "law", "checks")}
            click.echo(_dump(kept | {"reason": str(error), key: []}))
        raise


def _say_damage(stored: StoredSweep | None) -> bool:
    """Name the results that were left out because they are not what was written."""
    damaged = stored.ledger.read_results().damaged if stored else ()
    for damage in damaged:
        click.echo(f"left out, damaged: {damage.path}: {damage.what}", err=True)
    return bool(damaged)


def _report(results: Path, root: Path, *, options: dict[str, Any] | None = None) -> int:
    """Write the page; without options, as after a run: only where it shows something else."""
    from scaling.text import format_allocation, format_fit
    from scaling.workflow import open_results, quote_command, report_sweep

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
    if _say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


def _invocation() -> str:
    from scaling.workflow import quote_command

    return quote_command(["scaling", *sys.argv[1:]])


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False)

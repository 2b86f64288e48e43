"""Verbs about computing a sweep: run, plan."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.errors import EnvironmentFault
from scaling.orchestration.executors.registry import EXECUTORS, describe_executors
from scaling.units import clean_line, clean_text, format_count
from scaling.verbs.exits import (
    DAMAGED,
    SIGNAL_BASE,
    SOME_RUNS_FAILED,
    explain_refusal,
    find_exit_code,
)
from scaling.verbs.keeping import write_report_page
from scaling.verbs.options import (
    FiniteRange,
    WholeRange,
    json_option,
    noise_option,
    root_option,
    sweep_argument,
)
from scaling.verbs.output import dump_json
from scaling.verbs.siblings import report_siblings
from scaling.verbs.targets import read_target, target_options

if TYPE_CHECKING:
    from scaling.sweep.throughput import Throughput
    from scaling.workflow.preparing import Sweep


@click.command()
@sweep_argument
@root_option
@click.option(
    "--executor",
    type=click.Choice(list(EXECUTORS)),
    default="ray",
    show_default=True,
    help=describe_executors(),
)
@click.option("--address", help="Join this Ray cluster (auto or host:port).")
@click.option(
    "--track",
    type=click.Choice(["wandb", "mlflow"]),
    multiple=True,
    help="Copy each finished run to W&B (offline) or MLflow (a local file, or "
    "MLFLOW_TRACKING_URI). Needs the extra of that name.",
)
@click.option("--retrain", is_flag=True, help="Train runs of an older trainer version again.")
@click.option(
    "--validate", is_flag=True, help="Also train the runs that check registered forecasts."
)
@click.option("--verbose", is_flag=True, help="Print all that is known of fit and answers.")
def run(sweep_file: Path, root: Path, **asked: Any) -> int:
    """\b
    scaling run sweeps/quickstart.yaml
    scaling run sweeps/quickstart.yaml --executor inline

    Plan, train, fit, report, and print the answer. Running it again resumes; when all is done it
    only prints the answer again.
    """

    def work() -> int:
        try:
            return _run_all(sweep_file, root=root, **asked)
        except EnvironmentFault as fault:
            _say_how_to_continue(str(fault))
            return fault.exit_code
        except (OSError, MemoryError) as error:
            refusal = explain_refusal(error)
            if not isinstance(refusal, EnvironmentFault):
                raise
            _say_how_to_continue(str(refusal))
            return refusal.exit_code
        except KeyboardInterrupt:  # before the first run began, or after the last one ended
            _say_how_to_continue("Interrupted: finished runs are kept.")
            return SIGNAL_BASE + signal.SIGINT

    if not EXECUTORS[asked["executor"]].guarded:
        return work()
    from scaling.orchestration.guardian import guard

    return guard(lambda: find_exit_code(work), resume=_invocation())


def _run_all(sweep_file: Path, *, root: Path, **asked: Any) -> int:
    """Run every sweep that the file makes; returns the gravest of their exit codes."""
    from scaling.workflow.preparing import list_sweeps

    ended = []
    names = list_sweeps(sweep_file)
    for name in names:
        ended.append(_run_one(sweep_file, name, root=root, **asked))
        # A signal that stops one sweep stops the rest too.
        if ended[-1] >= SIGNAL_BASE:
            return ended[-1]
    if len(names) > 1:
        report_siblings(sweep_file, root)
    return max(ended)  # codes 7, 4, 3 and 0: the largest is the gravest


def _run_one(
    sweep_file: Path,
    name: str,
    *,
    root: Path,
    executor: Any,
    address: str | None,
    track: tuple[Any, ...],
    retrain: bool,
    validate: bool,
    verbose: bool,
) -> int:
    """Plan, train, fit and report one of the file's sweeps; returns the exit code."""
    from scaling.ledger.locking import refuse_driven
    from scaling.workflow.preparing import prepare_sweep
    from scaling.workflow.training import open_ledger, train_sweep

    refuse_driven(root / "results" / name)
    sweep = prepare_sweep(
        sweep_file, root=root, name=name, runs_here=address is None, validate=validate
    )
    for line in sweep.plan.warnings:
        click.echo(clean_line(f"warning: {line}"), err=True)
    for cell in sweep.plan.rejected:
        click.echo(
            f"not trained: N {format_count(cell.params)}, D {format_count(cell.tokens)}: "
            f"{cell.reason}",
            err=True,
        )
    ledger = open_ledger(sweep, root=root, retrain=retrain)
    outcome = train_sweep(sweep, ledger, executor=executor, address=address, track=track)
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
    for probe, count in outcome.unmeasured:
        click.echo(
            f"probe {probe}: {count} of {len(outcome.finished)} finished runs have no value (it "
            "failed, see log.txt of their attempts, or their weights are not here: train the sweep "
            "again with another --root)",
            err=True,
        )
    for damage in outcome.damaged:
        click.echo(clean_line(f"left out, damaged: {damage.path}: {damage.what}"), err=True)
    if outcome.interrupted_by is not None:
        done = f"{len(outcome.finished)} runs are finished"
        _say_how_to_continue(f"Stopped: {done}, the others resume from their checkpoints.")
        return SIGNAL_BASE + outcome.interrupted_by
    code = write_report_page(ledger.folder, root, verbose=verbose)
    if outcome.damaged:
        return DAMAGED
    some = outcome.failed or outcome.diverged or outcome.cancelled
    return code or (SOME_RUNS_FAILED if some else 0)


@click.command()
@sweep_argument
@root_option
@click.option(
    "--no-benchmark",
    is_flag=True,
    help="Measure no throughput; the plan then has no time and no price.",
)
@click.option("--cpus", type=WholeRange(1, 100_000), help="Cores.  [default: all here]")
@target_options
@click.option(
    "--price-per-hour",
    type=FiniteRange(0),
    help="Price of the machine in any currency; with --target, of one device.",
)
@click.option(
    "--validate", is_flag=True, help="Also plan the runs that check registered forecasts."
)
@click.option(
    "--simulate", is_flag=True, help="Expected intervals, checks, and what to change (30 s)."
)
@click.option(
    "--prior-law",
    type=click.Path(path_type=Path),
    metavar="RESULTS",
    help="Simulate by the law fitted to a results folder.  [default: a published law, scaled]",
)
@noise_option
@json_option
def plan(
    sweep_file: Path,
    root: Path,
    no_benchmark: bool,
    cpus: int | None,
    price_per_hour: float | None,
    validate: bool,
    simulate: bool,
    prior_law: Path | None,
    noise: float | None,
    as_json: bool,
    **machines: Any,
) -> None:
    """\b
    scaling plan sweeps/quickstart.yaml
    scaling plan sweeps/quickstart.yaml --price-per-hour 0.09 --simulate
    scaling plan sweep.yaml --target h100 --devices 64 --price-per-hour 2.5

    Every cell: N, D, FLOPs, steps, time, memory, cached or not and why. Trains nothing; writes
    nothing but results/.cache. The first plan of a device measures its throughput, in a few
    seconds. With --validate, also what "run --validate" would train.

    With --target, time and memory on machines that are not here, by the peak of the device.

    With --simulate, what the sweep will be able to say: its losses are drawn from a law and fitted,
    many times.
    """
    if not simulate and (prior_law is not None or noise is not None):
        raise click.UsageError("--prior-law and --noise are options of --simulate; add it.")
    if no_benchmark and (cpus is not None or price_per_hour is not None):
        raise click.UsageError(
            "--cpus and --price-per-hour need a time, which --no-benchmark leaves out."
        )
    given = {"--cpus": cpus is not None, "--no-benchmark": no_benchmark}
    target = read_target(**machines, here=tuple(name for name, said in given.items() if said))
    from scaling.terminal.plan import format_plan
    from scaling.workflow.describing import describe_plan, join_plans
    from scaling.workflow.devices import count_slots
    from scaling.workflow.preparing import list_sweeps, prepare_sweep

    plans = {}
    for name in list_sweeps(sweep_file):
        sweep = prepare_sweep(
            sweep_file, root=root, name=name, runs_here=target is None, validate=validate
        )
        there = None if target is None else target.share(sweep.spec.resources)
        machines_paid = 1 if there is None else there.devices
        described = describe_plan(
            sweep,
            root=root,
            slots=count_slots(sweep.spec, cpus=cpus) if there is None else there.slots,
            throughput=None if there or no_benchmark else _measure_here(sweep, root),
            target=there,
            price_per_hour=None if price_per_hour is None else machines_paid * price_per_hour,
        )
        if simulate:
            from scaling.workflow.simulating import simulate_sweep

            simulation = simulate_sweep(sweep, prior_law=prior_law, noise=noise)
            described["simulation"] = simulation.to_contract()
        plans[sweep.spec.name] = described
    if as_json:
        click.echo(dump_json(join_plans(list(plans.values()))))
        return
    for name, described in plans.items():
        click.echo((f"{name}:\n" if len(plans) > 1 else "") + format_plan(described))


def _measure_here(sweep: Sweep, root: Path) -> Throughput | None:
    """The throughput of this machine; prints what was measured for it."""
    from scaling.workflow.timing import obtain_throughput, settle_plan

    precision = settle_plan(sweep, root=root)
    throughput, measured = obtain_throughput(sweep, root=root, precision=precision)
    if measured:
        what = f"{measured} configuration" + "s" * (measured > 1)
        click.echo(f"measured the throughput of {what} on this device", err=True)
    return throughput


def _say_how_to_continue(what: str) -> None:
    click.echo(clean_text(f"{what}\nTo continue:\n  {_invocation()}"), err=True)


def _invocation() -> str:
    return shlex.join(["scaling", *sys.argv[1:]])

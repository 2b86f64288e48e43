"""Opening a results folder, and reading a table of runs from any source.

    folder → Contents (its files, read once) → StoredSweep (parsed, planned) → RunTable

A command opens a folder once and passes the value on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.contents import Contents, holds_sweep, read_contents
from scaling.ledger.forecasts import StoredForecasts
from scaling.ledger.found import StoredResults
from scaling.ledger.results import RunResult
from scaling.ledger.sweep_table import tabulate
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.counting import CountConvention
from scaling.sweep.own_ladder import make_sweep_cost
from scaling.sweep.plan import plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.tables.cells import Where
from scaling.tables.metric_table import fit_metric
from scaling.tables.metrics import AskedMetric
from scaling.tables.opening import list_table_files
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.tables.states import USUAL, StateRule
from scaling.units.losses import LossUnit
from scaling.units.stages import stage

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSweep:
    """An opened results folder: its files, and the plan made again from its sweep file.

    Attributes:
        contents: Every file, read once.
        whole: The sweep file; it may make several sweeps.
        spec: The sweep of this folder.
        plan: Its cells; those of finished runs are as they were trained.
    """

    contents: Contents
    whole: SweepSpec
    spec: SweepSpec
    plan: Plan

    @property
    def ledger(self) -> Ledger:
        return self.contents.ledger

    @property
    def folder(self) -> Path:
        return self.contents.ledger.folder

    @property
    def facts(self) -> CorpusFacts:
        return self.contents.ledger.corpus

    @property
    def results(self) -> StoredResults:
        return self.contents.results


def list_validations(
    folder: Path, forecasts: StoredForecasts, recorded: Collection[str], *, untrained: bool
) -> tuple[RunSpec, ...]:
    """Runs of registered forecasts: the recorded ones and, if `untrained`, the others."""
    runs = [one.forecast.run for one in forecasts.forecasts]
    if untrained and not runs:
        raise UsageError(
            f"{folder} has no forecast to validate.\n"
            f'Register one first: "scaling forecast {folder} --flops C".'
        )
    return tuple(run for run in runs if untrained or run.run_id in recorded)


def read_results(folder: Path) -> Mapping[str, RunResult]:
    """The results of a folder by run_id, without its sweep; none where there is no such folder."""
    return Ledger.open(folder).read_results(check="result").results if holds_sweep(folder) else {}


def open_results(folder: Path) -> StoredSweep:
    """Open a results folder without changing it.

    Raises:
        UsageError: It is not a results folder, or its sweep file is of another version.
        SpecError: Its sweep file does not make the sweep that it is named after.
        IntegrityError: The file that identifies it is damaged.
    """
    with stage(f"reading {folder}"):
        return plan_contents(read_contents(folder))


def plan_contents(contents: Contents) -> StoredSweep:
    """Plan a results folder whose files are read already.

    Raises:
        SpecError: Its sweep file does not make the sweep that it is named after.
    """
    from scaling.sweep.reading import parse_sweep
    from scaling.sweep.siblings import select_sibling

    ledger, recorded = contents.ledger, contents.results.recorded
    source = str(ledger.folder / "sweep.yaml")
    whole = parse_sweep(contents.text.encode("utf-8"), source=source)
    spec = select_sibling(whole, ledger.name, source=source)
    plan = plan_sweep(
        spec,
        ledger.corpus,
        recorded=tuple(result.run for result in recorded.values()),
        validations=list_validations(
            ledger.folder, contents.forecasts, recorded.keys(), untrained=False
        ),
    )
    return StoredSweep(contents=contents, whole=whole, spec=spec, plan=plan)


def tabulate_sweep(
    stored: StoredSweep, *, count: CountConvention = "matmul", head_flops: bool = True
) -> RunTable:
    """The finished runs of an opened folder; `count` and `head_flops` as for `read_runs`."""
    cost = make_sweep_cost(stored.spec, stored.facts, count, head_flops=head_flops)
    table = tabulate(
        stored.ledger,
        stored.results,
        stored.plan.cells,
        convention=count,
        cost=cost,
        head_flops=head_flops,
    )
    trainer = stored.spec.trainer
    if trainer is None or not trainer.models:
        return table
    counted = None if trainer.counting == "unknown" else trainer.counting
    return dataclasses.replace(table, convention=counted)


def read_runs(
    source: Path,
    *,
    contents: Contents | None = None,
    count: CountConvention = "matmul",
    head_flops: bool = True,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit = "nats",
    drop_bad: bool = False,
    states: StateRule = USUAL,
    where: Where = (),
    anyway: bool = False,
    metric: AskedMetric | None = None,
) -> tuple[RunTable, StoredSweep | None]:
    """Read the runs behind a fit, from a results folder or any table (`read_table`).

    Args:
        source: The folder or the table.
        contents: The folder's files, if they are read already.
        count: How N is counted; a table that is not an export of a folder states its own.
        head_flops: Whether a folder's C includes the head's products, as it should. Without them
            runs of one budget do not cost the same, and have no budget.
        columns, loss_unit, drop_bad, states, where, anyway: How a table is read, as in
            `read_table`; a folder is in nats and needs none of them.
        metric: Metric to take the place of the loss; None: the loss.

    Returns:
        The table, and the sweep it came from (None for a table).

    Raises:
        UsageError: There is no such folder or file, or it is of another version.
        SpecError: The folder's sweep file does not make the sweep that it is named after.
        IntegrityError: The file that identifies the folder is damaged.
        TableError: The table is wrong; the message names every problem.
    """
    if holds_sweep(source) or (source.is_dir() and not list_table_files(source)):
        if columns or drop_bad or where or states != USUAL:
            raise UsageError(
                f"{source} is a results folder: --columns, --drop-bad, --state, --where and "
                "--group-by are for tables."
            )
        stored = open_results(source) if contents is None else plan_contents(contents)
        with stage(f"reading {source}"):
            table = tabulate_sweep(stored, count=count, head_flops=head_flops)
        return (table if metric is None else fit_metric(table, metric)), stored
    with stage(f"reading {source}"):
        table = read_table(
            source,
            columns=columns or {},
            loss_unit=loss_unit,
            drop_bad=drop_bad,
            states=states,
            where=where,
            anyway=anyway,
            count=count,
            metrics=() if metric is None else (metric.name,),
        )
    if count != "matmul" and table.convention != count:
        raise UsageError(
            f"{source} is a table and states its own N: --count is for results folders and their "
            "exports."
        )
    return (table if metric is None else fit_metric(table, metric)), None


def list_failures(stored: StoredSweep) -> dict[str, str]:
    """Cause and message of the newest failure of each planned run without a result, by run_id."""
    failures = {}
    for cell in stored.plan.cells:
        run_id = cell.run.run_id
        if run_id in stored.results.results:
            continue
        for attempt in stored.ledger.list_attempts(run_id):  # newest first
            failure = stored.ledger.read_failure(run_id, attempt)
            if failure is not None:
                failures[run_id] = f"{failure.cause}: {failure.message}"
                break
    return failures

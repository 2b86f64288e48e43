"""A results folder opened, and a table of runs read, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import (
    UsageError,
)
from scaling.ledger.commit import Ledger
from scaling.ledger.forecasts import read_forecasts
from scaling.ledger.found import StoredResults
from scaling.ledger.sweep_table import tabulate
from scaling.sweep.cells import Plan
from scaling.sweep.counting import CountConvention
from scaling.sweep.own_ladder import make_sweep_cost
from scaling.sweep.plan import plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.tables.cells import Where
from scaling.tables.opening import list_table_files
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.tables.states import USUAL, StateRule
from scaling.units.losses import NATS, LossScale, LossUnit

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSweep:
    """A results folder as it is read: its plan is made again from the stored sweep file."""

    ledger: Ledger
    text: str
    spec: SweepSpec
    plan: Plan


def list_recorded(ledger: Ledger) -> tuple[RunSpec, ...]:
    return tuple(result.run for result in ledger.read_results(check="result").results.values())


def list_validations(
    folder: Path, recorded: Sequence[RunSpec], *, untrained: bool
) -> tuple[RunSpec, ...]:
    """Runs of registered forecasts: those that have a result and, if asked for, the rest."""
    runs = [one.forecast.run for one in read_forecasts(folder).forecasts]
    if untrained and not runs:
        raise UsageError(
            f"{folder} has no forecast to validate.\n"
            f'Register one first: "scaling forecast {folder} --flops C".'
        )
    done = {run.run_id for run in recorded}
    return tuple(run for run in runs if untrained or run.run_id in done)


def open_results(folder: Path) -> StoredSweep:
    """A results folder, read without changing it.

    Raises:
        UsageError: It is not one, or its sweep file is of another version.
        SpecError: Its sweep file does not make the sweep that it is named after.
        IntegrityError: What identifies it is damaged.
    """
    from scaling.sweep.reading import parse_sweep
    from scaling.sweep.siblings import select_sibling

    ledger = Ledger.open(folder)
    text = ledger.read_sweep()
    source = str(folder / "sweep.yaml")
    spec = parse_sweep(text.encode("utf-8"), source=source)
    spec = select_sibling(spec, ledger.name, source=source)
    recorded = list_recorded(ledger)
    validations = list_validations(folder, recorded, untrained=False)
    plan = plan_sweep(spec, ledger.corpus, recorded=recorded, validations=validations)
    return StoredSweep(ledger=ledger, text=text, spec=spec, plan=plan)


def read_runs(
    source: Path,
    *,
    count: CountConvention = "matmul",
    head_flops: bool = True,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit = "nats",
    drop_bad: bool = False,
    states: StateRule = USUAL,
    where: Where = (),
    anyway: bool = False,
) -> tuple[RunTable, StoredSweep | None]:
    """The runs behind a fit: of a results folder, or of any table (see `read_table`).

    Args:
        source: The folder or the table.
        count: How N is counted; a table that is no export of a folder states its own.
        head_flops: Whether a folder's C holds the head's products, as it should. Without them
            runs of one budget do not cost the same, and have none.
        columns, loss_unit, drop_bad, states, where, anyway: Of a table; a folder is in nats.

    Returns:
        The table, and the sweep it came from (None for a table).
    """
    if holds_sweep(source) or (source.is_dir() and not list_table_files(source)):
        if columns or drop_bad or where or states != USUAL:
            raise UsageError(
                f"{source} is a results folder: --columns, --drop-bad, --state, --where and "
                "--group-by are for tables."
            )
        stored = open_results(source)
        facts = stored.ledger.corpus
        cost = make_sweep_cost(stored.spec, facts, count, head_flops=head_flops)
        table = tabulate(
            stored.ledger, stored.plan.cells, convention=count, cost=cost, head_flops=head_flops
        )
        return table, stored
    table = read_table(
        source,
        columns=columns or {},
        loss_unit=loss_unit,
        drop_bad=drop_bad,
        states=states,
        where=where,
        anyway=anyway,
        count=count,
    )
    if count != "matmul" and table.convention != count:
        raise UsageError(
            f"{source} is a table and states its own N: --count is for results folders and their "
            "exports."
        )
    return table, None


def find_loss_scale(source: Path, unit: LossUnit) -> LossScale:
    """The unit of losses of a question to a results folder or a table.

    Raises:
        UsageError: Bits per byte are asked of a folder that does not know the bytes of its tokens.
    """
    if unit != "bpb" or not holds_sweep(source):
        return NATS if unit == "nats" else LossScale(unit)
    facts = Ledger.open(source).corpus
    if not (facts.validation_bytes and facts.validation_tokens):
        raise UsageError(
            f"{source}: --loss-unit bpb needs the bytes behind its tokens, which the corpus does "
            "not state.\nState corpus.bytes_per_token in the sweep file, or ask in nats or bits."
        )
    return LossScale(unit, facts.validation_bytes / facts.validation_tokens)


def list_failures(stored: StoredSweep, results: StoredResults) -> dict[str, str]:
    """Cause and message of the newest failure of each planned run without a result, by run_id."""
    failures = {}
    for cell in stored.plan.cells:
        run_id = cell.run.run_id
        if run_id in results.results:
            continue
        for attempt in stored.ledger.list_attempts(run_id):  # newest first
            failure = stored.ledger.read_failure(run_id, attempt)
            if failure is not None:
                failures[run_id] = f"{failure.cause}: {failure.message}"
                break
    return failures


def holds_sweep(folder: Path) -> bool:
    """Whether a sweep was begun in this folder."""
    return (folder / "sweep.json").is_file()

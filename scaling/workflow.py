"""The stages joined: sweep file -> corpus -> plan -> ledger -> fit -> answers -> report.

What the command line calls and what Python users call. Heavy stages (torch, ray, matplotlib,
scipy) are imported where they begin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scaling.devices import (
    check_device,
    is_present,
    measure_apart,
    name_device,
    require_device,
)
from scaling.errors import (
    CorpusError,
    EnvironmentFault,
    IntegrityError,
    ScalingError,
    ScalingWarning,
    SpecError,
    UsageError,
)
from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger, StoredResults, find_outdated
from scaling.ledger.documents import RUN_NAME
from scaling.ledger.forecasts import read_forecasts
from scaling.ledger.results import RunResult
from scaling.ledger.sweep_table import tabulate, write_index
from scaling.precision import PrecisionChoice, choose_precision
from scaling.sweep.cost import estimate_memory
from scaling.sweep.cost_model import CostModel, make_ladder_cost
from scaling.sweep.counting import CountConvention, count_params
from scaling.sweep.plan import CorpusFacts, Plan, decide_seq_len, plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import LARGEST_PARAMS, ModelShape, list_ladder
from scaling.tables.cells import Where
from scaling.tables.filters import FilterEffect, Filters, apply_filters
from scaling.tables.opening import list_table_files
from scaling.tables.reading import read_table
from scaling.tables.run_table import LossUnit, RunTable
from scaling.tables.states import USUAL, StateRule

if TYPE_CHECKING:
    from scaling.data.shards import PreparedCorpus
    from scaling.fitting.backtest import Backtest
    from scaling.fitting.fitted import Fit, MeasuredRun
    from scaling.fitting.truncation import Truncation
    from scaling.orchestration.driver import SweepOutcome
    from scaling.orchestration.executors import Executor
    from scaling.sweep.spec import SweepSpec
    from scaling.trackers import TrackerName

ExecutorName = Literal["ray", "inline"]
AskedApproach = Literal["all", "parametric", "isoflop", "envelope"]

_CURVE_BYTES = 16 * 2**20
_MEMORY_SHARE = 0.8  # of the machine's; the rest is for Ray, the driver and the system


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep ready to run: its file, its corpus on disk, its plan."""

    path: Path
    text: str
    spec: SweepSpec
    corpus: PreparedCorpus
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSweep:
    """A results folder as it is read: its plan is made again from the stored sweep file."""

    ledger: Ledger
    text: str
    spec: SweepSpec
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How to fit; the defaults are the command line's."""

    approach: AskedApproach = "all"
    count: CountConvention = "matmul"
    family: str | None = None  # None: the ensemble answers, Chinchilla's law stands beside it
    huber_delta: float | None = None
    bootstrap: int | None = 1000
    level: float = 0.9
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredFit:
    """A fit of the rows that declared filters keep.

    Attributes:
        fit: Of those rows.
        table: Those rows, with the effects in its notes.
        effects: What each filter left out; empty without filters.
        unfiltered: Point fit of all rows; None without filters, or where it was not asked for.
    """

    fit: Fit
    table: RunTable
    effects: tuple[FilterEffect, ...]
    unfiltered: Fit | None

    def to_contract(self) -> dict[str, Any]:
        """The contract's JSON of `scaling fit`, with what the filters did where there are any."""
        if not self.effects:
            return self.fit.to_contract()
        whole = None if self.unfiltered is None else self.unfiltered.to_contract()
        keys = ("status", "reason", "n", "law", "objective", "frontier")
        return self.fit.to_contract() | {
            "filters": [effect.to_contract() for effect in self.effects],
            "unfiltered": None if whole is None else {key: whole[key] for key in keys},
        }


# --- before training ------------------------------------------------------------------------


def list_sweeps(path: Path) -> tuple[str, ...]:
    """Names of the sweeps that a file makes: one, or one for each tokenizer or recipe it names.

    Raises:
        SpecError: With every problem of the file.
    """
    from scaling.sweep.siblings import list_siblings
    from scaling.sweep.spec import load_sweep

    return tuple(one.name for one in list_siblings(load_sweep(path)))


def prepare_sweep(
    path: Path,
    *,
    root: Path,
    name: str | None = None,
    runs_here: bool = True,
    validate: bool = False,
) -> Sweep:
    """Read a sweep file, prepare its corpus (cached under root/results/.cache) and plan it.

    Args:
        path: The sweep file.
        root: Where results/ lies.
        name: Which of the sweeps that the file makes; None: it makes one.
        runs_here: Runs must fit into this machine's memory, and their share of its GPU's; those of
            a cluster are checked there.
        validate: Also plan the runs that the sweep's registered forecasts speak of.

    Raises:
        UsageError: There is no forecast to validate.
        SpecError: With every problem of the file, or no cell of it can be trained.
        CorpusError: The text cannot be read.
        UsageError: An extra is not installed.
    """
    from scaling.data.sources import prepare_source
    from scaling.sweep.siblings import select_sibling
    from scaling.sweep.spec import load_sweep

    spec = select_sibling(load_sweep(path), name, source=str(path))
    text = path.read_text(encoding="utf-8")
    with _placing(text, path, ("corpus", "paths")):
        corpus = prepare_source(
            spec, base=path.resolve().parent, cache=root / "results" / ".cache" / "corpora"
        )
    folder = root / "results" / spec.name
    recorded = _list_recorded(Ledger.open(folder)) if holds_sweep(folder) else ()
    validations = _list_validations(folder, recorded, untrained=validate)
    with _placing(text, path, ("grid",)):
        plan = plan_sweep(
            spec,
            corpus.facts,
            memory_bytes=find_run_memory() if runs_here else None,
            recorded=recorded,
            validations=validations,
        )
    if runs_here:
        with _placing(text, path, ("resources", "gpus_per_run")):
            plan = check_device(spec, plan)
    return Sweep(path=path, text=text, spec=spec, corpus=corpus, plan=plan)


@contextlib.contextmanager
def _placing(text: str, path: Path, keys: tuple[str, ...]) -> Iterator[None]:
    """Problems that show only beyond the sweep file are said at the place that asked for it."""
    from scaling.sweep.spec import name_place

    try:
        yield
    except (CorpusError, SpecError) as error:
        place = name_place(text, str(path), keys)
        raise SpecError([f"{place}: {line}" for line in str(error).splitlines()]) from error


def _list_recorded(ledger: Ledger) -> tuple[RunSpec, ...]:
    return tuple(result.run for result in ledger.read_results(check="result").results.values())


def _list_validations(
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


def find_run_memory() -> int:
    """Memory that one run on this machine may use [bytes]."""
    import psutil

    return int(_MEMORY_SHARE * psutil.virtual_memory().total)


# --- training -------------------------------------------------------------------------------


def open_ledger(sweep: Sweep, *, root: Path, retrain: bool) -> Ledger:
    """The sweep's results folder, made if there is none.

    Raises:
        UsageError: The folder holds another corpus, or finished runs of another trainer version
            that the plan would train again (unless `retrain`).
    """
    ledger = Ledger.create(
        root / "results" / sweep.spec.name,
        name=sweep.spec.name,
        corpus=sweep.corpus.facts,
        sweep_yaml=sweep.text,
    )
    outdated = find_outdated(ledger, sweep.plan.cells)
    if outdated and not retrain:
        raise UsageError(
            f"{ledger.folder}: {len(outdated)} finished runs were trained by another version of "
            "the trainer and would be trained again.\nSay --retrain to do that, or give the sweep "
            "another name to keep both."
        )
    return ledger


def train_sweep(
    sweep: Sweep,
    ledger: Ledger,
    *,
    executor: ExecutorName = "ray",
    address: str | None = None,
    track: Sequence[TrackerName] = (),
) -> SweepOutcome:
    """Train every planned run that the ledger does not have.

    Args:
        sweep: What to train.
        ledger: Where results are and go.
        executor: Where runs are trained.
        address: Of a Ray cluster to join.
        track: Trackers that are told of every committed run.

    Raises:
        UsageError: A tracker is not installed.
        LockedError: Another driver is at work on this sweep.
        EnvironmentFault: Disk, Ray, or worker after worker has failed.
    """
    from scaling.orchestration.driver import DriverSettings, run_cells
    from scaling.orchestration.progress import open_progress
    from scaling.trackers import require_tracker
    from scaling.trackers.feed import feeding

    for name in track:
        require_tracker(name)
    known = ledger.read_results(check="result").results
    runs = [cell.run for cell in sweep.plan.cells]
    left = any(run.run_id not in known for run in runs)
    chosen = settle_precision(
        sweep.spec,
        sweep.corpus.facts,
        runs,
        known.values(),
        folder=ledger.folder.parent,
        measure=left and is_present(sweep.spec.resources),
    )
    if left and address is None:
        require_device(sweep.spec.resources)
        if sweep.spec.resources.gpus_per_run is not None:  # its peak, while nothing else runs
            measure_apart((), sweep.spec.resources, cache=ledger.folder.parent / ".cache")
    progress = open_progress()
    with contextlib.closing(progress), feeding(track, ledger, progress.say) as announce:
        if left and chosen.why:
            progress.say(f"precision: {chosen.precision}, {chosen.why}")
        if left and chosen.change:
            progress.say(chosen.change)
        return run_cells(
            sweep.plan.cells,
            ledger,
            _make_executor(executor, address, sweep, ledger),
            corpus=sweep.corpus.folder,
            settings=DriverSettings(
                keep_weights=sweep.spec.keep_weights,
                share_trunks=sweep.spec.schedule.trunk,
                time_limit=sweep.spec.resources.time_limit,
                stall_limit=sweep.spec.resources.stall_limit,
                precision=chosen.precision,
                gpus=sweep.spec.resources.gpus_per_run,
            ),
            progress=progress,
            announce=announce,
        )


def settle_precision(
    spec: SweepSpec,
    facts: CorpusFacts,
    runs: Iterable[RunSpec],
    results: Iterable[RunResult],
    *,
    folder: Path,
    measure: bool = True,
) -> PrecisionChoice:
    """In which precision a sweep's runs to come are trained; see `choose_precision`."""
    return choose_precision(
        spec.resources,
        runs,
        results,
        folder=folder,
        device=name_device(spec, facts, precision="auto"),
        measure=measure,
    )


def send_to_tracker(folder: Path, name: TrackerName) -> int:
    """Send every result that a tracker does not have; returns how many.

    Raises:
        UsageError: The tracker is not installed.
        EnvironmentFault: It cannot be reached.
    """
    from scaling.trackers import open_tracker, require_tracker
    from scaling.trackers.sending import find_folder, list_unsent, send_results

    require_tracker(name)
    ledger = Ledger.open(folder)
    where = find_folder(ledger, name)
    try:
        tracker = open_tracker(name, project=ledger.name, folder=where)
        return send_results(ledger, name, tracker, list_unsent(ledger, name))
    except ScalingError:
        raise
    except Exception as error:  # each tracker has exceptions of its own
        raise EnvironmentFault(
            f"{name}: {type(error).__name__}: {error}. What was sent is noted; the same command "
            "sends the rest."
        ) from error


def _make_executor(
    name: ExecutorName, address: str | None, sweep: Sweep, ledger: Ledger
) -> Executor:
    if name == "inline":
        if address is not None:
            raise UsageError("--address joins a Ray cluster; it does not go with inline.")
        from scaling.orchestration.executors.inline import InlineExecutor

        return InlineExecutor()
    from scaling.orchestration.executors.ray import RayExecutor

    return RayExecutor(
        cpus_per_run=sweep.spec.resources.cpus_per_run,
        gpus_per_run=sweep.spec.resources.gpus_per_run,
        address=address,
        memory_per_run=max(estimate_memory(cell.run) for cell in sweep.plan.cells),
        shared=(ledger.folder, sweep.corpus.folder),
    )


# --- reading --------------------------------------------------------------------------------


def open_results(folder: Path) -> StoredSweep:
    """A results folder, read without changing it.

    Raises:
        UsageError: It is not one, or its sweep file is of another version.
        SpecError: Its sweep file does not make the sweep that it is named after.
        IntegrityError: What identifies it is damaged.
    """
    from scaling.sweep.siblings import select_sibling
    from scaling.sweep.spec import parse_sweep

    ledger = Ledger.open(folder)
    text = ledger.read_sweep()
    source = str(folder / "sweep.yaml")
    spec = parse_sweep(text.encode("utf-8"), source=source)
    spec = select_sibling(spec, ledger.name, source=source)
    recorded = _list_recorded(ledger)
    validations = _list_validations(folder, recorded, untrained=False)
    plan = plan_sweep(spec, ledger.corpus, recorded=recorded, validations=validations)
    return StoredSweep(ledger=ledger, text=text, spec=spec, plan=plan)


def list_sweep_ladder(spec: SweepSpec, facts: CorpusFacts) -> tuple[ModelShape, ...]:
    """Every rung of the sweep's ladder, far beyond any budget."""
    return list_ladder(
        facts.vocab_size,
        decide_seq_len(spec, facts),
        head_size=spec.model.head_size,
        max_params=LARGEST_PARAMS,
    )


def make_sweep_cost(
    spec: SweepSpec, facts: CorpusFacts, count: CountConvention, *, head_flops: bool = True
) -> CostModel:
    """FLOPs per token of the sweep's ladder as a function of N."""
    return make_ladder_cost(list_sweep_ladder(spec, facts), count, head_flops=head_flops)


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
        columns, loss_unit, drop_bad, states, where, anyway: Of a table.

    Returns:
        The table, and the sweep it came from (None for a table).
    """
    if holds_sweep(source) or (source.is_dir() and not list_table_files(source)):
        if columns or loss_unit != "nats" or drop_bad or where or states != USUAL:
            raise UsageError(
                f"{source} is a results folder: --columns, --loss-unit, --drop-bad, --state, "
                "--where and --group-by are for tables."
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


def backtest_table(
    table: RunTable, names: Sequence[str], *, huber_delta: float | None = None
) -> Backtest:
    """Score laws by their forecasts of the table's most expensive, largest and longest runs.

    Raises:
        UsageError: A law is unknown.
    """
    from scaling.fitting.backtest import backtest_families
    from scaling.fitting.noise import estimate_replicate_sigma
    from scaling.fitting.parametric import choose_delta
    from scaling.laws.registry import find_family
    from scaling.tables.run_table import sort_rows

    for name in names:
        find_family(name)
    delta = choose_delta(estimate_replicate_sigma(table), huber_delta)
    return backtest_families(sort_rows(table), tuple(names), delta=delta)


def truncate_table(table: RunTable, law: str, *, huber_delta: float | None = None) -> Truncation:
    """How well a law forecasts the table's most expensive runs from ever fewer of the others."""
    from scaling.fitting.noise import estimate_replicate_sigma
    from scaling.fitting.parametric import choose_delta
    from scaling.fitting.truncation import truncate_runs
    from scaling.tables.run_table import sort_rows

    delta = choose_delta(estimate_replicate_sigma(table), huber_delta)
    return truncate_runs(sort_rows(table), law, delta=delta)


def fit_filtered(
    table: RunTable,
    stored: StoredSweep | None,
    options: FitOptions,
    filters: Filters,
    *,
    compare: bool = False,
) -> FilteredFit:
    """The fit of the rows that the filters keep; with `compare`, beside a point fit of all rows.

    Raises:
        UsageError: See `apply_filters`.
    """
    kept, effects = apply_filters(table, filters)
    unfiltered = None
    if compare and effects:
        point = dataclasses.replace(options, bootstrap=None)
        unfiltered = fit_table(table, stored, point)
    return FilteredFit(
        fit=fit_table(kept, stored, options), table=kept, effects=effects, unfiltered=unfiltered
    )


def fit_table(table: RunTable, stored: StoredSweep | None, options: FitOptions) -> Fit:
    """The fit of a table; of a results folder it is stored, and read back while nothing changed."""
    validated = () if stored is None else _list_validated(stored, table)
    path = None if stored is None else _name_fit(stored, table, options)
    if path is not None and path.parent.is_symlink():
        path = None  # a stranger's folder: nothing is read or written through it
    if path is not None and path.is_file():
        from scaling.fitting.store import read_fit

        try:
            return read_fit(path)
        except IntegrityError as error:  # derived: made again from the runs, and said
            warnings.warn(f"{error} It is made again.", ScalingWarning, stacklevel=2)
    from scaling.fitting.every_approach import fit_runs

    fit = fit_runs(
        table,
        approach=options.approach,
        family=options.family,
        huber_delta=options.huber_delta,
        bootstrap=options.bootstrap,
        level=options.level,
        seed=options.seed,
    )
    fit = dataclasses.replace(fit, measured=(*fit.measured, *validated))
    if path is not None:
        from scaling.fitting.store import write_fit

        try:
            path.parent.mkdir(exist_ok=True)
            write_fit(path, fit)
        except (OSError, ScalingError):
            return fit  # a folder that cannot be written can still be read and fitted
    return fit


def note_found(
    found: FilteredFit,
    stored: StoredSweep,
    options: FitOptions,
    *,
    question: Mapping[str, Any],
    fingerprint: str,
) -> None:
    """Leave a note by which `recall.recall_fit` finds this fit again, where it may be relied on:
    the fit is stored, no result is damaged, and the folder is as it was before it was read.

    Args:
        found, stored, options: The fit and where it came from.
        question: Every option of the command line.
        fingerprint: Of the folder, taken before it was read.
    """
    from scaling.ledger.fingerprint import fingerprint_folder
    from scaling.recall import Note, note_fit

    folder = stored.ledger.folder
    path = _name_fit(stored, found.table, options)
    damaged = stored.ledger.read_results().damaged
    if damaged or not path.is_file() or fingerprint_folder(folder) != fingerprint:
        return
    note = Note(
        fit=path.name,
        table_digest=found.fit.table_digest,
        vocab_size=stored.ledger.corpus.vocab_size,
        seq_len=decide_seq_len(stored.spec, stored.ledger.corpus),
        head_size=stored.spec.model.head_size,
    )
    note_fit(folder, fingerprint, question, note)


def _list_validated(stored: StoredSweep, table: RunTable) -> tuple[MeasuredRun, ...]:
    """Finished runs of the sweep's registered forecasts, which are in no fit."""
    from scaling.fitting.fitted import MeasuredRun

    results = stored.ledger.read_results(check="result").results
    found = []
    for cell in stored.plan.cells:
        result = results.get(cell.run.run_id) if cell.role == "validation" else None
        if result is None or result.status != "finished" or result.loss is None:
            continue
        params = count_params(cell.run.shape, table.convention or "matmul")
        found.append(
            MeasuredRun(float(params), float(cell.run.tokens), float(cell.run.flops), result.loss)
        )
    return tuple(found)


def _name_fit(stored: StoredSweep, table: RunTable, options: FitOptions) -> Path:
    """fits/<digest>.json; the digest covers the rows, the forecasts' runs that are done, and how
    they are fitted and written."""
    from scaling.fitting.store import FORMAT_VERSION

    how = [dataclasses.asdict(options), _version(), FORMAT_VERSION]
    validated = [dataclasses.astuple(one) for one in _list_validated(stored, table)]
    key = canonical_json([table.digest, table.notes, validated, how])
    return stored.ledger.folder / "fits" / f"{hashlib.sha256(key).hexdigest()[:16]}.json"


# --- keeping -----


def verify_results(folder: Path, *, repair: bool) -> list[dict[str, Any]]:
    """Every finding of `integrity.verify`, as plain mappings."""
    from scaling.ledger.integrity import verify

    stored = open_results(folder)
    findings = verify(stored.ledger, stored.plan.cells, repair=repair)
    return [dataclasses.asdict(finding) for finding in findings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What the next run trains again.

    Attributes:
        aside: Where results went that no longer count.
        allowed: Runs that were cancelled.
        failed: Runs that failed: the next run tries them without being asked.
    """

    aside: tuple[Path, ...]
    allowed: tuple[str, ...]
    failed: tuple[str, ...]


def renew_runs(
    folder: Path, run_ids: Sequence[str] = (), *, failed: bool = False, diverged: bool = False
) -> Renewed:
    """Let runs be trained again: their results are set aside, cancelling them is taken back.

    Args:
        folder: The results folder.
        run_ids: Which; none: those with a damaged result.
        failed: Also every run that diverged, was cancelled, or failed.
        diverged: Also every run that diverged, and nothing else that failed.

    Raises:
        UsageError: A named run has no result and was not cancelled.
        LockedError: A driver is at work and a result would be set aside.
    """
    from scaling.ledger.cancelling import allow_run, is_cancelled

    for run_id in run_ids:
        if not RUN_NAME.fullmatch(run_id):
            raise UsageError(f"{run_id[:40]!r} is no run_id: 16 digits of 0-9 and a-f.")
    stored = open_results(folder)
    ledger = stored.ledger
    found = ledger.read_results()
    chosen = list(run_ids) or [one.run_id for one in found.damaged if one.run_id is not None]
    cancelled = [run_id for run_id in chosen if is_cancelled(ledger, run_id)]
    failures: dict[str, str] = {}
    if failed or diverged:
        chosen += [one for one, result in found.results.items() if result.status == "diverged"]
    if failed:
        planned = dict.fromkeys(cell.run.run_id for cell in stored.plan.cells)
        cancelled += [run_id for run_id in planned if is_cancelled(ledger, run_id)]
        failures = list_failures(stored, found)
    allowed = tuple(run_id for run_id in cancelled if allow_run(ledger, run_id))
    gone = [run_id for run_id in chosen if run_id not in cancelled]
    with ledger.lock() if gone else contextlib.nullcontext():
        aside = tuple(ledger.set_aside(run_id) for run_id in gone)
        if aside:  # the index names what there is; without this `verify` would call the run lost
            write_index(ledger, ledger.read_results(), open_results(folder).plan.cells)
    return Renewed(
        aside=aside,
        allowed=allowed,
        failed=tuple(run_id for run_id in failures if run_id not in allowed),
    )


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


def _version() -> str:
    from scaling._version import __version__

    return __version__


def holds_sweep(folder: Path) -> bool:
    """Whether a sweep was begun in this folder."""
    return (folder / "sweep.json").is_file()

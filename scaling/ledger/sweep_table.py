"""Results as rows: the RunTable of the current plan's cells, and index/runs.csv.

The table holds the cells of the given plan, in its order, and nothing else: runs that the ledger
has from earlier plans are named in `notes`. Replicates share the bootstrap group
of their configuration (shape and tokens), runs with one trunk that of the trunk. The index holds
every result, in order of run_id, so that the same results always give the same bytes.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scaling.errors import IntegrityError
from scaling.files import faults
from scaling.files.durable import blaming_machine, read_plain, refuse_links, write_durably
from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger
from scaling.ledger.found import StoredResults
from scaling.ledger.probes import tabulate_probes
from scaling.ledger.results import RunResult
from scaling.sweep.bracket import Varied
from scaling.sweep.cells import FITTED_ROLES, Cell, CellRole
from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import (
    FLOPS_PER_PARAM_TOKEN,
    CountConvention,
    count_flops_per_token,
    count_matmul_params,
    count_non_embedding_params,
    count_params,
    count_total_params,
)
from scaling.sweep.families.listed import LISTED
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.sweep.trunks import list_trunks
from scaling.tables.brackets import Bracket
from scaling.tables.run_table import RunTable, collect_rows
from scaling.units import name_some

INDEX_PATH = "index/runs.csv"

_NUMERICS = ("torch", "device", "dtype")
# Part of the reason given by trainers of version 1, which stopped runs half way, or called them
# diverged at the end, on the loss alone.
_STOPPED = "above the unigram entropy"
_SPREADSHEET_FORMULA = ("=", "+", "-", "@", "\t", "\r")

CellValue = str | int | float | None


def tabulate(
    ledger: Ledger,
    stored: StoredResults,
    cells: Sequence[Cell],
    *,
    convention: CountConvention,
    cost: CostModel,
    head_flops: bool = True,
) -> RunTable:
    """The finished, intact results of a plan's cells, ready to fit.

    Args:
        ledger: The ledger.
        stored: The ledger's results.
        cells: Cells of the current plan; a run named twice counts once.
        convention: How N is counted.
        cost: FLOPs per token as a function of N, kept in the table for the frontier.
        head_flops: Whether C includes the head's products, as `cost` does; without them no row has
            its declared budget, which includes them.

    Returns:
        One row per finished run in the plan's order; realised D and C; the declared budget.
    """
    planned: dict[str, Cell] = {}
    for cell in cells:
        planned.setdefault(cell.run.run_id, cell)
    present = [
        stored.results[run_id]
        for run_id, cell in planned.items()
        if run_id in stored.results and cell.role in FITTED_ROLES
    ]
    trained = [result for result in present if result.status == "finished"]
    finished, tried = choose_rates(trained)
    groups = _list_groups([result.run for result in finished])
    rows = [
        IndexedRun(
            result=result,
            budget=planned[result.run.run_id].budget if head_flops else None,
            convention=convention,
            group=group,
            head_flops=head_flops,
        ).to_row()
        for result, group in zip(finished, groups, strict=True)
    ]
    diverged = [result for result in present if result.status == "diverged"]
    families = {_name_family(result.run.shape) for result in finished}
    return RunTable(
        run=tuple(result.run.run_id for result in finished),
        columns=collect_rows(rows),
        diverged=tuple(result.run.run_id for result in diverged),
        notes=(*_write_notes(stored, planned), *tried),
        convention=convention,
        cost=cost,
        source=str(ledger.folder),
        family=families.pop() if len(families) == 1 else None,
        digest=_digest_rows(stored, planned, convention, head_flops),
        overlap=ledger.corpus.overlap if ledger.corpus.is_known else None,
        unigram_entropy=ledger.corpus.unigram_entropy or None,
        stopped=tuple(result.run.run_id for result in diverged if _STOPPED in result.reason),
        brackets=_list_brackets(stored, planned, convention),
        metrics=tabulate_probes(ledger, stored.results, [result.run.run_id for result in finished]),
    )


def choose_rates(results: Sequence[RunResult]) -> tuple[list[RunResult], tuple[str, ...]]:
    """The runs of each configuration (shape and tokens) at its best learning rate, with every seed,
    and a note if a sweep tried several rates.

    The minimum of noisy losses is biased low, equally in all cells with equally many rates.
    """
    cells: dict[str, list[RunResult]] = {}
    for one in results:
        cells.setdefault(name_configuration(one.run), []).append(one)
    best = {
        name: min(runs, key=lambda one: (_need(one.loss), one.run.run_id)).run.recipe.learning_rate
        for name, runs in cells.items()
    }
    kept = [
        one for one in results if one.run.recipe.learning_rate == best[name_configuration(one.run)]
    ]
    if len(kept) == len(results):
        return kept, ()
    ends = 0
    for name, runs in cells.items():
        rates = sorted({one.run.recipe.learning_rate for one in runs})
        ends += len(rates) > 1 and best[name] in (rates[0], rates[-1])
    several = f"the best learning rate of each cell is kept: {len(results) - len(kept)} of "
    several += f"{len(results)} runs left out; it is an end of those tried in {ends} of "
    return kept, (f"{several}{len(cells)} cells",)


def _need(loss: float | None) -> float:
    assert loss is not None  # a finished run has a loss
    return loss


def _count_flops(result: RunResult, head_flops: bool) -> int:
    if head_flops:
        return result.flops
    return result.tokens * count_flops_per_token(result.run.shape, head_flops=False)


def name_configuration(run: RunSpec) -> str:
    """Name of a configuration; equal for runs of one shape, D and limit on the text, whatever the
    seed."""
    key = {"shape": run.to_json()["shape"], "tokens": run.tokens}
    if run.unique_tokens is not None:
        key["unique_tokens"] = run.unique_tokens
    return hashlib.sha256(canonical_json(key)).hexdigest()[:12]


def _list_groups(runs: Sequence[RunSpec]) -> tuple[str, ...]:
    """The group of each run that shares noise: the runs of a trunk, which are one run up to their
    cooldowns; else the replicates of a configuration, which share the law's error there."""
    trunks = {
        run.run_id: trunk.prefix for trunk in list_trunks(runs).values() for run in trunk.runs
    }
    return tuple(trunks.get(run.run_id) or name_configuration(run) for run in runs)


def _list_brackets(
    stored: StoredResults, planned: Mapping[str, Cell], convention: CountConvention
) -> tuple[Bracket, ...]:
    """The corners whose own run is finished, with the finished runs of other recipes there."""
    found: dict[str, dict[str, list[tuple[float, float | None]]]] = {}
    for run_id, cell in planned.items():
        if cell.varied is not None and run_id in stored.results:
            what, corner, factor = cell.varied
            losses = found.setdefault(corner, {"learning_rate": [], "batch": []})
            varied = stored.results[run_id]
            losses[what].append((factor, varied.loss if varied.status == "finished" else None))
    brackets = []
    for corner, losses in sorted(found.items()):
        own = stored.results.get(corner)
        if own is not None and own.loss is not None and own.status == "finished":
            brackets.append(
                Bracket(
                    run=corner,
                    params=float(count_params(own.run.shape, convention)),
                    tokens=float(own.tokens),
                    loss=own.loss,
                    learning_rates=tuple(sorted(losses["learning_rate"])),
                    batches=tuple(sorted(losses["batch"])),
                )
            )
    return tuple(brackets)


def name_numerics(result: RunResult) -> str:
    """What a run was computed with, in words. Instruction set and threads are left out: they change
    only the last bits, so that runs differ like two seeds."""
    if result.run.own is not None:
        return f"own trainer {result.run.own.version}".strip()
    known = [f"{key} {result.numerics[key]}" for key in _NUMERICS if key in result.numerics]
    return ", ".join([*known, f"trainer {result.run.numerics_version}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRun:
    """A run as a row of a table.

    Attributes:
        result: The run.
        role, budget: Its place in the current plan; None outside it.
        convention: How `N` is counted.
        group: Group that it shares noise with.
        varied: What a bracket run varies, of which run_id, by which factor.
        overlap, unigram_entropy: Overlap and unigram entropy of its corpus.
        head_flops: Whether `C` includes the head's products.
    """

    result: RunResult
    role: CellRole | None = None
    budget: float | None = None
    convention: CountConvention = "matmul"
    group: str | None = None
    varied: tuple[Varied, str, float] | tuple[None, None, None] = (None, None, None)
    overlap: float | None = None
    unigram_entropy: float | None = None
    head_flops: bool = True

    def to_row(self) -> dict[str, CellValue]:
        """Column name -> value, in the order of the index; None if absent."""
        return {name: read(self) for name, read in _CELLS.items()}

    @property
    def run(self) -> RunSpec:
        return self.result.run

    @property
    def shape(self) -> ModelShape:
        return self.result.run.shape

    @property
    def params(self) -> int:
        return count_params(self.shape, self.convention)


# Columns of `tables.columns` in the index's order, and how to fill them.
_CELLS: Mapping[str, Callable[[IndexedRun], CellValue]] = {
    "run_id": lambda one: one.run.run_id,
    "role": lambda one: one.role,
    "status": lambda one: one.result.status,
    "N": lambda one: float(one.params),
    "D": lambda one: float(one.result.tokens),
    "C": lambda one: float(_count_flops(one.result, one.head_flops)),
    "loss": lambda one: one.result.loss,
    "loss_se": lambda one: one.result.loss_se,
    "bits_per_byte": lambda one: one.result.bits_per_byte,
    "train_loss": lambda one: one.result.train_loss,
    "budget": lambda one: one.budget,
    "U": lambda one: float(one.result.unique_tokens),
    "epochs": lambda one: one.result.epochs,
    "seed": lambda one: one.run.seed,
    "group": lambda one: one.group,
    "family": lambda one: _name_family(one.shape),
    "vocab_size": lambda one: one.shape.vocab_size or None,
    "seq_len": lambda one: (one.run.has_recipe and one.shape.seq_len) or None,
    "head_size": lambda one: getattr(one.shape, "head_size", None),
    "d_model": lambda one: one.shape.d_model or None,
    "n_layers": lambda one: one.shape.n_layers or None,
    "params_total": lambda one: float(count_total_params(one.shape)),
    "params_non_embedding": lambda one: float(count_non_embedding_params(one.shape)),
    "params_matmul": lambda one: float(count_matmul_params(one.shape)),
    "flops_6nd": lambda one: float(FLOPS_PER_PARAM_TOKEN * one.params * one.run.tokens),
    "flops_spent": lambda one: float(one.result.flops_spent),
    # 0 if the user's own trainer chooses it: the rate is unknown.
    "lr": lambda one: one.run.recipe.learning_rate or None,
    "batch_tokens": lambda one: one.run.recipe.batch_sequences * one.shape.seq_len or None,
    "steps": lambda one: one.run.recipe.steps or None,
    "warmup_steps": lambda one: one.run.recipe.warmup_steps or None,
    "decay_steps": lambda one: one.run.recipe.decay_steps or None,
    "corpus": lambda one: one.run.data_digest,
    "overlap": lambda one: one.overlap,
    "unigram_entropy": lambda one: one.unigram_entropy,
    "numerics": lambda one: name_numerics(one.result),
    "varied": lambda one: one.varied[0],
    "varied_run": lambda one: one.varied[1],
    "varied_factor": lambda one: one.varied[2],
    "seconds": lambda one: one.result.seconds,
    "tokens_per_second": lambda one: one.result.tokens_per_second or _estimate_rate(one.result),
    "mfu": lambda one: one.result.mfu,
    "grad_norm": lambda one: one.result.grad_norm,
    "clipped": lambda one: one.result.clipped,
    "clipped_after_warmup": lambda one: one.result.clipped_after_warmup,
}


def _name_family(shape: ModelShape) -> str | None:
    """Name of a shape's family; None for a model listed in a sweep file."""
    return None if shape.family == LISTED.name else shape.family


def _estimate_rate(result: RunResult) -> float | None:
    """Tokens per second, evaluation included, of a result that does not state it."""
    trained = result.tokens * result.flops_spent / result.flops
    return trained / result.seconds if result.seconds > 0 else None


def render_index(ledger: Ledger, stored: StoredResults, cells: Sequence[Cell]) -> str:
    """Every intact result as CSV, in order of run_id; text that a spreadsheet would execute gets an
    apostrophe in front, absent values are empty.

    The index has a column for everything that `tabulate` knows, so that a fit of it equals the fit
    of the folder (`index_rows`).
    """
    places: dict[str, Cell] = {}
    for cell in cells:  # a run named twice keeps its first place, as in `tabulate`
        places.setdefault(cell.run.run_id, cell)
    fitted = [
        stored.results[run_id].run
        for run_id, cell in places.items()
        if cell.role in FITTED_ROLES
        and run_id in stored.results
        and stored.results[run_id].status == "finished"
    ]
    kept = [one.run for one in choose_rates([stored.results[run.run_id] for run in fitted])[0]]
    worse = {run.run_id for run in fitted} - {run.run_id for run in kept}
    groups = dict(zip([run.run_id for run in kept], _list_groups(kept), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ids = sorted(stored.results)
    metrics = tabulate_probes(ledger, stored.results, ids)
    names = [name for one in metrics for name in (one.name, f"{one.name}_se")]
    writer.writerow([*_CELLS, *names])
    for at, run_id in enumerate(ids):
        place, result = places.get(run_id), stored.results[run_id]
        row = IndexedRun(
            result=result,
            role="rate" if run_id in worse else place.role if place else None,
            budget=place.budget if place else None,
            group=groups.get(run_id) or name_configuration(result.run),
            varied=(place and place.varied) or (None, None, None),
            overlap=ledger.corpus.overlap if ledger.corpus.is_known else None,
            unigram_entropy=ledger.corpus.unigram_entropy or None,
        ).to_row()
        probed = [value for one in metrics for value in one.get_row(at)]
        writer.writerow([*map(_guard_cell, row.values()), *probed])
    return text.getvalue()


def write_index(ledger: Ledger, stored: StoredResults, cells: Sequence[Cell]) -> None:
    """Replace index/runs.csv by the rows of `stored`, whole or not at all.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: There is a link or a folder in its place.
    """
    path = ledger.folder / INDEX_PATH
    data = render_index(ledger, stored, cells).encode("utf-8")
    refuse_links(ledger.folder, INDEX_PATH)
    with blaming_machine(path), contextlib.suppress(FileNotFoundError, IntegrityError):
        path.parent.mkdir(exist_ok=True)
        if read_plain(ledger.folder, INDEX_PATH, limit=len(data)) == data:
            return
    write_durably(path, data)
    faults.reach("index.written")


def _guard_cell(value: CellValue) -> CellValue:
    if isinstance(value, str) and value.startswith(_SPREADSHEET_FORMULA):
        return "'" + value
    return value


def _write_notes(stored: StoredResults, planned: Mapping[str, Cell]) -> tuple[str, ...]:
    notes = []
    damaged = {damage.run_id for damage in stored.damaged}
    outside = sorted(stored.results.keys() - planned.keys())
    missing = [run_id for run_id in planned if run_id not in stored.results.keys() | damaged]
    if outside:
        notes.append(f"in the ledger but outside the current plan: {name_some(outside)}")
    if missing:
        notes.append(
            f"without a result yet, {len(missing)} of {len(planned)} planned: {name_some(missing)}"
        )
    notes.extend(f"left out: {damage.path} ({damage.what})" for damage in stored.damaged)
    return tuple(notes)


def _digest_rows(
    stored: StoredResults,
    planned: Mapping[str, Cell],
    convention: CountConvention,
    head_flops: bool,
) -> str:
    rows = sorted(
        (run_id, stored.digests[run_id], cell.budget)
        for run_id, cell in planned.items()
        if run_id in stored.digests and cell.role != "validation"
    )
    counting = [convention] if head_flops else [convention, "without head FLOPs"]
    return hashlib.sha256(canonical_json([*counting, rows])).hexdigest()

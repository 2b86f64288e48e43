"""Results as rows: the RunTable of the current plan's cells, and index/runs.csv.

The table holds the cells of the plan that is asked about, in its order, and nothing else: runs
that the ledger has from earlier plans are named in `notes`. Replicates share the bootstrap group
of their configuration (shape and tokens), runs with one trunk that of the trunk. The index holds
every result, in order of run_id, so that the same results always give the same bytes.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence

import numpy as np

from scaling.errors import IntegrityError
from scaling.files import faults
from scaling.files.durable import blaming_machine, read_plain, refuse_links, write_durably
from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger
from scaling.ledger.found import StoredResults
from scaling.ledger.results import COLUMNS, RunResult
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
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import list_trunks
from scaling.tables.brackets import Bracket
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray

INDEX_PATH = "index/runs.csv"

_NAMES_IN_A_NOTE = 5
_NUMERICS = ("torch", "device", "dtype")
# In the reason of runs that trainers of version 1 stopped half way, or counted as diverged at the
# end, by their loss alone.
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
        ledger: Whose they are.
        stored: The ledger's results.
        cells: The current plan's; a run named twice counts once.
        convention: How N is counted.
        cost: FLOPs per token as a function of N, kept in the table for the frontier.
        head_flops: Whether C holds the head's products, as `cost` does; without them no row has
            its declared budget, which is one that holds them.

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
    rows = [result for result in present if result.status == "finished"]
    ids = [result.run.run_id for result in rows]
    budgets = [planned[run_id].budget if head_flops else None for run_id in ids]
    errors = [result.loss_se for result in rows]
    recipes = [result.run.recipe for result in rows]
    return RunTable(
        run=tuple(ids),
        params=_floats([count_params(result.run.shape, convention) for result in rows]),
        tokens=_floats([result.tokens for result in rows]),
        loss=_floats([result.loss for result in rows]),
        flops=_floats([_count_flops(result, head_flops) for result in rows]),
        budget=None if all(budget is None for budget in budgets) else _floats(budgets),
        unique_tokens=_floats([result.unique_tokens for result in rows]),
        seed=np.array([result.run.seed for result in rows], dtype=np.int64),
        learning_rate=_floats([result.run.recipe.learning_rate for result in rows]),
        group=_list_groups([result.run for result in rows]),
        loss_se=None if all(error is None for error in errors) else _floats(errors),
        diverged=tuple(r.run.run_id for r in present if r.status == "diverged"),
        rejected=(),
        notes=_write_notes(stored, planned),
        convention=convention,
        cost=cost,
        source=str(ledger.folder),
        digest=_digest_rows(stored, planned, convention, head_flops),
        steps=_floats([recipe.steps for recipe in recipes]),
        warmup_steps=_floats([recipe.warmup_steps for recipe in recipes]),
        decay_steps=_floats([recipe.decay_steps for recipe in recipes]),
        batch_tokens=_floats([r.run.recipe.batch_sequences * r.run.shape.seq_len for r in rows]),
        corpus=tuple(result.run.data_digest for result in rows),
        numerics=tuple(name_numerics(result) for result in rows),
        overlap=ledger.corpus.overlap,
        clipped=_floats_or_none([result.clipped for result in rows]),
        clipped_after_warmup=_floats_or_none([result.clipped_after_warmup for result in rows]),
        unigram_entropy=ledger.corpus.unigram_entropy,
        stopped=tuple(
            r.run.run_id for r in present if r.status == "diverged" and _STOPPED in r.reason
        ),
        brackets=_list_brackets(stored, planned, convention),
    )


def _count_flops(result: RunResult, head_flops: bool) -> int:
    if head_flops:
        return result.flops
    return result.tokens * count_flops_per_token(result.run.shape, head_flops=False)


def name_configuration(run: RunSpec) -> str:
    """Equal for runs of one shape trained on equally many tokens, whatever their seed."""
    key = {"shape": run.to_json()["shape"], "tokens": run.tokens}
    return hashlib.sha256(canonical_json(key)).hexdigest()[:12]


def _list_groups(runs: Sequence[RunSpec]) -> tuple[str, ...]:
    """What shares noise: the runs of a trunk, which are one run up to their cooldowns; else the
    replicates of a configuration, which share what the law misses there."""
    trunks = {
        run.run_id: trunk.prefix for trunk in list_trunks(runs).values() for run in trunk.runs
    }
    return tuple(trunks.get(run.run_id) or name_configuration(run) for run in runs)


def _list_brackets(
    stored: StoredResults, planned: Mapping[str, Cell], convention: CountConvention
) -> tuple[Bracket, ...]:
    """The corners whose own run is finished, with what is there of other recipes."""
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
    """What a run was computed with, in words. Instruction set and threads are left out: they decide
    the last bits only, and their runs differ as two seeds do."""
    known = [f"{key} {result.numerics[key]}" for key in _NUMERICS if key in result.numerics]
    return ", ".join([*known, f"trainer {result.run.numerics_version}"])


def row_of(
    result: RunResult,
    *,
    role: CellRole | None,
    budget: float | None,
    convention: CountConvention = "matmul",
    group: str | None = None,
    varied: tuple[Varied, str, float] | None = None,
    overlap: float | None = None,
    unigram_entropy: float | None = None,
) -> dict[str, CellValue]:
    """One run as a row: column name -> value, in the order of COLUMNS; None where absent.

    Args:
        result: The run.
        role, budget: Its place in the current plan; None outside it.
        convention: How `N` is counted.
        group: What it shares noise with.
        varied: What a bracket run varies, of which run_id, by which factor.
        overlap, unigram_entropy: Of its corpus.
    """
    run, shape = result.run, result.run.shape
    what, corner, factor = varied or (None, None, None)
    row: dict[str, CellValue] = {
        "run_id": run.run_id,
        "role": role,
        "status": result.status,
        "N": float(count_params(shape, convention)),
        "D": float(result.tokens),
        "C": float(result.flops),
        "loss": result.loss,
        "loss_se": result.loss_se,
        "bits_per_byte": result.bits_per_byte,
        "train_loss": result.train_loss,
        "budget": budget,
        "U": float(result.unique_tokens),
        "epochs": result.epochs,
        "seed": run.seed,
        "group": group,
        "vocab_size": shape.vocab_size,
        "seq_len": shape.seq_len,
        "head_size": getattr(shape, "head_size", None),  # of families that have heads
        "d_model": shape.d_model,
        "n_layers": shape.n_layers,
        "params_total": float(count_total_params(shape)),
        "params_non_embedding": float(count_non_embedding_params(shape)),
        "params_matmul": float(count_matmul_params(shape)),
        "flops_6nd": float(FLOPS_PER_PARAM_TOKEN * count_params(shape, convention) * run.tokens),
        "flops_spent": float(result.flops_spent),
        "lr": run.recipe.learning_rate,
        "batch_tokens": run.recipe.batch_sequences * shape.seq_len,
        "steps": run.recipe.steps,
        "warmup_steps": run.recipe.warmup_steps,
        "decay_steps": run.recipe.decay_steps,
        "corpus": run.data_digest,
        "overlap": overlap,
        "unigram_entropy": unigram_entropy,
        "numerics": name_numerics(result),
        "varied": what,
        "varied_run": corner,
        "varied_factor": factor,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second or _estimate_rate(result),
        "mfu": result.mfu,
        "grad_norm": result.grad_norm,
        "clipped": result.clipped,
        "clipped_after_warmup": result.clipped_after_warmup,
    }
    return {column.name: row[column.name] for column in COLUMNS}


def _estimate_rate(result: RunResult) -> float | None:
    """Tokens per second of a result that does not state it, evaluation included."""
    trained = result.tokens * result.flops_spent / result.flops
    return trained / result.seconds if result.seconds > 0 else None


def render_index(ledger: Ledger, stored: StoredResults, cells: Sequence[Cell]) -> str:
    """Every intact result as CSV, in order of run_id; text that a spreadsheet would run is
    prefixed with an apostrophe, absent values are empty.

    A fit of it is the fit of the folder (`index_rows`): a column for all that `tabulate` knows.
    """
    places: dict[str, Cell] = {}
    for cell in cells:  # as in `tabulate`: a run named twice has its first place
        places.setdefault(cell.run.run_id, cell)
    fitted = [
        stored.results[run_id].run
        for run_id, cell in places.items()
        if cell.role in FITTED_ROLES
        and run_id in stored.results
        and stored.results[run_id].status == "finished"
    ]
    groups = dict(zip([run.run_id for run in fitted], _list_groups(fitted), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    for run_id in sorted(stored.results):
        place, result = places.get(run_id), stored.results[run_id]
        row = row_of(
            result,
            role=place.role if place else None,
            budget=place.budget if place else None,
            group=groups.get(run_id) or name_configuration(result.run),
            varied=place.varied if place else None,
            overlap=ledger.corpus.overlap,
            unigram_entropy=ledger.corpus.unigram_entropy,
        )
        writer.writerow([_guard_cell(value) for value in row.values()])
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


def _floats(values: Sequence[float | int | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _floats_or_none(values: Sequence[float | None]) -> FloatArray | None:
    return None if all(value is None for value in values) else _floats(values)


def _write_notes(stored: StoredResults, planned: Mapping[str, Cell]) -> tuple[str, ...]:
    notes = []
    damaged = {damage.run_id for damage in stored.damaged}
    outside = sorted(stored.results.keys() - planned.keys())
    missing = [run_id for run_id in planned if run_id not in stored.results.keys() | damaged]
    if outside:
        notes.append(f"in the ledger but outside the current plan: {_name_some(outside)}")
    if missing:
        notes.append(
            f"without a result yet, {len(missing)} of {len(planned)} planned: {_name_some(missing)}"
        )
    notes.extend(f"left out: {damage.path} ({damage.what})" for damage in stored.damaged)
    return tuple(notes)


def _name_some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_IN_A_NOTE
    return ", ".join(names[:_NAMES_IN_A_NOTE]) + (f" and {more} more" if more > 0 else "")


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

"""RunTable: finished runs as columns, ready to fit, wherever they came from.

`read_table` reads the columns of the contract (`columns.TABLE_COLUMNS`) from CSV, TSV, JSON Lines,
JSON or Parquet. Every problem of a file is listed at once, as `file:line: column: what was seen,
what to do`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from scaling.errors import TableError
from scaling.files.sealed import canonical_json
from scaling.ledger.brackets import Bracket
from scaling.ledger.cells import SMALLEST, Cells, ReadOptions, Where, read_cells
from scaling.ledger.header import REQUIRED_COLUMNS
from scaling.ledger.index_rows import IndexRows
from scaling.ledger.rows import MAX_PROBLEMS, shorten_problems
from scaling.ledger.trajectories import find_trajectories, recognise_runs
from scaling.sweep.cost_model import SIX_ND, CostModel, make_ladder_cost, make_table_cost
from scaling.sweep.counting import FLOPS_PER_PARAM_TOKEN, CountConvention, count_params
from scaling.sweep.shapes import LARGEST_PARAMS, list_ladder
from scaling.tables.states import USUAL, StateRule
from scaling.tables.units import Doubt, judge_units
from scaling.units import FloatArray, IntArray

LossUnit = Literal["nats", "bits", "bpb", "ppl"]

# Rows of one N may differ in κ by rounding; more than a tenth is a mixed accounting.
_MIXED_COST = 0.10
# Conventions are usually 2× or 3× apart (6·N·D or 2·N·D; head counted or not); assumed.
_CONVENTION_GAP = 1.5
_ROWS_NAMED = 5
# Realised batches differ by their last steps; a batch in sequences is off by hundreds.
_BATCH_GAP = 2.0
_TEXT_COLUMNS = ("run", "group", "corpus", "numerics", "trajectory", "schedule")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """Finished runs, one row each; every array has shape (n,).

    Attributes:
        run: Name of each row (run_id, or the foreign table's row number as text).
        params: N under `convention`.
        tokens: D.
        loss: Held-out loss [nats/token], positive and finite.
        flops: Realised C [FLOPs]; None where the table does not state it.
        budget: Declared budget [FLOPs]; None where there is none. NaN marks rows without one.
        unique_tokens: U; None where not stated. NaN marks rows without one.
        seed: None where not stated.
        learning_rate: None where not stated. NaN marks rows without one.
        group: Bootstrap cluster of each row (rows of one group share noise); None: the rows of
            one trajectory are a cluster, or, without any, each (N, D) configuration.
        loss_se: Evaluation standard error [nats/token]; None where unknown.
        diverged: Names of runs that diverged: counted, never fitted.
        rejected: One line for each row left out on request (`drop_bad`).
        notes: What a reader should know of how the table was made.
        convention: How N was counted; None for a foreign table that does not say.
        cost: FLOPs per token as a function of N, for the frontier.
        source: Path, for messages.
        digest: SHA-256 of the rows, names a stored fit.
        steps, warmup_steps, decay_steps: Of the optimiser's schedule; None where not stated. NaN
            marks rows without one.
        batch_tokens: Tokens per step; None where not stated. NaN marks rows without one.
        corpus: Digest of the tokenised corpus of each row; None where not stated.
        numerics: What each row was computed with, beyond its last bits; None where not stated.
        overlap: Share of held-out spans that occur in the training text; None where unknown.
        clipped: Share of the steps whose gradient was clipped; None where not stated. NaN marks
            rows without one.
        clipped_after_warmup: The same of the steps after warmup.
        unigram_entropy: Entropy of the tokens' frequencies [nats/token]; None where unknown.
        stopped: Those of `diverged` that an older rule stopped above the unigram entropy, whether
            they had gone wrong or were merely short.
        trajectory: Training run of which each row is a point; None where each row is a run.
        schedule: What the table says of each row's schedule, empty where it does not; None
            without such a column. See `trajectories.read_schedule`.
        brackets: Other recipes at the corners of the grid; empty where none were trained.
        names: (contract's name, what the file's columns make it of), for messages.
        loss_unit: What the loss column held; `loss` is in nats whatever it was.
    """

    run: tuple[str, ...]
    params: FloatArray
    tokens: FloatArray
    loss: FloatArray
    flops: FloatArray | None
    budget: FloatArray | None
    unique_tokens: FloatArray | None
    seed: IntArray | None
    learning_rate: FloatArray | None
    group: tuple[str, ...] | None
    loss_se: FloatArray | None
    diverged: tuple[str, ...]
    rejected: tuple[str, ...]
    notes: tuple[str, ...]
    convention: CountConvention | None
    cost: CostModel
    source: str
    digest: str
    steps: FloatArray | None = None
    warmup_steps: FloatArray | None = None
    decay_steps: FloatArray | None = None
    batch_tokens: FloatArray | None = None
    corpus: tuple[str, ...] | None = None
    numerics: tuple[str, ...] | None = None
    overlap: float | None = None
    clipped: FloatArray | None = None
    clipped_after_warmup: FloatArray | None = None
    unigram_entropy: float | None = None
    stopped: tuple[str, ...] = ()
    trajectory: tuple[str, ...] | None = None
    schedule: tuple[str, ...] | None = None
    brackets: tuple[Bracket, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    loss_unit: LossUnit = "nats"

    def __len__(self) -> int:
        return len(self.run)


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit = "nats",
    drop_bad: bool = False,
    states: StateRule = USUAL,
    where: Where = (),
    anyway: bool = False,
    count: CountConvention = "matmul",
) -> RunTable:
    """Read a table of runs made elsewhere; its suffix names the format.

    A column named like a tracker's state (`tables.states`) says which runs finished: a run that did
    not is a malformed row, unless `states` says which rows count.

    The cost model follows the rows that state C (κ interpolated in log N); without any it is
    C = 6ND. Where only some rows state C, the others take theirs from that model, and a note
    says so. Duplicate (N, D) rows are kept; a check of the fit warns of them.

    The index of a results folder, and what is exported of it, is read as the folder is: see
    `index_rows`.

    Args:
        path: A file, or a folder of files of one kind; see `ledger.opening`.
        columns: Contract name -> the file's name or an expression of its columns, e.g.
            {"N": "config.n_params", "D": "steps*batch_tokens"}; empty: the column is not read.
        loss_unit: What the loss column holds, per token; bits and bpb are multiplied by ln 2, of
            ppl the logarithm is taken.
        drop_bad: Leave malformed rows out, listed in `rejected`, instead of refusing the table.
        states: Which rows count by how their run ended.
        where: (column, value) of the file: only rows that have them all are read.
        anyway: Read a table whose columns seem to hold several units.
        count: How N is counted where rows state their shapes; other tables state their own N.

    Returns:
        The table, rows in the file's order.

    Raises:
        TableError: Missing or doubled columns, no rows, malformed rows, mixed units; every problem
            in it.
        UsageError: The file is Parquet, and pyarrow is not installed.
    """
    name = str(path)
    options = ReadOptions(columns=columns or {}, states=states, where=where, loss_unit=loss_unit)
    cells = read_cells(Path(path), options)
    if cells.problems and not drop_bad:
        raise TableError(shorten_problems(cells.problems, name))
    if not cells.rows.size:
        raise TableError([f"{name}: {_describe_empty(cells)}; nothing is left to fit"])
    table = _assemble(cells, name, loss_unit, count)
    mixed = [doubt for doubt in judge_table(table) if doubt.mixed]
    if mixed and not anyway:
        raise TableError([f"{name}: {doubt} (--anyway fits them as they are)" for doubt in mixed])
    return table


def judge_table(table: RunTable) -> tuple[Doubt, ...]:
    """What is odd about the units of a table's columns."""
    return judge_units(
        table.params,
        table.tokens,
        table.loss,
        table.flops,
        table.budget,
        names=dict(table.names),
    )


def _describe_empty(cells: Cells) -> str:
    bad = len(cells.rejected)
    if cells.index.left_out and not bad:
        return f"no run of a role that is fitted; {'; '.join(cells.index.list_notes())}"
    if not bad:
        return "no rows"
    first = cells.problems[0].split(": ", 1)[-1] if cells.problems else ""
    return f"{bad} malformed rows and no other ({first})"


def make_table(
    params: Sequence[float] | FloatArray,
    tokens: Sequence[float] | FloatArray,
    *,
    loss: Sequence[float] | FloatArray,
    flops: FloatArray | None = None,
    budget: FloatArray | None = None,
    unique_tokens: FloatArray | None = None,
    seed: IntArray | None = None,
    learning_rate: FloatArray | None = None,
    group: Sequence[str] | None = None,
    loss_se: FloatArray | None = None,
    batch_tokens: FloatArray | None = None,
    steps: FloatArray | None = None,
    warmup_steps: FloatArray | None = None,
    decay_steps: FloatArray | None = None,
    clipped: FloatArray | None = None,
    clipped_after_warmup: FloatArray | None = None,
    corpus: Sequence[str] | None = None,
    numerics: Sequence[str] | None = None,
    trajectory: Sequence[str] | None = None,
    schedule: Sequence[str] | None = None,
    run: Sequence[str] | None = None,
    diverged: Sequence[str] = (),
    rejected: Sequence[str] = (),
    notes: Sequence[str] = (),
    convention: CountConvention | None = None,
    cost: CostModel | None = None,
    overlap: float | None = None,
    unigram_entropy: float | None = None,
    brackets: Sequence[Bracket] = (),
    source: str = "<arrays>",
    names: tuple[tuple[str, str], ...] = (),
    loss_unit: LossUnit = "nats",
) -> RunTable:
    """A RunTable from arrays of shape (n,); what is left out is None, the cost model follows
    `flops` where given, else 6ND.

    The digest covers what a fit can depend on: every numeric column and the groups, as rows sorted
    by value (so the order of rows does not matter), the diverged runs' number, the convention and
    the cost model. It leaves out names, notes and the path.

    Raises:
        TableError: Lengths differ, or N, D, loss or C is not positive and finite.
    """
    numbers = {
        "N": _as_floats(params), "D": _as_floats(tokens), "loss": _as_floats(loss),
        "C": _as_floats(flops), "budget": _as_floats(budget), "U": _as_floats(unique_tokens),
        "lr": _as_floats(learning_rate), "loss_se": _as_floats(loss_se),
        "batch_tokens": _as_floats(batch_tokens), "steps": _as_floats(steps),
        "warmup_steps": _as_floats(warmup_steps), "decay_steps": _as_floats(decay_steps),
        "clipped": _as_floats(clipped), "clipped_after_warmup": _as_floats(clipped_after_warmup),
    }  # fmt: skip
    _verify_columns(numbers, source)
    n_values, d_values, losses = (_given(numbers[key]) for key in REQUIRED_COLUMNS)
    flops = numbers["C"]
    if cost is None:
        has_flops = flops is not None and flops.size > 0
        cost = make_table_cost(n_values, d_values, _given(flops)) if has_flops else SIX_ND
    table = RunTable(
        run=tuple(run) if run is not None else tuple(str(i + 1) for i in range(n_values.size)),
        params=n_values,
        tokens=d_values,
        loss=losses,
        flops=flops,
        budget=numbers["budget"],
        unique_tokens=numbers["U"],
        seed=None if seed is None else np.asarray(seed, dtype=np.int64),
        learning_rate=numbers["lr"],
        group=_as_texts(group),
        loss_se=numbers["loss_se"],
        batch_tokens=numbers["batch_tokens"],
        steps=numbers["steps"],
        warmup_steps=numbers["warmup_steps"],
        decay_steps=numbers["decay_steps"],
        clipped=numbers["clipped"],
        clipped_after_warmup=numbers["clipped_after_warmup"],
        corpus=_as_texts(corpus),
        numerics=_as_texts(numerics),
        trajectory=_as_texts(trajectory),
        schedule=_as_texts(schedule),
        diverged=tuple(diverged),
        rejected=tuple(rejected),
        notes=tuple(notes),
        convention=convention,
        cost=cost,
        source=source,
        names=names,
        loss_unit=loss_unit,
        digest="",
        overlap=overlap,
        unigram_entropy=unigram_entropy,
        brackets=tuple(brackets),
    )
    return dataclasses.replace(table, digest=_digest_table(table))


def select_rows(table: RunTable, rows: IntArray | Sequence[int]) -> RunTable:
    """The table with only the given rows, in the given order; cost model and notes unchanged."""
    index = np.asarray(rows, dtype=np.int64)
    chosen: dict[str, object] = {}
    for one in dataclasses.fields(table):
        value = getattr(table, one.name)
        if isinstance(value, np.ndarray):
            chosen[one.name] = value[index]
        elif one.name in _TEXT_COLUMNS and value is not None:
            chosen[one.name] = tuple(value[i] for i in index)
    part = dataclasses.replace(table, **chosen)  # type: ignore[arg-type]
    return dataclasses.replace(part, digest=_digest_table(part))


def sort_rows(table: RunTable) -> RunTable:
    """The same rows in the one order that depends on their values only; the digest is the same."""
    return dataclasses.replace(select_rows(table, order_rows(table)), digest=table.digest)


def order_rows(table: RunTable) -> IntArray:
    """The one order of the rows that depends on their values only: by N, D, loss and the rest."""
    columns = _stack_columns(table)
    return np.lexsort(tuple(columns[:, at] for at in reversed(range(columns.shape[1]))))


def _assemble(cells: Cells, name: str, loss_unit: LossUnit, count: CountConvention) -> RunTable:
    """Units, missing C and the cost model; notes say what was done."""
    columns = dict(cells.columns)
    blank = [key for key, values in columns.items() if np.isnan(values).all()]
    for key in blank:
        del columns[key]
    notes = list(cells.notes)
    convert_loss(columns, loss_unit, name)
    if loss_unit == "bpb":
        notes.append("losses were given in bits per byte: every loss here is nats per byte, "
                     "not per token; N* and D* do not depend on that")  # fmt: skip
    seed = columns.pop("seed", None)
    if seed is not None and np.isnan(seed).any():
        notes.append(f"{int(np.isnan(seed).sum())} rows state no seed: seeds are not used")
        seed = None
    rows = cells.rows
    convention, cost = _read_ladder(cells.index, columns, rows.tolist(), count)
    if cost is None:
        cost = _make_cost(columns, rows, notes)
    _compare_batches(columns, notes)
    texts = {key: values for key, values in cells.texts.items() if any(values)}
    for key in ("corpus", "numerics"):
        if not all(texts.get(key, ())):
            notes.append(f"{texts.pop(key).count('')} rows state no {key}: it is not compared")
    group = texts.get("group")
    if group is not None and not all(group):
        notes.append(f"{group.count('')} rows state no group: they form one group of their own")
    run = cells.index.name_rows(rows.tolist())
    brackets: tuple[Bracket, ...] = ()
    if run is not None and loss_unit != "ppl":  # an index is never in perplexities
        brackets = cells.index.list_brackets(
            run,
            columns["N"],
            tokens=columns["D"],
            loss=columns["loss"],
            unit=1.0 if loss_unit == "nats" else math.log(2.0),
        )
    return make_table(
        columns["N"],
        columns["D"],
        loss=columns["loss"],
        flops=columns.get("C"),
        budget=columns.get("budget"),
        unique_tokens=columns.get("U"),
        seed=None if seed is None else seed.astype(np.int64),
        learning_rate=columns.get("lr"),
        group=group,
        loss_se=columns.get("loss_se"),
        batch_tokens=columns.get("batch_tokens"),
        steps=columns.get("steps"),
        warmup_steps=columns.get("warmup_steps"),
        decay_steps=columns.get("decay_steps"),
        clipped=columns.get("clipped"),
        clipped_after_warmup=columns.get("clipped_after_warmup"),
        corpus=texts.get("corpus"),
        numerics=texts.get("numerics"),
        trajectory=_find_runs(texts, columns, notes),
        schedule=texts.get("schedule"),
        run=run or [str(row) for row in rows],
        diverged=cells.index.unfinished,
        rejected=cells.rejected,
        notes=notes,
        convention=convention,
        cost=cost,
        overlap=cells.index.read_corpus_fact("overlap", rows.tolist(), most=1.0),
        unigram_entropy=cells.index.read_corpus_fact(
            "unigram_entropy", rows.tolist(), most=math.log(2.0**31)
        ),
        brackets=brackets,
        source=name,
        names=tuple(cells.names.items()),
        loss_unit=loss_unit,
    )


def convert_loss(columns: dict[str, FloatArray], unit: LossUnit, name: str) -> None:
    """Losses and their errors in nats; of a perplexity p the error of ln p is that of p over p.

    Raises:
        TableError: A perplexity is at most 1, that of a text without surprise.
    """
    loss, error = columns["loss"], columns.get("loss_se")
    if unit == "nats":
        return
    if unit != "ppl":
        factors: FloatArray = np.full(loss.shape, math.log(2.0))
        columns["loss"] = loss * math.log(2.0)
    else:
        low = int(np.sum(np.log(loss) < SMALLEST["loss"]))
        if low:
            raise TableError([f"{name}: loss: {low} perplexities are at most 1 (lowest "
                              f"{loss.min():g}); of such text every token is known. Is the column "
                              f"in nats or bits?"])  # fmt: skip
        factors = 1.0 / loss
        columns["loss"] = np.log(loss)
    if error is not None:
        columns["loss_se"] = error * factors


def _find_runs(
    texts: Mapping[str, list[str]], columns: Mapping[str, FloatArray], notes: list[str]
) -> tuple[str, ...] | None:
    """The training run of each row where rows are points along runs; see `trajectories`."""
    params, tokens = columns["N"], columns["D"]
    named: Sequence[str] | None = texts.get("run")
    if named is None or not any(named):
        named = recognise_runs(texts, params, tokens, notes)
    return find_trajectories(named, params, tokens, notes)


def _read_ladder(
    index: IndexRows, columns: dict[str, FloatArray], rows: Sequence[int], count: CountConvention
) -> tuple[CountConvention | None, CostModel | None]:
    """(how N is counted, the ladder's cost) of rows that state their shapes; puts N as `count`
    has it in the place of an index's own N, which is matmul parameters."""
    flops = columns.get("C")
    if flops is None:
        return None, None
    found = index.read_shapes(rows, columns["N"], tokens=columns["D"], flops=flops)
    if found is None:
        return None, None
    shapes, convention = found
    if convention == "matmul" and count != "matmul":
        convention = count
        columns["N"] = np.array([count_params(shape, count) for shape in shapes], dtype=np.float64)
    first = shapes[0]
    rungs = list_ladder(
        first.vocab_size, first.seq_len, head_size=first.head_size, max_params=LARGEST_PARAMS
    )
    return convention, make_ladder_cost(rungs, convention)


def _make_cost(columns: dict[str, FloatArray], rows: IntArray, notes: list[str]) -> CostModel:
    """The cost model of the rows that state C; fills the others' C in place."""
    flops = columns.get("C")
    if flops is None:
        return SIX_ND
    stated = np.isfinite(flops)
    n_values, d_values = columns["N"], columns["D"]
    cost = make_table_cost(n_values[stated], d_values[stated], flops[stated])
    if not stated.all():
        filled = d_values * cost.flops_per_token(n_values)
        columns["C"] = np.where(stated, flops, filled)
        notes.append(f"{int((~stated).sum())} of {stated.size} rows state no C: theirs follows "
                     f"from the rows that do, by κ(N)·N·D")  # fmt: skip
    kappa = flops[stated] / n_values[stated] / d_values[stated]
    mixed = _name_conventions(kappa, n_values[stated], rows[stated])
    smooth = cost.flops_per_token(n_values[stated]) / n_values[stated]
    worst = float(np.max(np.abs(kappa / smooth - 1.0)))
    if mixed:
        notes.append(mixed)
    elif worst > _MIXED_COST:
        notes.append(f"C/(N·D) spans {kappa.min():.3g} to {kappa.max():.3g} and differs from its "
                     f"smooth course by up to {worst:.0%}: several ways of counting FLOPs?"
                     )  # fmt: skip
    return cost


def _name_conventions(kappa: FloatArray, params: FloatArray, rows: IntArray) -> str:
    """The groups of rows that count FLOPs in ways more than ×1.5 apart; empty if there is one.

    Groups whose ranges of N do not meet are left to the smooth course: C/(N·D) of small models
    may rightly be several times that of large ones (attention, embeddings).
    """
    order = np.argsort(kappa, kind="stable")
    cuts = np.flatnonzero(np.diff(np.log(kappa[order])) > math.log(_CONVENTION_GAP)) + 1
    groups = np.split(order, cuts)
    if not any(
        params[one].min() <= params[other].max() and params[other].min() <= params[one].max()
        for one, other in pairwise(groups)
    ):
        return ""
    shown = []
    for group in groups:
        first = ", ".join(str(row) for row in np.sort(rows[group])[:_ROWS_NAMED])
        more = ", …" if group.size > _ROWS_NAMED else ""
        ratio = np.median(kappa[group]) / FLOPS_PER_PARAM_TOKEN
        shown.append(f"{ratio:.3g} in {group.size} rows ({first}{more})")
    return (f"several ways of counting FLOPs: C/(6·N·D) is {'; '.join(shown)}. State C in one way, "
            f"or remove the column: then C = 6·N·D")  # fmt: skip


def _compare_batches(columns: Mapping[str, FloatArray], notes: list[str]) -> None:
    """A note where tokens per step times steps is far from D."""
    if "batch_tokens" not in columns or "steps" not in columns:
        return
    ratio = columns["D"] / (columns["batch_tokens"] * columns["steps"])
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size and abs(math.log(float(np.median(ratio)))) > math.log(_BATCH_GAP):
        notes.append(f"D is {np.median(ratio):.3g} times batch_tokens · steps: is the batch given "
                     f"in sequences, or are the steps of another run?")  # fmt: skip


# --- values ----------------------------------------------------------------------------------


def _as_floats(values: Sequence[float] | FloatArray | None) -> FloatArray | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _as_texts(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(str(one) for one in values)


def _given(values: FloatArray | None) -> FloatArray:
    assert values is not None
    return values


def _verify_columns(numbers: Mapping[str, FloatArray | None], source: str) -> None:
    """Same lengths; N, D, loss and C positive and finite in every row."""
    size = _given(numbers["N"]).shape
    problems = []
    for column, values in numbers.items():
        if values is None:
            continue
        if values.ndim != 1 or values.shape != size:
            problems.append(f"{source}: {column}: shape {values.shape} where N has {size}")
        elif column in (*REQUIRED_COLUMNS, "C"):
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            problems.extend(
                f"{source}:{at + 1}: {column}: {values[at]} is not a positive finite number; "
                f"leave the row out"
                for at in bad[:MAX_PROBLEMS]
            )
    if problems:
        raise TableError(shorten_problems(problems, source))


def _stack_columns(table: RunTable) -> FloatArray:
    """Every column that a fit can depend on, absent ones as NaN, texts by their order of name:
    (n, 20)."""
    missing = np.full(len(table), np.nan)
    texts = [
        None if one is None else np.unique(np.array(one), return_inverse=True)[1].ravel()
        for one in (table.group, table.corpus, table.numerics, table.trajectory, table.schedule)
    ]
    columns = (
        table.params, table.tokens, table.loss, table.flops, table.budget, table.unique_tokens,
        table.seed, table.learning_rate, table.loss_se, table.batch_tokens, table.steps,
        table.warmup_steps, table.decay_steps, table.clipped, table.clipped_after_warmup, *texts,
    )  # fmt: skip
    stacked = [missing if one is None else one.astype(np.float64) for one in columns]
    return np.stack(stacked, axis=1)


def _digest_table(table: RunTable) -> str:
    columns = _stack_columns(table)[order_rows(table)]
    options = {
        "columns": columns.shape[1],
        "convention": table.convention,
        "cost": dataclasses.asdict(table.cost),
        "diverged": len(table.diverged),
        "grouped": table.group is not None,
        "schedules": sorted(set(table.schedule or ())),
        "brackets": [dataclasses.asdict(bracket) for bracket in table.brackets],
    }
    digest = hashlib.sha256(canonical_json(options))
    digest.update(np.ascontiguousarray(columns, dtype="<f8").tobytes())
    return digest.hexdigest()

"""RunTable: finished runs as columns, ready to fit, wherever they came from.

`read_table` reads the columns of the contract (`columns.TABLE_COLUMNS`) from CSV, TSV, JSON Lines,
JSON or Parquet. Every problem of a file is listed at once, as `file:line: column: what was seen,
what to do`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import TableError
from scaling.files.sealed import canonical_json
from scaling.sweep.cost_model import SIX_ND, CostModel, make_table_cost
from scaling.sweep.counting import CountConvention
from scaling.tables.brackets import Bracket
from scaling.tables.header import REQUIRED_COLUMNS
from scaling.tables.rows import MAX_PROBLEMS, shorten_problems
from scaling.units import FloatArray, IntArray
from scaling.units.losses import LossUnit

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

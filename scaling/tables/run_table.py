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
from typing import Any, Generic, TypeVar

import numpy as np

from scaling.errors import TableError
from scaling.files.sealed import canonical_json
from scaling.sweep.cost_model import SIX_ND, CostModel, make_table_cost
from scaling.sweep.counting import CountConvention
from scaling.tables.brackets import Bracket
from scaling.tables.columns import KEPT, NAMES, REQUIRED, Column
from scaling.tables.metrics import Metric, MetricFacts
from scaling.tables.rows import MAX_PROBLEMS, shorten_problems
from scaling.units import FloatArray, IntArray
from scaling.units.losses import LossUnit

Values = FloatArray | IntArray | tuple[str, ...]
_T = TypeVar("_T")
_Texts = tuple[str, ...] | None
_POSITIVE = (*(one.name for one in REQUIRED), "C")


class _Kept(Generic[_T]):
    """Attribute of a table that is one of its columns; None where no row states it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = NAMES[name]

    def __get__(self, table: RunTable | None, owner: type | None = None) -> _T:
        value: Any = self if table is None else table.columns.get(self._name)
        return value  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """Finished runs, one row each.

    Every column of `columns.KEPT` is an attribute under its name there, of shape (n,): None where
    no row states it, NaN in the rows that do not. Rows of one `group` share noise; without groups
    the rows of one `trajectory` do, or, without any, those of each (N, D).

    Attributes:
        run: Name of each row (run_id, or the foreign table's row number as text).
        columns: Values by the contract's name.
        diverged: Names of runs that diverged: counted, never fitted.
        rejected: One line for each row left out on request (`drop_bad`).
        notes: What a reader should know of how the table was made.
        convention: How N was counted; None for a foreign table that does not say.
        cost: FLOPs per token as a function of N, for the frontier.
        source: Path, for messages.
        digest: SHA-256 of the rows, names a stored fit.
        family: Family of the models, where every row is of one; None: not stated, or of several.
        overlap: Share of held-out spans that occur in the training text; None where unknown.
        unigram_entropy: Entropy of the tokens' frequencies [nats/token]; None where unknown.
        stopped: Those of `diverged` that an older rule stopped above the unigram entropy, whether
            they had gone wrong or were merely short.
        brackets: Other recipes at the corners of the grid; empty where none were trained.
        names: (contract's name, what the file's columns make it of), for messages.
        loss_unit: What the loss column held; `loss` is in nats whatever it was.
        metrics: Further quantities of the rows; `metric_table.fit_metric` fits one.
        metric_facts: Name, unit and direction of what is fitted in place of the loss; None: the
            loss itself.
    """

    run: tuple[str, ...]
    columns: Mapping[str, Values]
    diverged: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    convention: CountConvention | None = None
    cost: CostModel = SIX_ND
    source: str = "<arrays>"
    digest: str = ""
    family: str | None = None
    overlap: float | None = None
    unigram_entropy: float | None = None
    stopped: tuple[str, ...] = ()
    brackets: tuple[Bracket, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    loss_unit: LossUnit = "nats"
    metrics: tuple[Metric, ...] = ()
    metric_facts: MetricFacts | None = None

    params = _Kept[FloatArray]()
    tokens = _Kept[FloatArray]()
    loss = _Kept[FloatArray]()
    flops = _Kept[FloatArray | None]()
    budget = _Kept[FloatArray | None]()
    unique_tokens = _Kept[FloatArray | None]()
    seed = _Kept[IntArray | None]()
    learning_rate = _Kept[FloatArray | None]()
    group = _Kept[_Texts]()
    loss_se = _Kept[FloatArray | None]()
    batch_tokens = _Kept[FloatArray | None]()
    steps = _Kept[FloatArray | None]()
    warmup_steps = _Kept[FloatArray | None]()
    decay_steps = _Kept[FloatArray | None]()
    clipped = _Kept[FloatArray | None]()
    clipped_after_warmup = _Kept[FloatArray | None]()
    corpus = _Kept[_Texts]()
    numerics = _Kept[_Texts]()
    trajectory = _Kept[_Texts]()
    schedule = _Kept[_Texts]()

    def __len__(self) -> int:
        return len(self.run)

    def replace(self, **changes: Any) -> RunTable:
        """The table with other columns, by attribute (None: without it), or facts; its digest is
        that of the new rows unless it is given."""
        columns = {one.name: changes.pop(one.attribute) for one in KEPT if one.attribute in changes}
        whole = {name: values for name, values in self.columns.items() if name not in columns}
        table = dataclasses.replace(self, columns=whole | collect_columns(columns), **changes)
        return table if "digest" in changes else _seal(table)


def make_table(
    params: Sequence[float] | FloatArray,
    tokens: Sequence[float] | FloatArray,
    *,
    loss: Sequence[float] | FloatArray,
    run: Sequence[str] | None = None,
    cost: CostModel | None = None,
    **more: Any,
) -> RunTable:
    """A RunTable from arrays of shape (n,); the cost model follows `flops` where given, else 6ND.

    The digest covers what a fit can depend on: every numeric column and the groups, as rows sorted
    by value (so the order of rows does not matter), the diverged runs' number, the convention and
    the cost model. It leaves out names, notes and the path.

    Args:
        params, tokens, loss: N, D and held-out loss [nats/token], each of shape (n,).
        run: Name of each row; None: its number.
        cost: FLOPs per token as a function of N; None: what the rows' C says.
        more: Any other column of `columns.KEPT` (docs/tables.md), of shape (n,), or fact of
            RunTable, by its attribute.

    Returns:
        The table; its rows are in the order given.

    Raises:
        TableError: Lengths differ, or N, D, loss or C is not positive and finite.
        TypeError: There is no such attribute.
    """
    given = {"params": params, "tokens": tokens, "loss": loss, **more}
    columns = collect_columns({one.name: given.pop(one.attribute, None) for one in KEPT})
    facts: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in given.items()
    }
    beside = bool(facts.get("metrics"))  # a table with metrics need not state the loss
    _verify_columns(columns, facts.get("source", "<arrays>"), may_lack="loss" if beside else "")
    size = len(columns["N"])
    names = map(str, range(1, size + 1)) if run is None else run
    table = RunTable(run=tuple(names), columns=columns, **facts)
    if cost is None and size and table.flops is not None:
        cost = make_table_cost(table.params, table.tokens, table.flops)
    return _seal(dataclasses.replace(table, cost=cost or SIX_ND))


def collect_columns(values: Mapping[str, Sequence[Any] | Values | None]) -> dict[str, Values]:
    """Columns by the contract's name, each as its kind is kept; None is none, and so is a cell."""
    kept = {one.name: one for one in KEPT}
    return {
        name: _as_column(kept[name], cells) for name, cells in values.items() if cells is not None
    }


def collect_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
    """Columns of rows by the contract's names, those that some row states."""
    stated = {one.name: [row.get(one.name) for row in rows] for one in KEPT}
    needed = {one.name for one in REQUIRED}
    there = {name for name, cells in stated.items() if any(cell is not None for cell in cells)}
    return collect_columns({name: stated[name] for name in stated if name in needed | there})


def select_rows(table: RunTable, rows: IntArray | Sequence[int]) -> RunTable:
    """The table with only the given rows, in the given order; cost model and notes unchanged."""
    index = np.asarray(rows, dtype=np.int64)
    columns: dict[str, Values] = {
        name: values[index] if isinstance(values, np.ndarray) else tuple(values[i] for i in index)
        for name, values in table.columns.items()
    }
    run = tuple(table.run[at] for at in index)
    metrics = tuple(one.select(index) for one in table.metrics)
    return _seal(dataclasses.replace(table, run=run, columns=columns, metrics=metrics))


def sort_rows(table: RunTable) -> RunTable:
    """The same rows in the one order that depends on their values only; the digest is the same."""
    return dataclasses.replace(select_rows(table, order_rows(table)), digest=table.digest)


def order_rows(table: RunTable) -> IntArray:
    """The one order of the rows that depends on their values only: by N, D, loss and the rest."""
    columns = _stack_columns(table)
    return np.lexsort(tuple(columns[:, at] for at in reversed(range(columns.shape[1]))))


# --- values ----------------------------------------------------------------------------------


def _as_column(column: Column, cells: Sequence[Any] | Values) -> Values:
    if column.kind == "text":
        return tuple(str(one) for one in cells)
    if column.kind == "whole":
        return np.array(cells, dtype=np.int64)
    return np.array(cells, dtype=np.float64)


def _verify_columns(columns: Mapping[str, Values], source: str, *, may_lack: str) -> None:
    """Same lengths; N, D, loss and C positive and finite in every row that states them."""
    size = np.shape(columns["N"])
    problems = []
    for name, values in columns.items():
        if np.ndim(values) != 1 or np.shape(values) != size:
            problems.append(f"{source}: {name}: shape {np.shape(values)} where N has {size}")
        elif name in _POSITIVE and isinstance(values, np.ndarray):
            good = np.isfinite(values) & (values > 0)
            bad = np.flatnonzero(~(good | np.isnan(values) if name == may_lack else good))
            problems.extend(
                f"{source}:{at + 1}: {name}: {values[at]} is not a positive finite number; "
                f"leave the row out"
                for at in bad[:MAX_PROBLEMS]
            )
    if problems:
        raise TableError(shorten_problems(problems, source))


def _stack_columns(table: RunTable) -> FloatArray:
    """Every column that a fit can depend on, absent ones as NaN, texts by their order of name:
    (n, columns)."""
    stacked = np.full((len(table), len(KEPT)), np.nan)
    for at, column in enumerate(KEPT):
        values = table.columns.get(column.name)
        if isinstance(values, tuple):
            stacked[:, at] = np.unique(np.array(values), return_inverse=True)[1].ravel()
        elif values is not None:
            stacked[:, at] = values
    return stacked


def _seal(table: RunTable) -> RunTable:
    columns = _stack_columns(table)[order_rows(table)]
    options: dict[str, Any] = {
        "columns": columns.shape[1],
        "convention": table.convention,
        "cost": table.cost.to_json(),
        "diverged": len(table.diverged),
        "grouped": table.group is not None,
        "schedules": sorted(set(table.schedule or ())),
        "brackets": [dataclasses.asdict(bracket) for bracket in table.brackets],
    }
    if table.metric_facts is not None:
        options["metric"] = dataclasses.asdict(table.metric_facts)
    digest = hashlib.sha256(canonical_json(options))
    digest.update(np.ascontiguousarray(columns, dtype="<f8").tobytes())
    return dataclasses.replace(table, digest=digest.hexdigest())

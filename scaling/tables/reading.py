"""A file of runs becomes a table, with notes on what was understood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import TableError, UsageError
from scaling.sweep.cost_model import SIX_ND, CostModel, make_ladder_cost, make_table_cost
from scaling.sweep.counting import FLOPS_PER_PARAM_TOKEN, CountConvention, count_params
from scaling.sweep.ladder import find_layers, list_ladder_of
from scaling.tables.brackets import Bracket
from scaling.tables.cells import SMALLEST, Cells, ReadOptions, Where, read_cells
from scaling.tables.columns import KEPT, TABLE_COLUMNS
from scaling.tables.header import REQUIRED_COLUMNS
from scaling.tables.index_rows import IndexRows
from scaling.tables.metrics import Metric
from scaling.tables.rows import shorten_problems
from scaling.tables.run_table import RunTable, make_table
from scaling.tables.states import USUAL, StateRule
from scaling.tables.trajectories import find_trajectories, recognise_runs
from scaling.tables.units import Doubt, judge_units
from scaling.units import FloatArray, IntArray
from scaling.units.losses import LossScale, LossUnit

# Rows of one N may differ in κ by rounding; more than a tenth means mixed conventions.
_MIXED_COST = 0.10
# Conventions usually differ by 2× or 3× (6·N·D or 2·N·D; head counted or not). Assumed.
_CONVENTION_GAP = 1.5
_ROWS_NAMED = 5
# Realised batches differ by the last step; a batch given in sequences is off by hundreds.
_BATCH_GAP = 2.0


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
    metrics: Sequence[str] = (),
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
        path: A file, or a folder of files of one kind; see `tables.opening`.
        columns: Contract name -> the file's name or an expression of its columns, e.g.
            {"N": "config.n_params", "D": "steps*batch_tokens"}; empty: the column is not read.
        loss_unit: What the loss column holds, per token; bits and bpb are multiplied by ln 2, of
            ppl the logarithm is taken.
        drop_bad: Leave malformed rows out, listed in `rejected`, instead of refusing the table.
        states: Which rows count by how their run ended.
        where: (column, value) of the file: only rows that have them all are read.
        anyway: Read a table whose columns seem to hold several units.
        count: How N is counted where rows state their shapes; other tables state their own N.
        metrics: Further columns of numbers; where any is asked for, the loss may be missing.

    Returns:
        The table, rows in the file's order.

    Raises:
        TableError: Missing or doubled columns, no rows, malformed rows, mixed units; every problem
            in it.
        UsageError: The file is Parquet, and pyarrow is not installed.
    """
    name = str(path)
    if known := set(metrics) & {one.name for one in TABLE_COLUMNS}:
        raise UsageError(f"--metric {min(known)}: name a column that is not of the contract.")
    options = ReadOptions(
        columns=columns or {}, states=states, where=where, loss_unit=loss_unit,
        needed=("N", "D") if metrics else REQUIRED_COLUMNS, metrics=tuple(metrics),
    )  # fmt: skip
    cells = read_cells(Path(path), options)
    if cells.problems and not drop_bad:
        raise TableError(shorten_problems(cells.problems, name))
    if not cells.rows.size:
        raise TableError([f"{name}: {_describe_empty(cells)}; nothing is left to fit"])
    table = assemble_table(cells, name, loss_unit, count, metrics)
    mixed = [doubt for doubt in judge_table(table) if doubt.mixed]
    if mixed and not anyway:
        raise TableError([f"{name}: {doubt} (--anyway fits them as they are)" for doubt in mixed])
    return table


def judge_table(table: RunTable) -> tuple[Doubt, ...]:
    """What is odd about the units of a table's columns."""
    return judge_units(
        table.params,
        table.tokens,
        None if table.metric_facts or np.isnan(table.loss).any() else table.loss,
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


def assemble_table(
    cells: Cells,
    name: str,
    loss_unit: LossUnit = "nats",
    count: CountConvention = "matmul",
    asked: Sequence[str] = (),
) -> RunTable:
    """The table of what was read: units, missing C and the cost model; notes say what was done.

    Raises:
        TableError: A column cannot be what it is taken for.
    """
    columns = dict(cells.columns)
    metrics = [
        Metric(name=one, values=columns.pop(one), errors=columns.pop(f"{one}_se", None))
        for one in asked
    ]
    if metrics:
        columns.setdefault("loss", np.full(len(cells.rows), np.nan))
    blank = [key for key, values in columns.items() if np.isnan(values).all() and key != "loss"]
    for key in blank:
        del columns[key]
    notes = list(cells.notes)
    convert_loss(columns, loss_unit, name)
    if "seed" in columns and np.isnan(columns["seed"]).any():
        unsaid = int(np.isnan(columns.pop("seed")).sum())
        notes.append(f"{unsaid} rows state no seed: seeds are not used")
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
    if run is not None and loss_unit != "ppl" and not metrics:  # an index is never in perplexity
        brackets = cells.index.list_brackets(
            run,
            columns["N"],
            tokens=columns["D"],
            loss=columns["loss"],
            unit=1.0 if loss_unit == "nats" else math.log(2.0),
        )
    kept = {**columns, **texts, "run": _find_runs(texts, columns, notes)}
    given: dict[str, Any] = {one.attribute: kept.get(one.name) for one in KEPT}
    return make_table(
        **given,
        run=run or [str(row) for row in rows],
        diverged=cells.index.unfinished,
        rejected=cells.rejected,
        notes=notes,
        convention=convention,
        cost=cost,
        family=cells.index.read_family(rows.tolist(), notes),
        overlap=cells.index.read_corpus_fact("overlap", rows.tolist(), most=1.0),
        unigram_entropy=cells.index.read_corpus_fact(
            "unigram_entropy", rows.tolist(), most=math.log(2.0**31)
        ),
        brackets=brackets,
        source=name,
        names=tuple(cells.names.items()),
        loss_unit=loss_unit,
        metrics=tuple(metrics),
    )


def convert_loss(columns: dict[str, FloatArray], unit: LossUnit, name: str) -> None:
    """Losses and their errors in nats; of a perplexity p the error of ln p is that of p over p.

    Raises:
        TableError: A perplexity is at most 1, that of a text without surprise.
    """
    loss, error = columns["loss"], columns.get("loss_se")
    scale = LossScale(unit)
    columns["loss"] = scale.from_(loss)
    low = int(np.sum(columns["loss"] < SMALLEST["loss"])) if unit == "ppl" else 0
    if low:
        raise TableError([f"{name}: loss: {low} perplexities are at most 1 (lowest "
                          f"{loss.min():g}); of such text every token is known. Is the column in "
                          f"nats or bits?"])  # fmt: skip
    if error is not None:
        columns["loss_se"] = scale.error_from(error, loss)


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
    ladder = list_ladder_of(shapes[0], layers=find_layers(shapes))
    return convention, make_ladder_cost(ladder, convention)


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

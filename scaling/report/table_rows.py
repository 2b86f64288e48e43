"""Content of the page of a table of runs in place of a sweep: its rows, how it was understood, and
the checklist's answers that a table can give.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

import numpy as np

from scaling.fitting.budgets import list_flops
from scaling.report.rows import RunRow
from scaling.units import FloatArray, format_count, format_flops
from scaling.units.losses import LossScale
from scaling.words.plain import ABSENT, format_loss, format_plain, format_range

if TYPE_CHECKING:
    from scaling.report.data import ReportData
    from scaling.tables.facts import TableFacts
    from scaling.tables.run_table import RunTable

# A page with more rows scrolls slowly; the CSV embedded in it holds them all.
MOST_ROWS = 1000
COLUMNS = ("column", "read from", "unit", "rows", "values")
_NOT_STATED = "not stated by the table"


def list_headings(table: RunTable) -> tuple[tuple[str, str], ...]:
    """(heading, meaning) of each column that the table states, and of C."""
    return (
        ("N", "parameters, as the table counts them"),
        ("D", "tokens seen"),
        ("C", "training FLOPs; 6ND where the table does not state them"),
        ("loss", "held-out loss ± standard error where it is stated"),
        *((name, meaning) for name, meaning, _ in _list_optional(table)),
    )


def list_table_runs(table: RunTable, fitted: RunTable, scale: LossScale) -> list[RunRow]:
    """The first MOST_ROWS rows of a table; those that are not fitted were left out by filters."""
    kept = set(fitted.run)
    more = _list_optional(table)
    flops = list_flops(table)
    rows = []
    for at in range(min(len(table), MOST_ROWS)):
        loss = float(table.loss[at])
        words = format_loss(scale.to(loss))
        if table.loss_se is not None and np.isfinite(table.loss_se[at]):
            words += f" ± {scale.write_error(float(table.loss_se[at]), loss):.2g}"
        rows.append(
            RunRow(
                run_id=table.run[at],
                tone="",
                status="fitted" if table.run[at] in kept else "not fitted",
                why="" if table.run[at] in kept else "left out by a filter",
                cells=(
                    format_count(float(table.params[at])),
                    format_count(float(table.tokens[at])),
                    format_flops(float(flops[at])),
                    words,
                    *(cells[at] for _, _, cells in more),
                ),
            )
        )
    return rows


def list_columns(facts: TableFacts) -> list[tuple[str, str, str, str, str]]:
    """(column, read from, unit, rows that state it, values) of every column that was read."""
    rows = []
    for one in facts.columns:
        numbers = [value for value in one.values if isinstance(value, float)]
        words = (
            format_range(numbers[0], numbers[-1])
            if numbers
            else ", ".join(value for value in one.values if isinstance(value, str))
        )
        rows.append((one.name, one.source, one.unit or ABSENT, str(one.stated), words or ABSENT))
    return rows


def write_csv(table: RunTable, scale: LossScale) -> str:
    """Every row as CSV in the columns that `scaling fit` reads, losses in a unit."""
    columns: list[tuple[str, list[object]]] = [
        ("run", list(table.run)),
        ("N", table.params.tolist()),
        ("D", table.tokens.tolist()),
        ("loss", scale.to(table.loss).tolist()),
    ]
    for name, values in (
        ("C", table.flops), ("budget", table.budget), ("U", table.unique_tokens),
        ("lr", table.learning_rate), ("batch_tokens", table.batch_tokens),
        ("steps", table.steps),
    ):  # fmt: skip
        if values is not None:
            columns.append((name, ["" if math.isnan(one) else one for one in values.tolist()]))
    if table.seed is not None:
        columns.append(("seed", table.seed.tolist()))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return text.getvalue()


def describe_training(table: RunTable) -> tuple[tuple[str, str], ...]:
    """Answer the checklist's questions about training, as far as fitted rows of a table can."""
    flops = list_flops(table)
    top = int(np.argmax(flops))
    recipe = [
        name
        for name, values in (
            ("peak learning rate", table.learning_rate), ("batch", table.batch_tokens),
            ("steps", table.steps), ("warmup", table.warmup_steps), ("decay", table.decay_steps),
        )
        if values is not None
    ]  # fmt: skip
    repeated = _NOT_STATED
    if table.unique_tokens is not None:
        known = np.isfinite(table.unique_tokens)
        passes = table.tokens[known] / table.unique_tokens[known]
        repeated = f"at most {passes.max():.3g} passes over the text" if passes.size else repeated
    corpora = sorted(set(table.corpus)) if table.corpus is not None else []
    return (
        (
            "How many models, of which sizes, on how much data?",
            f"{len(table)} runs of {np.unique(table.params).size} sizes: N from "
            f"{format_range(*_ends(table.params), format_count)}, D from "
            f"{format_range(*_ends(table.tokens), format_count)}",
        ),
        (
            "On which data? Is any repeated?",
            f"{', '.join(corpora[:3]) or 'which data is ' + _NOT_STATED}; repeats: {repeated}",
        ),
        (
            "What is the largest run?",
            f"C = {format_flops(float(flops[top]))}, N = {format_count(float(table.params[top]))} "
            f"on {format_count(float(table.tokens[top]))} tokens",
        ),
        (
            "How are size, data and compute counted?",
            f"N {table.convention or 'as the table counts it'}; D tokens seen; C "
            f"{'as the table states it' if table.flops is not None else '6·N·D'}",
        ),
        (
            "How were hyperparameters chosen, and do they change with scale?",
            f"stated for each run: {', '.join(recipe)}" if recipe else _NOT_STATED,
        ),
    )


def describe_collection(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Answer the checklist's questions about the points and the metric."""
    table = data.table
    along = table.trajectory is not None
    filters = [f"by a declared rule, {one.rule}: {one.left_out}" for one in data.filters]
    if table.rejected:
        filters.append(f"malformed or unfinished: {len(table.rejected)} rows")
    return (
        (
            "How many points of each run are fitted, and which?",
            f"{'points along runs' if along else 'one'}; {data.fit.n} points in all",
        ),
        (
            "Which metric, on which data?",
            f"{dict(table.names).get('loss', 'loss')}, taken as held-out cross-entropy in "
            f"{data.scale.label}; the held-out text is {_NOT_STATED}",
        ),
        (
            "Is the metric changed before fitting?",
            "no: not smoothed, not interpolated; the objective takes its logarithm"
            + (" in nats (ln of the perplexity)" if data.scale.unit == "ppl" else ""),
        ),
        ("Which points were left out, or fitted apart?", "; ".join(filters) or "none"),
    )


def _list_optional(table: RunTable) -> list[tuple[str, str, list[str]]]:
    """(heading, meaning, cells) of columns that some row states."""
    columns: list[tuple[str, str, list[str]]] = []
    for name, meaning, values, words in (
        ("budget", "declared budget [FLOP]", table.budget, format_flops),
        ("unique", "different tokens seen", table.unique_tokens, format_count),
        ("learning rate", "peak", table.learning_rate, format_plain),
        ("batch", "tokens per step", table.batch_tokens, format_count),
        ("steps", "optimiser steps", table.steps, format_plain),
    ):
        if values is not None and np.isfinite(values).any():
            cells = [words(one) if math.isfinite(one) else ABSENT for one in values.tolist()]
            columns.append((name, meaning, cells))
    if table.seed is not None:
        columns.append(("seed", "as stated", [str(one) for one in table.seed.tolist()]))
    for name, texts in (("run", table.trajectory), ("corpus", table.corpus)):
        if texts is not None:
            columns.append((name, "as stated", list(texts)))
    return columns


def _ends(values: FloatArray) -> tuple[float, float]:
    return float(values.min()), float(values.max())

"""Scores: the runs that state an ability, and the cells (N, D) of their seeds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling.errors import TableError
from scaling.fitting.abilities.names import LOSS, AbilityNames
from scaling.tables.metric_table import find_metric, fit_metric
from scaling.tables.metrics import AskedMetric, Metric
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray, IntArray

Axis = Literal["N", "D"]
_ROUNDING = 1e-9
# Share of the ceiling: a run that fails a tenth of the questions has not learnt the task.
THRESHOLD = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A score of runs, higher is better, by cells; arrays of shape (n,), those of cells (k,).

    Attributes:
        score: Score of each run.
        chance: Lowest score: that of guessing, or the lowest of all runs where that is not known.
        ceiling: Highest score possible, or the highest of all runs.
        cell: Index of each run's cell; cells ascend in N, then D.
        params, tokens: N and D of each cell.
    """

    score: FloatArray
    chance: float
    ceiling: float
    cell: IntArray
    params: FloatArray
    tokens: FloatArray

    @property
    def axis(self) -> Axis:
        """The quantity along which sizes are held out: N if it varies, else D."""
        return "N" if np.unique(self.params).size > 1 else "D"

    @property
    def size(self) -> FloatArray:
        """N (or D, see `axis`) of each cell."""
        return self.params if self.axis == "N" else self.tokens

    @property
    def range(self) -> float:
        """Distance from chance to ceiling."""
        return self.ceiling - self.chance

    def average(self, values: FloatArray) -> FloatArray:
        """Mean of each cell, over the runs that state a value; NaN without any. Shape (k,)."""
        stated = np.isfinite(values)
        total = np.bincount(self.cell[stated], values[stated], minlength=self.params.size)
        count = np.bincount(self.cell[stated], minlength=self.params.size)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def count(self) -> IntArray:
        """Runs of each cell, shape (k,)."""
        return np.bincount(self.cell, minlength=self.params.size).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Cells):
    """The runs of one ability; arrays of shape (n,). `score` is the sharp score.

    Attributes:
        names: Names of the three scores.
        table: The runs, which all state the sharp score.
        smooth, null: Smooth score and null; NaN where a run does not state it, None if no run does.
        error, null_error: Standard errors of the evaluation; None if not stated.
        threshold: Sharp score from which a run succeeds.
        unit: Unit of the smooth score.
    """

    names: AbilityNames
    table: RunTable
    smooth: FloatArray | None
    null: FloatArray | None
    error: FloatArray | None
    null_error: FloatArray | None
    threshold: float
    unit: str

    def take_cells(self, chosen: IntArray) -> Scores:
        """Only the runs of the given cells."""
        rows = np.flatnonzero(np.isin(self.cell, chosen))
        table = select_rows(self.table, rows)
        cells, cell = sort_cells(table)
        optional = ("smooth", "null", "error", "null_error")
        columns: dict[str, Any] = {
            name: None if (one := getattr(self, name)) is None else one[rows] for name in optional
        }
        return dataclasses.replace(
            self,
            table=table,
            score=self.score[rows],
            cell=cell,
            params=cells[:, 0],
            tokens=cells[:, 1],
            **columns,
        )

    def make_smooth_table(self) -> tuple[RunTable, IntArray]:
        """The runs that state the smooth score, with it in place of the loss, and their rows.

        Raises:
            TableError: No run states it, or one has a value without a logarithm.
            UsageError: The score is higher-is-better and has no bound.
        """
        if self.smooth is None:
            raise TableError([f"{self.table.source}: no run states {self.names.smooth}"])
        rows = np.flatnonzero(np.isfinite(self.smooth))
        kept = select_rows(self.table, rows)
        if self.names.smooth != LOSS:
            kept = fit_metric(kept, AskedMetric(name=self.names.smooth))
        return kept, rows


def gather_scores(
    table: RunTable,
    names: AbilityNames,
    *,
    chance: float = 0.0,
    ceiling: float | None = None,
    threshold: float | None = None,
) -> Scores:
    """Gather the runs that state an ability.

    Args:
        table: Runs with their metrics.
        names: Names of the scores; `loss` is the table's own.
        chance: Score of guessing.
        ceiling: Highest score possible; None: the probe's bound, else 1.
        threshold: Score from which a run succeeds; None: .9 of the ceiling.

    Raises:
        TableError: The table lacks a metric, no run states the sharp one, scores lie above the
            ceiling, or chance, threshold and ceiling are out of order; names every problem.
    """
    found, problems = _find_metrics(table, names)
    sharp = found.get(names.sharp)
    bound = None if sharp is None else sharp.bound
    top = ceiling if ceiling is not None else bound if bound is not None else 1.0
    least = THRESHOLD * top if threshold is None else threshold
    if not 0.0 <= chance < least <= top < np.inf:
        problems.append(
            f"{names.sharp}: chance is {chance:g}, success from {least:g}, the bound {top:g}; they "
            "ascend from 0 on: see --chance, --threshold and --bound"
        )
    rows = np.empty(0, np.int64) if sharp is None else np.flatnonzero(np.isfinite(sharp.values))
    if sharp is not None:
        problems += _find_strays(table, sharp, rows, top)
    if problems:
        raise TableError(problems)
    assert sharp is not None  # otherwise it is among the problems
    smooth = table.loss if names.smooth == LOSS else found[names.smooth].values
    null = None if names.null is None else found[names.null]
    kept = select_rows(table, rows)
    cells, cell = sort_cells(kept)
    return Scores(
        names=names,
        table=kept,
        score=sharp.values[rows],
        smooth=_keep(smooth, rows),
        null=None if null is None else _keep(null.values, rows),
        error=_keep(sharp.errors, rows),
        null_error=None if null is None else _keep(null.errors, rows),
        chance=chance,
        ceiling=top,
        threshold=least,
        unit="nats/token" if names.smooth == LOSS else found[names.smooth].unit,
        cell=cell,
        params=cells[:, 0],
        tokens=cells[:, 1],
    )


def _find_metrics(table: RunTable, names: AbilityNames) -> tuple[dict[str, Metric], list[str]]:
    """The metrics by name, and messages about missing ones."""
    found: dict[str, Metric] = {}
    problems: list[str] = []
    asked = [names.sharp, names.smooth, *([names.null] if names.null else [])]
    for name in dict.fromkeys(one for one in asked if one != LOSS):
        try:
            found[name] = find_metric(table, name)
        except TableError as error:
            problems += error.problems
    if len(set(asked)) < len(asked):
        problems.append(f"{table.source}: {', '.join(asked)}: name three different scores")
    if LOSS in (names.sharp, names.null):
        problems.append(f"{table.source}: loss is no share: it can only be the smooth score")
    return found, problems


def _find_strays(table: RunTable, sharp: Metric, rows: IntArray, top: float) -> list[str]:
    """Messages if no run states a score, or if some scores lie outside its range."""
    if not rows.size:
        return [f"{table.source}: no run states {sharp.name}"]
    values = sharp.values[rows]
    off = rows[(values < 0.0) | (values > top + _ROUNDING)]
    if not off.size:
        return []
    return [
        f"{table.source}: {sharp.name}: {off.size} of {rows.size} rows lie outside 0 … {top:g} "
        f"({table.run[off[0]]}: {sharp.values[off[0]]:g}); say --bound, 100 for percent"
    ]


def _keep(values: FloatArray | None, rows: IntArray) -> FloatArray | None:
    """Values of the rows; None if no row states one."""
    if values is None or not np.isfinite(values[rows]).any():
        return None
    return values[rows]


def sort_cells(table: RunTable) -> tuple[FloatArray, IntArray]:
    """The (N, D) of each cell, ascending, shape (k, 2), and the cell of each row."""
    pairs = np.stack((table.params, table.tokens), axis=1)
    cells, cell = np.unique(pairs, axis=0, return_inverse=True)
    return cells, cell.ravel().astype(np.int64)

"""Filters: rules declared beforehand that leave rows of a table out, and the effect of each.

The rules act one after the other in the order of `Filters`' fields, so the best recipe of a cell is
chosen among the rows that the others keep. No rule depends on the order of rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scaling.errors import UsageError
from scaling.files.sealed import canonical_json
from scaling.tables.run_table import RunTable, order_rows, select_rows

BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

# Columns of a table that make up the recipe; a cell's D and steps follow from the rest.
RECIPE = ("learning_rate", "batch_tokens", "warmup_steps", "decay_steps", "corpus", "schedule")
# One epoch with room for rounding, as in the check `repeated_data`.
_WHOLE_EPOCH = 1.0 + 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Rules that leave rows out of a fit; the defaults leave nothing out.

    Attributes:
        flops_range: Lowest and highest C [FLOPs] kept, both included; None: no limit.
        first_epoch: Keep rows that saw no text twice: D <= U.
        min_ratio: Lowest tokens per parameter kept.
        best_recipe: For each (N, D) keep the row of the lowest loss and, if seeds and some of the
            recipe (`RECIPE`) are stated, the other seeds of its recipe. Rows that differ from it
            in a stated part are of another recipe; rows that share its seed are duplicates, or of
            a recipe that the table does not state. Both are left out.
        last_of_run: Of the points along a training run keep the one of the most tokens.
    """

    flops_range: tuple[float | None, float | None] | None = None
    first_epoch: bool = False
    min_ratio: float | None = None
    best_recipe: bool = False
    last_of_run: bool = False

    def __bool__(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterEffect:
    """Effect of one rule: its name, the rule in words, how many rows it left out of how many."""

    name: str
    rule: str
    left_out: int
    seen: int

    def to_contract(self) -> dict[str, str | int]:
        return {"name": self.name, "left_out": self.left_out}

    def __str__(self) -> str:
        return f"filter {self.name} ({self.rule}): {self.left_out} of {self.seen} rows left out"


def apply_filters(table: RunTable, filters: Filters) -> tuple[RunTable, tuple[FilterEffect, ...]]:
    """Leave out the rows that declared rules name.

    Args:
        table: Runs, one row each.
        filters: The rules.

    Returns:
        The other rows, and one effect for each rule asked for. The effects are in the table's
        notes, the rules in its digest; cost model and diverged runs are those of the whole table.

    Raises:
        UsageError: A rule is out of its range, needs a column that the table lacks, or leaves no
            row.
    """
    _verify_filters(filters)
    kept, effects = table, []
    for name, rule, keep in _list_rules(filters):
        mask = keep(kept)
        effects.append(
            FilterEffect(name=name, rule=rule, left_out=int(np.sum(~mask)), seen=len(kept))
        )
        kept = select_rows(kept, np.flatnonzero(mask))
        if name == "last_of_run":  # each run now has a single row
            kept = kept.replace(trajectory=None)
    if not effects:
        return table, ()
    if not len(kept):
        raise UsageError(
            f"{table.source}: no row is left of {len(table)}: {'; '.join(map(str, effects))}.\n"
            "Loosen the filters."
        )
    digest = hashlib.sha256(canonical_json([table.digest, dataclasses.asdict(filters)]))
    notes = (*table.notes, *(str(effect) for effect in effects))
    return kept.replace(notes=notes, digest=digest.hexdigest()), tuple(effects)


def _list_rules(filters: Filters) -> Iterator[tuple[str, str, Callable[[RunTable], BoolArray]]]:
    """Yield (name, rule in words, mask of rows it keeps) for each rule asked for, in order."""
    if filters.flops_range is not None:
        low, high = filters.flops_range
        ends = [] if low is None else [f"C >= {low:g}"]
        ends += [] if high is None else [f"C <= {high:g}"]
        yield "flops_range", " and ".join(ends), lambda table: _is_within(table, low, high)
    if filters.first_epoch:
        yield "first_epoch", "D <= U", _is_first_epoch
    least = filters.min_ratio
    if least is not None:
        rule = f"D/N >= {least:g}"
        yield "min_ratio", rule, lambda table: table.tokens >= least * table.params
    if filters.last_of_run:
        yield "last_of_run", "end of each training run", _is_last_of_run
    if filters.best_recipe:
        yield "best_recipe", "lowest loss of each (N, D), with its seeds", _is_best_recipe


def _verify_filters(filters: Filters) -> None:
    least = filters.min_ratio
    if least is not None and not (math.isfinite(least) and least > 0):
        raise UsageError(f"min_ratio = {least:g}: tokens per parameter are a number above 0.")
    ends = [end for end in filters.flops_range or () if end is not None]
    if filters.flops_range is not None and not (
        ends and all(math.isfinite(end) and end > 0 for end in ends) and ends == sorted(ends)
    ):
        low, high = ("" if end is None else f"{end:g}" for end in filters.flops_range)
        raise UsageError(f"flops_range = {low}:{high}: give the lowest and the highest C [FLOP], "
                         f"or one of them: 1e18:1e21, 1e18:, :1e21.")  # fmt: skip


def _is_within(table: RunTable, low: float | None, high: float | None) -> BoolArray:
    flops = table.flops
    if flops is None:
        flops = table.tokens * table.cost.flops_per_token(table.params)
    if table.budget is not None:  # rounding to whole steps scatters the realised C around it
        flops = np.where(np.isfinite(table.budget), table.budget, flops)
    kept = np.ones(len(table), dtype=np.bool_)
    if low is not None:
        kept &= flops >= low
    if high is not None:
        kept &= flops <= high
    return kept


def _is_first_epoch(table: RunTable) -> BoolArray:
    """Mask of rows in their first epoch; a row that does not state U is left out."""
    if table.unique_tokens is None:
        raise UsageError(
            f"{table.source}: first_epoch needs the unique tokens of each run (column U).\n"
            'Name the column, "--columns U=unique_tokens", or leave the filter out.'
        )
    first = table.tokens <= _WHOLE_EPOCH * table.unique_tokens  # False for NaN
    return np.asarray(first, dtype=np.bool_)


def _is_best_recipe(table: RunTable) -> BoolArray:
    """Mask of the row of lowest loss of each (N, D), and of its other seeds if they are stated."""
    order = order_rows(table)  # ties keep the same row in any order of the table
    pairs = np.stack((table.params, table.tokens))[:, order]
    _, first, cells = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    best = np.zeros(len(table), dtype=np.bool_)
    best[order[first]] = True
    stated = [getattr(table, name) for name in RECIPE if getattr(table, name) is not None]
    if table.seed is None or not stated:
        return best
    chosen = first[cells.ravel()]
    same = np.ones(len(table), dtype=np.bool_)
    for values in stated:
        ordered = np.unique(np.asarray(values), return_inverse=True)[1].ravel()[order]
        same &= ordered == ordered[chosen]
    seeds = table.seed[order]
    best[order] |= same & (seeds != seeds[chosen])
    return best


def _is_last_of_run(table: RunTable) -> BoolArray:
    """Mask of the row with the most tokens of each run; among equals the first in sorted order."""
    if table.trajectory is None:
        raise UsageError(
            f"{table.source}: --last-of-run needs the training run of each row, and runs of several"
            " points.\nName the column: --columns run=COLUMN."
        )
    order = order_rows(table)
    member = np.unique(np.array(table.trajectory), return_inverse=True)[1].ravel()[order]
    last = np.lexsort((-table.tokens[order], member))
    _, first = np.unique(member[last], return_index=True)
    kept = np.zeros(len(table), dtype=np.bool_)
    kept[order[last[first]]] = True
    return kept

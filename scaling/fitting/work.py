"""The shared input of all approaches, and the frontier that each of them produces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling.fitting.fitted import Approach, Frontier, Interval
from scaling.fitting.intervals import find_interval
from scaling.laws.family import LawFamily
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray

_LINE_NAMES = ("a", "k_n", "b", "k_d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Shared input of the approaches; they append to `notes`."""

    table: RunTable
    family: LawFamily
    level: float
    bootstrap: int | None
    seed: int
    notes: list[str] = dataclasses.field(default_factory=list)


def make_frontier(
    approach: Approach,
    line: FloatArray,
    lines: FloatArray,
    table: RunTable,
    span: tuple[float, float],
    level: float,
) -> Frontier:
    """Make a frontier from its line (a, ln k_n, b, ln k_d) and those of its draws, (draws, 4)."""
    intervals: Mapping[str, Interval] | None = None
    if len(lines) >= 2:
        by_name = {}
        for at, name in enumerate(_LINE_NAMES):
            values = exp_finite(lines[:, at]) if name.startswith("k") else lines[:, at]
            by_name[name] = find_interval(values, level)
        intervals = by_name
    a, log_k_n, b, log_k_d = (float(value) for value in line)
    return Frontier(
        approach=approach,
        a=a,
        b=b,
        k_n=float(exp_finite(log_k_n)),
        k_d=float(exp_finite(log_k_d)),
        cost_model=table.cost.name,
        range=span,
        intervals=intervals,
        optima=(),
        rejected=(),
        draws=to_rows(lines),
    )


def exp_finite(logs: FloatArray | float) -> FloatArray:
    """exp, clipped to doubles: the line of a vanished term can have an intercept of any size."""
    return np.asarray(np.exp(np.clip(logs, -700.0, 700.0)), dtype=np.float64)


def to_rows(values: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Convert an array of shape (n, m) to n tuples, for a frozen value."""
    return tuple(map(tuple, values.tolist()))

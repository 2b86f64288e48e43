"""The fitted runs of a sweep with the values of their probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.fitting.budgets import list_flops
from scaling.ledger.probes import ProbeValue, read_probes
from scaling.report.beyond import ProbedRun, ProbedSweep
from scaling.tables.run_table import RunTable
from scaling.workflow.stored import StoredSweep, tabulate_sweep


def list_probed(stored: StoredSweep, table: RunTable | None = None) -> ProbedSweep:
    """The fitted runs of a sweep with their values; `table`: those runs, if they are read."""
    table = tabulate_sweep(stored) if table is None else table
    results = {name: stored.results.results[name] for name in table.run}
    values = read_probes(stored.ledger, results).values
    budget = np.full(len(table), np.nan) if table.budget is None else table.budget
    series = np.where(np.isfinite(budget), budget, table.tokens)
    flops = list_flops(table)
    runs = [
        ProbedRun(
            params=float(table.params[at]),
            tokens=float(table.tokens[at]),
            flops=float(flops[at]),
            loss=float(table.loss[at]),
            series=float(series[at]),
            values=choose_values(values.get(name, ())),
        )
        for at, name in enumerate(table.run)
    ]
    runs.sort(key=lambda one: (one.params, one.tokens))
    name = stored.spec.family if stored.whole.families else stored.spec.name
    return ProbedSweep(name=name, runs=tuple(runs), source=str(stored.folder))


def choose_values(values: Sequence[ProbeValue]) -> dict[str, ProbeValue]:
    """Choose the value measured last among several versions or options of a probe."""
    return {one.name: one for one in sorted(values, key=lambda one: (one.measured_at, one.kind))}

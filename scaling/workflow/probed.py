"""The fitted runs of a sweep with the values of their probes."""

from __future__ import annotations

import numpy as np

from scaling.fitting.budgets import list_flops
from scaling.ledger.probes import ProbeValue, read_probes
from scaling.report.beyond import ProbedRun, ProbedSweep
from scaling.tables.run_table import RunTable
from scaling.workflow.stored import StoredSweep, tabulate_sweep


def list_probed(stored: StoredSweep, table: RunTable | None = None) -> ProbedSweep:
    """The fitted runs of a sweep with their values; `table`: those runs, if they are read."""
    table = tabulate_sweep(stored) if table is None else table
    values = read_values(stored, table)
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
            values=values[name],
        )
        for at, name in enumerate(table.run)
    ]
    runs.sort(key=lambda one: (one.params, one.tokens))
    name = stored.spec.family if stored.whole.families else stored.spec.name
    return ProbedSweep(name=name, runs=tuple(runs), source=str(stored.folder))


def read_values(stored: StoredSweep, table: RunTable) -> dict[str, dict[str, ProbeValue]]:
    """The values of each run of a table, by probe; the one measured last of several versions or
    options."""
    results = {name: stored.results.results[name] for name in table.run}
    found = read_probes(stored.ledger, results).values
    return {
        run: {
            one.name: one
            for one in sorted(found.get(run, ()), key=lambda one: (one.measured_at, one.kind))
        }
        for run in table.run
    }

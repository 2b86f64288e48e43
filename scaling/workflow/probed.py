"""What a page shows beside the loss: values of probes, and families of one file compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scaling.errors import NoFitError, UsageError
from scaling.ledger.probes import ProbeValue, read_probes
from scaling.report.beyond import Beyond, ProbedRun, ProbedSweep
from scaling.workflow.siblings import compare_families
from scaling.workflow.stored import StoredSweep, tabulate_sweep

if TYPE_CHECKING:
    from scaling.compare.multiplier import Comparison


def gather_beyond(
    stored: StoredSweep, siblings: Sequence[StoredSweep], said: tuple[str, ...] = ()
) -> Beyond | None:
    """What was measured beside the loss; None where nothing was, and nothing is compared.

    Args:
        stored: The sweep.
        siblings: Those of its file, itself among them.
        said: What it comes to, in sentences.
    """
    families = bool(stored.whole.families)
    if not families and not stored.spec.evaluate:
        return None
    shown = [one for one in (siblings if families else (stored,)) if one.results.results]
    sweeps = tuple(_list_runs(one) for one in shown)
    sweeps = tuple(one for one in sweeps if one.runs)
    if not sweeps:
        return None
    compared: tuple[Comparison, ...] = ()
    refused = ""
    if len(shown) > 1:
        try:
            compared = tuple(compare_families(shown))
        except (NoFitError, UsageError) as error:
            refused = str(error)
    asked = [one.probe.name for one in stored.spec.evaluate]
    runs = [run for sweep in sweeps for run in sweep.runs]
    lost = {name: sum(name not in run.values for run in runs) for name in asked}
    return Beyond(
        sweeps=sweeps,
        compared=compared,
        refused=refused,
        lost={name: count for name, count in lost.items() if count},
        said=said,
    )


def _list_runs(stored: StoredSweep) -> ProbedSweep:
    table = tabulate_sweep(stored)
    results = {name: stored.results.results[name] for name in table.run}
    values = read_probes(stored.ledger, results).values
    budget = np.full(len(table), np.nan) if table.budget is None else table.budget
    series = np.where(np.isfinite(budget), budget, table.tokens)
    runs = [
        ProbedRun(
            params=float(table.params[at]),
            tokens=float(table.tokens[at]),
            loss=float(table.loss[at]),
            series=float(series[at]),
            values=choose_values(values.get(name, ())),
        )
        for at, name in enumerate(table.run)
    ]
    runs.sort(key=lambda one: (one.params, one.tokens))
    name = stored.spec.family if stored.whole.families else stored.spec.name
    return ProbedSweep(name=name, runs=tuple(runs))


def choose_values(values: Sequence[ProbeValue]) -> dict[str, ProbeValue]:
    """Of several versions or options of a probe the one that was measured last."""
    return {one.name: one for one in sorted(values, key=lambda one: (one.measured_at, one.kind))}

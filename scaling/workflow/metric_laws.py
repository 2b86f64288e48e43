"""From a results folder or a table to whether its metrics follow laws."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.ledger.contents import holds_sweep
from scaling.tables.metrics import AskedMetric
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.units.stages import stage
from scaling.workflow.abilities import find_chance
from scaling.workflow.stored import StoredSweep, read_runs

if TYPE_CHECKING:
    from scaling.fitting.metric_laws.judged import MetricLaw


def find_metric_laws(
    source: str | os.PathLike[str] | RunTable, *metrics: str, **how: Any
) -> tuple[MetricLaw, ...]:
    """Judge whether quantities measured beside the loss follow a law of N and D.

    Args:
        source: A results folder, a table of runs, or a RunTable with metrics.
        metrics: Their names; none: every one that a folder or RunTable has.
        how: How a table is read, as `read_table` takes it.

    Returns:
        For each its law or why there is none, the criteria, and the largest runs as forecast from
        the others beside what was measured.

    Raises:
        TableError: The runs have no such metric, or the table is wrong.
    """
    if isinstance(source, RunTable):
        return judge_metrics(source, None, metrics)
    path = Path(source)
    if holds_sweep(path) or path.is_dir():
        return judge_metrics(*read_runs(path, **how), metrics)
    return judge_metrics(read_table(path, metrics=metrics, **how), None, metrics)


def judge_metrics(
    table: RunTable, stored: StoredSweep | None, names: Sequence[str] = ()
) -> tuple[MetricLaw, ...]:
    """Judge metrics of some runs; without names every one.

    Raises:
        TableError: The runs have no such metric.
    """
    from scaling.fitting.metric_laws.judged import judge_metric

    asked = names or [one.name for one in table.metrics]
    with stage(f"fitting {len(asked)} metrics"):
        return tuple(
            judge_metric(table, AskedMetric(name=one), chance=find_chance(stored, one))
            for one in asked
        )


def judge_fit(table: RunTable, stored: StoredSweep | None) -> MetricLaw | None:
    """Judge the metric that a fitted table has in place of the loss; None: it has none."""
    from scaling.fitting.metric_laws.judged import judge_fitted

    facts = table.metric_facts
    if facts is None:
        return None
    return judge_fitted(table, chance=find_chance(stored, facts.name))

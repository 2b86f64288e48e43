"""From a results folder or a table to whether its metrics follow laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.tables.metrics import AskedMetric
from scaling.tables.run_table import RunTable
from scaling.units.stages import stage
from scaling.workflow.abilities import find_chance
from scaling.workflow.stored import StoredSweep

if TYPE_CHECKING:
    from scaling.fitting.metric_laws.judged import MetricLaw


def judge_metrics(
    table: RunTable, stored: StoredSweep | None, names: Sequence[str] | None = None
) -> tuple[MetricLaw, ...]:
    """Judge metrics of some runs; None: every one.

    Raises:
        TableError: The runs have no such metric.
    """
    from scaling.fitting.metric_laws.judged import judge_metric

    asked = [one.name for one in table.metrics] if names is None else names
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

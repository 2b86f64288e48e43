"""`scaling.find_metric_laws`: which metrics follow a law that forecasts, as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.ledger.contents import holds_sweep
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.workflow.metric_laws import judge_metrics
from scaling.workflow.stored import read_runs

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
        return judge_metrics(source, None, metrics or None)
    path = Path(source)
    if holds_sweep(path) or path.is_dir():
        table, stored = read_runs(path, **how)
        return judge_metrics(table, stored, metrics or None)
    return judge_metrics(read_table(path, metrics=metrics, **how), None, metrics or None)

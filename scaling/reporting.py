"""From a results folder to its page: the fits under every convention, the answers, the report."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from scaling._version import __version__
from scaling.durable import read_plain
from scaling.errors import NoFitError, ScalingError, ScalingWarning, UsageError
from scaling.ledger.commit import Ledger, StoredResults
from scaling.ledger.filters import Filters
from scaling.ledger.forecasts import ForecastRecord, judge_forecasts, read_forecasts
from scaling.ledger.results import RunResult
from scaling.sweep.counting import COUNT_CONVENTIONS
from scaling.workflow import (
    FitOptions,
    StoredSweep,
    backtest_table,
    fit_filtered,
    list_failures,
    list_sweep_ladder,
    read_runs,
)

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.fitting.result import Fit

_CURVE_BYTES = 16 * 2**20


def report_sweep(
    stored: StoredSweep,
    results: StoredResults,
    *,
    root: Path,
    command: str,
    keep_current: bool = False,
    family: str = "chinchilla",
    filters: Filters | None = None,
    backtest: bool = False,
) -> tuple[Path, Fit, tuple[Allocation, ...]]:
    """Fit, answer the sweep's forecast budgets and write reports/<name>/index.html.

    Args:
        stored: The sweep.
        results: Of its ledger.
        root: Where reports/ lies.
        command: What rebuilds the page.
        keep_current: Leave a page alone that shows the same.
        family: Of the law.
        filters: Which rows are fitted; None: all.
        backtest: Also score several laws by their forecasts (takes seconds).
    """
    from scaling.report.page import ReportData, write_report

    filters = filters or Filters()
    options = FitOptions(family=family)
    fits, tables = {}, {}
    for count in COUNT_CONVENTIONS:
        few = options if count == "matmul" else dataclasses.replace(options, count=count)
        tables[count], _ = read_runs(stored.ledger.folder, count=count)
        fits[count] = fit_filtered(
            tables[count], stored, few, filters, compare=count == options.count
        )
    found = fits[options.count]
    fit = found.fit
    scored = None
    if backtest:
        from scaling.fitting.held_out import DEFAULT_FAMILIES

        scored = backtest_table(found.table, DEFAULT_FAMILIES)
    allocations = answer_forecast(stored, fit)
    by_count = {
        count: next(iter(answer_forecast(stored, other.fit)), None) for count, other in fits.items()
    }
    data = ReportData(
        name=stored.spec.name,
        sweep_yaml=stored.text,
        command=command,
        plan=stored.plan,
        facts=stored.ledger.corpus,
        results=dict(results.results),
        failures=list_failures(stored, results),
        damaged=tuple(f"{damage.path}: {damage.what}" for damage in results.damaged),
        curves={
            run_id: _read_curve(stored.ledger, result) for run_id, result in results.results.items()
        },
        fit=fit,
        allocations=allocations,
        allocations_by_count=by_count,
        versions=list_versions(),
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        filters=found.effects,
        left_out=tuple(sorted(set(tables[options.count].run) - set(found.table.run))),
        unfiltered=found.unfiltered,
        backtest=scored,
        forecasts=_judge_forecasts(stored, results),
    )
    folder = root / "reports" / stored.spec.name
    return write_report(data, folder, keep_current=keep_current), fit, allocations


def _judge_forecasts(stored: StoredSweep, results: StoredResults) -> ForecastRecord | None:
    found = read_forecasts(stored.ledger.folder)
    if not found.forecasts and not found.damaged:
        return None
    return judge_forecasts(found, results.results)


def answer_forecast(stored: StoredSweep, fit: Fit) -> tuple[Allocation, ...]:
    """An allocation for each forecast budget of the sweep that the fit can answer; a budget it
    refuses (no usable fit, too far from the data) is warned about."""
    from scaling.allocation import allocate

    ladder = list_sweep_ladder(stored.spec, stored.ledger.corpus)
    answers = []
    for flops in stored.spec.forecast:
        try:
            answers.append(allocate(fit, flops, ladder=ladder))
        except (NoFitError, UsageError) as error:
            warnings.warn(str(error), ScalingWarning, stacklevel=2)
    return tuple(answers)


def list_versions() -> dict[str, str]:
    """Versions of what a result rests on."""
    from importlib import metadata

    names = ("torch", "numpy", "scipy", "pandas", "matplotlib", "ray")
    return {"scaling": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in names
    }


def _read_curve(ledger: Ledger, result: RunResult) -> tuple[tuple[float, float], ...]:
    """(tokens, training loss) of each metric row."""
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/metrics.jsonl"
    try:
        lines = read_plain(ledger.folder, path, limit=_CURVE_BYTES).splitlines()
        rows = [json.loads(line) for line in lines]
        return tuple((float(r["tokens"]), float(r["loss"])) for r in rows if "loss" in r)
    except (OSError, ScalingError, ValueError, KeyError, TypeError):
        return ()  # the table of runs says that the curve is damaged

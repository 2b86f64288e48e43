"""From a table of runs to its page: the page of a sweep without the parts that need a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import NoFitError, QueryError
from scaling.tables.cells import ReadOptions
from scaling.tables.facts import describe_table
from scaling.tables.filters import Filters
from scaling.units import clean_text
from scaling.units.losses import METRIC, LossScale
from scaling.units.stages import stage
from scaling.workflow.fits import FitOptions, backtest_table, fit_filtered
from scaling.workflow.reporting import ReportForm, list_versions, name_command, name_minute
from scaling.workflow.stored import read_runs

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.fitting.fitted import Fit

# Relative to the largest budget in the data: that budget itself, and a decade beyond.
_BUDGETS = (1.0, 10.0)


@stage("writing the report")
def report_table(
    path: Path,
    how: Mapping[str, Any],
    *,
    root: Path,
    scale: LossScale,
    asked: Sequence[str] = (),
    family: str | None = None,
    filters: Filters | None = None,
    backtest: bool = False,
    form: ReportForm = "html",
) -> tuple[Path, Fit]:
    """Fit a table, answer its largest budget and ten times that, and write
    reports/<stem>/index.html or report.md.

    Args:
        path: A file, or a folder of files.
        how: How it is read, as `read_runs` takes it.
        root: Folder that contains reports/.
        scale: The unit of losses.
        asked: Words of the command line that ask for the same reading, family and filters.
        family, filters, backtest, form: As for `report_sweep`.

    Returns:
        Path of the report, and the fit.
    """
    from scaling.report.data import ReportData, TableSource
    from scaling.report.markdown import write_markdown
    from scaling.report.page import write_report
    from scaling.report.table_rows import write_csv
    from scaling.workflow.variants import compare_variants

    filters = filters or Filters()
    table, _ = read_runs(path, **how)
    options = ReadOptions(
        columns=how["columns"], states=how["states"], where=how["where"], loss_unit=scale.unit
    )
    found = fit_filtered(table, None, FitOptions(family=family), filters, compare=True)
    fit, answers = found.fit, _answer_largest(found.fit)
    name = path.name.split(".")[0] or "table"
    data = ReportData(
        name=name,
        command=name_command(str(path), asked, backtest=backtest, form=form),
        fit=fit,
        table=found.table,
        allocations=answers,
        versions=list_versions(),
        created=name_minute(),
        filters=found.effects,
        left_out=tuple(sorted(set(table.run) - set(found.table.run))),
        unfiltered=found.unfiltered,
        backtest=backtest_table(found.table) if backtest else None,
        source=str(path),
        options=tuple(asked),
        variants=compare_variants(table, None, fit, answers, filters, asked, source=str(path)),
        csv=write_csv(table, scale),
        origin=TableSource(rows=table, facts=describe_table(path, options, loss_unit=scale.unit)),
        scale=scale,
    )
    folder = root / "reports" / name
    write = write_markdown if form == "md" else write_report
    with stage("drawing the page"):
        return write(data, folder), fit


def describe_metric(
    path: Path, how: Mapping[str, Any], *, family: str | None, filters: Filters, backtest: bool
) -> tuple[str, Fit]:
    """The results for a metric of a folder or a table as Markdown (the output of the verbs in one
    file), and the fit. The arguments are those of `report_table`."""
    from scaling.allocation import allocate
    from scaling.terminal.answers import (
        format_allocation,
        format_backtest,
        format_fit,
        format_unfiltered,
    )

    table, _ = read_runs(path, **how)
    found = fit_filtered(table, None, FitOptions(family=family), filters, compare=True)
    fit = found.fit
    notes = [f"- {METRIC.reword(note)}" for note in (*fit.notes, *table.rejected)]
    parts = [f"# {path.name}", "\n".join([f"{len(found.table)} runs are fitted.", "", *notes])]
    said = []
    for budget in _list_budgets(fit):
        try:
            said.append(format_allocation(allocate(fit, budget), METRIC, said=fit.checks))
        except (NoFitError, QueryError) as error:
            said.append(f"For {budget:.3g} FLOPs: {METRIC.reword(str(error))}")
    if said and fit.frontier is not None:
        parts.append("## Answers\n\n```\n" + "\n\n".join(said) + "\n```")
    parts.append(f"## Law and checks\n\n```\n{format_fit(fit, METRIC)}\n```")
    if found.unfiltered is not None:
        parts.append(f"```\n{format_unfiltered(found.unfiltered, fit, METRIC)}\n```")
    if backtest:
        scored = format_backtest(backtest_table(found.table))
        parts.append(f"## Forecasts of held-out runs\n\n```\n{scored}\n```")
    return clean_text("\n\n".join(parts) + "\n"), fit


def _answer_largest(fit: Fit) -> tuple[Allocation, ...]:
    """Answers for the largest budget of the data and beyond, as far as the fit has them."""
    from scaling.allocation import allocate

    answers: list[Allocation] = []
    for budget in _list_budgets(fit):
        try:
            answers.append(allocate(fit, budget))
        except (NoFitError, QueryError):
            continue  # the page explains why there is no answer
    return tuple(answers)


def _list_budgets(fit: Fit) -> list[float]:
    if fit.covered is None:
        return []
    return [float(f"{times * fit.covered.flops[1]:.3g}") for times in _BUDGETS]

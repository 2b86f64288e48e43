"""From a results folder to its page: the fits under every convention, the answers, the report."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scaling._version import __version__
from scaling.errors import NoFitError, ScalingError, ScalingWarning, UsageError
from scaling.files.durable import read_plain
from scaling.ledger.forecasts import ForecastRecord, judge_forecasts
from scaling.ledger.results import RunResult
from scaling.ledger.sweep_table import render_index
from scaling.sweep.counting import COUNT_CONVENTIONS, CountConvention
from scaling.sweep.families.listed import LISTED
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.tables.filters import Filters
from scaling.units.losses import NATS, LossScale
from scaling.units.stages import stage
from scaling.workflow.abilities import judge_stored
from scaling.workflow.beyond import gather_beyond
from scaling.workflow.few_shot import say_few_shot
from scaling.workflow.fits import FitOptions, backtest_table, fit_filtered
from scaling.workflow.knowledge import say_stored
from scaling.workflow.siblings import compare_siblings, open_siblings
from scaling.workflow.stored import StoredSweep, list_failures, tabulate_sweep
from scaling.workflow.transfer import judge_siblings

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.fitting.fitted import Fit

ReportForm = Literal["html", "md"]

_CURVE_BYTES = 16 * 2**20


@stage("writing the report")
def report_sweep(
    stored: StoredSweep,
    *,
    root: Path,
    siblings: Sequence[StoredSweep] | None = None,
    asked: Sequence[str] = (),
    keep_current: bool = False,
    family: str | None = None,
    filters: Filters | None = None,
    backtest: bool = False,
    form: ReportForm = "html",
    scale: LossScale = NATS,
) -> tuple[Path, Fit, tuple[Allocation, ...]]:
    """Fit, answer the sweep's forecast budgets and write reports/<name>/index.html or report.md.

    Args:
        stored: The sweep.
        root: Folder that contains reports/.
        siblings: The sweeps of its file, if they are opened already.
        asked: Words of the command line that ask for family and filters.
        keep_current: Keep a page that shows the same.
        family: The law that answers alone; None: the ensemble answers.
        filters: Filters of the fitted rows; None: all rows.
        backtest: Also score several laws by their forecasts (takes seconds).
        form: The page, or Markdown.
        scale: The unit of losses.
    """
    from scaling.report.data import ReportData
    from scaling.report.markdown import write_markdown
    from scaling.report.page import write_report
    from scaling.workflow.variants import compare_variants

    filters = filters or Filters()
    results = stored.results.results
    options = FitOptions(family=family)
    table = tabulate_sweep(stored, count=options.count)
    found = fit_filtered(table, stored, options, filters, compare=True)
    fit = found.fit
    allocations = answer_forecast(stored, fit)
    source = str(stored.folder)
    siblings = open_siblings(stored) if siblings is None else siblings
    vocabulary, recipes = compare_siblings(siblings)
    data = ReportData(
        name=stored.spec.name,
        sweep_yaml=stored.contents.text,
        spec=stored.whole,
        command=name_command(source, asked, backtest=backtest, form=form),
        plan=stored.plan,
        facts=stored.facts,
        results=dict(results),
        failures=list_failures(stored),
        damaged=tuple(f"{damage.path}: {damage.what}" for damage in stored.results.damaged),
        curves={run_id: _read_curve(stored.folder, result) for run_id, result in results.items()},
        fit=fit,
        table=found.table,
        allocations=allocations,
        allocations_by_count=_answer_by_count(stored, options, filters, allocations),
        versions=list_versions(),
        created=name_minute(),
        filters=found.effects,
        left_out=tuple(sorted(set(table.run) - set(found.table.run))),
        unfiltered=found.unfiltered,
        backtest=backtest_table(found.table) if backtest else None,
        forecasts=_judge_forecasts(stored),
        source=source,
        options=tuple(asked),
        variants=compare_variants(table, stored, fit, allocations, filters, asked),
        csv=render_index(stored.ledger, stored.results, stored.plan.cells),
        vocabulary=vocabulary,
        recipes=recipes,
        beyond=gather_beyond(stored, siblings, say_few_shot(stored, siblings) + say_stored(stored)),
        abilities=judge_stored(stored, found.table),
        transfer=judge_siblings(siblings),
        scale=scale,
    )
    folder = root / "reports" / stored.spec.name
    if form == "md":
        return write_markdown(data, folder), fit, allocations
    with stage("drawing the page"):
        return write_report(data, folder, keep_current=keep_current), fit, allocations


def name_command(source: str, asked: Sequence[str], *, backtest: bool, form: ReportForm) -> str:
    """The command that writes a report again; `asked` are its words for family and filters."""
    words = ["scaling", "report", source, *asked, *(["--backtest"] if backtest else [])]
    return shlex.join([*words, *(["--format", form] if form != "html" else [])])


def name_minute() -> str:
    """The present minute, as a report prints it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _answer_by_count(
    stored: StoredSweep,
    options: FitOptions,
    filters: Filters,
    allocations: Sequence[Allocation],
) -> dict[CountConvention, Allocation | None]:
    """The first answer under each way of counting N; `allocations` are those of the requested one.
    The others are point fits, since the page shows no interval for them."""
    answers: dict[CountConvention, Allocation | None] = {}
    if stored.spec.family == LISTED.name:  # the file states a single count
        return answers
    for count in COUNT_CONVENTIONS:
        if count != options.count:
            few = dataclasses.replace(options, count=count, bootstrap=None)
            table = tabulate_sweep(stored, count=count)
            fit = fit_filtered(table, stored, few, filters).fit
            answers[count] = next(_answer_each(stored, fit), None)
        else:
            answers[count] = next(iter(allocations), None)
    return answers


def _judge_forecasts(stored: StoredSweep) -> ForecastRecord | None:
    found = stored.contents.forecasts
    if not found.forecasts and not found.damaged:
        return None
    return judge_forecasts(found, stored.results.results)


@stage("answering the forecast budgets")
def answer_forecast(stored: StoredSweep, fit: Fit) -> tuple[Allocation, ...]:
    """An allocation for each forecast budget of the sweep that the fit can answer; a budget it
    refuses (no usable fit, too far from the data) is warned about."""
    return tuple(_answer_each(stored, fit))


def _answer_each(stored: StoredSweep, fit: Fit) -> Iterator[Allocation]:
    from scaling.allocation import allocate

    ladder = list_sweep_ladder(stored.spec, stored.facts)
    for flops in stored.spec.forecast:
        try:
            yield allocate(fit, flops, ladder=ladder)
        except (NoFitError, UsageError) as error:
            warnings.warn(str(error), ScalingWarning, stacklevel=2)


def list_versions() -> dict[str, str]:
    """Versions of the software that a result depends on."""
    from importlib import metadata

    names = ("torch", "numpy", "scipy", "pandas", "matplotlib", "ray")
    return {"scaling": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in names
    }


def _read_curve(folder: Path, result: RunResult) -> tuple[tuple[float, float], ...]:
    """(tokens, training loss) of each metric row."""
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/metrics.jsonl"
    try:
        lines = read_plain(folder, path, limit=_CURVE_BYTES).splitlines()
        rows = [json.loads(line) for line in lines]
        return tuple((float(r["tokens"]), float(r["loss"])) for r in rows if "loss" in r)
    except (OSError, ScalingError, ValueError, KeyError, TypeError):
        return ()  # the table of runs reports the damaged curve

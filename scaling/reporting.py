"""From a results folder to its page: the fits under every convention, the answers, the report."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import platform
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scaling._version import __version__
from scaling.errors import NoFitError, QueryError, ScalingError, ScalingWarning, UsageError
from scaling.files.durable import read_plain
from scaling.ledger.commit import Ledger, StoredResults
from scaling.ledger.forecasts import ForecastRecord, judge_forecasts, read_forecasts
from scaling.ledger.results import RunResult
from scaling.ledger.sweep_table import render_index
from scaling.sweep.counting import COUNT_CONVENTIONS, CountConvention
from scaling.sweep.plan import decide_seq_len
from scaling.sweep.siblings import list_siblings
from scaling.tables.filters import Filters
from scaling.units import clean_text
from scaling.words.commands import quote_command
from scaling.workflow import (
    FilteredFit,
    FitOptions,
    StoredSweep,
    backtest_table,
    fit_filtered,
    fit_table,
    holds_sweep,
    list_failures,
    list_sweep_ladder,
    open_results,
    read_runs,
)

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.compare.exponents import RecipeComparison, Trained
    from scaling.compare.vocabularies import VocabularyComparison
    from scaling.fitting.fitted import Fit, FitStatus
    from scaling.sweep.spec import SweepSpec
    from scaling.tables.run_table import RunTable

ReportForm = Literal["html", "md"]

_CURVE_BYTES = 16 * 2**20


def report_sweep(
    stored: StoredSweep,
    results: StoredResults,
    *,
    root: Path,
    asked: Sequence[str] = (),
    keep_current: bool = False,
    family: str | None = None,
    filters: Filters | None = None,
    backtest: bool = False,
    form: ReportForm = "html",
) -> tuple[Path, Fit, tuple[Allocation, ...]]:
    """Fit, answer the sweep's forecast budgets and write reports/<name>/index.html or report.md.

    Args:
        stored: The sweep.
        results: Of its ledger.
        root: Where reports/ lies.
        asked: Words of the command line that ask for family and filters.
        keep_current: Leave a page alone that shows the same.
        family: Of the law that answers alone; None: the ensemble answers.
        filters: Which rows are fitted; None: all.
        backtest: Also score several laws by their forecasts (takes seconds).
        form: The page, or Markdown.
    """
    from scaling.report.markdown import write_markdown
    from scaling.report.page import ReportData, write_report
    from scaling.variants import compare_variants

    filters = filters or Filters()
    options = FitOptions(family=family)
    fits, table = _fit_counts(stored, options, filters)
    found = fits[options.count]
    fit = found.fit
    scored = None
    if backtest:
        from scaling.fitting.backtest import DEFAULT_FAMILIES

        scored = backtest_table(found.table, DEFAULT_FAMILIES)
    allocations = answer_forecast(stored, fit)
    by_count = {
        count: next(iter(answer_forecast(stored, other.fit)), None) for count, other in fits.items()
    }
    source = str(stored.ledger.folder)
    vocabulary, recipes = _compare_siblings(stored)
    more = [*(["--backtest"] if backtest else []), *(["--format", form] if form != "html" else [])]
    data = ReportData(
        name=stored.spec.name,
        sweep_yaml=stored.text,
        command=quote_command(["scaling", "report", source, *asked, *more]),
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
        left_out=tuple(sorted(set(table.run) - set(found.table.run))),
        unfiltered=found.unfiltered,
        backtest=scored,
        forecasts=_judge_forecasts(stored, results),
        source=source,
        options=tuple(asked),
        variants=compare_variants(table, stored, fit, allocations, filters, asked),
        csv=render_index(stored.ledger, results, stored.plan.cells),
        vocabulary=vocabulary,
        recipes=recipes,
    )
    folder = root / "reports" / stored.spec.name
    if form == "md":
        return write_markdown(data, folder), fit, allocations
    return write_report(data, folder, keep_current=keep_current), fit, allocations


def _fit_counts(
    stored: StoredSweep, options: FitOptions, filters: Filters
) -> tuple[dict[CountConvention, FilteredFit], RunTable]:
    """The fit under each way of counting N, and every row under the one that is asked for."""
    fits, tables = {}, {}
    for count in COUNT_CONVENTIONS:
        few = dataclasses.replace(options, count=count)
        tables[count], _ = read_runs(stored.ledger.folder, count=count)
        asked = count == options.count
        fits[count] = fit_filtered(tables[count], stored, few, filters, compare=asked)
    return fits, tables[options.count]


def _judge_forecasts(stored: StoredSweep, results: StoredResults) -> ForecastRecord | None:
    found = read_forecasts(stored.ledger.folder)
    if not found.forecasts and not found.damaged:
        return None
    return judge_forecasts(found, results.results)


def describe_table_fit(
    path: Path,
    how: Mapping[str, Any],
    *,
    family: str,
    filters: Filters,
    backtest: bool,
) -> tuple[str, FitStatus]:
    """What a table of runs says, as Markdown, and the status of its fit: what the verbs print, in
    one file. What needs training logs, shapes or a sweep file is not there.

    Args:
        path: The table.
        how: How it is read, as `read_runs` takes it.
        family: Of the law.
        filters: Which rows are fitted.
        backtest: Also score several laws by their forecasts (seconds).
    """
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
    notes = [f"- {note}" for note in (*fit.notes, *table.rejected)]
    parts = [f"# {path.name}", "\n".join([f"{len(found.table)} runs are fitted.", "", *notes])]
    if fit.covered is not None and fit.frontier is not None:
        top = fit.covered.flops[1]
        said = []
        for budget in (top, 10 * top):
            try:
                said.append(format_allocation(allocate(fit, budget), said=fit.checks))
            except (NoFitError, QueryError) as error:
                said.append(f"For {budget:.3g} FLOPs: {error}")
        parts.append("## Answers\n\n```\n" + "\n\n".join(said) + "\n```")
    parts.append(f"## Law and checks\n\n```\n{format_fit(fit)}\n```")
    if found.unfiltered is not None:
        parts.append(f"```\n{format_unfiltered(found.unfiltered, fit)}\n```")
    if backtest:
        from scaling.fitting.backtest import DEFAULT_FAMILIES

        scored = backtest_table(found.table, DEFAULT_FAMILIES)
        parts.append(f"## Forecasts of held-out runs\n\n```\n{format_backtest(scored)}\n```")
    return clean_text("\n\n".join(parts) + "\n"), fit.status


def list_sibling_folders(spec: SweepSpec, results: Path) -> list[Path]:
    """Results folders of the sweeps that a file makes, as far as they are there.

    Args:
        spec: The sweep as its file has it.
        results: Folder of all results.
    """
    names = [one.name for one in list_siblings(spec)]
    return [results / name for name in names if holds_sweep(results / name)]


def compare_tokenizers(
    folders: Sequence[Path], *, budgets: Sequence[float] = ()
) -> VocabularyComparison:
    """Compare the tokenizers of several results folders, by the default fit of each.

    Args:
        folders: Of sweeps that differ in the tokenizer alone.
        budgets: C [FLOPs]; none: those that the sweeps declare.

    Raises:
        UsageError: They cannot be compared, or there is no budget.
    """
    from scaling.compare.vocabularies import Candidate, compare_vocabularies

    candidates = []
    declared: set[float] = set()
    for folder in folders:
        table, stored = read_runs(folder)
        if stored is None:
            raise UsageError(f"{folder} is no results folder; tokenizers are those of sweeps.")
        lowest = _find_lowest(table)
        declared |= lowest.keys()
        facts = stored.ledger.corpus
        candidates.append(
            Candidate(
                facts=facts,
                seq_len=decide_seq_len(stored.spec, facts),
                fit=fit_table(table, stored, FitOptions(family="chinchilla")),
                lowest=lowest,
            )
        )
    if not budgets and not declared:
        raise UsageError("these sweeps declare no budgets. Say --flops.")
    return compare_vocabularies(candidates, budgets=tuple(budgets) or tuple(declared))


def compare_recipes(folders: Sequence[Path]) -> RecipeComparison:
    """Compare the recipes of several results folders by the exponents of their frontiers.

    Args:
        folders: Of sweeps that differ in the recipe alone; those of one file are taken in its
            order, others as they come.

    Raises:
        UsageError: They cannot be compared.
    """
    from scaling.compare.exponents import compare_exponents

    sweeps = [open_results(folder) for folder in folders]
    if len({_name_cells(stored) for stored in sweeps}) > 1:
        raise UsageError(
            "these sweeps differ in more than the recipe: their exponents would say nothing of it. "
            "Name folders with one corpus, model, grid and seeds."
        )
    whole = [_read_whole(stored) for stored in sweeps]
    order = {one.name: at for at, one in enumerate(list_siblings(whole[0]))}
    pairs = list(zip(sweeps, whole, strict=True))
    if all(stored.spec.name in order for stored in sweeps):
        pairs.sort(key=lambda pair: order[pair[0].spec.name])
    return compare_exponents([_describe_recipe(stored, file) for stored, file in pairs])


def _describe_recipe(stored: StoredSweep, whole: SweepSpec) -> Trained:
    from scaling.compare.exponents import Trained
    from scaling.compare.recounting import count_both_ways

    folder = stored.ledger.folder
    table, _ = read_runs(folder)
    headless, _ = read_runs(folder, count="non_embedding", head_flops=False)
    # Rows of one budget do not cost the same without the head: there are no curves to fit.
    plain = FitOptions(family="chinchilla")
    law_only = dataclasses.replace(plain, approach="parametric", count="non_embedding")
    sets = stored.spec.recipe.model_dump(exclude_none=True)
    return Trained(
        recipe=stored.spec.name.removeprefix(f"{whole.name}-"),
        sets=sets,
        fit=fit_table(table, stored, plain),
        headless=fit_table(headless, stored, law_only),
        counted=count_both_ways(table, headless, draws=plain.bootstrap or 0, seed=plain.seed),
        lowest=_find_lowest(table),
    )


def _name_cells(stored: StoredSweep) -> str:
    """The same for sweeps that differ in nothing but the recipe, and what does not train."""
    spec = stored.spec
    kept = spec.model_dump(include={"model", "grid", "extra_cells", "schedule", "seeds"})
    return json.dumps([stored.ledger.corpus.digest, kept], sort_keys=True)


def _find_lowest(table: RunTable) -> dict[float, float]:
    """Declared budget [FLOPs] -> lowest loss of its runs [nats/token]."""
    lowest: dict[float, float] = {}
    if table.budget is not None:
        for budget, loss in zip(table.budget.tolist(), table.loss.tolist(), strict=True):
            if math.isfinite(budget):  # an extra cell has none
                lowest[budget] = min(loss, lowest.get(budget, loss))
    return lowest


def _read_whole(stored: StoredSweep) -> SweepSpec:
    """The sweep file that the folder's sweep is one of."""
    from scaling.sweep.spec import parse_sweep

    return parse_sweep(stored.text.encode(), source="sweep.yaml")


def _compare_siblings(
    stored: StoredSweep,
) -> tuple[VocabularyComparison | None, RecipeComparison | None]:
    """The comparison a page shows; None where there is nothing to compare yet."""
    whole = _read_whole(stored)
    folders = list_sibling_folders(whole, stored.ledger.folder.parent)
    if len(folders) < 2:
        return None, None
    try:
        if whole.recipes:
            return None, compare_recipes(folders)
        return compare_tokenizers(folders), None
    except UsageError:
        return None, None


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

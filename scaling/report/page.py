"""The report: one self-contained HTML file, with the answer first.

The page uses no address outside the file and only scripts known by their digests (those of this
folder, and plotly, vendored): its content security policy forbids all else. What scripts add only
supplements the static content. Text from outside (names, reasons, the sweep file) is escaped by the
template engine and stripped of control characters; scripts get only numbers and run ids. A missing
value prints as a dash. Equal ReportData give equal bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scaling.files.durable import make_folder, write_durably
from scaling.fitting.fitted import Fit
from scaling.laws.registry import find_family
from scaling.report.answers import (
    compare_conventions,
    describe_answer,
    describe_count,
    describe_law_unit,
    group_checks,
    list_failed,
)
from scaling.report.beyond import (
    FAMILY_HEADINGS,
    PROBE_HEADINGS,
    describe_lost,
    list_family_rows,
    list_probe_rows,
)
from scaling.report.calculator import describe_calculator, list_answers
from scaling.report.checklist import fill_checklist
from scaling.report.choices import (
    compare_unfiltered,
    describe_backtest,
    describe_windows,
    list_backtest,
    list_filters,
    list_frontiers,
    list_members,
)
from scaling.report.citation import cite_report
from scaling.report.counts import count_runs
from scaling.report.data import ReportData
from scaling.report.embedding import (
    embed_csv,
    embed_json,
    embed_script,
    make_printable,
    write_variables,
)
from scaling.report.measured import collect_runs, evaluate_frontier
from scaling.report.rows import (
    RUN_HEADINGS,
    describe_noise,
    list_backcast,
    list_coefficients,
    list_minima,
    list_numerics,
    list_recipe,
    list_rejected,
    list_runs,
    list_versions,
)
from scaling.report.sensitivity import describe_spread, list_variants
from scaling.report.sources import (
    describe_corpus,
    describe_coverage,
    describe_floor,
    list_vocabularies,
)
from scaling.report.table_rows import MOST_ROWS, list_columns, list_headings, list_table_runs
from scaling.units import format_count, format_flops
from scaling.units.losses import LossScale
from scaling.words.checks import name_entry
from scaling.words.forecasts import describe_score, list_checked, list_forecast_rows
from scaling.words.letters import write_formula
from scaling.words.plain import FORECAST_HEADINGS, format_share
from scaling.words.recipes import list_recipes, say_step
from scaling.words.statuses import STATUSES

_HEAD_CHARACTERS = 2000

_QUESTION = re.compile(r"\A\s*#\s*Question:\s*(.+)")


def write_report(data: ReportData, folder: Path, *, keep_current: bool = False) -> Path:
    """Write folder/index.html, replacing it whole or not at all.

    Args:
        data: The data of the page.
        folder: Folder of the page.
        keep_current: Keep a page that this version wrote from the same data.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    path = folder / "index.html"
    if keep_current and _is_current(path, data):
        return path
    content = render_page(data).encode("utf-8")
    make_folder(folder)
    write_durably(path, content)
    return path


def _is_current(path: Path, data: ReportData) -> bool:
    try:
        with path.open(encoding="utf-8") as page:
            return _digest(data) in page.read(_HEAD_CHARACTERS)
    except (OSError, UnicodeDecodeError):
        return False


def _digest(data: ReportData) -> str:
    """SHA-256 of all that a page shows, except the time of writing."""
    return hashlib.sha256(repr(dataclasses.replace(data, created="")).encode()).hexdigest()


def render_page(data: ReportData) -> str:
    """The page as text."""
    digest, data = _digest(data), data.reword()
    environment = Environment(
        loader=PackageLoader("scaling.report", "."),
        autoescape=True,
        finalize=make_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("template.html").render(
        data=data,
        digest=digest,
        fit=data.fit,
        unit=data.scale.label,
        scripts=[embed_script(f"{name}.js") for name in ("solver", "calculator", "page")],
        plotly_script=embed_script("vendor/plotly-basic.min.js"),
        share=format_share,
        count=format_count,
        flops=format_flops,
        **_gather_answers(data),
        **_gather_figures(data),
        **_gather_law(data),
        **_gather_runs(data),
        **_gather_beyond(data),
        **_gather_rest(data),
    )


def _gather_answers(data: ReportData) -> dict[str, Any]:
    """Gather the question, its answers, how to ask again, and the answers under other choices."""
    fit = data.fit
    status = STATUSES[fit.status]
    asking = shlex.join((data.source, *data.options))
    command = f"scaling allocate {asking}"
    calculator = describe_calculator(fit, data.allocations, command, data.scale)
    return {
        "tone": status.tone,
        "status": status.page,
        "question": _find_question(data.sweep_yaml),
        "answers": [describe_answer(one, fit, data.facts, data.scale) for one in data.allocations],
        "checked": [] if data.forecasts is None else list_checked(data.forecasts, data.scale),
        "weaknesses": list_failed(fit.checks),
        "explained": any(c.passed is False and c.seen in fit.reason for c in fit.checks),
        "table_of_answers": list_answers(fit, data.allocations, data.scale),
        "calculator": calculator and embed_json(calculator),
        "ask_fit": f"scaling fit {asking}",
        "ask_predict": f"scaling predict {asking} {_name_point(fit)}",
        "ask_allocate": command,
        "variants": list_variants(data.variants, data.scale),
        "spread": describe_spread(data.variants, data.allocations[0]) if data.allocations else "",
        "conventions": compare_conventions(
            data.allocations_by_count, fit.convention or "matmul", data.facts, data.scale
        ),
        "counting": "as its trainer counts it"
        if data.is_listed
        else describe_count(fit, data.origin is not None),
        "checks": group_checks(fit, data.allocations),
        "name_entry": name_entry,
    }


def _gather_figures(data: ReportData) -> dict[str, Any]:
    """Gather pictures, their interactive forms, their colours, and the tables beside them."""
    # Imported here, so that importing the report's types does not load matplotlib.
    from scaling.report.abilities import show_abilities
    from scaling.report.canvas import list_variables
    from scaling.report.gallery import draw_pictures
    from scaling.report.interactive import list_live_figures
    from scaling.report.landscape import trace_surface
    from scaling.report.legend import make_legend
    from scaling.report.transfer import show_transfer

    fit = data.fit
    runs = collect_runs(data.table, data.plan, data.scale)
    outcomes = () if data.forecasts is None else data.forecasts.outcomes
    asked = [one.flops for one in data.allocations]
    asked += [one.registered.forecast.run.flops for one in outcomes]
    furthest = max(asked, default=0.0)
    lines = evaluate_frontier(runs, fit, furthest=furthest) if len(runs) else None
    surface = trace_surface(runs, fit, lines)
    drawn = _list_planned(data).difference(data.left_out)
    pictures = draw_pictures(
        runs,
        fit,
        data.allocations,
        {run_id: points for run_id, points in data.curves.items() if run_id in drawn},
        _list_diverged(data),
        lines=lines,
        surface=surface,
        outcomes=outcomes,
    )
    return {
        "pictures": pictures,
        "abilities": show_abilities(data.abilities),
        "transfer": show_transfer(data.transfer, data.scale),
        "legend": make_legend(runs),
        "live": embed_json(list_live_figures(runs, data.results, surface)),
        "minima": list_minima(runs),
        "backcast": list_backcast(runs, fit),
        "light": write_variables(list_variables(dark=False)),
        "dark": write_variables(list_variables(dark=True)),
    }


def _write_equation(fit: Fit, scale: LossScale) -> Markup | str:
    """The law's formula; empty without one, and for an ensemble, whose members have theirs."""
    if fit.law is None or fit.members:
        return ""
    equation = find_family(fit.law.rewrite(fit.law.find_scale(scale)).family).equation
    return Markup(f"L(N, D) = {write_formula(equation)}")  # escaped by write_formula


def _gather_law(data: ReportData) -> dict[str, Any]:
    """Gather the law, what was fitted, and other laws beside it."""
    fit = data.fit
    said = {str(effect) for effect in data.filters}  # already in words elsewhere on the page
    backtest_heads, backtest_rows = list_backtest(data.backtest)
    return {
        "equation": _write_equation(fit, data.scale),
        "coefficients": list_coefficients(fit, data.scale),
        "law_unit": describe_law_unit(fit, data.scale),
        "noise": describe_noise(fit),
        "covered": describe_coverage(fit, data.scale),
        "notes": [note for note in fit.notes if note not in said],
        "filters": list_filters(data.filters),
        "unfiltered": compare_unfiltered(fit, data.unfiltered),
        "members": list_members(fit),
        "windows": describe_windows(fit),
        "frontiers": list_frontiers(fit),
        "backtest_heads": backtest_heads,
        "backtest": backtest_rows,
        "backtest_words": describe_backtest(data.backtest),
        "floor": []
        if data.facts is None
        else [data.scale.reword(one) for one in describe_floor(fit, data.facts)],
    }


def _gather_runs(data: ReportData) -> dict[str, Any]:
    """Gather every run and the state of the plan; for a table its rows."""
    counts = count_runs(data)
    if data.origin is not None:
        rows = data.origin.rows
        return {
            "headings": list_headings(rows),
            "runs": list_table_runs(data.origin.rows, data.table, data.scale),
            "more_rows": max(0, len(rows) - MOST_ROWS),
            "columns": list_columns(data.origin.facts),
            "versions": list_versions({}, data.versions),
            "counts": counts,
            "finished": counts.finished,
            "diverged": [],
            "rejected": [],
            "recipe": [],
            "numerics": [],
        }
    plan = data.get_plan()
    planned = _list_planned(data)
    counted = data.fit.convention or "matmul"
    return {
        "headings": RUN_HEADINGS,
        "runs": list_runs(plan, data.results, data.failures, counted, data.left_out, data.scale),
        "more_rows": 0,
        "columns": [],
        "rejected": list_rejected(plan),
        "recipe": list_recipe(plan),
        "numerics": list_numerics(data.results),
        "versions": list_versions(data.results, data.versions),
        "counts": counts,
        "finished": counts.finished,
        "diverged": [run_id for run_id in _list_diverged(data) if run_id in planned],
    }


def _gather_beyond(data: ReportData) -> dict[str, Any]:
    """Gather the quantities measured beside the loss, and the comparison of families."""
    beyond = data.beyond
    if beyond is None:
        return {"beyond": None}
    from scaling.report.beyond_figures import show_beyond

    return {
        "beyond": show_beyond(beyond, data.scale),
        "family_headings": FAMILY_HEADINGS,
        "families": list_family_rows(beyond.compared, data.scale),
        "not_compared": data.scale.reword(beyond.refused),
        "probe_headings": PROBE_HEADINGS,
        "probes": list_probe_rows(beyond),
        "lost": describe_lost(beyond),
        "beyond_said": beyond.said,
    }


def _gather_rest(data: ReportData) -> dict[str, Any]:
    """Gather forecasts, checklist, corpus, and downloads."""
    return {
        "forecast_headings": FORECAST_HEADINGS,
        "forecasts": []
        if data.forecasts is None
        else list_forecast_rows(data.forecasts, data.scale),
        "score": "" if data.forecasts is None else describe_score(data.forecasts),
        "checklist": fill_checklist(data),
        "corpus": []
        if data.facts is None
        else [(term, data.scale.reword(text)) for term, text in describe_corpus(data.facts)],
        "vocabulary": list_vocabularies(data.vocabulary),
        "recipes": list_recipes(data.recipes),
        "recipe_steps": [] if data.recipes is None else list(map(say_step, data.recipes.steps)),
        "csv_link": embed_csv(data.csv),
        "csv_rows": max(0, data.csv.count("\n") - 1),
        "bibtex": cite_report(data),
    }


def _list_planned(data: ReportData) -> set[str]:
    return set() if data.plan is None else {cell.run.run_id for cell in data.plan.cells}


def _list_diverged(data: ReportData) -> list[str]:
    return sorted(run_id for run_id, one in data.results.items() if one.status == "diverged")


def _name_point(fit: Fit) -> str:
    """The middle of the data, as options of `predict`."""
    if fit.covered is None:
        return "--params 1e4 --tokens 1e6"
    middle = (math.sqrt(low * high) for low, high in (fit.covered.params, fit.covered.tokens))
    params, tokens = (format_flops(value) for value in middle)
    return f"--params {params} --tokens {tokens}"


def _find_question(sweep_yaml: str) -> str:
    """The question a sweep file states in its first line; empty if it does not."""
    found = _QUESTION.match(sweep_yaml)
    words = found[1].strip() if found else ""
    return words[:1].upper() + words[1:]

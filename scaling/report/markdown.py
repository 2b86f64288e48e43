"""The report as Markdown: answers, checks, law, other choices, checklist and runs; no figures.

It is meant for terminals, issues and pull requests. Text from outside is escaped for both Markdown
and HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.files.durable import make_folder, write_durably
from scaling.fitting.fitted import Check
from scaling.report.answers import describe_answer, describe_law_unit, list_failed
from scaling.report.beyond import list_accounts
from scaling.report.calculator import list_answers
from scaling.report.checklist import fill_checklist
from scaling.report.choices import describe_backtest, list_backtest
from scaling.report.citation import cite_report
from scaling.report.rows import RUN_HEADINGS, list_coefficients, list_runs
from scaling.report.sensitivity import describe_spread, list_variants
from scaling.report.table_rows import COLUMNS, list_columns, list_headings, list_table_runs
from scaling.words.checks import name_check, name_entry
from scaling.words.forecasts import describe_score, list_forecast_rows
from scaling.words.plain import FORECAST_HEADINGS, format_share, replace_unprintable
from scaling.words.statuses import STATUSES
from scaling.words.transfer import CELL_COLUMNS, list_cells, list_sentences, say_verdict

if TYPE_CHECKING:
    from scaling.report.beyond import Beyond
    from scaling.report.data import ReportData

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def write_markdown(data: ReportData, folder: Path) -> Path:
    """Write folder/report.md, replacing it whole or not at all.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    path = folder / "report.md"
    make_folder(folder)
    write_durably(path, render_markdown(data).encode("utf-8"))
    return path


def render_markdown(data: ReportData) -> str:
    """The report as Markdown text."""
    data = data.reword()
    fit, scale = data.fit, data.scale
    lines = [f"# Scaling report: {_plain(data.name)}", "", _plain(data.created), ""]
    lines += ["## The answer", ""]
    for told in (describe_answer(one, fit, data.facts, scale) for one in data.allocations):
        if told.measured is not None:
            loss, params, tokens, which = told.measured
            lines += [
                f"Measured: at **{told.flops} FLOPs** {which} reached **{loss} {scale.label}** "
                f"({params} parameters on {tokens} tokens). The forecast beside it:",
                "",
            ]
        lines += [
            f"For **{told.flops} FLOPs**, train about **{told.params} parameters** on "
            f"**{told.tokens} tokens**.",
            "",
        ]
        if told.params_interval:
            lines += [
                f"{format_share(told.level)} interval: parameters {told.params_interval}, tokens "
                f"{told.tokens_interval}. This answer is {told.marker.text}.",
                "",
            ]
        lines += [f"- {term}: {_plain(text)}" for term, text in told.facts] + [""]
        lines += [_bullet(name, check) for name, check in told.failed]
    if not data.allocations:
        lines += [f"No answer. {_plain(fit.reason)}", ""]
    lines += [STATUSES[fit.status].page, ""]
    lines += [_bullet(name, check) for name, check in list_failed(fit.checks)] + [""]
    lines += [f"- Damaged, and left out: {_plain(sentence)}" for sentence in data.damaged]
    table = [(*row, far.text) for row, far in list_answers(fit, data.allocations, scale)]
    if table:
        lines += [
            "## Other budgets",
            "",
            *_table(["C", "N*", "D*", "D*/N*", "loss", "distance"], table),
        ]
    lines += ["## The law", ""]
    if unit := describe_law_unit(fit, scale):
        lines += [f"In {unit}.", ""]
    headings = ["parameter", "estimate", f"{format_share(fit.level)} interval"]
    lines += _table(headings, list_coefficients(fit, scale))
    groups = list_variants(data.variants, scale)
    if groups and data.allocations:
        lines += ["## The same question under other choices", ""]
        lines += [_plain(describe_spread(data.variants, data.allocations[0])), ""]
        for heading, rows in groups:
            names = [heading, "runs", "N*", "D*", "D*/N*", "loss", "command"]
            lines += _table(names, rows)
    lines += _list_beyond(data.beyond)
    for one in data.transfer:
        lines += [f"## Transfer: {_plain(one.names[1])}", "", _plain(say_verdict(one)), ""]
        lines += _table(CELL_COLUMNS, list_cells(one))
        lines += [f"- {_plain(sentence)}" for sentence in list_sentences(one)] + [""]
    if data.forecasts is not None:
        lines += ["## Pre-registered forecasts and outcomes", ""]
        lines += [_plain(describe_score(data.forecasts)), ""]
        lines += _table(FORECAST_HEADINGS, list_forecast_rows(data.forecasts, scale))
    headings, scored = list_backtest(data.backtest)
    if scored:
        lines += ["## How well each law forecasts held-out runs", ""]
        lines += [_plain(describe_backtest(data.backtest)), "", *_table(headings, scored)]
    lines += ["## Every check", ""]
    marks = {True: "passed", False: "**failed**", None: "not judged"}
    lines += [
        f"- {marks[check.passed]}: {_plain(name_check(check))} {_plain(check.seen)}"
        + (f" What to do: {name_entry(check)}" if check.passed is False else "")
        for check in fit.checks
    ] + [""]
    lines += ["## Checklist (Li et al. 2025, arXiv:2502.18969)", ""]
    for group in fill_checklist(data):
        lines += [f"### {group.heading}", ""]
        lines += [f"- {question} {_plain(answer)}" for question, answer in group.rows] + [""]
    lines += _list_source(data)
    lines += ["## Rebuild and cite", "", *_fence(data.command)]
    lines += _fence(cite_report(data), "bibtex")
    if data.origin is None:
        lines += ["The sweep file:", "", *_fence(data.sweep_yaml, "yaml")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _list_beyond(beyond: Beyond | None) -> list[str]:
    """Every probe beside the loss: law, forecast and outcome, control, commands."""
    accounts = [] if beyond is None else list_accounts(beyond)
    if beyond is None or not accounts:
        return []
    lines = ["## Beyond the loss", ""]
    lines += [f"- {_plain(sentence)}" for sentence in beyond.said] + [""]
    for one in accounts:
        lines += [f"### {_plain(one.name)}", ""]
        lines += [f"- Law: {_plain(said)}" for said in one.laws]
        lines += [f"- Forecast and outcome: {_plain(said)}" for said in one.forecasts]
        lines += [f"- Control: {_plain(one.control)}", ""]
        lines += _fence("\n".join(one.commands))
    return lines


def _list_source(data: ReportData) -> list[str]:
    """How a table was understood, and every run."""
    lines: list[str] = []
    if data.origin is None:
        headings: Sequence[tuple[str, str]] = RUN_HEADINGS
        count = data.fit.convention or "matmul"
        runs = list_runs(
            data.get_plan(), data.results, data.failures, count, data.left_out, data.scale
        )
    else:
        headings = list_headings(data.origin.rows)
        runs = list_table_runs(data.origin.rows, data.table, data.scale)
        lines += [
            "## What was understood of the table",
            "",
            *_table(COLUMNS, list_columns(data.origin.facts)),
        ]
        lines += [f"- {_plain(note)}" for note in (*data.fit.notes, *data.damaged)] + [""]
    lines += [f"## Every run (loss in {data.scale.label})", ""]
    lines += _table(
        ["run", "status", *(name for name, _ in headings)],
        [(row.run_id, row.status, *row.cells) for row in runs],
    )
    return lines


def _bullet(name: str, check: Check) -> str:
    return f"- **{_plain(name)}** {_plain(check.seen)} {_plain(check.advice)}".rstrip()


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(_plain(one) for one in headings) + " |"]
    lines.append("|" + "---|" * len(headings))
    lines += ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _fence(text: str, language: str = "") -> list[str]:
    """A fenced block that its text cannot end, since the fence is longer than any in the text."""
    body = replace_unprintable(text).rstrip("\n")
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + language, body, fence, ""]


def _plain(text: str) -> str:
    """Escape text so that it appears as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(replace_unprintable(text).split()))

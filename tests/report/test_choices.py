"""Claims about the page's text on filters, ensembles and backtests."""

import dataclasses
import html
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from commands import CODE, tell
from simulated import make_result, standard_data
from test_page import cut_scripts, read_text

from scaling.fitting.backtest import Backtest, FamilyScore, HeldOut
from scaling.fitting.every_approach import fit_runs
from scaling.report.choices import list_members
from scaling.report.data import ReportData
from scaling.report.page import render_page
from scaling.tables.filters import FilterEffect
from scaling.tables.run_table import make_table, select_rows
from scaling.units import format_count

EFFECT = FilterEffect(name="flops_range", rule="C >= 5e+10", left_out=6, seen=29)


@cache
def filtered_data() -> ReportData:
    """The standard sweep without its lowest budget, as a filter leaves it."""
    data = standard_data()
    low = tuple(
        cell.run.run_id
        for cell in data.plan.cells
        if cell.budget is not None and cell.budget < 5e10
    )
    note = str(EFFECT)
    fit = dataclasses.replace(data.fit, n=data.fit.n - len(low), notes=(note,))
    kept = np.flatnonzero([name not in low for name in data.table.run])
    return dataclasses.replace(
        data,
        fit=fit,
        table=select_rows(data.table, kept),
        filters=(EFFECT,),
        left_out=low,
        unfiltered=data.fit,
    )


@cache
def mixed_data() -> ReportData:
    """The standard runs fitted by the ensemble, under its former name."""
    data = standard_data()
    rows = [make_result(cell.run) for cell in data.plan.cells]
    table = make_table(
        [one.run.shape.d_model**2 * 1e2 for one in rows],
        [one.tokens for one in rows],
        loss=[one.loss or np.nan for one in rows],
        flops=np.array([one.flops for one in rows], dtype=float),
    )
    fit = fit_runs(table, family="mixture", bootstrap=None)
    fit = dataclasses.replace(fit, convention="matmul", cost=data.fit.cost)
    return dataclasses.replace(data, fit=fit)


def backtest(chosen: str | None = "tied") -> Backtest:
    forecast = HeldOut(axis="C", fitted_up_to=0.4, fitted=12, held=5, error=0.0312, bias=0.01)
    unknown = dataclasses.replace(forecast, fitted_up_to=0.55, error=None)
    scores = tuple(
        FamilyScore(family=name, letters=letters, forecasts=(forecast, unknown), score=0.0312)
        for name, letters in (("chinchilla", 5), ("tied", 4))
    )
    return Backtest(scores=scores, chosen=chosen)


def test_a_filter_is_stated_in_plain_words_beside_the_answer() -> None:
    text = read_text(render_page(filtered_data()))
    answer, rest = text.split("Runs that declared rules left out", 1)
    assert f"This rests on {filtered_data().fit.n} runs: declared rules left out 6 others" in answer
    assert "Only budgets in a declared range C ≥ 5e10 6 of 29 runs" in rest
    assert str(EFFECT) not in text  # stated once, in words


def test_a_filter_shows_the_fit_of_all_runs_beside_its_own() -> None:
    data = filtered_data()
    text = read_text(render_page(data))
    assert data.unfiltered is not None
    assert f"Runs fitted {data.fit.n} {data.unfiltered.n}" in text
    frontier = data.unfiltered.frontier
    assert frontier is not None
    best = format_count(frontier.k_n * frontier.range[1] ** frontier.a)
    assert re.search(rf"N\* at [\d.e]+ FLOPs \S+ {re.escape(best)}", text)


def test_runs_that_a_filter_left_out_are_listed_and_not_drawn() -> None:
    page = render_page(filtered_data())
    assert page.count(", not fitted") == len(filtered_data().left_out)
    assert page.count("left out by a filter") == len(filtered_data().left_out)
    whole = render_page(standard_data())
    assert "IsoFLOP" in whole
    minima = [len(re.findall("inside the sizes tried|;", _section(one, "isoflop"))) for one in
              (whole, page)]  # fmt: skip
    assert minima[0] > minima[1]


def test_members_of_the_ensemble_are_listed_with_weight_and_error() -> None:
    fit = mixed_data().fit
    rows = list_members(fit)
    assert len(rows) == 8
    text = read_text(render_page(mixed_data()))
    assert "an ensemble: the mean of the forecasts of ln L by 8 laws" in text
    assert "the most expensive 20 % from the cheapest 50 %" in text
    for law, runs, weight, missed in rows:
        assert " ".join(f"{law} {runs} {weight} {missed}".split()) in text
    shares = [float(row[2].split("\u00a0")[0]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=3)  # each is rounded to two digits
    assert "chinchilla.alpha" not in text
    assert "E is an effective offset" not in text


def test_a_backtest_is_a_table_with_the_law_to_forecast_with() -> None:
    text = read_text(render_page(dataclasses.replace(standard_data(), backtest=backtest())))
    assert "chinchilla 5 3.1 % 3.1 % –" in text
    assert "tied (chosen) 4" in text
    assert "tied has the fewest parameters" in text
    none = dataclasses.replace(standard_data(), backtest=backtest(None))
    assert "No law could be scored" in read_text(render_page(none))


def test_an_envelope_stands_beside_the_other_approaches() -> None:
    data = standard_data()
    other = dataclasses.replace(data.fit.approaches["isoflop"], approach="envelope")
    fit = dataclasses.replace(data.fit, approaches={**data.fit.approaches, "envelope": other})
    text = read_text(_section(render_page(dataclasses.replace(data, fit=fit)), "frontier"))
    assert "the envelope of training curves (Approach 1)" in text
    assert "one law through every run (Approach 3)" in text


def test_a_page_without_choices_does_not_mention_them() -> None:
    page = render_page(standard_data())
    for word in ("declared rules", "mixture", "envelope", "not fitted"):
        assert word not in read_text(page)
    for name in ("filters", "backtest"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page


def test_links_within_a_page_lead_somewhere() -> None:
    full = dataclasses.replace(filtered_data(), backtest=backtest())
    for data in (standard_data(), full):
        page = render_page(data)
        targets = set(re.findall(r'href="#([a-z-]+)"', page))
        assert targets <= set(re.findall(r'id="([a-z-]+)"', page))


def test_hostile_names_are_escaped() -> None:
    effect = dataclasses.replace(EFFECT, name="<b>x", rule="<script>alert(1)</script>")
    page = render_page(dataclasses.replace(filtered_data(), filters=(effect,)))
    assert "<script>" not in cut_scripts(page)
    assert html.escape("<b>x") in page


def test_report_states_what_was_asked_and_how_to_rebuild_it(tmp_path: Path) -> None:
    tell("report", CODE, "--root", tmp_path, "--flops-range", "3e10:", "--backtest")
    page = (tmp_path / "reports" / "code" / "index.html").read_text()
    text = read_text(page)
    assert "C ≥ 3e10 8 of 42 runs" in text
    assert "How well each law forecasts held-out runs" in text
    rebuild = read_text(_section(page, "sweep"))
    assert "--flops-range 3e10: --backtest" in rebuild
    assert "chinchilla" not in rebuild  # the default is not spelled out


def _section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, flags=re.S)
    assert found is not None
    return found[0]

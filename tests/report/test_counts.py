"""The page states one number of runs everywhere, has one legend, and draws smooth frontiers."""

import dataclasses
import html
import re
from functools import cache

import numpy as np
import pytest
from simulated import standard_data, with_results

from scaling.laws.frontier import find_frontier
from scaling.laws.registry import read_law
from scaling.report.counts import count_runs
from scaling.report.data import ReportData
from scaling.report.legend import make_legend
from scaling.report.measured import collect_runs, evaluate_frontier
from scaling.report.page import render_page


@cache
def partial_data() -> ReportData:
    """The standard runs with one of each kind that is not fitted."""
    data = standard_data()
    names = [cell.run.run_id for cell in data.plan.cells]
    results = dict(data.results)
    del results[names[0]], results[names[1]]
    results[names[2]] = dataclasses.replace(results[names[2]], status="diverged", loss=None)
    earlier = dataclasses.replace(results[names[3]].run, seed=77)
    results[earlier.run_id] = dataclasses.replace(results[names[3]], run=earlier)
    checked = dataclasses.replace(data.plan.cells[4], role="validation")
    cells = (*data.plan.cells[:4], checked, *data.plan.cells[5:])
    plan = dataclasses.replace(data.plan, cells=cells)
    kept = {name: one for name, one in results.items() if name not in (names[4], names[5])}
    data = with_results(dataclasses.replace(data, plan=plan), kept)
    return dataclasses.replace(
        data,
        results=results,
        failures={names[0]: "out of memory"},
        left_out=(names[5],),
        fit=dataclasses.replace(data.fit, n=len(data.table)),
    )


def test_every_kind_of_run_is_counted_once() -> None:
    data = partial_data()
    counts = count_runs(data)
    assert dict(counts.others) == {
        "failed": 1,
        "without a result yet": 1,
        "diverged": 1,
        "of an earlier plan": 1,
        "trained to check a forecast": 1,
        "left out by declared rules": 1,
    }
    assert counts.fitted + 6 == counts.total == len(data.plan.cells) + 1


def test_a_run_that_another_rate_of_its_cell_beats_is_counted_as_such() -> None:
    data = standard_data()
    beaten = data.plan.cells[0].run.run_id
    kept = {name: one for name, one in data.results.items() if name != beaten}
    spec = data.get_spec().model_copy(update={"rates": (0.5, 1.0)})
    data = dataclasses.replace(with_results(data, kept), results=data.results, spec=spec)
    assert dict(count_runs(data).others) == {"at another learning rate": 1}


@pytest.mark.parametrize("make", [standard_data, partial_data])
def test_every_place_of_the_page_states_the_same_number(make: object) -> None:
    data: ReportData = make()  # type: ignore[operator]
    page = render_page(data)
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    # Appears twice, identically.
    (head,) = set(re.findall(r"\d+ runs: \d+ fitted(?:, \d+ [a-z ]+)*", text))
    total, fitted, *others = map(int, re.findall(r"\d+", head))
    assert fitted + sum(others) == total
    assert fitted == len(data.table)
    assert set(re.findall(r"Fitted to (\d+) runs", text)) == {str(fitted)}
    shown = re.findall(r"(?:tokens for|size for|loss of) (\d+) (?:fitted )?runs", page)
    assert set(shown) <= {str(fitted)}
    assert shown
    table = page[page.index('<table class="runs">') :]
    assert table[: table.index("</table>")].count("<tr class=") == total
    methods = re.search(r"<h3>Methods</h3>.*?</table>", page, re.S)
    if methods is not None and make is standard_data:  # variants were computed from all runs
        assert set(re.findall(r"</th><td>(\d+)</td>", methods[0])) == {str(fitted)}


def test_the_legend_names_every_budget_in_its_colour() -> None:
    runs = collect_runs(standard_data().table, standard_data().plan)
    legend = make_legend(runs)
    assert legend is not None
    assert [float(value) for _, value in legend.swatches] == pytest.approx(runs.budgets, rel=5e-3)
    assert len({variable for variable, _ in legend.swatches}) == len(runs.budgets)
    page = render_page(standard_data())
    assert page.count("Colour in every figure") == 1
    assert all(f"background: var({variable})" in page for variable, _ in legend.swatches)


def count_turns(values: np.ndarray) -> int:
    """How often a line's curvature changes sign."""
    bends = np.diff(values, 2)
    return int(np.sum(np.diff(np.sign(bends[np.abs(bends) > 1e-4])) != 0))


def test_a_ladder_s_frontier_is_drawn_without_steps() -> None:
    data = standard_data()
    fit = data.fit.answering
    lines = evaluate_frontier(collect_runs(data.table, data.plan), fit, furthest=1e14)
    assert lines is not None
    assert fit.law is not None
    even = np.linspace(*np.log(lines.flops[[0, -1]]), 70)
    drawn = np.interp(even, np.log(lines.flops), np.log(lines.best["params"]))
    law, letters = read_law(fit.law.family, fit.law.params)
    exact, _ = find_frontier(law, letters, flops=np.exp(even), cost=fit.cost)
    assert count_turns(np.log(exact)) > 10
    assert count_turns(drawn) <= 4
    # A step is 1 %, slightly more at the ends.
    assert np.exp(drawn) == pytest.approx(exact, rel=0.03)
    spent = lines.best["tokens"] * fit.cost.flops_per_token(lines.best["params"])
    assert spent == pytest.approx(lines.flops, rel=1e-12)  # points still cost their budget

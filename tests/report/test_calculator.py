"""What the page's calculator and its interactive figures are given."""

import dataclasses
import json
import re

import numpy as np
import pytest
from simulated import standard_data

from scaling.allocation import Question, allocate
from scaling.report.calculator import AnswerTable, list_answers, tabulate_answers
from scaling.report.interactive import list_live_figures
from scaling.report.landscape import trace_surface
from scaling.report.measured import collect_runs, evaluate_frontier, evaluate_law
from scaling.report.sliders import list_stops


@pytest.fixture(scope="module")
def table() -> AnswerTable:
    found = tabulate_answers(standard_data().fit, standard_data().allocations)
    assert found is not None
    return found


def interpolate(nodes: np.ndarray, values: np.ndarray, at: float) -> float:
    """As page.js does it: linearly in logarithms."""
    return float(np.exp(np.interp(np.log(at), np.log(nodes), np.log(values))))


def test_between_the_nodes_three_digits_agree_with_allocate(table: AnswerTable) -> None:
    fit = dataclasses.replace(standard_data().fit, draws=())
    assert table.loss is not None
    for flops in np.geomspace(2e10, 6e14, 60):
        one = allocate(fit, float(flops), far=True)
        for name in ("params", "tokens", "loss"):
            shown = interpolate(table.flops, getattr(table, name), float(flops))
            # Half a unit of the third digit of 1.00, where N* jumps between dips of the cost.
            assert shown == pytest.approx(getattr(one, name), rel=5e-3)


def test_the_table_holds_the_report_s_own_answers(table: AnswerTable) -> None:
    for one in standard_data().allocations:
        assert interpolate(table.flops, table.params, one.flops) == pytest.approx(
            one.params, rel=1e-3
        )


def test_curves_under_conditions_agree_with_allocate(table: AnswerTable) -> None:
    fit = dataclasses.replace(standard_data().fit, draws=())
    rng = np.random.default_rng(0)
    compared = 0
    for curve in (table.curves[at] for at in rng.permutation(len(table.curves))[:12]):
        if curve.flops.size < 3:
            continue
        flops = float(np.sqrt(curve.flops[1] * curve.flops[-2]))
        asked = Question(
            flops=flops, inference_tokens=curve.served or None, unique_tokens=curve.unique
        )
        one = allocate(fit, asked, far=True, anyway=True)
        for name in ("params", "tokens", "loss"):
            shown = interpolate(curve.flops, getattr(curve, name), flops)
            assert shown == pytest.approx(getattr(one, name), rel=5e-3)
        compared += 1
    assert compared >= 6


def test_curves_end_where_text_would_be_repeated_too_often(table: AnswerTable) -> None:
    limited = [one for one in table.curves if one.unique is not None and one.flops.size]
    assert limited
    for one in limited:
        assert one.unique is not None
        assert np.all(one.tokens[1:-1] <= 4.0 * one.unique)


def test_there_is_a_curve_for_every_pair_of_stops(table: AnswerTable) -> None:
    conditions = table.to_json("scaling allocate x")["conditions"]
    assert conditions["served"][0] == 0
    assert conditions["unique"][-1] is None
    assert [len(row) for row in conditions["curves"]] == [len(conditions["unique"])] * len(
        conditions["served"]
    )
    missing = [one is None for row in conditions["curves"] for one in row]
    assert missing.count(True) == 1  # no condition at all: the table of budgets itself
    json.dumps(conditions, allow_nan=False)


def test_without_an_answer_there_is_no_calculator() -> None:
    assert tabulate_answers(standard_data().fit, ()) is None
    assert list_answers(standard_data().fit, ()) == []


def test_without_a_bootstrap_the_table_has_no_ranges() -> None:
    data = standard_data()
    point = dataclasses.replace(data.fit.answering, draws=())
    answers = tuple(allocate(point, one.flops) for one in data.allocations)
    found = tabulate_answers(point, answers)
    assert found is not None
    assert found.to_json("")["ranges"] is None


def test_stops_are_one_and_three_times_powers_of_ten() -> None:
    assert list_stops(2e5, 4e6) == [3e5, 1e6, 3e6]
    assert list_stops(5.0, 6.0) == []


def test_every_run_is_a_point_that_names_it_and_nothing_else_is_said() -> None:
    data = standard_data()
    runs = collect_runs(data.table, data.plan)
    lines = evaluate_frontier(runs, data.fit, furthest=1e13)
    figures = list_live_figures(runs, data.results, trace_surface(runs, data.fit, lines))
    assert set(figures) == {"isoflop", "surface"}
    for figure in figures.values():
        words = [
            text
            for trace in figure["traces"]
            for text in (trace["text"] if isinstance(trace["text"], list) else [])
        ]
        named = sorted(text.split("<br>")[0].removeprefix("run ") for text in words)
        assert named == sorted(data.results)
        assert not re.search(r"<(?!br>)", "".join(words))


def test_lines_of_equal_loss_are_the_law_s() -> None:
    data = standard_data()
    runs = collect_runs(data.table, data.plan)
    surface = trace_surface(runs, data.fit, None)
    assert surface is not None
    assert len(surface.levels) >= 5
    for loss, params, tokens in surface.levels:
        law = evaluate_law(data.fit, params, tokens)
        assert law == pytest.approx(np.full(params.size, loss), rel=1e-9)  # rounding of the inverse

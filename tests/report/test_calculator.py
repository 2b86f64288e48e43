"""The data of the page's calculator and of its interactive figures."""

import dataclasses
import json
import re

import numpy as np
import pytest
from simulated import standard_data

from scaling.laws.family import JOINED
from scaling.laws.registry import find_law
from scaling.report.calculator import describe_calculator, list_answers, list_stops
from scaling.report.interactive import list_live_figures
from scaling.report.landscape import trace_surface
from scaling.report.measured import collect_runs, evaluate_frontier, evaluate_law


def evaluate_joined(joined: np.ndarray, params: float, tokens: float) -> np.ndarray:
    """L of the parameters of JOINED, as solver.js computes it if nothing saturates."""
    floor, inner, log_a, alpha, log_b, beta, k, _, _ = np.moveaxis(joined, -1, 0)
    terms = np.exp(log_a - alpha * np.log(params)) + np.exp(log_b - beta * np.log(tokens))
    return floor + (inner + terms) ** k


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("chinchilla", (1.8, 480.0, 2100.0, 0.35, 0.37)),
        ("tied", (1.8, 400.0, 900.0, 0.35)),
        ("no_floor", (40.0, 60.0, 0.2, 0.2)),
        ("floor:1.5", (480.0, 2100.0, 0.35, 0.37)),
        ("over_training", (1.8, 100.0, 120.0, 0.17)),
        ("kaplan", (31.8, 30.6, 0.076, 0.103)),
        ("droppo", (1.2, 20.0, 22.0, 0.1, 0.12, 0.6)),
        ("coupled", (1.1, 3400.0, 8800.0, 0.7, 0.56, 0.29)),
        # With enough data nothing saturates, and the law is Chinchilla's.
        ("data_constrained", (1.8, 480.0, 2100.0, 0.35, 0.37, 15.0, 5.0)),
    ],
)
def test_a_law_in_joined_form_gives_the_same_loss(name: str, letters: tuple[float, ...]) -> None:
    law = find_law(name)
    each = np.array([letters, letters]) * np.array([[1.0], [1.01]])
    joined = law.join_powers(each)
    assert joined is not None
    assert joined.shape == (2, len(JOINED))
    found = evaluate_joined(joined, 3e8, 4e10)
    wanted = law.loss(each, np.array(3e8), np.array(4e10))
    assert found == pytest.approx(wanted, rel=1e-12)  # rounding of exp and log


def test_a_law_of_another_form_has_a_table_and_no_calculator() -> None:
    data = standard_data()
    fit = dataclasses.replace(data.fit, answer=None, members=(), draws=())
    assert fit.law is not None
    letters = dict.fromkeys(find_law("farseer").param_names, 0.1)
    other = dataclasses.replace(
        fit, law=dataclasses.replace(fit.law, family="farseer", params=letters)
    )
    assert find_law("farseer").join_powers(np.ones((1, 9))) is None
    assert describe_calculator(other, data.allocations, "") is None


def test_the_pages_json_holds_every_draw() -> None:
    data = standard_data()
    found = describe_calculator(data.fit, data.allocations, "scaling allocate x")
    assert found is not None
    assert len(json.dumps(found, allow_nan=False)) < 150_000
    count = len(data.fit.answering.draws)
    assert [len(found["draws"]), *map(len, found["drift"].values())] == [count] * 3
    assert sum(part[0] for part in found["law"]) == pytest.approx(1.0)


def test_rows_of_the_table_are_coloured_by_distance() -> None:
    data = standard_data()
    rows = list_answers(data.fit, data.allocations)
    assert rows[0][1].text == "inside"
    assert rows[-1][1].text.endswith("× above")
    tones = [marker.tone for _, marker in rows]
    assert tones == sorted(tones, key=("good", "amber", "red").index)
    assert set(tones) == {"good", "amber", "red"}


def test_without_an_answer_there_is_no_calculator() -> None:
    assert describe_calculator(standard_data().fit, (), "") is None
    assert list_answers(standard_data().fit, ()) == []


def test_without_a_bootstrap_there_are_no_draws() -> None:
    data = standard_data()
    point = dataclasses.replace(data.fit.answering, draws=())
    found = describe_calculator(point, data.allocations, "")
    assert found is not None
    assert found["draws"] == []


def test_stops_are_one_and_three_times_powers_of_ten() -> None:
    assert list_stops(2e5, 4e6) == [3e5, 1e6, 3e6]
    assert list_stops(5.0, 6.0) == []


def test_every_run_is_a_point_whose_hover_text_names_only_it() -> None:
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


def test_lines_of_equal_loss_follow_the_law() -> None:
    data = standard_data()
    runs = collect_runs(data.table, data.plan)
    surface = trace_surface(runs, data.fit, None)
    assert surface is not None
    assert len(surface.levels) >= 5
    for loss, params, tokens in surface.levels:
        law = evaluate_law(data.fit, params, tokens)
        assert law == pytest.approx(np.full(params.size, loss), rel=1e-9)  # rounding of the inverse

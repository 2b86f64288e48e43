"""Claims about what accompanies an answer: each member's own answer, and measured runs."""

import dataclasses
import json

import numpy as np
import pytest
from known_fit import LARGEST, make_known_fit

from scaling.allocation import Question, allocate, predict
from scaling.allocation.members import ask_members
from scaling.allocation.optimum import answer_by_law
from scaling.fitting.fitted import Fit, MeasuredRun
from scaling.terminal.answers import format_allocation, format_members, format_prediction


@pytest.fixture(scope="module")
def fit() -> Fit:
    """A fit of the known law with noise, answered by the ensemble."""
    return make_known_fit(family=None, bootstrap=40)


def test_each_member_answers_as_it_would_alone(fit: Fit) -> None:
    found = ask_members(fit, 10.0 * LARGEST)
    assert found is not None
    assert sum(one.weight for one in found.members) == pytest.approx(1.0)
    plain = allocate(fit.plain, 10.0 * LARGEST)
    first = found.members[0]
    assert first.name == "chinchilla"
    assert (first.params, first.loss) == pytest.approx(
        (plain.params, plain.loss), rel=1e-5
    )  # resolution of the nested grids in ln N
    answer = allocate(fit, 10.0 * LARGEST)
    losses = [one.loss for one in found.members]
    assert answer.loss is not None
    assert min(losses) <= answer.loss <= max(losses)
    assert min(losses) <= found.equal.loss <= max(losses)


def test_variances_within_and_between_members_add_up_to_the_draws_variance(fit: Fit) -> None:
    found = ask_members(fit, 10.0 * LARGEST)
    assert found is not None
    assert found.within is not None
    assert found.between is not None
    view = fit.answering
    from scaling.laws.ensemble import ENSEMBLE
    from scaling.laws.frontier import find_frontier

    draws = np.array(view.draws)
    params, tokens = find_frontier(
        ENSEMBLE, draws, flops=np.array([10.0 * LARGEST]), cost=view.cost
    )
    for at, values in enumerate((np.log(params), np.log(ENSEMBLE.loss(draws, params, tokens)))):
        assert found.within[at] + found.between[at] == pytest.approx(float(values.var()))


def test_the_reach_of_the_weights_is_printed_beside_the_distance_asked_for(fit: Fit) -> None:
    found = ask_members(fit, 10.0 * LARGEST)
    assert found is not None
    assert found.asked == pytest.approx(10.0)
    assert all(one > 1.0 for one in found.reach)
    text = format_members(found)
    assert "you ask ×10" in text
    assert "equal weights" in text
    json.dumps(found.to_contract(), allow_nan=False)


def test_a_fit_of_one_law_lists_no_members() -> None:
    assert ask_members(make_known_fit(bootstrap=None), LARGEST) is None


def test_the_answer_without_its_basin_is_otherwise_the_same(fit: Fit) -> None:
    from scaling.allocation.asked_fit import get_law

    view = fit.answering
    brief = answer_by_law(view, get_law(view), LARGEST, 0.0, with_basin=False)
    whole = answer_by_law(view, get_law(view), LARGEST, 0.0)
    assert brief.flat_basin is None
    assert dataclasses.replace(whole, flat_basin=None) == brief


def test_a_measured_run_at_the_budget_comes_before_the_forecast(fit: Fit) -> None:
    runs = (
        MeasuredRun(2e10, 1e12, 1.2e23, 1.95),
        MeasuredRun(3e10, 7e11, 1.201e23, 1.93),
        MeasuredRun(3e10, 7e11, 1.201e23, 1.95),
    )
    known = dataclasses.replace(fit, measured=(*fit.measured, *runs))
    answer = allocate(known, 1.2e23)
    assert answer.measured is not None
    # The two seeds at 3e10 have mean 1.94, below the 1.95 at 2e10.
    assert (answer.measured.params, answer.measured.runs) == (3e10, 3)
    assert answer.measured.loss == pytest.approx(1.94)
    assert answer.params == allocate(fit, 1.2e23).params
    text = format_allocation(answer)
    assert text.startswith("measured at 1.2e23 FLOPs: 1.9400 nats/token (the best of 3 runs")
    assert answer.to_contract()["measured"]["loss"] == pytest.approx(1.94)


def test_without_a_run_near_the_budget_only_the_forecast_is_shown(fit: Fit) -> None:
    assert allocate(fit, 1.2 * LARGEST).measured is None
    assert allocate(fit, Question(flops=LARGEST, inference_tokens=1e12)).measured is None


def test_a_measured_run_of_this_size_comes_before_the_prediction(fit: Fit) -> None:
    first = fit.measured[0]
    said = predict(fit, params=first.params, tokens=first.tokens)
    assert said.measured is not None
    assert said.measured.loss == first.loss
    assert format_prediction(said).startswith("measured")
    assert predict(fit, params=1.1 * first.params, tokens=first.tokens).measured is None

"""Claims about questions: answers against closed forms under C = 6ND and against scipy."""

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from known_fit import (
    ALPHA,
    BETA,
    A,
    B,
    E,
    find_loss,
    find_tokens,
    make_exact_fit,
    make_hoffmann_fit,
    make_known_fit,
    make_repeats_fit,
)
from scipy.optimize import minimize_scalar

import scaling
from scaling.allocation import Hardware, Question, allocate, find_device
from scaling.errors import NoFitError
from scaling.fitting.every_approach import fit_runs
from scaling.tables.run_table import make_table

BUDGET, SERVED = 1e22, 2e12
H100 = Hardware(name="h100", flops_per_second=0.4 * 989.4e12)


@pytest.fixture(scope="module")
def exact():
    return make_exact_fit()


@pytest.fixture(scope="module")
def fit():
    return make_known_fit()


def find_imbalance(answer, served):
    """Sardana et al.'s condition for the least lifetime cost under C = 6ND: left side / right
    side."""
    left = ALPHA * A * answer.params**-ALPHA
    right = BETA * B * answer.tokens**-BETA * (1 + served / (3 * answer.tokens))
    return left / right


def test_a_budget_and_a_question_with_that_budget_give_the_same_answer(fit):
    assert allocate(fit, BUDGET) == allocate(fit, Question(flops=BUDGET))
    assert scaling.allocate(fit, scaling.Question(flops=BUDGET)).binding == ("flops",)


def test_a_target_loss_is_the_inverse_of_a_budget(exact):
    best = allocate(exact, BUDGET)
    answer = allocate(exact, Question(target_loss=best.loss))
    # The optimum is flat: compute is found to rounding, N to its square root.
    assert answer.flops == pytest.approx(BUDGET, rel=1e-9)
    assert answer.params == pytest.approx(best.params, rel=1e-5)
    assert answer.loss == pytest.approx(best.loss, rel=1e-12)
    assert answer.binding == ("target_loss",)


def test_lifetime_optimum_at_a_loss_agrees_with_scipy(exact):
    loss = allocate(exact, BUDGET).loss
    answer = allocate(exact, Question(target_loss=loss, inference_tokens=SERVED))

    def find_cost(log_params):
        params = math.exp(log_params)
        return 6 * params * find_tokens(params, loss) + 2 * params * SERVED

    # A smaller model does not reach the loss with any data.
    least = math.log((A / (loss - E)) ** (1 / ALPHA))
    found = minimize_scalar(
        find_cost, bounds=(least + 0.01, least + 5), method="bounded", options={"xatol": 1e-10}
    )
    assert answer.spending.lifetime_flops == pytest.approx(found.fun, rel=1e-9)
    assert answer.params == pytest.approx(math.exp(found.x), rel=1e-4)
    assert answer.loss == pytest.approx(loss, rel=1e-9)


def test_sardanas_example_saves_the_published_compute():
    """13B parameters trained to their optimum, against the best life over 2T tokens: "1.7 × 10^22
    FLOPs (17%)" less by "training a 7B model on more data" (arXiv:2401.00448, fig. 1)."""
    fit = make_hoffmann_fit()
    budget = minimize_scalar(
        lambda log_c: (math.log(allocate(fit, math.exp(log_c)).params / 13e9)) ** 2,
        bounds=(math.log(1e22), math.log(1e23)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    large = allocate(fit, math.exp(budget.x))
    asked = Question(target_loss=large.loss, inference_tokens=2e12)
    answer = allocate(fit, asked)
    before = large.flops + 2 * large.params * 2e12
    assert before - answer.spending.lifetime_flops == pytest.approx(1.7e22, rel=0.03)
    assert 1 - answer.spending.lifetime_flops / before == pytest.approx(0.17, abs=0.005)
    assert answer.params == pytest.approx(7e9, rel=0.05)


@pytest.mark.parametrize("served", [1e9, 1e12, 1e14])
def test_sardanas_optimality_condition_holds_for_any_amount_of_serving(exact, served):
    by_budget = allocate(exact, Question(flops=BUDGET, inference_tokens=served), far=True)
    assert by_budget.flops == pytest.approx(BUDGET, rel=1e-9)
    # N is found to about 1e-6, which moves either side by less than 1e-5.
    assert find_imbalance(by_budget, served) == pytest.approx(1, rel=1e-4)
    asked = Question(target_loss=by_budget.loss, inference_tokens=served)
    by_loss = allocate(exact, asked, far=True)
    assert find_imbalance(by_loss, served) == pytest.approx(1, rel=1e-4)
    assert by_loss.params == pytest.approx(by_budget.params, rel=1e-4)


def test_serving_more_tokens_makes_the_optimal_model_smaller(exact):
    sizes = [
        allocate(exact, Question(flops=BUDGET, inference_tokens=one), far=True).params
        for one in (1.0, 1e11, 1e12, 1e13)
    ]
    assert sizes[0] == pytest.approx(allocate(exact, BUDGET).params, rel=1e-5)
    assert sizes == sorted(sizes, reverse=True)


def test_a_cap_on_training_moves_the_lifetime_optimum_along_its_loss(exact):
    free = allocate(exact, Question(target_loss=2.1, inference_tokens=SERVED))
    least = allocate(exact, Question(target_loss=2.1))
    cap = (free.flops + least.flops) / 2
    held = allocate(exact, Question(target_loss=2.1, inference_tokens=SERVED, flops=cap))
    assert held.flops == pytest.approx(cap, rel=1e-9)
    assert held.loss == pytest.approx(2.1, rel=1e-9)
    assert free.params < held.params < least.params
    assert held.binding == ("target_loss", "flops")


@pytest.mark.parametrize(
    ("asked", "params", "tokens"),
    [
        ({"params": 2e9}, 2e9, BUDGET / 6 / 2e9),
        ({"tokens": 3e11}, BUDGET / 6 / 3e11, 3e11),
        ({"tokens_per_param": 20}, (BUDGET / 120) ** 0.5, 20 * (BUDGET / 120) ** 0.5),
    ],
)
def test_one_condition_and_a_budget_determine_the_answer(exact, asked, params, tokens):
    answer = allocate(exact, Question(flops=BUDGET, **asked))
    assert answer.params == pytest.approx(params, rel=1e-9)
    assert answer.tokens == pytest.approx(tokens, rel=1e-9)
    assert answer.loss == pytest.approx(find_loss(params, tokens), rel=1e-9)
    assert answer.binding == (*asked, "flops")


@pytest.mark.parametrize("asked", [{"params": 8e9}, {"tokens": 3e11}, {"tokens_per_param": 25}])
def test_one_condition_and_a_target_loss_meet_both(exact, asked):
    answer = allocate(exact, Question(target_loss=2.1, **asked))
    assert find_loss(answer.params, answer.tokens) == pytest.approx(2.1, rel=1e-9)
    name, value = next(iter(asked.items()))
    assert getattr(answer, name) == pytest.approx(value, rel=1e-9)
    assert answer.binding == ("target_loss", name)


def test_stated_size_and_ratio_cost_six_nd(exact):
    answer = allocate(exact, Question(params=2e9, tokens_per_param=40))
    assert answer.flops == pytest.approx(6 * 2e9 * 8e10, rel=1e-12)
    assert answer.loss == pytest.approx(find_loss(2e9, 8e10), rel=1e-12)


def test_a_memory_limit_gives_a_smaller_model_trained_longer(exact):
    free = allocate(exact, BUDGET)
    memory = free.params  # at two bytes this holds half of N*
    held = allocate(exact, Question(flops=BUDGET, serving_memory=memory))
    assert held.params == pytest.approx(memory / 2, rel=1e-12)
    assert held.tokens == pytest.approx(BUDGET / 6 / held.params, rel=1e-12)
    assert held.binding == ("serving_memory", "flops")
    cheapest = allocate(exact, Question(target_loss=held.loss))
    assert held.trade_offs.extra_compute == pytest.approx(BUDGET / cheapest.flops - 1, rel=1e-6)
    roomy = allocate(exact, Question(flops=BUDGET, serving_memory=1e12))
    assert roomy.binding == ("flops",)
    assert roomy.params == pytest.approx(free.params, rel=1e-5)


def test_repeats_are_discounted_as_published(exact):
    unique, worth = 1e11, 15.387756

    def find_worth(tokens):
        repeats = max(tokens / unique - 1, 0)
        return min(tokens, unique) + unique * worth * -math.expm1(-repeats / worth)

    found = minimize_scalar(
        lambda log_n: find_loss(math.exp(log_n), find_worth(BUDGET / 6 / math.exp(log_n))),
        bounds=(math.log(1e9), math.log(1e11)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    answer = allocate(exact, Question(flops=BUDGET, unique_tokens=unique))
    assert answer.loss == pytest.approx(found.fun, rel=1e-10)
    assert answer.params == pytest.approx(math.exp(found.x), rel=1e-4)
    assert answer.epochs == pytest.approx(answer.tokens / unique)
    assert answer.checks[1].code == "repeats_not_measured"


def test_uncertainty_about_repeats_widens_the_interval(fit):
    fresh, repeated = (
        allocate(fit, Question(flops=BUDGET, unique_tokens=unique)).loss_interval
        for unique in (1e13, 4.2e10)  # the second repeats its text nearly four times
    )
    assert repeated.high - repeated.low > 1.5 * (fresh.high - fresh.low)


def test_hardware_without_a_cap_prices_a_budget(exact):
    hardware = dataclasses.replace(H100, count=8, price_per_hour=2)
    answer = allocate(exact, Question(flops=BUDGET, hardware=hardware))
    hours = BUDGET / H100.flops_per_second / 3600
    assert answer.binding == ("flops",)
    assert answer.spending.dollars == pytest.approx(2 * hours)
    assert answer.spending.days == pytest.approx(hours / 8 / 24)


def test_enough_unique_tokens_change_nothing(exact):
    answer = allocate(exact, Question(flops=BUDGET, unique_tokens=1e13))
    assert answer.params == pytest.approx(allocate(exact, BUDGET).params, rel=1e-5)
    assert all(check.code != "repeats_not_measured" for check in answer.checks)


def test_the_law_of_repeated_data_hits_its_published_optimum():
    answer = allocate(make_repeats_fit(), Question(flops=1e22, unique_tokens=25e9))
    # From the authors' own code (arXiv:2305.16264). The loss is flat: ours is 4e-9 below theirs.
    assert answer.params == pytest.approx(7.0224e9, rel=1e-3)
    assert answer.tokens == pytest.approx(237.34e9, rel=1e-3)
    assert answer.loss <= 2.222129283096184
    assert answer.epochs == pytest.approx(9.49, rel=1e-3)


def test_too_many_epochs_are_refused_and_the_named_remedy_works(exact):
    with pytest.raises(NoFitError, match=r"--family data_constrained.* unique tokens") as caught:
        allocate(exact, Question(flops=BUDGET, unique_tokens=1e10))
    number, unit = str(caught.value).split("ask with ")[1].split(" ")[0], 1e9
    enough = float(number.removesuffix("B")) * unit
    answer = allocate(exact, Question(flops=BUDGET, unique_tokens=1.01 * enough))
    assert answer.epochs == pytest.approx(4, rel=0.03)  # the message has three digits
    insisted = allocate(exact, Question(flops=BUDGET, unique_tokens=1e10), anyway=True)
    assert insisted.epochs > 4


def test_money_and_a_deadline_are_converted_to_compute(exact):
    speed = 0.4 * find_device("H100").peak_flops
    hardware = dataclasses.replace(H100, count=64, days=10, dollars=20_000, price_per_hour=2.5)
    answer = allocate(exact, Question(hardware=hardware))
    assert answer.flops == pytest.approx(8000 * 3600 * speed, rel=1e-12)
    assert answer.binding == ("money",)
    assert answer.spending.dollars == pytest.approx(20_000)
    assert answer.spending.days == pytest.approx(8000 / 64 / 24)
    hurried = dataclasses.replace(hardware, days=1)
    answer = allocate(exact, Question(hardware=hurried, flops=1e25))
    assert answer.flops == pytest.approx(64 * 86_400 * speed, rel=1e-12)
    assert answer.binding == ("deadline",)


def test_penalties_are_compute_at_the_same_loss(exact):
    answer = allocate(exact, BUDGET)
    for one in answer.trade_offs.other_sizes:
        assert find_loss(one.params, one.tokens) == pytest.approx(answer.loss, rel=1e-9)
        cost = 6 * one.params * one.tokens
        assert one.extra_compute == pytest.approx(cost / BUDGET - 1, rel=1e-6)
        assert one.params == pytest.approx(one.factor * answer.params)
        assert one.extra_compute > 0


def test_pareto_rows_reach_one_loss_and_pay_off_from_the_tokens_stated(exact):
    answer = allocate(exact, Question(flops=BUDGET, inference_tokens=SERVED))
    rows = answer.trade_offs.pareto
    assert len(rows) > 5
    first = rows[0]
    for row in rows:
        assert find_loss(row.params, row.tokens) == pytest.approx(answer.loss, rel=1e-9)
        assert row.serving_flops_per_token == pytest.approx(2 * row.params, rel=1e-12)
        life = row.flops + 2 * row.params * row.pays_from_tokens
        assert life == pytest.approx(first.flops + 2 * first.params * row.pays_from_tokens)
        assert row.lifetime_flops == pytest.approx(row.flops + 2 * row.params * SERVED)
    assert all(a.flops < b.flops and a.params > b.params for a, b in pairwise(rows))
    # No row of the table has a lower lifetime cost than the answer.
    assert min(row.lifetime_flops for row in rows) >= answer.spending.lifetime_flops


def test_basin_ends_cost_five_percent_more_lifetime_compute(exact):
    answer = allocate(exact, Question(target_loss=2.1, inference_tokens=SERVED))
    for end in answer.flat_basin:
        cost = 6 * end * find_tokens(end, 2.1) + 2 * end * SERVED
        assert cost == pytest.approx(1.05 * answer.spending.lifetime_flops, rel=1e-6)


@pytest.mark.parametrize("asked", [{}, {"params": 2e9}, {"tokens_per_param": 30}])
def test_interval_of_the_compute_for_a_loss_inverts_that_of_the_loss(fit, asked):
    loss = allocate(fit, Question(flops=1e21, **asked)).loss
    taken = allocate(fit, Question(target_loss=loss, **asked))
    assert taken.loss_interval is None
    for end, other in (("high", "high"), ("low", "low")):
        flops = getattr(taken.flops_interval, end)
        reached = allocate(fit, Question(flops=flops, **asked)).loss_interval
        # In every draw the loss falls with compute, so quantiles correspond. Neighbours among 100
        # draws are .01 of the interval apart, and quantiles interpolate between them.
        width = reached.high - reached.low
        assert getattr(reached, other) == pytest.approx(loss, abs=0.05 * width)


def test_stated_values_have_no_interval_but_the_loss_does(fit):
    answer = allocate(fit, Question(params=2e9, tokens=4e11))
    assert answer.params_interval is answer.tokens_interval is answer.flops_interval is None
    assert answer.loss_interval.low < answer.loss < answer.loss_interval.high


def test_a_target_within_the_uncertainty_of_the_floor_has_an_open_interval(fit):
    answer = allocate(fit, Question(target_loss=fit.law.params["E"] + 0.003), far=True)
    assert math.isinf(answer.flops_interval.high)
    assert "target_out_of_reach" in {check.code for check in answer.checks}
    assert answer.to_contract()["intervals"]["flops"][1] is None


def test_an_answer_with_every_condition_is_strict_json(fit):
    hardware = dataclasses.replace(H100, count=64, days=10, price_per_hour=2)
    asked = Question(
        hardware=hardware, inference_tokens=1e12, unique_tokens=1e12, serving_memory=2e10
    )
    value = json.loads(json.dumps(allocate(fit, asked).to_contract(), allow_nan=False))
    assert value["question"]["hardware"]["count"] == 64
    assert value["binding"] == ["deadline"]
    assert set(value["trade_offs"]["pareto"][0]) >= {"params", "flops", "dollars"}
    assert value["spending"]["dollars"] == pytest.approx(64 * 240 * 2)
    assert len(value["notes"]) == 4


def test_other_approaches_answer_only_budgets(fit):
    assert allocate(fit, Question(flops=1e21), approach="isoflop").approach == "isoflop"
    with pytest.raises(NoFitError, match="needs a law"):
        allocate(fit, Question(flops=1e21, params=1e9), approach="isoflop")


def test_a_law_without_a_frontier_prices_a_size_but_splits_no_budget():
    rng = np.random.default_rng(0)
    params = np.repeat(np.geomspace(1e8, 1e10, 6), 6)
    tokens = np.tile(np.geomspace(1e9, 1e11, 6), 6)
    loss = (1.7 + 1e3 / (params * tokens) ** 0.15) * np.exp(0.001 * rng.standard_normal(36))
    table = make_table(params, tokens, loss=loss)
    fitted = fit_runs(table, family="compute", bootstrap=None)
    for asked in (Question(flops=1e21), Question(target_loss=2.5)):
        with pytest.raises(NoFitError, match="does not say how to split"):
            allocate(fitted, asked)
    answer = allocate(fitted, Question(flops=1e21, params=1e9))
    assert answer.tokens == pytest.approx(1e21 / 6e9)
    assert answer.trade_offs is None

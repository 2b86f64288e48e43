"""Claims about answers: N*, D* and loss of a budget, their intervals, and when there is none."""

import dataclasses
import json
import math

import numpy as np
import pytest

from scaling.allocation import Question, allocate, predict
from scaling.errors import NoFitError, QueryError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import LawEstimate
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND, make_ladder_cost
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.ladder import list_ladder
from scaling.tables.run_table import make_table
from scaling.terminal.answers import format_allocation

TRUTH = np.array([0.6, 0.766 * 1e4**0.35, 0.894 * 5e5**0.3, 0.35, 0.3])
LADDER = list_ladder(256, 128, max_params=3e7)


def make_fit(cost=SIX_ND, noise=0.003, noise_seed=0, **options):
    flops = np.repeat(np.geomspace(1e11, 1e13, 7), 7)
    centre, _ = find_frontier(CHINCHILLA, TRUTH, flops=flops, cost=cost)
    params = centre * np.tile(np.geomspace(0.25, 4, 7), 7)
    tokens = flops / cost.flops_per_token(params)
    rng = np.random.default_rng(noise_seed)
    loss = CHINCHILLA.loss(TRUTH, params, tokens) * np.exp(noise * rng.standard_normal(49))
    table = make_table(
        params, tokens, loss=loss, flops=flops, budget=flops, cost=cost, convention="matmul"
    )
    return fit_runs(table, **{"family": "chinchilla", **options})


@pytest.fixture(scope="module")
def fit():
    return make_fit(bootstrap=300)


@pytest.fixture(scope="module")
def ladder_fit():
    return make_fit(make_ladder_cost(LADDER, "matmul"), bootstrap=100)


def test_a_noise_free_answer_agrees_with_the_closed_form():
    answer = allocate(make_fit(noise=0.0, bootstrap=None), 5e12)
    alpha, beta = 0.35, 0.3
    g = (alpha * TRUTH[1] / (beta * TRUTH[2])) ** (1 / (alpha + beta))
    assert answer.params == pytest.approx(g * (5e12 / 6) ** (beta / (alpha + beta)), rel=1e-5)
    assert 6 * answer.params * answer.tokens == pytest.approx(5e12, rel=1e-12)
    truth = CHINCHILLA.loss(TRUTH, np.array(answer.params), np.array(answer.tokens))
    assert answer.loss == pytest.approx(float(truth), rel=1e-7)
    assert answer.params_interval is None


def test_truth_lies_within_most_intervals_inside_the_data():
    params, tokens = find_frontier(CHINCHILLA, TRUTH, flops=np.array([5e12]), cost=SIX_ND)
    held = []
    for seed in range(12):
        answer = allocate(make_fit(noise_seed=seed, bootstrap=100, approach="parametric"), 5e12)
        pairs = ((answer.params_interval, params[0]), (answer.tokens_interval, tokens[0]))
        held.append([one.low <= truth <= one.high for one, truth in pairs])
    # Twelve draws at .9: fewer than 8 have probability .004. For distant budgets see tests/fitting.
    assert np.sum(held, axis=0).min() >= 8


def test_intervals_widen_with_the_distance(fit):
    widths = []
    for flops in (1e12, 1e13, 1e14, 1e15):
        answer = allocate(fit, flops)
        widths.append(
            [
                math.log(answer.params_interval.high / answer.params_interval.low),
                math.log(answer.loss_interval.high / answer.loss_interval.low),
            ]
        )
        assert answer.params_interval.low < answer.params < answer.params_interval.high
        assert answer.loss_interval.low < answer.loss < answer.loss_interval.high
    assert (np.diff(widths[1:], axis=0) > 0).all()
    # Model error widens the coefficients' interval, and only beyond the data.
    bare = dataclasses.replace(fit, discrepancy=None)
    for flops, wider in ((1e12, False), (1e14, True)):
        with_error, without = (allocate(one, flops).loss_interval for one in (fit, bare))
        assert (with_error.high / with_error.low > without.high / without.low) == wider


def test_ladder_answer_spends_the_exact_cost(ladder_fit):
    answer = allocate(ladder_fit, 1e12, ladder=LADDER)
    cost = ladder_fit.cost
    spent = answer.tokens * cost.flops_per_token(np.array([answer.params]))[0]
    assert spent == pytest.approx(1e12, rel=1e-12)
    shape = answer.shape
    assert shape.tokens * count_flops_per_token(shape.shape) == pytest.approx(1e12, rel=1e-12)
    assert ladder_fit.frontier.cost_model == "ladder"


def test_buildable_shape_is_the_best_rung_and_its_penalty_is_compute(ladder_fit):
    answer = allocate(ladder_fit, 1e12, ladder=LADDER)
    law = np.array([ladder_fit.law.params[name] for name in CHINCHILLA.param_names])
    losses = [
        float(CHINCHILLA.loss(law, np.array(float(n)), np.array(1e12 / per_token)))
        for n, per_token in (
            (count_matmul_params(rung), count_flops_per_token(rung)) for rung in LADDER
        )
    ]
    assert answer.shape.shape == LADDER[int(np.argmin(losses))]
    more = 1e12 * (1 + answer.shape.compute_penalty)
    tokens = more / count_flops_per_token(answer.shape.shape)
    reached = float(CHINCHILLA.loss(law, np.array(answer.shape.params), np.array(tokens)))
    # No size does better, with costs interpolated between rungs.
    log_n = np.log([count_matmul_params(rung) for rung in LADDER])
    log_c = np.log([count_flops_per_token(rung) for rung in LADDER])
    between = np.linspace(log_n[0], log_n[-1], 20_000)
    costs = np.exp(np.interp(between, log_n, log_c))
    lowest = CHINCHILLA.loss(law, np.exp(between), 1e12 / costs).min()
    # The other grid has 16 points per rung.
    assert reached == pytest.approx(float(lowest), rel=1e-5)
    assert reached <= min(losses)


@pytest.mark.parametrize("flops", np.geomspace(1e9, 1e14, 11))
def test_a_shape_at_the_whole_budget_never_claims_to_save_compute(ladder_fit, flops):
    """A shape was once printed as needing "9.2% less compute", because the smooth cost of its size
    was that much above its own cost."""
    answer = allocate(ladder_fit, float(flops), ladder=LADDER, far=True)
    assert answer.shape.compute_penalty >= -1e-12
    assert "less compute" not in format_allocation(answer)
    rough = ladder_fit.cost.max_deviation > 0.05
    assert any("a shape's own differs" in note for note in answer.notes) == rough


def test_basin_ends_cost_five_percent_more_compute(fit):
    answer = allocate(fit, 1e13)
    law = np.array([fit.law.params[name] for name in CHINCHILLA.param_names])
    for end in answer.flat_basin:
        tokens = 1e13 * 1.05 / (6 * end)
        assert float(CHINCHILLA.loss(law, np.array(end), np.array(tokens))) == pytest.approx(
            answer.loss, rel=1e-9
        )
    assert answer.flat_basin[0] < answer.params < answer.flat_basin[1]


@pytest.mark.parametrize("flops", [0.0, -1.0, math.inf, math.nan])
def test_impossible_budget_is_refused(fit, flops):
    with pytest.raises(QueryError, match="positive, finite"):
        allocate(fit, flops)


def test_a_question_beyond_three_decades_needs_far(fit):
    with pytest.raises(QueryError, match=r"3\.3 decades above the data .* --far"):
        allocate(fit, 2e16)
    assert allocate(fit, 2e16, far=True).extrapolation_decades == pytest.approx(3.3, abs=0.01)
    with pytest.raises(QueryError, match="below the data"):
        allocate(fit, 1e7)


@pytest.mark.parametrize(
    ("flops", "passed", "word"),
    [(1e12, True, "within the data"), (5e13, True, "decades above"), (2e14, False, "amber"),
     (2e15, False, "red")],
)  # fmt: skip
def test_distance_turns_amber_above_half_the_span_and_red_above_it(fit, flops, passed, word):
    check = allocate(fit, flops).checks[0]
    assert check.code == "extrapolation_distance"
    assert check.passed is passed
    assert word in check.seen


def test_failed_checks_of_the_fit_travel_with_the_answer():
    table_fit = make_fit(noise=0.1, bootstrap=None)
    failed = [check for check in table_fit.checks if check.passed is False]
    assert failed
    assert allocate(table_fit, 1e12).checks[1:] == tuple(failed)


def test_an_isoflop_answer_interpolates_the_loss_but_does_not_extrapolate_it(fit):
    answer = allocate(fit, 3e12, approach="isoflop")
    assert answer.approach == "isoflop"
    assert answer.loss == pytest.approx(allocate(fit, 3e12).loss, rel=0.01)
    assert answer.flat_basin is None
    assert allocate(fit, 1e14, approach="isoflop").loss is None
    alone = make_fit(approach="isoflop", bootstrap=50)
    assert alone.law is None
    assert allocate(alone, 3e12).params == pytest.approx(answer.params)
    with pytest.raises(NoFitError, match="no law"):
        predict(alone, params=1e4, tokens=1e7)


def test_a_failed_fit_answers_nothing():
    failed = fit_runs(make_table([1e6], [1e7], loss=[3.0]))
    for call in (
        lambda: allocate(failed, 1e12),
        lambda: allocate(failed, 1e12, anyway=True),
        lambda: predict(failed, params=1e6, tokens=1e7),
    ):
        with pytest.raises(NoFitError, match="at least 10"):
            call()


def test_an_unconverged_fit_answers_only_with_anyway(monkeypatch):
    monkeypatch.setattr("scaling.fitting.solver.MAX_ITERATIONS", 1)
    doubtful = make_fit(bootstrap=None)
    assert doubtful.status == "not_converged"
    with pytest.raises(NoFitError, match="--anyway"):
        allocate(doubtful, 1e12)
    with pytest.raises(NoFitError, match="--anyway"):
        predict(doubtful, params=1e5, tokens=1e7)
    assert allocate(doubtful, 1e12, anyway=True).params > 0
    assert "not_converged" in {check.code for check in allocate(doubtful, 1e12, anyway=True).checks}


def test_a_prediction_separates_the_mean_from_a_new_run(fit):
    answer = predict(fit, params=1e5, tokens=1e7)
    mean, new_run = answer.mean_interval, answer.new_run_interval
    assert mean.low < answer.loss < mean.high
    assert new_run.low < mean.low
    assert mean.high < new_run.high
    # Noise of .3 % alone spans 2·1.645·.003 of the loss at 90 %.
    assert math.log(new_run.high / new_run.low) > 2 * 1.645 * 0.002


def test_prediction_far_off_in_one_axis_is_refused(fit):
    with pytest.raises(QueryError, match="N = 1e9 lies"):
        predict(fit, params=1e9, tokens=1e4)
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(QueryError, match="positive, finite"):
            predict(fit, params=value, tokens=1e7)


def test_the_same_question_has_the_same_answer(fit):
    assert allocate(fit, 1e14) == allocate(fit, 1e14)


def test_contracts_contain_plain_numbers(ladder_fit):
    answer = allocate(ladder_fit, 1e14, ladder=LADDER).to_contract()
    json.dumps(answer, allow_nan=False)
    for key in ("flops", "params", "tokens", "loss", "level", "intervals", "tokens_per_param",
                "flat_basin", "shape", "extrapolation_decades", "checks"):  # fmt: skip
        assert answer[key] is not None
    assert list(answer["intervals"]) == ["params", "tokens", "loss", "loss_on_text", "flops"]
    assert list(answer["flat_basin"]) == ["params", "compute_penalty"]
    forecast = predict(ladder_fit, params=1e5, tokens=1e7).to_contract()
    json.dumps(forecast, allow_nan=False)
    assert list(forecast)[:6] == ["params", "tokens", "loss", "level", "intervals", "checks"]
    assert list(forecast["intervals"]) == ["mean", "new_run", "new_run_on_text"]


def test_limited_unique_tokens_have_the_published_optimum(fit):
    # Muennighoff et al. 2023: 1e22 FLOPs and 25e9 unique tokens, constants at full precision.
    scales = np.exp([0.6254804, 6.255414, 7.3049974])
    letters = [*scales, 0.3526596, 0.3526596, 15.387756, 5.309743]
    names = ("E", "A", "B", "alpha", "beta", "R_D", "R_N")
    law = LawEstimate(
        family="data_constrained", params=dict(zip(names, letters, strict=True)), intervals=None
    )
    published = dataclasses.replace(fit, law=law, draws=())
    answer = allocate(published, Question(flops=1e22, unique_tokens=25e9), far=True)
    # Their minimiser stops .05 % short in N, where the loss is flat to seven digits.
    assert answer.params == pytest.approx(7.0224e9, rel=1e-3)
    assert answer.tokens == pytest.approx(237.34e9, rel=1e-3)
    forecast = predict(published, params=6.34e9, tokens=242e9, unique_tokens=25e9, far=True)
    assert forecast.loss == pytest.approx(2.2256440889984477, rel=1e-12)
    free = allocate(published, 1e22, far=True)
    assert free.loss < answer.loss  # new text is worth more than repeated text


@pytest.mark.parametrize(
    ("stock", "seen"), [(0.0, "positive"), (1e9, "does not know what a repea")]
)
def test_an_invalid_number_of_unique_tokens_is_refused(fit, stock, seen):
    with pytest.raises(QueryError, match=seen):
        predict(fit, params=1e5, tokens=1e7, unique_tokens=stock)


def test_a_law_of_one_ratio_answers_off_it_only_with_a_warning():
    # Twelve sizes at 20 tokens per parameter; the question is at .2, two decades off in D/N
    # although C, N and D are within the data.
    sizes = np.geomspace(1e7, 3e9, 12)
    loss = 1.69 + 406.4 / sizes**0.34 + 410.7 / (20 * sizes) ** 0.28
    fit = fit_runs(make_table(sizes, 20 * sizes, loss=loss), family="compute", bootstrap=None)
    on, off = (
        next(one for one in answer.checks if one.code == "extrapolation_distance")
        for answer in (predict(fit, params=1e9, tokens=2e10), predict(fit, params=2e9, tokens=4e8))
    )
    assert on.passed is True
    assert off.passed is False
    assert "D/N = 0.2 lies 2 decades below the data (20 … 20)" in off.seen
    assert "tokens per parameter" in off.advice

"""Claims about abilities: success over seeds, predictability, two-step forecasts, and p^L."""

import dataclasses
import json
import math

import numpy as np
import pytest
from ability_worlds import (
    SIZES,
    draw_success,
    independent,
    make_runs,
    score,
    tabulate,
)
from scipy import optimize, stats

from scaling.errors import TableError
from scaling.fitting.abilities.ability import judge_ability as judge_fully
from scaling.fitting.abilities.logistic import Trials, maximise
from scaling.fitting.abilities.names import AbilityNames, list_abilities
from scaling.fitting.abilities.null_model import compare_null, measure_progress
from scaling.fitting.abilities.onset import find_onsets
from scaling.fitting.abilities.predictability import find_chance_of_ends, judge_sizes
from scaling.fitting.abilities.scores import gather_scores
from scaling.fitting.abilities.success import find_share_interval, fit_success
from scaling.fitting.abilities.two_steps import forecast_largest as forecast_fully
from scaling.tables.metrics import Metric
from scaling.tables.run_table import make_table

MIDDLE, SLOPE = 1e5, 2.0
DRAWS = 20  # draws of a forecast: a fifth of the default, and of its time


def judge_ability(scores):
    return judge_fully(scores, count=DRAWS)


def forecast_largest(scores):
    return forecast_fully(scores, count=DRAWS)


def rise(n):
    return 1.0 / (1.0 + (MIDDLE / n) ** SLOPE)


def bimodal(n, right):
    """Runs succeed at random, whatever their tokens."""
    won = np.random.default_rng(5).random(n.size) < rise(n)
    return np.where(won, 0.98, 0.02)


# --- success over seeds ------------------------------------------------------------------------


def test_two_sizes_are_fitted_exactly():
    """Two sizes and two coefficients: the logistic passes through both shares, 2/8 and 6/8."""
    n = np.repeat([1e4, 1e6], 8)
    won = np.array([1] * 2 + [0] * 6 + [1] * 6 + [0] * 2)
    law = fit_success(score(tabulate(n, won.astype(float))))
    assert law.slope == pytest.approx(2.0 * math.log(3.0) / math.log(100.0), rel=1e-4)
    assert law.midpoint == pytest.approx(1e5, rel=1e-4)
    assert law.width == pytest.approx(math.exp(2.0 * math.log(9.0) / law.slope))
    assert law.predict(np.array([1e6]))[0] == pytest.approx(0.75, abs=1e-4)


def test_interval_ends_where_the_profile_likelihood_has_fallen_by_half_a_chi_square():
    """The profile over the slope, by scipy; 2.7055 is the 90 % point of χ²₁."""
    scores = draw_success(rise, seeds=24, rng=np.random.default_rng(1))
    law = fit_success(scores)
    x = np.log(scores.params[scores.cell])
    won = scores.score > 0.5

    def lose(theta, middle=None):
        eta = theta[0] * (x - (theta[1] if middle is None else middle))
        return float(np.sum(np.logaddexp(0.0, np.where(won, -eta, eta))))

    best = optimize.minimize(lose, [1.0, math.log(MIDDLE)], method="Nelder-Mead").fun
    for end in (law.interval.low, law.interval.high):
        profile = optimize.minimize_scalar(
            lambda k, end=end: lose([k], math.log(end)), bounds=(0.0, 20.0), method="bounded"
        ).fun
        assert 2.0 * (profile - best) == pytest.approx(2.7055, abs=2e-3)


@pytest.mark.parametrize("slope", [SLOPE, 6.0])
def test_intervals_cover_midpoint_and_slope(slope):
    """90 % intervals in 80 simulations: fewer than 63 of binomial(80, .9) has p = .001. At slope 6
    every fifth simulation is separated except at one size."""
    rng = np.random.default_rng(0)
    laws = [
        fit_success(draw_success(lambda n: 1 / (1 + (MIDDLE / n) ** slope), seeds=24, rng=rng))
        for _ in range(80)
    ]
    assert sum(one.interval.low <= MIDDLE <= one.interval.high for one in laws) >= 63
    assert sum(one.slope_interval.low <= slope <= one.slope_interval.high for one in laws) >= 63


@pytest.mark.parametrize("seeds", [8, 24])
def test_separated_outcomes_give_a_gap_and_a_lower_bound_on_the_slope(seeds):
    """Two sizes, all failing and all succeeding: by symmetry the profile of the slope is
    −2n ln(1 + e^(−kΔ/2)), which is ln .05 at −(2/Δ) ln(20^(1/2n) − 1); the midpoint is in the
    gap."""
    n = np.repeat([1e4, 1e6], seeds)
    law = fit_success(score(tabulate(n, (n > 1e5).astype(float))))
    gap = math.log(100.0)
    least = -2.0 / gap * math.log(20.0 ** (0.5 / seeds) - 1.0)
    assert law.separated
    assert law.slope_interval.high == math.inf
    assert law.slope_interval.low == pytest.approx(least, rel=1e-3)
    assert law.midpoint == pytest.approx(1e5, rel=1e-3)
    ends = law.interval.low, law.interval.high
    assert ends == pytest.approx((1e4, 1e6), rel=1e-3)
    assert [one.in_transition for one in law.cells] == [True, True]
    assert json.loads(json.dumps(law.to_contract(), allow_nan=False))["slope"] is None


def test_one_mixed_size_between_failures_and_successes_is_the_midpoint():
    n = np.repeat(SIZES, 8)
    won = np.where(n == SIZES[4], np.arange(n.size) % 2 == 0, n > SIZES[4])
    law = fit_success(score(tabulate(n, won.astype(float))))
    assert law.separated
    assert law.midpoint == pytest.approx(SIZES[4], rel=0.01)
    assert SIZES[3] < law.interval.low < law.midpoint < law.interval.high < SIZES[5]


@pytest.mark.parametrize(("value", "words"), [(0.0, "none of 72 runs"), (1.0, "each of 72 runs")])
def test_without_both_outcomes_there_is_no_midpoint(value, words):
    law = fit_success(score(tabulate(np.repeat(SIZES, 8), np.full(72, value))))
    assert law.midpoint is None
    assert law.interval is None
    assert words in law.reason


def test_success_that_falls_with_size_has_no_midpoint():
    n = np.repeat(SIZES, 8)
    law = fit_success(score(tabulate(n, (n < 1e5).astype(float))))
    assert law.midpoint is None
    assert "does not become likelier with N" in law.reason


@pytest.mark.parametrize("at", [0, 1])
def test_a_rise_within_chance_leaves_the_midpoint_unbounded(at):
    """1 of 8, then 3 of 8 (or 5, then 7): p = .25, and no end can be named on the side of more
    success (or of less)."""
    n = np.repeat([1e4, 1e6], 8)
    few, many = ((1, 3), (5, 7))[at]
    won = np.array([1] * few + [0] * (8 - few) + [1] * many + [0] * (8 - many))
    law = fit_success(score(tabulate(n, won.astype(float))))
    assert law.chance_flat > 0.1
    assert (law.interval.high, law.interval.low)[at] == (math.inf, -math.inf)[at]
    assert law.to_contract()["interval"][1 - at] is None


def test_tokens_enter_the_law_if_they_vary_at_a_size():
    """η = 2 (ln N/N½ + .7 ln D/D₀) with 60 seeds a cell: both to a fifth, some three errors."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.geomspace(2e4, 8e5, 6), [1e6, 4e6, 1.6e7])).reshape(2, -1)
    n, d = (np.repeat(one, 60) for one in grid)
    eta = 2.0 * (np.log(n / 1.5e5) + 0.7 * np.log(d / 4e6))
    won = rng.random(n.size) < 1.0 / (1.0 + np.exp(-eta))
    law = fit_success(score(tabulate(n, won.astype(float), tokens=d, seeds=60)))
    assert law.variables == "N and D"
    assert law.at_tokens == pytest.approx(4e6)
    assert law.trade == pytest.approx(0.7, rel=0.2)
    assert law.midpoint == pytest.approx(1.5e5, rel=0.2)
    # At another D the trade-off moves the midpoint there.
    moved = law.midpoint * 4.0**-law.trade
    assert law.predict(np.array([moved]), np.array([1.6e7]))[0] == pytest.approx(0.5)


def test_outcomes_separated_in_n_and_d_give_a_step():
    grid = np.stack(np.meshgrid(np.geomspace(2e4, 8e5, 6), [1e6, 4e6, 1.6e7])).reshape(2, -1)
    n, d = (np.repeat(one, 8) for one in grid)
    won = np.log(n / 1.5e5) + 0.7 * np.log(d / 4e6) > 0.0
    law = fit_success(score(tabulate(n, won.astype(float), tokens=d)))
    assert law.separated
    assert math.isfinite(law.slope_interval.low)
    shares = law.predict(n, d)
    assert np.all((shares > 0.5) == won)


def test_with_one_size_tokens_are_the_variable():
    d = np.repeat(np.geomspace(1e5, 1e7, 7), 8)
    law = fit_success(score(tabulate(np.full(56, 1e4), (d > 1e6).astype(float), tokens=d)))
    assert law.variables == "D"
    assert 4e5 < law.midpoint < 3e6


def test_tokens_that_follow_from_size_are_not_a_variable():
    n = np.repeat(SIZES, 8)
    law = fit_success(score(tabulate(n, (n > 1e5).astype(float), tokens=20.0 * n)))
    assert law.variables == "N"
    assert law.trade is None


def test_shares_have_exact_intervals():
    """With no success in 8 the upper end is 1 − .05^(1/8); also the figures behind WANTED_SEEDS."""
    assert find_share_interval(0, 8, 0.9).high == pytest.approx(1.0 - 0.05**0.125)
    few, many = find_share_interval(4, 8, 0.9), find_share_interval(12, 24, 0.9)
    assert (round(few.low, 2), round(few.high, 2)) == (0.19, 0.81)
    assert (round(many.low, 2), round(many.high, 2)) == (0.32, 0.68)
    assert (round(0.9**8, 2), round(0.9**24, 2)) == (0.43, 0.08)


def test_sizes_in_transition_want_24_seeds_and_others_8():
    rng = np.random.default_rng(2)
    few = fit_success(draw_success(rise, seeds=8, rng=rng))
    many = fit_success(draw_success(rise, seeds=24, rng=rng))
    assert not few.enough_seeds
    assert many.enough_seeds
    wanted = {one.wanted for one in few.cells}
    assert wanted == {8, 24}


def test_the_maximum_does_not_depend_on_the_start():
    """The likelihood is concave, so Newton from another start ends at the same point."""
    rng = np.random.default_rng(4)
    design = rng.standard_normal((30, 3))
    trials = Trials(rng.random(30), np.ones(30))
    one, value = maximise(design, trials)
    other, again = maximise(design, trials, start=np.array([1.0, -2.0, 0.5]))
    assert one == pytest.approx(other, abs=1e-4)
    assert value == pytest.approx(again, abs=1e-8)


# --- onset -------------------------------------------------------------------------------------


def test_onset_is_a_range_between_neighbours():
    n = np.repeat(SIZES, 8)
    (found,) = find_onsets(score(tabulate(n, (n > 1e5).astype(float))))
    assert (found.variable, found.held) == ("N", 3e6)
    assert (found.below, found.above) == (SIZES[4], SIZES[5])


def test_onset_that_comes_and_goes_is_wider():
    n = np.repeat(SIZES, 8)
    won = (n > 1e5) & (n != SIZES[6])
    (found,) = find_onsets(score(tabulate(n, won.astype(float))))
    assert (found.below, found.above) == (SIZES[4], SIZES[7])


def test_onset_in_tokens_is_found_for_each_size():
    grid = np.stack(np.meshgrid([1e4, 1e5], np.geomspace(1e5, 1e7, 5))).reshape(2, -1)
    n, d = (np.repeat(one, 3) for one in grid)
    found = find_onsets(score(tabulate(n, (n * d > 1e11).astype(float), tokens=d, seeds=3)))
    along = {one.held: one for one in found if one.variable == "D"}
    assert along.keys() == {1e4, 1e5}
    assert along[1e4].above is None  # at 1e4 parameters the onset is beyond the largest D, 1e7
    assert along[1e5].below == pytest.approx(1e6)


# --- whether it can be forecast ----------------------------------------------------------------


@pytest.mark.parametrize(
    "law",
    [stats.uniform(), stats.beta(2, 5), stats.beta(1, 3), stats.beta(5, 5), stats.beta(9, 1),
     stats.triang(0.2), stats.truncnorm(-3, 1, 0.75, 0.25)],
)  # fmt: skip
def test_unimodal_densities_satisfy_the_bound_on_the_middle(law):
    low, high = law.cdf(0.25), law.sf(0.75)
    assert law.cdf(0.75) - low >= 2.0 * min(low, high) - 1e-9


def test_a_density_with_two_modes_breaks_the_bound():
    law = stats.beta(0.3, 0.3)
    low, high = law.cdf(0.25), law.sf(0.75)
    assert law.cdf(0.75) - low < 2.0 * min(low, high)


def test_unimodal_seeds_raise_few_alarms():
    """Uniform scores are on the bound, the worst case: at most 5 % of 400 sweeps, plus three
    standard errors of a binomial."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(400):
        counts = rng.multinomial(12, (0.25, 0.5, 0.25), size=6)
        rarer = np.minimum(counts[:, 0], counts[:, 2])
        alarms += find_chance_of_ends(rarer, counts[:, 1]) < 0.05
    assert alarms <= 400 * (0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 400))


def test_the_tail_probability_is_twice_the_binomials():
    """One size counts twice, by itself and as the whole, so the tail is doubled."""
    expected = 2.0 * stats.binom(7, 1 / 3).sf(4)
    assert find_chance_of_ends(np.array([5]), np.array([2])) == pytest.approx(expected)


def judge(table, **how):
    return {one.code: one for one in judge_sizes(score(table, **how))}


def test_a_smooth_rise_passes_every_criterion():
    ability = judge_ability(score(make_runs(independent)))
    assert ability.predictability.passed
    assert {one.code for one in ability.predictability.criteria} == {
        "monotone", "span", "unimodal", "held_out",
    }  # fmt: skip


def test_bimodal_seeds_are_refused():
    ability = judge_ability(score(make_runs(bimodal, seeds=24)))
    assert ability.bimodal
    assert ability.two_steps is None
    assert ability.refused.startswith("unimodal")
    assert not ability.predictability.passed


def test_a_score_of_zeros_is_refused_a_forecast():
    """Exact match is 0 except at the two largest sizes, which jump: the others cannot predict
    it."""
    ability = judge_ability(
        score(make_runs(lambda n, right: np.where(n > SIZES[-3], 0.95, 0.0), seeds=8))
    )
    failed = {one.code for one in ability.predictability.failed}
    assert {"monotone", "span"} <= failed
    assert ability.two_steps is None
    assert "span" in ability.refused


def test_a_score_that_falls_in_between_is_not_monotone():
    def sag(n, right):
        return np.where(n == SIZES[3], 0.05, 0.2 + 0.6 * (np.log(n / 1e4) / np.log(100.0)))

    found = judge(make_runs(sag))
    assert found["monotone"].passed is False
    assert "falls below" in found["monotone"].seen
    assert judge(make_runs(lambda n, right: 0.2 + 0.6 * np.log(n / 1e4) / 5.0))["monotone"].passed


def test_a_score_without_trend_is_not_monotone():
    found = judge(make_runs(lambda n, right: np.full(n.size, 0.3)))
    assert found["monotone"].passed is False


@pytest.mark.parametrize(("chance", "limit"), [(0.0, 0.1), (0.125, 0.25), (0.25, 0.5), (0.5, 0.75)])
def test_span_asks_for_twice_chance_or_half_the_way(chance, limit):
    table = make_runs(lambda n, right: np.full(n.size, 0.6))
    found = judge(table, chance=chance)["span"]
    assert found.limit == pytest.approx(limit)
    assert found.passed is (limit < 0.6)


@pytest.mark.parametrize(("seeds", "passed"), [(3, None), (5, None), (6, True)])
def test_few_seeds_cannot_be_judged(seeds, passed):
    table = make_runs(independent, seeds=seeds)
    assert judge(table)["unimodal"].passed is passed
    ability = judge_ability(score(table))
    assert (ability.two_steps is None) is (passed is None)


# --- two steps ---------------------------------------------------------------------------------


def test_the_two_largest_sizes_are_forecast_within_their_intervals():
    found, why = forecast_largest(score(make_runs(independent)))
    assert why == ""
    assert [one.params for one in found.outcomes] == pytest.approx(SIZES[-2:])
    assert all(one.inside for one in found.outcomes)
    assert found.error < 0.05
    # The smooth score's law has E = .02, alpha = .55; eight seeds with 3 % noise give it to a
    # tenth.
    assert found.letters["alpha"] == pytest.approx(0.55, rel=0.1)


def test_forecasts_know_nothing_of_the_sizes_that_are_held_out():
    """Changing the held-out scores changes the error but not the forecasts."""
    table = make_runs(independent)
    held = table.params >= SIZES[-2]
    moved = tuple(
        dataclasses.replace(one, values=np.where(held, 0.5 * one.values, one.values))
        for one in table.metrics
    )
    first, _ = forecast_largest(score(table))
    second, _ = forecast_largest(score(dataclasses.replace(table, metrics=moved)))
    assert [one.forecast for one in first.outcomes] == [one.forecast for one in second.outcomes]
    assert first.error != pytest.approx(second.error, abs=0.01)


def test_the_first_step_is_a_law_of_both_where_both_vary():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(SIZES[:7], np.geomspace(1e6, 3e7, 4))).reshape(2, -1)
    n, d = (np.repeat(one, 6) for one in grid)
    loss = 0.05 + 60.0 / n**0.45 + 90.0 / d**0.4
    loss = loss * np.exp(0.01 * rng.standard_normal(n.size))
    exact = rng.binomial(512, np.exp(-2.0 * loss)) / 512
    found, why = forecast_largest(score(tabulate(n, exact, tokens=d, seeds=6, answer_loss=loss)))
    assert why == ""
    assert "B/D^beta" in found.equation
    assert len(found.outcomes) == 8
    assert found.error < 0.05


def test_a_smooth_score_with_a_bound_is_fitted_as_its_distance():
    table = make_runs(independent)
    null = next(one for one in table.metrics if one.name == "answer_null")
    accuracy = dataclasses.replace(null, name="answer_accuracy", values=null.values**0.25)
    whole = dataclasses.replace(table, metrics=(*table.metrics, accuracy))
    names = AbilityNames("answer_exact", "answer_accuracy", "answer_null")
    found, why = forecast_largest(gather_scores(whole, names))
    assert why == ""
    assert found.equation.startswith("1 − answer_accuracy = ")
    for one in found.outcomes:  # its law is another than that of the loss: near is enough
        assert one.smooth == pytest.approx(one.smooth_measured, abs=0.05)


@pytest.mark.parametrize(
    ("sizes", "words"), [(5, "5 sizes; 6 are needed"), (6, ""), (1, "1 sizes; 6 are needed")]
)
def test_too_few_sizes_are_not_forecast(sizes, words):
    table = make_runs(independent, sizes=np.geomspace(3e4, 1e6, sizes))
    found, why = forecast_largest(score(table))
    assert (found is None) is bool(words)
    assert why.startswith(words)


def test_a_smooth_score_that_is_not_positive_is_not_forecast():
    table = make_runs(independent)
    metrics = tuple(
        dataclasses.replace(one, values=one.values - 0.5) if one.name == "answer_loss" else one
        for one in table.metrics
    )
    found, why = forecast_largest(score(dataclasses.replace(table, metrics=metrics)))
    assert found is None
    assert "not above 0" in why


def test_a_score_that_falls_as_the_loss_improves_is_not_forecast():
    found, why = forecast_largest(score(make_runs(lambda n, right: 1.0 - right)))
    assert found is None
    assert "does not rise as answer_loss improves" in why


# --- is it the metric? -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exact", "agreement", "verdict"),
    [
        (independent, "agrees", "metric"),
        (lambda n, right: right**1.5, "exceeds", "model"),
        (lambda n, right: 0.5 * right**4, "lags", "model"),
        (lambda n, right: np.where(n > 3e5, right**2, 0.3 * right**4), "mixed", "model"),
        (lambda n, right: 0.0 * n, "lags", "no_rise"),
    ],
)
def test_exact_match_is_compared_with_independent_errors(exact, agreement, verdict):
    ability = judge_ability(score(make_runs(exact)))
    assert ability.null.agreement == agreement
    assert ability.verdict == verdict


def test_a_jump_of_the_smooth_score_too_is_not_blamed_on_the_metric():
    """Seeds that learn get all tokens right, the others none: p^L jumps too, and so does the
    loss."""
    rng = np.random.default_rng(1)
    n = np.repeat(SIZES, 24)
    won = rng.random(n.size) < rise(n)
    right = np.where(won, 0.999, 0.2)
    loss = np.where(won, 0.01, 1.5) * np.exp(0.02 * rng.standard_normal(n.size))
    table = tabulate(n, right**4, answer_loss=loss, answer_null=right**4, seeds=24)
    ability = judge_ability(score(table))
    assert ability.null.agreement == "agrees"
    assert ability.progress < 0.25
    assert ability.verdict == "both"
    assert ability.bimodal


def test_a_difference_within_the_noise_is_unclear():
    """Two runs per size, off by ±.2: neither equal nor significantly different."""
    n = np.repeat(SIZES, 2)
    null = np.linspace(0.2, 0.8, 18)
    exact = null + np.where(np.arange(18) % 2, 0.2, -0.17)
    found = compare_null(score(tabulate(n, exact, answer_null=null, seeds=2)))
    assert found.agreement == "unclear"


def test_sizes_at_floor_or_ceiling_are_not_compared():
    n = np.repeat(SIZES, 4)
    ends = np.where(n > 1e5, 0.99, 0.01)
    found = compare_null(score(tabulate(n, ends, answer_null=ends, seeds=4)))
    assert found.agreement == "unclear"
    assert found.cells == ()


def test_one_run_is_judged_by_its_own_error():
    """z = .2 / √(.02² + .02²) = 7 at each of nine sizes."""
    null = np.linspace(0.2, 0.6, 9)
    table = make_table(
        SIZES, np.full(9, 3e6), loss=np.full(9, 2.0),
        metrics=tuple(
            Metric(name=name, values=values, errors=np.full(9, 0.02), higher_is_better=True,
                   bound=1.0)
            for name, values in (("answer_exact", null + 0.2), ("answer_null", null))
        ),
    )  # fmt: skip
    found = compare_null(score(table))
    assert found.agreement == "exceeds"
    assert found.cells[0].chance == pytest.approx(math.erfc(0.2 / math.hypot(0.02, 0.02) / 2**0.5))


def test_progress_is_the_share_of_the_improvement_before_the_onset():
    """Loss 2, 1, 0 at three sizes, the first two at chance: half of the improvement."""
    n = np.repeat([1e4, 1e5, 1e6], 3)
    loss = np.repeat([2.0, 1.0, 1e-9], 3)
    table = tabulate(n, (n > 1e5).astype(float), answer_loss=loss, seeds=3)
    assert measure_progress(score(table)) == pytest.approx(0.5)


# --- which metrics, and bad ones ---------------------------------------------------------------


def test_controls_and_losses_are_not_abilities():
    table = make_runs(independent)
    (found,) = list_abilities(table)
    assert found == AbilityNames("answer_exact", "answer_loss", "answer_null")
    alone = tuple(one for one in table.metrics if one.name == "answer_exact")
    (found,) = list_abilities(dataclasses.replace(table, metrics=alone))
    assert found == AbilityNames("answer_exact", "loss", None)


def test_every_problem_is_named_at_once():
    names = AbilityNames("answer_exakt", "answer_lossy", None)
    with pytest.raises(TableError) as caught:
        gather_scores(make_runs(independent), names, chance=2.0)
    assert len(caught.value.problems) == 3


def test_scores_beyond_the_bound_are_refused_with_a_run():
    table = tabulate(np.repeat(SIZES, 2), np.full(18, 93.0), seeds=2)
    with pytest.raises(TableError, match=r"18 of 18 rows lie outside 0 … 1 .*100 for percent"):
        score(table)
    assert score(table, ceiling=100.0).threshold == pytest.approx(90.0)


def test_the_contract_is_strict_json():
    """Infinite ends and absent scores are null."""
    for table in (make_runs(independent), make_runs(bimodal), make_runs(lambda n, right: 0.0 * n)):
        text = json.dumps(judge_ability(score(table)).to_contract(), allow_nan=False)
        assert json.loads(text)["sharp"] == "answer_exact"


def test_success_that_follows_tokens_alone_has_no_midpoint_in_size() -> None:
    """One seed of each of 15 cells, as a sweep of two tasks had: e^(ln N½) was 0."""
    params, tokens = map(np.ravel, np.meshgrid(SIZES[:5], [2e5, 8e5, 3.2e6]))
    table = tabulate(params, np.where(tokens > 1e6, 0.95, 0.1), tokens=tokens, seeds=1)
    law = fit_success(score(table))
    assert law.midpoint is None
    assert law.reason

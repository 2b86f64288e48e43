"""Claims about recipe error: measured at corners, included in intervals, absent without
brackets."""

import dataclasses

import numpy as np
import pytest
from known_law import NOISE, TRUTH, design_isoflop, simulate

from scaling.allocation import allocate
from scaling.fitting.bootstrap import Excess, draw_laws
from scaling.fitting.bracket import (
    assume_excess,
    check_recipe,
    measure_recipe_error,
    place_excess,
)
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.intervals import find_interval
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.fitting.solver import solve
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.brackets import Bracket
from scaling.tables.run_table import RunTable, make_table, sort_rows
from scaling.units import FloatArray

FACTORS = (0.25, 0.5, 2.0, 4.0)
VALLEY = 0.01  # rise of ln loss if the learning rate is off by ×2


def try_rates(params: float, tokens: float, *, off: float, loss: float = 2.0) -> Bracket:
    """A corner whose best rate is × 2^off of the recipe's."""
    rise = [VALLEY * ((np.log2(factor) - off) ** 2 - off**2) for factor in FACTORS]
    tried = zip(FACTORS, loss * np.exp(rise), strict=True)
    return Bracket(
        run=f"{params}",
        params=params,
        tokens=tokens,
        loss=loss,
        learning_rates=tuple((factor, float(value)) for factor, value in tried),
        batches=(),
    )


def make_brackets(low: float, middle: float, high: float) -> tuple[Bracket, ...]:
    return (
        try_rates(1e4, 1e7, off=high),
        try_rates(1e5, 1e6, off=middle),
        try_rates(1e6, 1e5, off=low),
    )


def with_brackets(table: RunTable, *brackets: Bracket) -> RunTable:
    return table.replace(brackets=brackets)


def test_the_excess_is_the_distance_above_the_parabolas_minimum() -> None:
    table = with_brackets(simulate(), *make_brackets(1.0, 0.0, -0.5))
    error = measure_recipe_error(table, sigma=0.0, count=3, seed=0)
    assert error is not None
    # By ascending D/N: off by ×2, right, off by ×√2; the parabola is exact here.
    assert error.draws == pytest.approx(np.tile([VALLEY, 0.0, VALLEY / 4], (3, 1)), abs=1e-12)


def test_without_a_bracket_there_is_no_measured_recipe_error() -> None:
    assert measure_recipe_error(simulate(), sigma=None, count=3, seed=0) is None
    checks = check_recipe(simulate(), None)
    assert [(check.code, check.passed) for check in checks] == [
        ("lr_at_edge", None),
        ("batch_at_edge", None),
    ]
    assert '"bracket: true"' in checks[0].seen


def test_a_bracket_whose_runs_all_diverged_measures_nothing() -> None:
    lost = dataclasses.replace(
        try_rates(1e5, 1e6, off=0.0), learning_rates=((0.5, None), (2.0, None))
    )
    assert (
        measure_recipe_error(with_brackets(simulate(), lost), sigma=None, count=3, seed=0) is None
    )


def refit(fit: ParametricFit, excess: Excess) -> FloatArray:
    """theta without the excess of each draw, shape (b, p)."""
    target = fit.task.target - excess.amounts @ excess.shares
    starts = np.repeat(fit.theta[None], len(target), axis=0)
    return solve(dataclasses.replace(fit.task, target=target), starts).theta


def find_best(fit: ParametricFit, theta: FloatArray, flops: float) -> FloatArray:
    laws = CHINCHILLA.to_coefficients(theta, fit.task.axes)
    return find_frontier(CHINCHILLA, laws, flops=np.array([flops]), cost=SIX_ND)[0]


def test_an_unmeasured_recipe_error_moves_half_the_draws_and_n_only_down() -> None:
    table = sort_rows(simulate(budgets=5, sizes=7, ends=(1e11, 1e13)))
    fit = fit_parametric(table, CHINCHILLA, delta=1e-2)
    excess = assume_excess(fit, count=1000, seed=0)
    moved = excess.amounts.any(axis=1)
    assert np.mean(moved) == pytest.approx(0.5, abs=0.05)  # three standard errors
    plain = find_best(fit, fit.theta[None], 1e14)
    change = np.log(find_best(fit, refit(fit, excess), 1e14) / plain)
    assert np.all(change[moved] < 0.0)
    # .4 to 1.8 % at both ends of D; 1 % moves ln N* by -.125 there (decision 0052).
    assert np.min(change) == pytest.approx(-0.225, rel=0.15)
    assert np.max(change[moved]) == pytest.approx(-0.05, rel=0.15)


def spoil(table: RunTable, penalty: float) -> RunTable:
    """The sweep with a recipe that is worse at both ends of D."""
    log_d = np.log(table.tokens)
    place = 2.0 * (log_d - log_d.min()) / np.ptp(log_d) - 1.0
    return table.replace(loss=table.loss * (1.0 + penalty * place**2))


def test_the_interval_allows_for_an_unmeasured_recipe_error() -> None:
    right = simulate(noise=0.0, budgets=5, sizes=7, ends=(1e11, 1e13))
    # Without noise only recipe error and model error make up the interval.
    fit = fit_runs(
        spoil(right, 0.01),
        bootstrap=400,
        huber_delta=1e-2,
        approach="parametric",
        family="chinchilla",
    )
    answer = allocate(fit, 1e14, far=True, anyway=True)
    truth = find_frontier(CHINCHILLA, TRUTH[None], flops=np.array([1e14]), cost=SIX_ND)[0][0]
    assert answer.params_interval is not None
    assert answer.params_interval.low < truth < 0.9 * answer.params


@pytest.mark.slow
def test_a_recipe_that_is_worse_at_the_ends_of_d_is_covered() -> None:
    # 1 % at both ends, a decade beyond the data: decision 0047 asks for 80 % if the law is wrong.
    # The bootstrap alone covers N* in .41 and the loss in .64 (benchmarks/coverage.py).
    covered = []
    truth = find_frontier(CHINCHILLA, TRUTH[None], flops=np.array([1e14]), cost=SIX_ND)
    loss = float(CHINCHILLA.loss(TRUTH, truth[0], truth[1])[0])
    for seed in range(200):
        table = spoil(simulate(seed=seed, budgets=5, sizes=7, ends=(1e11, 1e13)), 0.01)
        fit = fit_runs(
            table,
            bootstrap=200,
            huber_delta=1.345 * NOISE,
            approach="parametric",
            family="chinchilla",
        )
        answer = allocate(fit, 1e14, far=True, anyway=True)
        pairs = ((answer.params_interval, truth[0][0]), (answer.loss_interval, loss))
        covered.append([one.low <= true <= one.high for one, true in pairs if one is not None])
    # Measured .96 and .89 in 400; .80 of 200 has a standard error of .028.
    assert np.min(np.mean(covered, axis=0)) >= 0.80


def test_parameter_intervals_exclude_the_assumed_recipe_error() -> None:
    table = sort_rows(simulate(budgets=5, sizes=7, ends=(1e11, 1e13)))
    fit = fit_runs(
        table, bootstrap=100, huber_delta=1e-2, approach="parametric", family="chinchilla"
    )
    alike = draw_laws(table, fit_parametric(table, CHINCHILLA, delta=1e-2), count=100, seed=0)
    assert fit.law is not None
    assert fit.law.intervals is not None
    assert fit.law.intervals["beta"] == find_interval(alike.coefficients[:, 4], 0.9)
    assert np.array(fit.draws)[:, 4].std() > 1.05 * alike.coefficients[:, 4].std()


@pytest.mark.parametrize("seed", range(3))
def test_every_draw_describes_the_runs_even_where_they_do_not_determine_the_law(seed: int) -> None:
    # In a flat valley a small excess moves the coefficients far: along the tangent, draws of these
    # runs miss some by .8 to 5 in ln L, and 100 iterations lose a third of the draws.
    params, tokens, budget = design_isoflop(budgets=5, sizes=5, ends=(7e10, 6.5e11))
    loss = 1.8 + 1576.0 * params**-1.13 + 4.0 * tokens**-0.15
    noise = np.exp(0.005 * np.random.default_rng(seed).standard_normal(params.size))
    table = sort_rows(make_table(params, tokens, loss=loss * noise, budget=budget))
    fit = fit_parametric(table, CHINCHILLA, delta=3e-3)
    excess = assume_excess(fit, count=200, seed=0)
    drawn = draw_laws(table, fit, count=200, seed=0, excess=excess)
    assert drawn.failed <= 2
    found = CHINCHILLA.loss(drawn.coefficients[:, None], table.params, table.tokens)
    # An excess of 1.8 % at most, three standard deviations of noise, and what a sample lacks.
    assert np.abs(np.log(found / table.loss)).max() < 0.1


def test_runs_of_one_token_count_get_no_assumed_recipe_error() -> None:
    params = np.geomspace(1e4, 1e6, 12)
    loss = 1.0 + 30.0 / params**0.3
    table = sort_rows(make_table(params, np.full(12, 1e7), loss=loss))
    fit = fit_parametric(table, CHINCHILLA, delta=1e-2)
    excess = assume_excess(fit, count=4, seed=0)
    assert not (excess.amounts @ excess.shares).any()


def test_a_diverged_rate_is_left_out() -> None:
    whole = try_rates(1e5, 1e6, off=-0.5)
    torn = dataclasses.replace(whole, learning_rates=(*whole.learning_rates[:3], (4.0, None)))
    found = [
        measure_recipe_error(with_brackets(simulate(), one), sigma=0.0, count=1, seed=0)
        for one in (whole, torn)
    ]
    assert all(one is not None for one in found)
    assert found[0].draws == pytest.approx(found[1].draws, abs=1e-12)  # type: ignore[union-attr]


def test_correcting_the_excess_gives_the_law_of_the_best_recipe() -> None:
    params, tokens, budget = design_isoflop(budgets=5, sizes=7, ends=(1e11, 1e13))
    log_d = np.log(tokens)
    place = (log_d - log_d.min()) / np.ptp(log_d)
    spoiled = CHINCHILLA.loss(TRUTH, params, tokens) * np.exp(0.01 * place)
    table = sort_rows(make_table(params, tokens, loss=spoiled, budget=budget))
    corners = (
        try_rates(1e4, float(np.exp(log_d.min())), off=0.0),
        try_rates(1e4, float(np.exp(log_d.max())), off=1.0),  # ln L 1 % above its best
    )
    fit = fit_parametric(table, CHINCHILLA, delta=1e-2)
    error = measure_recipe_error(with_brackets(table, *corners), sigma=0.0, count=200, seed=0)
    assert error is not None
    moved = refit(fit, place_excess(fit, error, seed=0))
    laws = CHINCHILLA.to_coefficients(moved, fit.task.axes)
    far = CHINCHILLA.loss(laws, np.array(1e6), np.array(1e9))
    truth = float(CHINCHILLA.loss(TRUTH, np.array(1e6), np.array(1e9)))
    plain = float(CHINCHILLA.loss(fit.coefficients, np.array(1e6), np.array(1e9)))
    # A quarter of the draws corrects along D, which is right here.
    assert np.min(np.abs(far - truth)) < 1e-3 * abs(plain - truth)
    assert np.mean(np.isclose(far, plain, rtol=1e-12)) == pytest.approx(0.5, abs=0.1)


def test_a_measured_excess_widens_the_interval_and_a_zero_one_hardly_does() -> None:
    table = simulate(budgets=5, sizes=7, ends=(1e11, 1e13))
    widths = []
    for brackets in ((), make_brackets(0.0, 0.0, 0.0), make_brackets(1.5, 0.0, 1.5)):
        fit = fit_runs(
            with_brackets(table, *brackets),
            bootstrap=400,
            huber_delta=1.345 * NOISE,
            family="chinchilla",
        )
        assert fit.law is not None
        assert fit.law.intervals is not None
        alpha = fit.law.intervals["alpha"]
        widths.append(alpha.high - alpha.low)
    assert widths[1] < 1.1 * widths[0]
    assert widths[2] > 1.2 * widths[0]


@pytest.mark.parametrize(("off", "fires"), [(0.0, False), (1.0, False), (3.0, True), (-3.0, True)])
def test_an_edge_fails_only_if_it_wins(off: float, fires: bool) -> None:
    table = with_brackets(simulate(), try_rates(1e4, 1e7, off=off))
    check = check_recipe(table, NOISE)[0]
    assert check.code == "lr_at_edge"
    assert check.passed is not fires
    assert ("another learning rate" in check.advice) == fires


def test_an_edge_that_wins_within_the_noise_passes() -> None:
    best = try_rates(1e4, 1e7, off=3.0)
    check = check_recipe(with_brackets(simulate(), best), 0.05)[0]
    assert check.passed


def test_batches_are_judged_too() -> None:
    corner = dataclasses.replace(
        try_rates(1e4, 1e7, off=0.0), batches=((0.5, 1.9), (2.0, 2.1)), learning_rates=()
    )
    lr, batch = check_recipe(with_brackets(simulate(), corner), NOISE)
    assert (lr.passed, batch.passed) == (None, False)
    assert "×0.5" in batch.seen


def test_one_other_batch_is_enough_to_see_an_edge() -> None:
    corner = dataclasses.replace(
        try_rates(1e4, 1e7, off=0.0), batches=((2.0, 1.9),), learning_rates=()
    )  # a batch of one sequence cannot be halved
    _, batch = check_recipe(with_brackets(simulate(), corner), NOISE)
    assert batch.passed is False

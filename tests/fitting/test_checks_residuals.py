"""Lack of fit, trends and evaluation error: each fires where it should, and not on chance."""

import numpy as np
import pytest
from known_law import NOISE, add_seeds, bend_middle, design_isoflop, judge, simulate

from scaling.tables.run_table import make_table


def with_seeds(*, seed=0, factor=None):
    """A sweep whose every third cell has a second seed; `factor` bends the losses of both."""
    table = add_seeds(*(simulate(seed=2 * seed + at) for at in (0, 1)), every=3)
    if factor is None:
        return table
    return table.replace(loss=table.loss * factor(table.params, table.tokens))


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.05, True), (1.2, False)])
def test_outliers_fires_on_a_run_far_off_the_law(factor, passed):
    table = simulate(sizes=7)
    loss = np.where(np.arange(len(table)) == 3, factor * table.loss, table.loss)
    found = judge(table.replace(loss=loss), "outliers")
    assert found.passed is passed
    assert passed or "1 of 35 runs" in found.seen


def test_lack_of_fit_passes_where_only_seeds_differ():
    found = judge(with_seeds(), "lack_of_fit")
    assert found.passed is True
    assert "seeds of one cell differ by 0." in found.seen


def test_lack_of_fit_fires_where_no_law_fits():
    found = judge(with_seeds(factor=bend_middle), "lack_of_fit")
    assert found.passed is False
    assert "p = " in found.seen


@pytest.mark.parametrize("delta", [1e-4, 0.1])
def test_lack_of_fit_does_not_depend_on_delta(delta):
    def ratio(chosen):
        found = judge(with_seeds(seed=2), "lack_of_fit", huber_delta=chosen)
        return float(found.seen.split("F = ")[1].split(",")[0])

    # F to two digits: least squares and nearly least absolute deviation have different optima.
    assert ratio(delta) == pytest.approx(ratio(1e-2), rel=0.15)


def test_lack_of_fit_has_the_stated_false_alarm_rate():
    fired = [
        judge(with_seeds(seed=seed), "lack_of_fit", approach="parametric").passed
        for seed in range(100)
    ]
    assert fired.count(False) <= 4  # binomial, 100 × .01: five or more has probability .0034


def test_lack_of_fit_is_null_without_replicates():
    found = judge(simulate(), "lack_of_fit")
    assert found.passed is None
    assert "0 degrees of freedom" in found.seen


def test_repeated_seeds_are_not_replicates():
    table = with_seeds()
    assert judge(table.replace(seed=np.zeros(len(table), int)), "lack_of_fit").passed is None


def test_residual_trend_passes_on_noise():
    fired = [
        judge(simulate(3 * NOISE, seed), "residual_trend", approach="parametric").passed
        for seed in range(20)
    ]
    assert fired.count(False) <= 1  # 20 × .01: two or more has probability .017
    assert None not in fired


def test_residual_trend_names_side_and_size():
    params, tokens, budget = design_isoflop(budgets=6, sizes=7)
    clean = simulate(NOISE / 2, budgets=6, sizes=7)
    few = tokens / params < 5  # trained on too few tokens, and 10 % above the others' law
    table = make_table(params, tokens, loss=clean.loss * np.where(few, 1.1, 1.0), budget=budget)
    found = judge(table, "residual_trend")
    assert found.passed is False
    assert "above the law" in found.seen


def test_residual_trend_sees_the_learning_rate():
    table = simulate(NOISE, budgets=6, sizes=7)
    rate = np.tile([0.004, 0.008, 0.016], 14)
    loss = table.loss * np.where(rate > 0.01, 1.03, 1.0)
    found = judge(table.replace(loss=loss, learning_rate=rate), "residual_trend")
    assert found.passed is False
    assert "The 14 runs with learning rate 0.016 lie" in found.seen
    assert "above the law" in found.seen


def test_small_trends_are_named_but_pass():
    table = simulate(NOISE / 20, budgets=9, sizes=9)
    loss = table.loss * (1 + 0.1 * (bend_middle(table.params, table.tokens) - 1))
    found = judge(table.replace(loss=loss), "residual_trend")
    assert found.passed is True
    assert "lie 0." in found.seen


def test_residual_trend_is_null_for_few_runs():
    assert judge(simulate(budgets=4, sizes=3), "residual_trend").passed is None


def test_eval_noise_counts_at_most_the_spread_of_the_residuals():
    sharp = simulate(NOISE / 20, budgets=9, sizes=9)
    found = judge(sharp.replace(loss_se=0.02 * sharp.loss), "eval_noise")
    assert found.passed is True
    assert "standard errors of 2.0%" in found.seen


def test_eval_noise_is_null_where_it_is_not_stated():
    assert judge(simulate(), "eval_noise").passed is None


def test_runs_on_other_unique_text_are_not_replicates():
    table = with_seeds()
    unique = np.where(table.seed == 1, table.tokens / 2, table.tokens)
    assert judge(table.replace(unique_tokens=unique), "lack_of_fit").passed is None

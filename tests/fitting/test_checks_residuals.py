"""Lack of fit, trends and evaluation error: each fires where it should, and not on chance."""

import numpy as np
import pytest
from known_law import NOISE, check, design_isoflop, simulate

from scaling.fitting.every_approach import fit_runs
from scaling.tables.run_table import make_table


def with_seeds(noise=NOISE, seed=0, *, every=3, factor=None):
    """A sweep whose every third cell has a second seed; `factor` bends the losses of both."""
    first, second = (simulate(noise, 2 * seed + at) for at in (0, 1))
    rows = np.r_[np.arange(len(first)), np.arange(0, len(first), every)]
    again = np.arange(rows.size) >= len(first)
    loss = np.where(again, second.loss[rows], first.loss[rows])
    params, tokens = first.params[rows], first.tokens[rows]
    if factor is not None:
        loss = loss * factor(params, tokens)
    return make_table(
        params, tokens, loss=loss, budget=first.budget[rows], seed=again.astype(np.int64)
    )


def bend_middle(params, tokens):
    """4 % below the law around 15 tokens per parameter, 4 % above it far away: recipes that suit
    the middle of the grid."""
    return 1.0 + 0.04 * np.tanh(np.log(tokens / params / 15) ** 2 - 1.5)


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.05, True), (1.2, False)])
def test_outliers_fires_on_a_run_far_off_the_law(factor, passed):
    table = simulate(sizes=7)
    loss = np.where(np.arange(len(table)) == 3, factor * table.loss, table.loss)
    found = check(
        fit_runs(make_table(table.params, table.tokens, loss=loss), bootstrap=None), "outliers"
    )
    assert found.passed is passed
    assert passed or "1 of 35 runs" in found.seen


def test_lack_of_fit_passes_where_only_seeds_differ():
    found = check(fit_runs(with_seeds(), bootstrap=None), "lack_of_fit")
    assert found.passed is True
    assert "seeds of one cell differ by 0." in found.seen


def test_lack_of_fit_fires_where_no_law_fits():
    found = check(fit_runs(with_seeds(factor=bend_middle), bootstrap=None), "lack_of_fit")
    assert found.passed is False
    assert "p = " in found.seen


@pytest.mark.parametrize("delta", [1e-4, 0.1])
def test_lack_of_fit_does_not_depend_on_delta(delta):
    def ratio(chosen):
        fit = fit_runs(with_seeds(seed=2), huber_delta=chosen, bootstrap=None)
        return float(check(fit, "lack_of_fit").seen.split("F = ")[1].split(",")[0])

    # F to two digits; least squares and nearly least absolute deviation end at other optima.
    assert ratio(delta) == pytest.approx(ratio(1e-2), rel=0.15)


def test_lack_of_fit_alarms_by_chance_as_often_as_it_says():
    fired = sum(
        check(fit_runs(with_seeds(seed=seed), approach="parametric", bootstrap=None),
              "lack_of_fit").passed is False
        for seed in range(100)
    )  # fmt: skip
    assert fired <= 4  # binomial, 100 × .01: five or more has probability .0034


def test_lack_of_fit_is_null_without_replicates():
    found = check(fit_runs(simulate(), bootstrap=None), "lack_of_fit")
    assert found.passed is None
    assert "0 degrees of freedom" in found.seen


def test_repeated_seeds_are_no_replicates():
    table = with_seeds()
    doubled = make_table(
        table.params, table.tokens, loss=table.loss, budget=table.budget, seed=np.zeros(len(table))
    )
    assert check(fit_runs(doubled, bootstrap=None), "lack_of_fit").passed is None


def test_residual_trend_passes_on_noise():
    fits = [fit_runs(simulate(3 * NOISE, seed), approach="parametric", bootstrap=None)
            for seed in range(20)]  # fmt: skip
    fired = [check(fit, "residual_trend").passed for fit in fits]
    assert fired.count(False) <= 1  # 20 × .01: two or more has probability .017
    assert None not in fired


def test_residual_trend_names_side_and_size():
    params, tokens, budget = design_isoflop(budgets=6, sizes=7)
    clean = simulate(NOISE / 2, budgets=6, sizes=7)
    few = tokens / params < 5  # trained on too few tokens, 10 % above the law of the others
    table = make_table(params, tokens, loss=clean.loss * np.where(few, 1.1, 1.0), budget=budget)
    found = check(fit_runs(table, bootstrap=None), "residual_trend")
    assert found.passed is False
    assert "above the law" in found.seen


def test_residual_trend_sees_the_learning_rate():
    table = simulate(NOISE, budgets=6, sizes=7)
    rate = np.tile([0.004, 0.008, 0.016], 14)
    loss = table.loss * np.where(rate > 0.01, 1.03, 1.0)
    columns = {"budget": table.budget, "learning_rate": rate}
    mixed = make_table(table.params, table.tokens, loss=loss, **columns)
    found = check(fit_runs(mixed, bootstrap=None), "residual_trend")
    assert found.passed is False
    assert "The 14 runs with learning rate 0.016 lie" in found.seen
    assert "above the law" in found.seen


def test_small_patterns_are_named_and_pass():
    table = simulate(NOISE / 20, budgets=9, sizes=9)
    loss = table.loss * (1 + 0.1 * (bend_middle(table.params, table.tokens) - 1))
    bent = make_table(table.params, table.tokens, loss=loss, budget=table.budget)
    found = check(fit_runs(bent, bootstrap=None), "residual_trend")
    assert found.passed is True
    assert "lie 0." in found.seen


def test_residual_trend_is_null_for_few_runs():
    fit = fit_runs(simulate(budgets=4, sizes=3), bootstrap=None)
    assert check(fit, "residual_trend").passed is None


def with_errors(table, relative):
    return make_table(table.params, table.tokens, loss=table.loss, budget=table.budget,
                      loss_se=relative * table.loss)  # fmt: skip


def test_eval_noise_fires_where_windows_differ_and_blur_the_exponent():
    blurred = with_errors(simulate(0.02, 1, ends=(3e10, 2e11)), 0.02)
    assert check(fit_runs(blurred, bootstrap=None), "eval_noise").passed is False


def test_eval_noise_counts_at_most_the_spread_of_the_residuals():
    sharp = with_errors(simulate(NOISE / 20, budgets=9, sizes=9), 0.02)
    found = check(fit_runs(sharp, bootstrap=None), "eval_noise")
    assert found.passed is True
    assert "standard errors of 2.0%" in found.seen


def test_eval_noise_is_null_where_it_is_not_stated():
    assert check(fit_runs(simulate(), bootstrap=None), "eval_noise").passed is None


def test_runs_on_other_unique_text_are_no_replicates():
    table = with_seeds()
    unique = np.where(table.seed == 1, table.tokens / 2, table.tokens)
    columns = {"budget": table.budget, "seed": table.seed, "unique_tokens": unique}
    repeated = make_table(table.params, table.tokens, loss=table.loss, **columns)
    assert check(fit_runs(repeated, bootstrap=None), "lack_of_fit").passed is None

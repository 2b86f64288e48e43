"""Every gate fires where it should, and does not where it should not."""

import numpy as np
import pytest
from known_law import NOISE, TRUTH, check, design_isoflop, simulate

from scaling.fitting.every_approach import fit_runs
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import make_table, select_rows

# A design that passes every gate: 9 budgets of 9 sizes over two decades, a tenth of the noise.
GOOD = {"noise": NOISE / 10, "budgets": 9, "sizes": 9, "ends": (3e10, 3e12)}


def with_columns(table, **columns):
    return make_table(table.params, table.tokens, loss=table.loss, budget=table.budget, **columns)


@pytest.fixture(scope="module")
def good():
    table = simulate(**GOOD)
    replicates = simulate(**{**GOOD, "seed": 3})
    rows = np.r_[np.arange(81), np.arange(0, 81, 9)]  # a second seed at nine cells
    loss = np.r_[table.loss, replicates.loss[::9]]
    n = rows.size
    stated = make_table(
        table.params[rows],
        table.tokens[rows],
        loss=loss,
        budget=table.budget[rows],
        seed=np.r_[np.zeros(81), np.ones(9)],
        learning_rate=np.full(n, 0.01),
        unique_tokens=table.tokens[rows],
        loss_se=np.full(n, 0.02),
    )
    trained = stated.replace(
        steps=np.full(n, 4000.0),
        warmup_steps=np.full(n, 100.0),
        decay_steps=np.full(n, 800.0),
        corpus=("ab12",) * n,
        numerics=("torch 2.13, device cpu",) * n,
        overlap=0.1,
        clipped_after_warmup=np.full(n, 0.02),
        unigram_entropy=5.0,
    )
    return fit_runs(trained, bootstrap=100)


def test_a_good_design_passes_every_gate(good):
    assert good.status == "converged"
    # No bracket was trained (tests/fitting/test_bracket.py has those that were).
    unknown = {one.code for one in good.checks if one.passed is None}
    assert unknown == {"lr_at_edge", "batch_at_edge"}
    assert [one.code for one in good.checks if one.passed is False] == []
    codes = {one.code for one in good.checks} - unknown
    assert codes == {
        "too_few_cells", "diverged_cells", "duplicate_cells", "several_recipes_per_cell",
        "implausible_units", "repeated_data", "not_converged", "parameter_at_bound",
        "not_identified",
        "design_imprecise", "influence", "too_few_budgets", "interior_minimum",
        "positive_curvature", "off_centre_grid", "methods_disagree", "lack_of_fit",
        "residual_trend", "outliers", "eval_noise", "too_few_steps", "warmup_too_long",
        "undercooled", "mixed_tokenisers", "numerics_changed", "train_val_overlap",
        "clipped_steps", "above_unigram", "seed_spread", "below_scaling_regime",
    }  # fmt: skip


def test_too_few_cells_fires():
    table = simulate(budgets=4, sizes=3)
    assert check(fit_runs(table, bootstrap=None), "too_few_cells").passed is False


def test_diverged_cells_fires():
    table = with_columns(simulate(), diverged=("run1", "run2"))
    found = check(fit_runs(table, bootstrap=None), "diverged_cells")
    assert found.passed is False
    assert "2 of 27 runs" in found.seen


def test_runs_stopped_short_are_renewed_not_slowed():
    table = simulate().replace(diverged=("run1", "run2"), stopped=("run1", "run2"))
    found = check(fit_runs(table, bootstrap=None), "diverged_cells")
    assert "scaling retry --diverged" in found.advice
    assert "learning rate" not in found.advice
    both = table.replace(stopped=("run1",))
    advice = check(fit_runs(both, bootstrap=None), "diverged_cells").advice
    assert "scaling retry --diverged" in advice
    assert "Lower the learning rate" in advice


def test_duplicate_cells_fires_and_keeps_the_rows():
    table = simulate()
    doubled = select_rows(table, np.r_[np.arange(25), 3, 4])
    fit = fit_runs(doubled, bootstrap=None)
    assert fit.n == 27
    assert "2 of 27 rows" in check(fit, "duplicate_cells").seen
    assert check(fit, "duplicate_cells").passed is False


def pair_runs(second=1.0, **columns):
    """Every cell twice, the second time with `second` times the loss."""
    table = select_rows(simulate(), np.repeat(np.arange(25), 2))
    loss = table.loss * np.tile([1.0, second], 25)
    return make_table(table.params, table.tokens, loss=loss, **columns)


def test_seeds_of_one_cell_are_no_duplicates():
    seeded = pair_runs(seed=np.tile([0, 1], 25))
    assert check(fit_runs(seeded, bootstrap=None), "duplicate_cells").passed is True


def test_several_recipes_fires_on_learning_rates():
    mixed = pair_runs(learning_rate=np.tile([0.01, 0.02], 25))
    found = check(fit_runs(mixed, bootstrap=None), "several_recipes_per_cell")
    assert found.passed is False
    assert "25 of 25" in found.seen


def test_several_recipes_fires_on_spread_where_no_learning_rate_is_named():
    found = check(fit_runs(pair_runs(1.1), bootstrap=None), "several_recipes_per_cell")
    assert found.passed is False
    assert "10.0%" in found.seen


@pytest.mark.parametrize(("epochs", "passed"), [(1.0, True), (2.0, False), (6.0, False)])
def test_repeated_data(epochs, passed):
    table = simulate()
    repeated = with_columns(table, unique_tokens=table.tokens / epochs)
    found = check(fit_runs(repeated, bootstrap=None), "repeated_data")
    assert found.passed is passed
    assert ("Above 4 epochs" in found.advice) == (epochs > 4)


def test_repeated_data_is_null_where_unique_tokens_are_unknown():
    assert check(fit_runs(simulate(), bootstrap=None), "repeated_data").passed is None


def test_a_short_noisy_design_is_not_identified_and_imprecise():
    fit = fit_runs(simulate(NOISE * 8, seed=1, sizes=3, ends=(3e10, 1e11)), bootstrap=None)
    assert check(fit, "not_identified").passed is False
    assert check(fit, "design_imprecise").passed is False
    assert "E is only known to" in check(fit, "not_identified").seen


def test_parameter_at_bound_fires():
    params, tokens, budget = design_isoflop(budgets=6, sizes=6)
    rng = np.random.default_rng(0)
    loss = (8 / params**0.1 + 20 / tokens**0.2) * np.exp(0.002 * rng.standard_normal(36)) - 0.6
    fit = fit_runs(make_table(params, tokens, loss=loss, budget=budget), bootstrap=None)
    assert check(fit, "parameter_at_bound").passed is False
    assert "E = 0" in check(fit, "parameter_at_bound").seen


def test_not_converged_fires_where_the_proof_fails(monkeypatch):
    # A solver that stops at its start point, as the published one did (arXiv:2404.10102).
    monkeypatch.setattr("scaling.fitting.solver.MAX_ITERATIONS", 1)
    fit = fit_runs(simulate(), bootstrap=None)
    assert fit.status == "not_converged"
    assert check(fit, "not_converged").passed is False


def test_influence_fires_where_one_budget_bends_the_law():
    table = simulate(NOISE / 10, budgets=4, sizes=9)
    top = table.budget == table.budget.max()
    bent = np.where(top, (table.params / np.median(table.params[top])) ** -0.1, 1.0)
    moved = make_table(table.params, table.tokens, loss=table.loss * bent, budget=table.budget)
    found = check(fit_runs(moved, bootstrap=None), "influence")
    assert found.passed is False
    assert "FLOPs a becomes" in found.seen


def test_too_few_budgets_fires():
    fit = fit_runs(simulate(budgets=3, sizes=9, noise=NOISE / 10), bootstrap=None)
    assert check(fit, "too_few_budgets").passed is False
    assert "3 of 3" in check(fit, "too_few_budgets").seen


def test_interior_minimum_fires_and_names_the_budget():
    table = simulate(**GOOD)
    lowest = table.budget == table.budget.min()
    keep = ~lowest | (table.params > np.median(table.params[lowest]) * 1.2)
    fit = fit_runs(select_rows(table, np.flatnonzero(keep)), bootstrap=None)
    found = check(fit, "interior_minimum")
    assert found.passed is False
    assert "budget 3e10: lowest at its smallest model" in found.seen
    assert len(fit.approaches["isoflop"].optima) == 8


def test_positive_curvature_fires_and_names_the_budget():
    table = simulate(**GOOD)
    top = table.budget == table.budget.max()
    centre = np.median(np.log(table.params[top]))
    bump = np.where(top, -0.3 * (np.log(table.params) - centre) ** 2, 0.0)
    bent = make_table(table.params, table.tokens, loss=table.loss * np.exp(bump),
                      budget=table.budget)  # fmt: skip
    found = check(fit_runs(bent, bootstrap=None), "positive_curvature")
    assert found.passed is False
    assert "budget 3e12: the parabola bends down" in found.seen


def test_off_centre_grid_fires():
    params, tokens, budget = design_isoflop(budgets=6, sizes=9)
    keep = np.tile(np.arange(9) >= 3, 6)  # the minimum near the small end
    table = make_table(
        params[keep],
        tokens[keep],
        loss=CHINCHILLA.loss(TRUTH, params[keep], tokens[keep]),
        budget=budget[keep],
    )
    found = check(fit_runs(table, bootstrap=None), "off_centre_grid")
    assert found.passed is False
    assert "small end" in found.seen


def test_methods_disagree_fires_on_curves_that_follow_another_exponent():
    flops = np.repeat(np.geomspace(1e10, 1e14, 6), 7)
    middle = 1e3 * (flops / 1e10) ** 0.9
    params = middle * np.tile(np.geomspace(0.3, 3, 7), 6)
    # Minima move as C^.9; no sum of two powers has such curves, and the law settles for C^.84.
    loss = 1.5 + 3 * (flops / 1e10) ** -0.1 + 0.03 * np.log(params / middle) ** 2
    fit = fit_runs(make_table(params, flops / 6 / params, loss=loss, budget=flops), bootstrap=50)
    assert fit.approaches["isoflop"].a == pytest.approx(0.9, abs=0.01)
    assert fit.approaches["parametric"].a < 0.86
    assert check(fit, "methods_disagree").passed is False


def test_epochs_make_another_cell():
    table = select_rows(simulate(), np.repeat(np.arange(25), 2))
    unique = np.where(np.arange(50) % 2, table.tokens, table.tokens / 4)
    loss = table.loss * np.where(np.arange(50) % 2, 1.0, 1.1)
    columns = {"budget": table.budget, "unique_tokens": unique}
    repeated = make_table(table.params, table.tokens, loss=loss, **columns)
    fit = fit_runs(repeated, bootstrap=None)
    assert check(fit, "repeated_data").passed is False
    assert check(fit, "duplicate_cells").passed is True
    assert check(fit, "several_recipes_per_cell").passed is True


def test_tied_lowest_losses_are_judged_by_the_inner_one():
    table = simulate(**GOOD)
    lowest = np.flatnonzero(table.budget == table.budget.min())
    loss = table.loss.copy()
    loss[lowest[np.argmin(table.params[lowest])]] = loss[lowest].min()  # as digitised points tie
    tied = make_table(table.params, table.tokens, loss=loss, budget=table.budget)
    assert check(fit_runs(tied, bootstrap=None), "interior_minimum").passed is True


def test_close_costs_of_like_sizes_are_no_budget():
    table = simulate(budgets=3, sizes=5, span=1.5)
    nearly = table.budget * np.tile(np.linspace(1.0, 1.02, 5), 3)
    close = make_table(table.params, nearly / (6 * table.params), loss=table.loss)
    found = check(fit_runs(close, bootstrap=None), "too_few_budgets")
    assert found.passed is None
    assert "no IsoFLOP curves" in found.seen


def test_several_recipes_fires_on_spread_beside_equal_learning_rates():
    mixed = pair_runs(1.1, learning_rate=np.full(50, 0.01))  # two corpora in one table
    found = check(fit_runs(mixed, bootstrap=None), "several_recipes_per_cell")
    assert found.passed is False
    assert "(N, D) and learning rate differ by up to 10.0%" in found.seen


def test_noisy_seeds_are_no_recipes():
    seeded = pair_runs(1.05, seed=np.tile([0, 1], 25))
    assert check(fit_runs(seeded, bootstrap=None), "several_recipes_per_cell").passed is True


def test_methods_are_not_judged_on_slopes_without_intervals():
    def judge(bootstrap):
        # Noise of three times the seeds: Approaches 2 and 3 differ by more than .05 in a.
        fit = fit_runs(simulate(3 * NOISE, 7), bootstrap=bootstrap)
        slopes = [fit.approaches[name].a for name in ("parametric", "isoflop")]
        assert abs(slopes[0] - slopes[1]) > 0.05
        return check(fit, "methods_disagree")

    assert judge(None).passed is None
    assert judge(100).passed is True

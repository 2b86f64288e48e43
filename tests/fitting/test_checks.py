"""Thresholds of the checks of a table's points and curves, and cases that must pass.

tests/fitting/test_every_check.py has one sweep for each check that fires.
"""

import numpy as np
import pytest
from known_law import NOISE, check, fit_law, judge, simulate

from scaling.tables.run_table import make_table, select_rows


def test_runs_stopped_early_are_advised_to_be_retried():
    table = simulate().replace(diverged=("run1", "run2"), stopped=("run1", "run2"))
    found = judge(table, "diverged_cells")
    assert "scaling retry --diverged" in found.advice
    assert "learning rate" not in found.advice
    both = table.replace(stopped=("run1",))
    advice = judge(both, "diverged_cells").advice
    assert "scaling retry --diverged" in advice
    assert "Lower the learning rate" in advice


def test_duplicate_cells_fires_and_keeps_the_rows():
    table = simulate()
    doubled = select_rows(table, np.r_[np.arange(25), 3, 4])
    fit = fit_law(doubled)
    assert fit.n == 27
    assert "2 of 27 rows" in check(fit, "duplicate_cells").seen
    assert check(fit, "duplicate_cells").passed is False


def pair_runs(second=1.0, **columns):
    """Every cell twice, the second time with `second` times the loss."""
    table = select_rows(simulate(), np.repeat(np.arange(25), 2))
    return table.replace(loss=table.loss * np.tile([1.0, second], 25), budget=None, **columns)


def test_seeds_of_one_cell_are_not_duplicates():
    seeded = pair_runs(seed=np.tile([0, 1], 25))
    assert judge(seeded, "duplicate_cells").passed is True


@pytest.mark.parametrize(
    ("second", "columns", "seen"),
    [
        (1.0, {"learning_rate": np.tile([0.01, 0.02], 25)}, "25 of 25"),
        (1.1, {}, "10.0%"),
        # Two corpora in one table.
        (1.1, {"learning_rate": np.full(50, 0.01)}, "and learning rate differ by up to 10.0%"),
        (1.05, {"seed": np.tile([0, 1], 25)}, None),  # noisy seeds are not recipes
    ],
)
def test_several_recipes_are_seen_in_learning_rates_and_in_spread(second, columns, seen):
    found = judge(pair_runs(second, **columns), "several_recipes_per_cell")
    assert found.passed is (seen is None)
    assert seen is None or seen in found.seen


@pytest.mark.parametrize(("epochs", "passed"), [(1.0, True), (2.0, False), (6.0, False)])
def test_repeated_data_fails_above_one_epoch(epochs, passed):
    table = simulate()
    found = judge(table.replace(unique_tokens=table.tokens / epochs), "repeated_data")
    assert found.passed is passed
    assert ("Above 4 epochs" in found.advice) == (epochs > 4)


def test_repeated_data_is_null_where_unique_tokens_are_unknown():
    assert judge(simulate(), "repeated_data").passed is None


def test_runs_with_other_unique_tokens_are_another_cell():
    table = select_rows(simulate(), np.repeat(np.arange(25), 2))
    unique = np.where(np.arange(50) % 2, table.tokens, table.tokens / 4)
    loss = table.loss * np.where(np.arange(50) % 2, 1.0, 1.1)
    fit = fit_law(table.replace(loss=loss, unique_tokens=unique))
    assert check(fit, "repeated_data").passed is False
    assert check(fit, "duplicate_cells").passed is True
    assert check(fit, "several_recipes_per_cell").passed is True


def test_the_inner_of_two_tied_lowest_losses_is_judged():
    table = simulate(NOISE / 10, budgets=9, sizes=9, ends=(3e10, 3e12))
    lowest = np.flatnonzero(table.budget == table.budget.min())
    loss = table.loss.copy()
    # Digitised losses tie like this.
    loss[lowest[np.argmin(table.params[lowest])]] = loss[lowest].min()
    assert judge(table.replace(loss=loss), "interior_minimum").passed is True


def test_close_costs_of_similar_sizes_form_no_budget():
    table = simulate(budgets=3, sizes=5, span=1.5)
    nearly = table.budget * np.tile(np.linspace(1.0, 1.02, 5), 3)
    close = make_table(table.params, nearly / (6 * table.params), loss=table.loss)
    found = judge(close, "too_few_budgets")
    assert found.passed is None
    assert "no IsoFLOP curves" in found.seen


def test_methods_are_not_judged_on_slopes_without_intervals():
    def compare(bootstrap):
        # Three times the seed noise: Approaches 2 and 3 differ by more than .05 in a.
        fit = fit_law(simulate(3 * NOISE, 7), bootstrap=bootstrap)
        slopes = [fit.approaches[name].a for name in ("parametric", "isoflop")]
        assert abs(slopes[0] - slopes[1]) > 0.05
        return check(fit, "methods_disagree")

    assert compare(None).passed is None
    assert compare(100).passed is True

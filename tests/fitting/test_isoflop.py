"""Claims about budgets and the parabolas of Approach 2."""

import numpy as np
import pytest
from known_law import NOISE, design_isoflop, simulate

from scaling.fitting.bootstrap import draw_minima
from scaling.fitting.budgets import group_budgets
from scaling.fitting.isoflop import fit_curves, fit_power_line, locate_optima
from scaling.tables.run_table import make_table, select_rows


def curves_of(table):
    return fit_curves(table, group_budgets(table))


def make_parabolas(vertex, bend=0.05, sizes=5):
    """Five budgets whose loss is an exact parabola in ln N around `vertex` of the middle size."""
    flops = np.repeat(np.geomspace(1e10, 1e12, 5), sizes)
    middle = 1e3 * (flops / 1e10) ** 0.5
    params = middle * np.tile(np.geomspace(0.25, 4, sizes), 5)
    loss = 2.5 + bend * np.log(params / middle / vertex) ** 2
    return make_table(params, flops / 6 / params, loss=loss, budget=flops)


def test_exact_parabolas_give_exact_minima():
    table = make_parabolas(1.3)
    optima = locate_optima(curves_of(table), table.cost)
    slope, intercept = fit_power_line(np.log(optima.flops), np.log(optima.params))
    assert slope == pytest.approx(0.5, abs=1e-9)
    assert np.exp(intercept) == pytest.approx(1.3e3 / 1e10**0.5, rel=1e-6)
    assert optima.loss == pytest.approx(2.5, rel=1e-9)
    assert 6 * optima.params * optima.tokens == pytest.approx(optima.flops, rel=1e-12)


@pytest.mark.parametrize(("vertex", "end"), [(8.0, "largest"), (0.1, "smallest")])
def test_edge_minimum_is_rejected(vertex, end):
    for curve in curves_of(make_parabolas(vertex)):
        assert curve.rejection == "edge"
        assert f"lowest at its {end} model" in curve.sentence


def test_concave_curve_is_rejected():
    table = make_parabolas(1.3, bend=-0.05)
    for curve in curves_of(table):
        assert curve.rejection == "concave"
        assert "maximum" in curve.sentence


@pytest.mark.parametrize(
    ("reach", "declared"),
    [(0.15, True), (0.009, False)],
    ids=["declared: whatever their FLOPs", "undeclared: within two percent"],
)
def test_runs_are_grouped_by_declared_or_similar_cost(reach, declared):
    params, tokens, budget = design_isoflop()
    wobble = np.exp(np.random.default_rng(0).uniform(-reach, reach, params.size))
    stated = budget if declared else None
    table = make_table(params, tokens * wobble, loss=np.ones(25), budget=stated)
    assert [group.rows.size for group in group_budgets(table)] == [5] * 5


def test_a_chain_of_costs_is_not_one_budget():
    params = np.geomspace(1e6, 1e8, 200)
    flops = np.geomspace(1e15, 1e16, 200)  # neighbours are 1.2 % apart, the ends a decade
    (group,) = group_budgets(make_table(params, flops / 6 / params, loss=np.ones(200)))
    assert "drifts" in group.problem


def test_wide_curves_use_the_seven_sizes_around_the_minimum():
    table = simulate(noise=0.0, sizes=15, span=16.0, budgets=5)
    for curve in curves_of(table):
        assert np.unique(curve.x).size == 7


def test_approach_2_bias_grows_with_the_width_of_the_grid():
    # arXiv:2603.22339: on noise-free data the parabola's vertex is biased, more so on wider grids.
    errors = []
    for span in (2.0, 4.0, 16.0):
        table = simulate(noise=0.0, sizes=7, span=span)
        optima = locate_optima(curves_of(table), table.cost)
        truth = design_isoflop(sizes=1, span=1.0)[0]
        errors.append(float(np.max(np.abs(np.log(optima.params / truth)))))
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 0.02


def test_drawn_minima_scatter_as_repeated_sweeps_do():
    noise = NOISE
    slopes = []
    for seed in range(200):
        table = simulate(noise, seed)
        optima = locate_optima(curves_of(table), table.cost)
        if optima.flops.size == 5:
            slopes.append(fit_power_line(np.log(optima.flops), np.log(optima.params))[0])
    clean = simulate(noise=0.0)
    drawn = draw_minima(curves_of(clean), clean.cost, sigma=noise, count=2000, seed=0)
    # The spread of 200 slopes has a standard error of 5 %; four of those.
    assert np.std(drawn[:, 0]) == pytest.approx(np.std(slopes), rel=0.2)


def test_few_degrees_of_freedom_widen_the_draws():
    clean = simulate(noise=0.0)
    known, guessed = (
        draw_minima(
            curves_of(clean), clean.cost, sigma=NOISE / 4, freedom=freedom, count=4000, seed=0
        )[:, 0]
        for freedom in (None, 5)
    )
    # A t-distribution with 5 degrees of freedom has variance 5/3; 10 % for 4000 fat-tailed draws.
    assert np.std(guessed) / np.std(known) == pytest.approx((5 / 3) ** 0.5, rel=0.1)


def test_weighted_line_ignores_a_point_of_no_weight():
    x = np.arange(5.0)
    y = 2 * x + 1
    y[3] = 100.0
    weights = np.array([1.0, 2.0, 1.0, 0.0, 3.0])
    slope, intercept = fit_power_line(x, y, weights)
    assert (slope, intercept) == (pytest.approx(2.0), pytest.approx(1.0))


def test_too_small_budgets_form_no_curve():
    params, tokens, budget = design_isoflop()
    keep = np.flatnonzero((budget > budget.min()) | (params < np.sort(params)[3]))
    table = make_table(params, tokens, loss=np.ones(25), budget=budget)
    part = select_rows(table, keep)
    assert all(group.sizes >= 3 for group in group_budgets(part))

"""Claims about cubics that share one skew, beside the parabola of Approach 2."""

import numpy as np
import pytest
from known_law import NOISE, TRUTH, design_isoflop, simulate

from scaling.fitting.budgets import group_budgets
from scaling.fitting.cubic import draw_minima
from scaling.fitting.isoflop import draw_lines, fit_curves, fit_power_line, locate_optima
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import make_table

# Exponents as different as in any published law; N* = 1e4 at 3e10 FLOPs, as in TRUTH.
LOPSIDED = np.array([0.6, 0.5 * 1e4**0.5, 1.0 * 5e5**0.25, 0.5, 0.25])


def find(table, **options):
    optima, drawn = draw_minima(table, group_budgets(table), table.cost, **options)
    return optima, draw_lines(np.log(optima.flops), drawn, table.cost)


def make_valleys(skew, shift=0.2, sizes=7):
    """Five budgets whose loss is exactly c0 + c2·(x² + s·x³) around `shift` in ln N."""
    flops = np.repeat(np.geomspace(1e10, 1e12, 5), sizes)
    middle = 1e3 * (flops / 1e10) ** 0.5
    grid = np.tile(np.geomspace(1 / 6, 6, sizes), 5)
    x = np.log(grid) - shift
    loss = 2.5 + 0.05 * (flops / 1e10) ** -0.1 * (x**2 + skew * x**3)
    return make_table(middle * grid, flops / 6 / middle / grid, loss=loss, budget=flops)


@pytest.mark.parametrize("skew", [-0.08, 0.0, 0.08])
def test_exact_cubics_give_exact_minima(skew):
    # s is defined at the grid's middle, not at the minimum: it is off by 3·s·shift, equally at all
    # budgets, so the curves stay exact.
    optima, _ = find(make_valleys(skew))
    slope, intercept = fit_power_line(np.log(optima.flops), np.log(optima.params))
    assert slope == pytest.approx(0.5, abs=1e-6)
    assert np.exp(intercept) == pytest.approx(1e3 * np.exp(0.2) / 1e10**0.5, rel=1e-5)
    assert optima.loss == pytest.approx(2.5, rel=1e-6)


def test_a_lopsided_law_misleads_parabolas_and_not_cubics():
    flops = np.geomspace(1e11, 1e13, 5)
    truth, _ = find_frontier(CHINCHILLA, LOPSIDED, flops=flops, cost=SIX_ND)
    params = (truth[:, None] * np.geomspace(1 / 6, 6, 7)).ravel()
    budget = np.repeat(flops, 7)
    loss = CHINCHILLA.loss(LOPSIDED, params, budget / 6 / params)
    table = make_table(params, budget / 6 / params, loss=loss, budget=budget)
    parabolas = locate_optima(fit_curves(table, group_budgets(table)), table.cost)
    cubics, _ = find(table)
    # Fifth-order terms remain: a tenth of the third-order error of a parabola (benchmarks).
    assert np.max(np.abs(np.log(cubics.params / truth))) < 0.015
    assert np.min(np.log(parabolas.params / truth)) > 0.08


def test_a_budget_that_is_lowest_at_an_end_is_left_out():
    params, tokens, budget = design_isoflop(sizes=7)
    keep = (budget > budget.min()) | (params > np.sort(params[:7])[3])
    loss = CHINCHILLA.loss(TRUTH, params, tokens)
    table = make_table(params[keep], tokens[keep], loss=loss[keep], budget=budget[keep])
    optima, _ = find(table)
    assert optima.flops.size == 4


def test_three_sizes_determine_no_skew():
    optima, lines = find(simulate(sizes=3), count=10)
    assert optima.flops.size == 0
    assert lines.shape == (0, 4)


def test_drawn_minima_scatter_as_repeated_sweeps_do():
    slopes = []
    for seed in range(200):
        optima, _ = find(simulate(NOISE, seed, sizes=7))
        if optima.flops.size == 5:
            slopes.append(fit_power_line(np.log(optima.flops), np.log(optima.params))[0])
    spreads = [np.std(find(simulate(NOISE, s, sizes=7), count=300)[1][:, 0]) for s in range(20)]
    # 5 % for 200 slopes, 4 % for 20 estimates of sigma with 19 degrees of freedom; three of both
    # combined.
    assert np.median(spreads) == pytest.approx(np.std(slopes), rel=0.2)

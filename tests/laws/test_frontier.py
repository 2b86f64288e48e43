"""Claims about the compute-optimal frontier."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND, CostModel, make_ladder_cost
from scaling.sweep.ladder import list_ladder

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])


def test_rounded_hoffmann_constants_give_92_tokens_per_parameter():
    # Hoffmann et al.'s constants as their text rounds them, at Chinchilla's budget, 5.76e23 FLOPs.
    params, tokens = find_frontier(CHINCHILLA, HOFFMANN, flops=np.array([5.76e23]), cost=SIX_ND)
    assert tokens[0] / params[0] == pytest.approx(92.6, abs=0.05)
    assert 6 * params[0] * tokens[0] == pytest.approx(5.76e23)


def test_numerical_minimum_equals_the_closed_form_where_both_exist():
    # Two knots that differ by rounding: κ is constant, but the numerical path is taken.
    almost = CostModel(
        name="table", log_params=(0.0, 60.0), log_kappa=(np.log(6), np.log(6) + 1e-13)
    )
    flops = np.geomspace(1e18, 1e24, 7)
    exact, _ = find_frontier(CHINCHILLA, HOFFMANN, flops=flops, cost=SIX_ND)
    found, _ = find_frontier(CHINCHILLA, HOFFMANN, flops=flops, cost=almost)
    # Within √(1e-16 / curvature .05) = 5e-8 of the minimum the loss is flat to rounding.
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_ladder_frontier_agrees_with_scipy():
    cost = make_ladder_cost(list_ladder(256, 128, max_params=1e8), "matmul")
    law = np.array([0.6, 19.2, 45.8, 0.35, 0.3])
    for flops in (1e11, 1e13, 1e15):

        def loss_at(log_params, flops=flops):
            params = np.exp(np.array(log_params))
            return float(CHINCHILLA.loss(law, params, flops / cost.flops_per_token(params)))

        found = minimize_scalar(loss_at, bounds=(6, 20), method="bounded", options={"xatol": 1e-9})
        params, tokens = find_frontier(CHINCHILLA, law, flops=np.array([flops]), cost=cost)
        assert loss_at(np.log(params[0])) <= found.fun * (1 + 1e-12)
        assert tokens[0] * cost.flops_per_token(params)[0] == pytest.approx(flops, rel=1e-12)


def test_six_nd_overstates_tokens_on_the_ladder():
    # measurements/prototype.md: at sequences of 128, closed forms would overstate D* up to twice.
    cost = make_ladder_cost(list_ladder(256, 128, max_params=1e8), "matmul")
    law = np.array([0.6, 19.2, 45.8, 0.35, 0.3])
    flops = np.array([1e11])
    _, exact = find_frontier(CHINCHILLA, law, flops=flops, cost=cost)
    _, simple = find_frontier(CHINCHILLA, law, flops=flops, cost=SIX_ND)
    assert 1.1 < simple[0] / exact[0] < 2.0


def test_draws_broadcast_over_budgets():
    draws = np.stack((HOFFMANN, HOFFMANN * np.array([1, 1, 1, 1.1, 1])))
    params, tokens = find_frontier(
        CHINCHILLA, draws[:, None, :], flops=np.array([1e20, 1e22, 1e24]), cost=SIX_ND
    )
    assert params.shape == tokens.shape == (2, 3)

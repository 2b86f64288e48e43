"""Claims about the optimiser."""

import numpy as np
import pytest
from known_law import TRUTH, simulate
from scipy.optimize import minimize

from scaling.fitting.projection import project, scan_exponents, zoom_exponents
from scaling.fitting.solver import huber, make_task, solve
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import select_rows


def make(table, delta=1e-3):
    return make_task(CHINCHILLA, table.params, tokens=table.tokens, loss=table.loss, delta=delta)


def start(task, count=1):
    return np.repeat(CHINCHILLA.to_theta(TRUTH[None], task.axes), count, axis=0)


def test_huber_agrees_with_scipy():
    from scipy.special import huber as scipys

    residual = np.linspace(-0.01, 0.01, 201)
    np.testing.assert_allclose(huber(residual, 1e-3), scipys(1e-3, residual), rtol=1e-12)


def test_the_minimum_is_no_worse_than_scipys():
    task = make(simulate())

    def objective(theta):
        log_loss, _ = CHINCHILLA.log_loss(theta[None], task.axes)
        # Scaled to order one, or scipy's default tolerances would stop at once (decision 0037).
        return huber(log_loss[0] - task.target, task.delta).sum() / (25 * task.delta**2)

    bounds = list(zip(CHINCHILLA.lower, CHINCHILLA.upper, strict=True))
    best = min(
        minimize(objective, one, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15}).fun
        for one in start(task) * np.array([[0.9], [1.0], [1.1]])
    )
    found = solve(task, start(task))
    assert found.converged[0]
    assert found.objective[0] / (25 * task.delta**2) <= best * (1 + 1e-9)


def test_integer_weights_equal_repeated_rows():
    table = simulate()
    counts = np.random.default_rng(1).integers(0, 3, len(table))
    weighted = solve(make(table), start(make(table)), weights=counts.astype(float))
    rows = np.repeat(np.arange(len(table)), counts)
    copied = make(select_rows(table, rows))
    repeated = solve(copied, start(copied))
    assert weighted.objective[0] == pytest.approx(repeated.objective[0], rel=1e-10)


def test_a_frozen_coordinate_does_not_move():
    task = make(simulate())
    frozen = np.array([True, False, False, False, False])
    found = solve(task, start(task), frozen=frozen)
    assert found.theta[0, 0] == start(task)[0, 0]
    assert found.objective[0] >= solve(task, start(task)).objective[0]


def test_members_of_a_batch_are_solved_independently():
    task = make(simulate())
    weights = np.random.default_rng(2).integers(0, 3, (60, 25)).astype(float)
    together = solve(task, start(task, 60), weights=weights)
    alone = solve(task, start(task), weights=weights[17])
    # BLAS sums in another order for another batch shape.
    assert together.objective[17] == pytest.approx(alone.objective[0], rel=1e-10)


@pytest.mark.parametrize("delta", [1e-2, 1e-3, 1e-5, 1e-7])
def test_every_delta_converges(delta):
    task = make(simulate(), delta)
    seeds, _ = scan_exponents(task)
    found = solve(task, seeds[:3], continuation=True)
    assert found.converged.all()


def test_projection_reaches_newtons_optimum_without_derivatives():
    task = make(simulate())
    seeds, _ = scan_exponents(task)
    newton = solve(task, seeds[:3], continuation=True).objective.min()
    _, projected = zoom_exponents(task, seeds[0])
    assert newton * (1 - 1e-9) <= projected <= newton * (1 + 2e-3)


def test_projection_keeps_the_linear_parameters_non_negative():
    # Without a floor in the loss, unconstrained least squares would sometimes give a negative E.
    rng = np.random.default_rng(0)
    params, tokens = np.exp(rng.uniform(10, 16, 40)), np.exp(rng.uniform(14, 20, 40))
    loss = 30 * params**-0.1 * np.exp(0.02 * rng.standard_normal(40))
    task = make_task(CHINCHILLA, params, tokens=tokens, loss=loss, delta=1e-3)
    grid = np.stack(np.meshgrid([0.05, 0.3, 1.0], [0.05, 0.3, 1.0]), axis=-1).reshape(-1, 2)
    linear, objective = project(task, grid, rounds=5)
    assert (linear >= 0).all()
    assert np.isfinite(objective).all()

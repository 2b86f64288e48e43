"""Claims about the Chinchilla law: its derivatives, its coordinates, its closed forms."""

import numpy as np
import pytest

from scaling.fitting.solver import make_task
from scaling.laws.chinchilla import CHINCHILLA

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])  # arXiv:2203.15556, eq. 10


@pytest.fixture
def axes():
    rng = np.random.default_rng(0)
    params, tokens = np.exp(rng.uniform(14, 23, 12)), np.exp(rng.uniform(18, 27, 12))
    loss = CHINCHILLA.loss(HOFFMANN, params, tokens)
    return make_task(CHINCHILLA, params, tokens=tokens, loss=loss, delta=1e-3).axes


def test_gradient_matches_finite_differences(axes):
    theta = np.array([[0.6, -1.5, -1.2, 0.34, 0.28]])
    _, gradient = CHINCHILLA.log_loss(theta, axes)
    step = 1e-6
    for at in range(5):
        shift = np.zeros((1, 5))
        shift[0, at] = step
        above, below = (CHINCHILLA.log_loss(theta + sign * shift, axes)[0] for sign in (1, -1))
        # Central differences: error of order step² = 1e-12, rounding 1e-16 / 1e-6.
        np.testing.assert_allclose(gradient[0, at], (above - below)[0] / (2 * step), atol=1e-8)


def test_curvature_matches_finite_differences_of_the_gradient(axes):
    theta = np.array([[0.6, -1.5, -1.2, 0.34, 0.28]])
    weight = np.linspace(-1.0, 2.0, axes.x.size)[None]
    _, gradient = CHINCHILLA.log_loss(theta, axes)
    # ∇²ln L = ∇²L/L − g gᵀ
    outer = np.einsum("kpn,kqn,kn->kpq", gradient, gradient, weight)
    hessian = CHINCHILLA.curvature(theta, gradient, weight, axes) - outer
    step = 1e-6
    for at in range(5):
        shift = np.zeros((1, 5))
        shift[0, at] = step
        above, below = (CHINCHILLA.log_loss(theta + sign * shift, axes)[1] for sign in (1, -1))
        difference = np.einsum("kpn,kn->kp", (above - below) / (2 * step), weight)
        np.testing.assert_allclose(hessian[0, at], difference[0], atol=1e-7)


def test_coordinates_round_trip(axes):
    theta = CHINCHILLA.to_theta(HOFFMANN[None], axes)
    np.testing.assert_allclose(CHINCHILLA.to_coefficients(theta, axes)[0], HOFFMANN, rtol=1e-12)


def test_tokens_for_loss_inverts_the_law():
    params = np.array([1e8, 1e9])
    tokens = np.array([3e9, 7e10])
    loss = CHINCHILLA.loss(HOFFMANN, params, tokens)
    np.testing.assert_allclose(
        CHINCHILLA.tokens_for_loss(HOFFMANN, params, loss), tokens, rtol=1e-10
    )


def test_a_model_too_small_for_a_loss_needs_infinite_tokens():
    floor = CHINCHILLA.loss(HOFFMANN, np.array(1e6), np.array(1e30))
    assert np.isinf(CHINCHILLA.tokens_for_loss(HOFFMANN, np.array(1e6), floor * 0.99))


def test_elasticities_are_slopes_in_logs():
    params, tokens, step = np.array(2e9), np.array(4e10), 1e-5
    by_params, by_tokens = CHINCHILLA.loss_elasticity(HOFFMANN, params, tokens)
    ratio = CHINCHILLA.loss(HOFFMANN, params * np.exp(step), tokens) / CHINCHILLA.loss(
        HOFFMANN, params * np.exp(-step), tokens
    )
    assert np.log(ratio) / (2 * step) == pytest.approx(float(by_params), rel=1e-6)
    ratio = CHINCHILLA.loss(HOFFMANN, params, tokens * np.exp(step)) / CHINCHILLA.loss(
        HOFFMANN, params, tokens * np.exp(-step)
    )
    assert np.log(ratio) / (2 * step) == pytest.approx(float(by_tokens), rel=1e-6)

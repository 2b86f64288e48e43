"""Claims about the Chinchilla law: its derivatives, its coordinates, its closed forms."""

import numpy as np
import pytest

from scaling.fitting.solver import make_task
from scaling.laws.chinchilla import CHINCHILLA

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])  # arXiv:2203.15556, eq. 10
THETA = np.array([[0.6, -1.5, -1.2, 0.34, 0.28]])


@pytest.fixture
def axes():
    rng = np.random.default_rng(0)
    params, tokens = np.exp(rng.uniform(14, 23, 12)), np.exp(rng.uniform(18, 27, 12))
    loss = CHINCHILLA.loss(HOFFMANN, params, tokens)
    return make_task(CHINCHILLA, params, tokens=tokens, loss=loss, delta=1e-3).axes


def list_differences(axes, part):
    """Central differences of ln L (part 0) or its gradient (1) along each coordinate."""
    step = 1e-6
    for shift in step * np.eye(5)[:, None]:
        above, below = (CHINCHILLA.log_loss(THETA + sign * shift, axes)[part] for sign in (1, -1))
        yield (above - below) / (2 * step)


def test_gradient_matches_finite_differences(axes):
    _, gradient = CHINCHILLA.log_loss(THETA, axes)
    for at, slope in enumerate(list_differences(axes, 0)):
        # Central differences: error of order step² = 1e-12, rounding 1e-16 / 1e-6.
        np.testing.assert_allclose(gradient[0, at], slope[0], atol=1e-8)


def test_curvature_matches_finite_differences_of_the_gradient(axes):
    weight = np.linspace(-1.0, 2.0, axes.x.size)[None]
    _, gradient = CHINCHILLA.log_loss(THETA, axes)
    # ∇²ln L = ∇²L/L − g gᵀ
    outer = np.einsum("kpn,kqn,kn->kpq", gradient, gradient, weight)
    hessian = CHINCHILLA.curvature(THETA, gradient, weight, axes) - outer
    for at, bend in enumerate(list_differences(axes, 1)):
        difference = np.einsum("kpn,kn->kp", bend, weight)
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
    for slope, n, d in ((by_params, step, 0.0), (by_tokens, 0.0, step)):
        above, below = (
            CHINCHILLA.loss(HOFFMANN, params * np.exp(sign * n), tokens * np.exp(sign * d))
            for sign in (1, -1)
        )
        assert np.log(above / below) / (2 * step) == pytest.approx(float(slope), rel=1e-6)

"""Claims about priors on losses that are not measured yet."""

import dataclasses

import numpy as np
import pytest
from sweeps_known import COST, FACTS, PRIOR, fit_known

from scaling.design.prior import DEFAULT_NOISE, read_prior, scale_published_law
from scaling.errors import NoFitError, UsageError
from scaling.laws.frontier import find_frontier


def test_the_scaled_published_law_has_its_optimum_at_the_sweeps_prior() -> None:
    for flops, params in ((1e11, 20_000.0), (1e15, 2e6)):
        prior = scale_published_law(
            params=params, flops=flops, cost=COST, unigram_entropy=FACTS.unigram_entropy, sigma=None
        )
        best, _ = find_frontier(prior.law, prior.letters, flops=np.array([flops]), cost=COST)
        # The cost's slope is taken over 1 % of N, between knots 12 % apart.
        assert best[0] == pytest.approx(params, rel=0.05)
        assert prior.sigma == DEFAULT_NOISE


def test_the_parts_of_the_loss_are_the_published_ones() -> None:
    tokens = np.array([1e11 / COST.flops_per_token(np.array([20_000.0]))[0]])
    loss = PRIOR.law.loss(PRIOR.letters, np.array([20_000.0]), tokens)[0]
    assert PRIOR.coefficients[0] / loss == pytest.approx(0.707, abs=1e-9)
    assert loss == pytest.approx(0.6 * FACTS.unigram_entropy, rel=1e-9)


def test_a_prior_from_a_fit_takes_its_parameters_and_noise() -> None:
    fit = fit_known()
    prior = read_prior(fit, sigma=None)
    assert prior.coefficients == tuple(fit.law.params.values())
    assert prior.sigma == fit.replicate_sigma
    assert read_prior(fit, sigma=0.03).sigma == 0.03


def test_a_fit_without_a_law_gives_no_prior() -> None:
    failed = dataclasses.replace(fit_known(), law=None, status="failed", reason="No runs.")
    with pytest.raises(NoFitError, match="no law to draw losses from"):
        read_prior(failed, sigma=None)


def test_a_fit_without_noise_is_refused_until_noise_is_stated() -> None:
    silent = dataclasses.replace(fit_known(), replicate_sigma=None, residual_sigma=None)
    with pytest.raises(UsageError, match="--noise"):
        read_prior(silent, sigma=None)

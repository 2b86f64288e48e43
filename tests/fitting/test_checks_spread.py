"""Seed noise by size: the check fires if small models scatter more, and is null without seeds."""

import numpy as np
import pytest
from known_law import NOISE

from scaling.fitting.checks.seed_spread import check_seed_spread
from scaling.tables.run_table import make_table

SIZES = np.array([4e3, 1e4, 2.5e4, 6e4, 1.5e5])


def judge(sigma, *, seeds=3, seed=0, sizes=SIZES):
    """The check of `seeds` runs of each size on a million tokens; `sigma` by size."""
    params = np.repeat(sizes, seeds)
    noise = np.repeat(np.broadcast_to(sigma, sizes.shape), seeds)
    draws = np.random.default_rng(seed).standard_normal(params.size)
    table = make_table(
        params,
        np.full(params.size, 1e6),
        loss=2.0 * np.exp(noise * draws),
        seed=np.tile(np.arange(seeds), sizes.size),
    )
    found = check_seed_spread(table)
    assert found.seen.endswith(".")
    assert bool(found.advice) == (found.passed is False)
    return found


def test_the_check_fires_on_noisy_small_sizes_and_names_them():
    found = judge(np.array([0.03, 0.03, 0.004, 0.004, 0.004]), seeds=6)
    assert found.passed is False
    assert "Noisiest beside the rest: N 4k … 10k," in found.seen


def test_the_check_fires_if_every_size_scatters():
    found = judge(0.02, seeds=4)
    assert found.passed is False
    assert "Likeliest above 0.7%: N 4k … 150k," in found.seen


def test_two_seeds_four_percent_apart_are_seen():
    losses = np.array([[2.30, 2.31], [1.846, 1.777], [1.58, 1.59], [1.50, 1.505]])
    table = make_table(
        np.repeat(SIZES[:4], 2), np.full(8, 1e6), loss=losses.ravel(), seed=np.tile([0, 1], 4)
    )
    found = check_seed_spread(table)
    assert found.passed is False
    assert "Likeliest above 0.7%: N 10k," in found.seen


def test_false_alarms_are_as_rare_as_stated():
    fired = sum(judge(NOISE, seed=seed, seeds=2).passed is False for seed in range(400))
    assert fired <= 10  # binomial, 400 × .01: eleven or more has probability .0025


@pytest.mark.parametrize(("seeds", "sizes"), [(1, SIZES), (2, SIZES[:3])])
def test_the_check_is_null_without_enough_replicates(seeds, sizes):
    found = judge(NOISE, seeds=seeds, sizes=sizes)
    assert found.passed is None
    assert "4 are needed" in found.seen


def test_a_single_size_is_judged_by_its_own_spread():
    assert judge(NOISE, seeds=6, sizes=SIZES[:1]).passed is True
    assert judge(0.04, seeds=6, sizes=SIZES[:1]).passed is False

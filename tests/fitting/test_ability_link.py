"""Claims about the link between a smooth score and a sharp one."""

import math

import numpy as np
import pytest
from ability_worlds import independent, make_runs, score

from scaling.fitting.abilities.link import Link, LinkFit, bend
from scaling.fitting.abilities.logistic import Trials, maximise

SEEN, BEYOND = np.linspace(0.5, 2.0, 12), np.array([0.1, 0.3])


def fit(smooth, sharp, **how):
    """One run a cell."""
    scores = score(make_runs(independent), **how)
    return LinkFit(scores, smooth, sharp, np.arange(smooth.size))


def make_link(exponent, *, middle=0.8, width=0.25, chance=0.0):
    slope = 1.0 / width
    return Link(
        exponent=exponent, intercept=slope * float(bend(np.array(middle), exponent)), slope=slope,
        chance=chance, range=1.0 - chance,
    )  # fmt: skip


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("chance", [0.0, 0.2])
def test_a_link_of_the_family_is_found_again(exponent, chance):
    truth = make_link(exponent, chance=chance)
    found = fit(SEEN, truth(SEEN), chance=chance).best
    # The search ends within .01 of λ.
    assert found.exponent == pytest.approx(exponent, abs=0.02)
    assert found.middle == pytest.approx(0.8, rel=0.01)
    np.testing.assert_allclose(found(BEYOND), truth(BEYOND), atol=0.005)


def test_without_a_loss_the_published_link_stays_below_the_ceiling_and_the_other_end_reaches_it():
    nothing = np.array([1e-12])
    assert make_link(1.0)(nothing) == pytest.approx(1.0 / (1.0 + math.exp(-0.8 / 0.25)))
    assert make_link(0.0)(nothing) == pytest.approx(1.0)


def test_independent_errors_lie_between_the_ends():
    """p^4 of tokens that are right with e^(−.9 s), as the simulated worlds have it, from what their
    smaller sizes show to what their largest reach: the better end misses by nearly twice as
    much."""
    smooth, beyond = np.linspace(0.45, 2.2, 12), np.array([0.2, 0.3])
    truth = np.exp(-3.6 * beyond)
    found = fit(smooth, np.exp(-3.6 * smooth)).best
    assert 0.2 < found.exponent < 0.9
    missed = np.abs(found(beyond) - truth).mean()
    ends = [np.abs(fit_end(smooth, one)(beyond) - truth).mean() for one in (0.0, 1.0)]
    assert missed < 0.6 * min(ends)


def fit_end(smooth, exponent):
    """The link of a given λ through the same runs, by the same likelihood."""
    along, share = bend(smooth, exponent), np.exp(-3.6 * smooth)
    design = np.stack((np.ones(smooth.size), -along), axis=1)
    (level, slope), _ = maximise(design, Trials(share, np.ones(smooth.size)))
    return Link(exponent=exponent, intercept=level, slope=slope, chance=0.0, range=1.0)


def test_draws_are_no_narrower_than_runs_of_other_seeds_differ():
    """Forecasts from forty tables, each with noise of its own, have at most the standard deviation
    of the draws from one of them. These are wider: misfits count beside noise."""
    truth, smooth = make_link(0.5), np.repeat(np.linspace(0.5, 2.0, 7), 8)
    cell = np.arange(smooth.size) // 8
    scores = score(make_runs(independent))
    rng = np.random.default_rng(0)

    def make_fit():
        noise = 0.02 * rng.standard_normal(smooth.size)
        return LinkFit(scores, smooth, np.clip(truth(smooth) + noise, 0.0, 1.0), cell)

    spread = np.std([make_fit().best(0.3) for _ in range(40)])
    widths = []
    for _ in range(2):
        one = make_fit()
        widths.append(np.std([one.draw(rng)(0.3) for _ in range(40)]))
    assert spread < min(widths)


def test_a_link_that_never_reaches_one_half_has_no_middle():
    never = Link(exponent=1.0, intercept=-3.0, slope=2.0, chance=0.0, range=1.0)
    assert never(np.array([0.0])) < 0.5
    assert math.isnan(never.middle)
    assert make_link(0.0).middle == pytest.approx(0.8)
    assert make_link(0.5).middle == pytest.approx(0.8)

"""Claims about the errors of answers that the coefficients do not carry."""

import dataclasses

import numpy as np
import pytest
from known_fit import make_known_fit

from scaling.allocation.asked_fit import get_law
from scaling.allocation.uncertainty import draw_loss_drift, draw_loss_error
from scaling.fitting.fitted import Discrepancy, Fit
from scaling.laws.ensemble import ENSEMBLE


@pytest.fixture(scope="module")
def fit() -> Fit:
    return make_known_fit(family=None)


def test_the_loss_of_a_draw_moves_half_way_from_its_member_to_the_ensemble(fit: Fit) -> None:
    view = fit.answering
    law, letters = get_law(view)
    count = len(ENSEMBLE.members)
    present = np.flatnonzero(letters[-count:] > 0.0)
    alone = np.repeat(letters[None], present.size, axis=0)
    alone[:, -count:] = np.eye(count)[present]
    optima = dataclasses.replace(view, draws=tuple(map(tuple, alone.tolist())))
    n, d = 1e10, 2e11
    each = law.loss(alone, np.array(n), np.array(d))
    whole = float(law.loss(letters, np.array(n), np.array(d)))
    assert np.ptp(np.log(each)) > 1e-3  # else half a difference would be nothing
    moved = each * draw_loss_error(optima, alone, 0.0, params=n, tokens=d)  # no model error
    assert moved == pytest.approx(np.sqrt(each * whole), rel=1e-12)


def test_the_draws_of_one_law_are_not_moved() -> None:
    one = make_known_fit()
    moved = draw_loss_error(one, np.array(one.draws), 0.0, params=1e10, tokens=2e11)
    assert moved.tolist() == [1.0] * 100


@pytest.mark.parametrize("count", [100, 300, 1000])
def test_every_rate_of_model_error_counts_alike_in_any_number_of_draws(
    fit: Fit, count: int
) -> None:
    half = Discrepancy(rates=(0.0,) * 100 + (0.1,) * 100, below=0.5, windows=())
    drift = draw_loss_drift(dataclasses.replace(fit, discrepancy=half), count, 1.0)
    assert np.mean(drift == 1.0) == 0.5

"""The error that runs share because they were evaluated on the same documents."""

import numpy as np
import pytest
from known_law import simulate

from scaling.allocation import allocate, predict
from scaling.allocation.question import Question
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Interval


def test_the_error_of_the_held_out_set_is_told_apart_from_the_loss_on_it() -> None:
    table = simulate()
    sigma = 0.03  # evaluation error of ln loss; σ of the residuals is .0064
    stated = table.replace(loss_se=sigma * table.loss)
    plain, held = (fit_runs(one, bootstrap=400, family="chinchilla") for one in (table, stated))
    assert plain.evaluation_error is None
    assert held.evaluation_error is not None
    assert held.evaluation_error == pytest.approx(sigma, rel=0.05)  # less the residuals' share

    alone, asked = (predict(one, params=3e4, tokens=3e6) for one in (plain, held))
    # A new run is evaluated on the same documents as those of the fit.
    assert asked.mean_interval == alone.mean_interval
    assert asked.new_run_interval == alone.new_run_interval
    assert alone.text_interval is None
    least = 2 * 1.64 * sigma * 0.9  # of a Gaussian's 90 % interval, less the noise of 400 draws
    assert measure(asked.new_run_interval) < least < measure(asked.text_interval)
    assert asked.wider_on_text == asked.text_interval

    best, other = allocate(held, 1e11), allocate(plain, 1e11)
    assert best.loss_interval == other.loss_interval
    assert measure(best.loss_interval) < least < measure(best.text_interval)
    told = best.to_contract()["intervals"]
    assert best.text_interval is not None
    assert told["loss_on_text"] == [best.text_interval.low, best.text_interval.high]


def measure(interval: Interval | None) -> float:
    """Width of an interval in ln loss."""
    assert interval is not None
    return float(np.log(interval.high / interval.low))


def test_a_target_loss_is_one_on_the_held_out_set() -> None:
    table = simulate()
    stated = table.replace(loss_se=0.03 * table.loss)
    asked = Question(target_loss=float(table.loss.min()))
    answers = [
        allocate(fit_runs(one, bootstrap=100, family="chinchilla"), asked)
        for one in (table, stated)
    ]
    assert answers[0].flops_interval == answers[1].flops_interval

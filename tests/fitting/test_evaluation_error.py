"""The error that runs share because they were evaluated on the same documents."""

import numpy as np
import pytest
from known_law import simulate

from scaling.allocation import allocate, predict
from scaling.fitting.every_approach import fit_runs
from scaling.tables.run_table import make_table


def test_the_error_of_the_held_out_set_is_in_the_loss_and_a_new_run() -> None:
    table = simulate()
    sigma = 0.03  # evaluation error of ln loss; σ of the residuals is .0064
    stated = make_table(
        table.params, table.tokens, loss=table.loss, budget=table.budget, loss_se=sigma * table.loss
    )
    plain, held = (fit_runs(one, bootstrap=400, family="chinchilla") for one in (table, stated))
    assert plain.evaluation_error is None
    assert held.evaluation_error is not None
    assert held.evaluation_error == pytest.approx(sigma, rel=0.05)  # less the residuals' share

    def measure(fit, name):
        interval = getattr(predict(fit, params=3e4, tokens=3e6), f"{name}_interval")
        return np.log(interval.high / interval.low)

    assert measure(held, "mean") == measure(plain, "mean")  # the mean loss is on these documents
    assert measure(held, "new_run") > 2 * 1.64 * sigma * 0.9 > measure(plain, "new_run")
    loss = allocate(held, 1e11).loss_interval
    assert loss is not None
    assert np.log(loss.high / loss.low) > 2 * 1.64 * sigma * 0.9

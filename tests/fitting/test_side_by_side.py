"""One call fits a table by every approach, under one cost model."""

import numpy as np
import pytest
from known_law import TRUTH, design_isoflop, fit_law, simulate

from scaling.fitting.every_approach import fit_runs
from scaling.laws.chinchilla import CHINCHILLA
from scaling.sweep.cost_model import make_ladder_cost
from scaling.sweep.ladder import list_ladder
from scaling.tables.run_table import make_table

SIDES = {"parametric", "projection", "isoflop", "akima", "cubic"}


@pytest.mark.parametrize("cost", ["6ND", "table", "ladder"])
def test_approaches_name_the_cost_model_they_share(cost: str) -> None:
    params, tokens, budget = design_isoflop(sizes=7)
    ladder = make_ladder_cost(list_ladder(256, 128, max_params=1e6), "matmul")
    flops = {
        "6ND": None,
        "table": params * tokens * (6.0 + 0.001 * np.log(params)),
        "ladder": None,
    }[cost]
    table = make_table(
        params,
        tokens,
        loss=CHINCHILLA.loss(TRUTH, params, tokens),
        flops=flops,
        budget=budget,
        cost=ladder if cost == "ladder" else None,
    )
    fit = fit_law(table)
    assert set(fit.approaches) == SIDES
    assert {one.cost_model for one in fit.approaches.values()} == {cost}


def test_variable_projection_arrives_where_newton_does() -> None:
    fit = fit_law(simulate())
    newton, projection = fit.approaches["parametric"], fit.approaches["projection"]
    # A converged fit's objectives agree to 2e-3, so slopes agree to much less than the noise.
    assert projection.a == pytest.approx(newton.a, abs=0.005)
    assert projection != newton
    assert projection.intervals is None  # it checks the optimum and is not another estimate


def test_a_law_without_a_frontier_has_no_projected_one_either() -> None:
    params = np.geomspace(1e7, 1e10, 12)
    table = make_table(params, 20 * params, loss=1.7 + 1000 / (20 * params**2) ** 0.16)
    assert "projection" not in fit_runs(table, family="compute", bootstrap=None).approaches

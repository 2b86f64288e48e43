"""Claims about the answers to expect from a design."""

import dataclasses

import numpy as np
import pytest
from sweeps_known import COST, FACTS, PRIOR, make_spec

from scaling.design.expectation import Expectation, simulate_design, tabulate_expected
from scaling.laws.frontier import find_frontier
from scaling.sweep.plan import plan_sweep

CELLS = plan_sweep(make_spec(), FACTS).cells
TABLE = tabulate_expected(CELLS, PRIOR, facts=FACTS, cost=COST)


@pytest.fixture(scope="module")
def found() -> Expectation:
    return simulate_design(TABLE, PRIOR, flops=(1.6e12,), draws=12)


def test_the_design_is_the_plan_without_noise() -> None:
    assert len(TABLE) == len({cell.run.run_id for cell in CELLS})
    assert np.allclose(TABLE.loss, PRIOR.law.loss(PRIOR.letters, TABLE.params, TABLE.tokens))
    assert sorted(TABLE.flops.tolist()) == sorted(float(cell.run.flops) for cell in CELLS)


def test_expected_intervals_contain_the_laws_own_answer(found: Expectation) -> None:
    (answer,) = found.answers
    params, _ = find_frontier(PRIOR.law, PRIOR.letters, flops=np.array([1.6e12]), cost=COST)
    assert answer.params == pytest.approx(params[0])
    for name in ("params", "tokens", "loss"):
        interval = answer.intervals[name]
        assert interval.low < getattr(answer, name) < interval.high
        assert answer.held[name] >= 0.5  # nominal .9 of 12 draws; fewer than 6 has probability 1e-6
    assert found.answered == 1.0


def test_more_noise_makes_wider_intervals(found: Expectation) -> None:
    quiet = dataclasses.replace(PRIOR, sigma=PRIOR.sigma / 4)
    narrow = simulate_design(TABLE, quiet, flops=(1.6e12,), draws=6)
    widths = [one.answers[0].widths["params"] for one in (narrow, found)]
    # The ratio would be a quarter without model error, bends and unmeasured recipe error, whose
    # effect on N* does not depend on the noise.
    assert widths[0] < 0.7 * widths[1]


def test_a_check_that_the_design_must_fail_is_predicted_to_fail(found: Expectation) -> None:
    # The plan has runs of 344 steps, whatever their losses.
    assert min(cell.run.recipe.steps for cell in CELLS) < 1000
    assert found.gates["too_few_steps"] == 1.0
    assert all(0 < share <= 1 for share in found.gates.values())


def test_a_design_of_too_few_cells_has_no_answer() -> None:
    few = [cell for cell in CELLS if cell.budget == 2e10]
    table = tabulate_expected(few, PRIOR, facts=FACTS, cost=COST)
    nothing = simulate_design(table, PRIOR, flops=(1.6e12,), draws=2)
    assert nothing.answered == 0.0
    assert nothing.answers[0].intervals == {"params": None, "tokens": None, "loss": None}

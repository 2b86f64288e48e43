"""Claims about what to change in a sweep."""

import math

import pytest
from sweeps_known import COST, FACTS, PRIOR, SWEEP, make_spec

from scaling.design.changes import Change, find_halving, list_changes, try_changes
from scaling.fitting.fitted import Discrepancy
from scaling.sweep.plan import plan_sweep

NO_DRIFT = Discrepancy(rates=(0.0,), below=0.5, windows=())


@pytest.fixture(scope="module")
def changes() -> tuple[Change, ...]:
    return try_changes(
        make_spec(), PRIOR, facts=FACTS, cost=COST, flops=1.6e12, discrepancy=NO_DRIFT
    )


def find(changes: tuple[Change, ...], name: str, times: int) -> Change:
    (one,) = (one for one in changes if name in one.name and one.times == times)
    return one


def test_three_more_seeds_halve_the_interval(changes: tuple[Change, ...]) -> None:
    # Without model error the width goes as 1/√(runs): 24 runs become 84. 300 draws give a 90 %
    # width to 6 %, and a wide interval shrinks faster if its law bends.
    ratio = math.sqrt(24 / 84)
    assert find(changes, "another seed", 3).params_ratio == pytest.approx(ratio, rel=0.3)


def test_another_seed_costs_at_most_the_grid(changes: tuple[Change, ...]) -> None:
    grid = [cell.run for cell in plan_sweep(make_spec(), FACTS).cells if cell.role == "grid"]
    one = find(changes, "another seed", 1)
    # Four cells already have a replicate with seed 1; those replicates are spread anew.
    assert one.extra_runs <= len(grid)
    assert one.extra_flops <= sum(run.flops for run in grid)
    assert find(changes, "another seed", 2).extra_flops > one.extra_flops


def test_a_larger_budget_narrows_the_interval_of_the_loss(changes: tuple[Change, ...]) -> None:
    once, twice = (find(changes, "budget above", times) for times in (1, 2))
    assert twice.loss_ratio < once.loss_ratio < 1


def test_the_cheapest_change_that_halves_the_interval_is_chosen(
    changes: tuple[Change, ...],
) -> None:
    halving = find_halving(changes, "loss")
    enough = [one for one in changes if one.loss_ratio <= 0.5]
    assert halving.extra_flops == min(one.extra_flops for one in enough)


def test_no_change_is_chosen_if_none_halves_the_interval() -> None:
    assert find_halving((), "params") is None


def test_a_list_of_cells_can_only_be_given_more_seeds() -> None:
    spec = make_spec(
        SWEEP.replace(
            "{budgets: [2e10, 4e10, 8e10, 1.6e11], sizes: 5, span: 6}",
            "{cells: [{params: 1e4, tokens: 3e5}]}",
        )
    )
    assert {name for name, _, _ in list_changes(spec)} == {"every cell with another seed"}
    assert try_changes(spec, PRIOR, facts=FACTS, cost=COST, flops=1e12, discrepancy=NO_DRIFT) == ()

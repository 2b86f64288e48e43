"""Claims about how long a plan takes on several slots."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_trunks import make_run

from scaling.sweep.makespan import find_makespan
from scaling.sweep.runspec import RunSpec


def by_steps(run: RunSpec, first_step: int) -> float:
    return float(run.recipe.steps - first_step)


def make_alone(steps: list[int]) -> list[RunSpec]:
    return [make_run(one, seed=seed) for seed, one in enumerate(steps)]


@pytest.mark.parametrize(
    ("steps", "slots", "expected"),
    # Graham's example: 3 3 2 2 2 on two slots takes 7 by this rule and 6 at best.
    [([30, 20, 20], 1, 70), ([20, 30, 20, 30, 20], 2, 70), ([], 3, 0)],
    ids=["one slot takes the sum", "two take the longest first", "nothing takes no time"],
)
def test_runs_take_what_their_slots_allow(steps: list[int], slots: int, expected: float) -> None:
    assert find_makespan(make_alone(steps), by_steps, slots=slots) == expected


def test_a_run_named_twice_is_trained_once() -> None:
    run = make_run(30)
    assert find_makespan([run, run], by_steps, slots=1) == 30


@given(st.lists(st.integers(5, 500), min_size=1, max_size=15, unique=True), st.integers(1, 6))
def test_the_makespan_lies_within_grahams_bounds(steps: list[int], slots: int) -> None:
    total, longest = sum(steps), max(steps)
    found = find_makespan(make_alone(steps), by_steps, slots=slots)
    assert max(longest, total / slots) <= found + 1e-9
    # Graham 1966, doi:10.1002/j.1538-7305.1966.tb01709.x
    assert found <= total / slots + longest * (1 - 1 / slots) + 1e-9


def test_a_run_waits_for_the_state_of_its_trunk() -> None:
    # Decays of 200 and 100 steps: they branch off at 800 and 400.
    long, short = make_run(1000), make_run(500)
    # Two slots: the longer one stores step 400 at 400; the shorter one then has 100 left.
    assert find_makespan([short, long], by_steps, slots=2, share_trunks=True) == 1000
    other = make_run(900, seed=1)
    # Meanwhile the second slot is free for another model.
    assert find_makespan([short, long, other], by_steps, slots=2, share_trunks=True) == 1000
    assert find_makespan([short, long], by_steps, slots=1, share_trunks=True) == 1100


def test_runs_that_share_no_trunk_do_not_wait() -> None:
    long, short = make_run(1000), make_run(500, seed=1)
    assert find_makespan([long, short], by_steps, slots=2, share_trunks=True) == 1000
    assert find_makespan([long, short], by_steps, slots=1, share_trunks=True) == pytest.approx(1500)


def test_a_trunk_of_equal_branches_is_trained_once() -> None:
    runs = [make_run(1000), dataclasses.replace(make_run(1000), seed=0)]
    assert find_makespan(runs, by_steps, slots=2, share_trunks=True) == 1000

"""Replicates: evenly spread, never a grid run, and none is dropped when a sweep grows."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_corpus import FACTS

from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import load_sweep, parse_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"


def plan(grid, *, seeds=(0,), replicates=0, recorded=()):
    text = (
        f"name: test\ncorpus: {{source: python-stdlib}}\ngrid: {grid}\n"
        f"seeds: {list(seeds)}\nreplicates: {replicates}\n"
    )
    return plan_sweep(parse_sweep(text.encode(), source="t.yaml"), FACTS, recorded=recorded)


def runs_of(planned, role=None):
    return {c.run.run_id: c.run for c in planned.cells if role in (None, c.role)}


def grow(draw, values, more):
    """`values` with some of `more` inserted anywhere."""
    grown = list(values)
    for value in draw(st.lists(st.sampled_from(more), max_size=3, unique=True)):
        if value not in grown:
            grown.insert(draw(st.integers(0, len(grown))), value)
    return grown


BUDGETS = [2e10, 3e10, 5e10, 8e10, 1.3e11, 2e11, 3.2e11]
TOKENS = [1e5, 2e5, 3e5, 5e5]


@st.composite
def growing_sweeps(draw):
    """Sweeps of which each contains at least the cells of the one before."""
    kind = draw(st.sampled_from(["isoflop", "product"]))
    budgets = [draw(st.sampled_from(BUDGETS))]
    tokens = [draw(st.sampled_from(TOKENS))]
    sizes, replicates = draw(st.integers(1, 3)), draw(st.integers(0, 4))
    seeds = [draw(st.integers(0, 3))]
    sweeps = []
    for _ in range(draw(st.integers(2, 4))):
        grid = f"{{budgets: {budgets}, sizes: {sizes}, span: 6}}"
        if kind == "product":
            grid = f"{{params: [1e4, 1.1e4, 3e4], tokens: {tokens}}}"
        sweeps.append({"grid": grid, "seeds": tuple(seeds), "replicates": replicates})
        budgets, tokens = grow(draw, budgets, BUDGETS), grow(draw, tokens, TOKENS)
        sizes, replicates = sizes + draw(st.integers(0, 3)), replicates + draw(st.integers(0, 5))
        seeds = grow(draw, seeds, range(6))
    return sweeps


@settings(max_examples=150, deadline=None)
@given(growing_sweeps(), st.data())
def test_a_growing_sweep_keeps_every_run_it_has_trained(sweeps, data):
    recorded = {}
    for sweep in sweeps:
        planned = plan(**sweep, recorded=recorded.values())
        runs = runs_of(planned)
        assert recorded.keys() <= runs.keys()
        again = [cell.run for cell in planned.cells if cell.role == "replicate"]
        assert len({run.run_id for run in again}) == sweep["replicates"]
        assert not {run.seed for run in again} & set(sweep["seeds"])
        # A sweep may be edited before it is fully trained.
        share = data.draw(st.sampled_from([0, 1, 2, 3, 3]))
        recorded |= dict(itertools.islice(sorted(runs.items()), len(runs) * share // 3))


@settings(max_examples=100, deadline=None)
@given(growing_sweeps(), st.data())
def test_the_plan_is_the_same_while_it_is_trained(sweeps, data):
    before = runs_of(plan(**sweeps[0]))
    start = plan(**sweeps[1], recorded=before.values())
    trained = data.draw(st.lists(st.sampled_from(list(runs_of(start).values()))))
    assert plan(**sweeps[1], recorded=[*before.values(), *trained]) == start


@pytest.mark.parametrize(
    ("before", "after"),
    [("[4e10, 1e11]", "[4e10, 1e11, 2e11]"), ("[4e10, 1e11]", "[2e10, 4e10, 1e11]")],
)
def test_a_budget_added_anywhere_keeps_finished_replicates(before, after):
    small = plan(f"{{budgets: {before}, sizes: 5}}", replicates=4)
    large = plan(f"{{budgets: {after}, sizes: 5}}", replicates=4, recorded=runs_of(small).values())
    assert runs_of(large, "replicate") == runs_of(small, "replicate")


def test_adding_a_seed_does_not_change_replicates():
    grid = "{budgets: [4e10, 1e11], sizes: 5}"
    one, two = (runs_of(plan(grid, seeds=s, replicates=4), "replicate") for s in ((0,), (0, 7)))
    assert two == one


def test_a_replicate_whose_seed_the_grid_takes_over_is_trained_once():
    grid = "{budgets: [4e10, 1e11], sizes: 5}"
    small = plan(grid, replicates=4)
    large = plan(grid, seeds=(0, 1), replicates=4, recorded=runs_of(small).values())
    assert runs_of(small).keys() <= runs_of(large, "grid").keys()
    assert len(large.cells) == len(runs_of(large)) == 24


def test_fewer_replicates_leave_the_others_outside_the_plan():
    grid = "{budgets: [4e10, 1e11], sizes: 5}"
    seven = runs_of(plan(grid, replicates=7))
    three = runs_of(plan(grid, replicates=3, recorded=seven.values()), "replicate")
    assert len(three) == 3
    assert three.keys() < seven.keys()
    assert not runs_of(plan(grid, recorded=seven.values()), "replicate")


def test_runs_of_another_corpus_or_recipe_are_not_replicates():
    grid = "{budgets: [4e10, 1e11], sizes: 5}"
    others = runs_of(plan("{budgets: [5e10], sizes: 5}", replicates=5))
    assert plan(grid, replicates=4, recorded=others.values()) == plan(grid, replicates=4)


def test_more_replicates_than_cells_take_further_seeds():
    again = plan("{budgets: [1e11], sizes: 2}", replicates=5).cells
    seeds = sorted(cell.run.seed for cell in again if cell.role == "replicate")
    assert seeds == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("name", "places"), [("quickstart", [3, 9, 15, 21]), ("code", [2, 7, 12, 17, 22, 27, 32])]
)
def test_shipped_sweeps_spread_their_replicates_evenly(name, places):
    spec = load_sweep(SWEEPS / f"{name}.yaml")
    planned = plan_sweep(spec, FACTS)
    assert not planned.rejected
    budgets = list(spec.grid.budgets)
    order = sorted(
        (budgets.index(c.budget), -c.run.tokens)  # at one budget, fewer tokens mean a larger model
        for c in planned.cells
        if c.role == "grid"
    )
    again = [c for c in planned.cells if c.role == "replicate"]
    assert {c.run.seed for c in again} == {1}
    assert sorted(order.index((budgets.index(c.budget), -c.run.tokens)) for c in again) == places

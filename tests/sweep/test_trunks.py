"""Claims about shared trunks and the compute they save."""

import dataclasses

import pytest
from known_run import change_recipe

from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape
from scaling.sweep.trunks import (
    count_spent_flops,
    find_branch_step,
    find_start,
    list_trunks,
    name_prefix,
)

RECIPE = change_recipe(steps=1000, warmup_steps=20, decay_steps=200)


def make_run(steps: int, *, width: int = 32, seed: int = 0, **changes: float) -> RunSpec:
    recipe = dataclasses.replace(RECIPE, steps=steps, decay_steps=steps // 5, **changes)
    shape = make_shape(256, 128, d_model=width, n_layers=2)
    return RunSpec(shape=shape, recipe=recipe, data_digest="ab" * 32, seed=seed)


def test_runs_share_a_prefix_exactly_if_they_differ_in_the_horizon_alone() -> None:
    run = make_run(1000)
    assert name_prefix(run) == name_prefix(make_run(2000))
    others = [
        make_run(1000, width=48),
        make_run(1000, seed=1),
        make_run(1000, learning_rate=0.02),
        make_run(1000, warmup_steps=30),
        dataclasses.replace(run, data_digest="cd" * 32),
        dataclasses.replace(run, numerics_version=run.numerics_version + 1),
    ]
    assert len({name_prefix(other) for other in [run, *others]}) == 1 + len(others)


def test_a_grid_of_doubling_horizons_has_the_closed_form_cost() -> None:
    widths = (16, 32, 48, 64, 80, 96)
    runs = [make_run(1000 * 2**k, width=width) for width in widths for k in range(6)]
    spent = count_spent_flops(runs)
    # Without sharing 63; with a shared trunk and a decay of q = .2, (1 − q)·32 + q·63 = 38.2.
    whole = sum(run.flops for run in runs)
    assert whole / sum(spent.values()) == pytest.approx(63 / 38.2, rel=1e-6)


def test_runs_without_a_shared_trunk_cost_their_own_flops() -> None:
    runs = [make_run(1000), make_run(2000, seed=1)]
    assert list_trunks(runs) == {}
    assert count_spent_flops(runs) == {run.run_id: run.flops for run in runs}


def test_stored_states_are_not_trained_again() -> None:
    short, long = make_run(1000), make_run(4000)
    stored = {name_prefix(short): (800,)}
    spent = count_spent_flops([long], stored)
    assert spent[long.run_id] == long.flops * 3200 // 4000
    # The short run's decay starts at 800, so it cannot start from a later state.
    assert find_start(short, (800, 3200)) == 800
    assert find_start(short, (801,)) == 0


def test_a_trunk_lists_where_its_runs_leave_it() -> None:
    runs = [make_run(steps) for steps in (1000, 4000, 2000)]
    (trunk,) = list_trunks([*runs, runs[0], make_run(1000, width=48)]).values()
    assert [run.recipe.steps for run in trunk.runs] == [4000, 2000, 1000]
    assert trunk.branch_steps == (800, 1600, 3200)
    assert [find_branch_step(run) for run in trunk.runs] == [3200, 1600, 800]


def test_a_reference_horizon_makes_recipes_of_one_model_share_their_prefix() -> None:
    shape = make_shape(256, 128, d_model=32, n_layers=2)

    def name(tokens: float, horizon: float | None) -> str:
        recipe = decide_recipe(shape, tokens, RecipeSpec(), horizon=horizon)
        return name_prefix(RunSpec(shape=shape, recipe=recipe, data_digest="ab" * 32, seed=0))

    assert name(2e5, None) != name(2e6, None)
    assert name(2e5, 6e5) == name(2e6, 6e5)
    # A run's prefix does not depend on its siblings' horizons.
    assert name(6e5, 6e5) == name(6e5, None)

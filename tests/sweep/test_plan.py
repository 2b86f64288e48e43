"""Plans: which cells, which run_ids, and what never changes when a sweep grows."""

import dataclasses
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_corpus import FACTS

from scaling.errors import SpecError
from scaling.files.sealed import canonical_json
from scaling.sweep import ladder
from scaling.sweep.cost import estimate_memory, sum_costs
from scaling.sweep.counting import count_params
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.ladder import list_ladder
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape

GRID = "grid: {{budgets: {budgets}, sizes: {sizes}}}"


def plan(grid, facts=FACTS, rest="", memory=None):
    text = f"name: test\ncorpus: {{source: python-stdlib}}\n{grid}\n{rest}\n"
    return plan_sweep(parse_sweep(text.encode(), source="t.yaml"), facts, memory_bytes=memory)


def ids(planned, role="grid"):
    return {cell.run.run_id for cell in planned.cells if cell.role == role}


def test_more_budgets_and_sizes_only_add_cells():
    small = ids(plan(GRID.format(budgets="[3e10, 1e11]", sizes=3)))
    larger = ids(plan(GRID.format(budgets="[3e10, 6e10, 1e11, 2e11]", sizes=5)))
    assert small < larger


def test_resources_forecasts_and_weights_are_outside_the_run_id():
    grid = GRID.format(budgets="[1e11]", sizes=3)
    rest = "resources: {cpus_per_run: 2}\nforecast: [1e13]\nkeep_weights: false"
    assert ids(plan(grid)) == ids(plan(grid, rest=rest))


@pytest.mark.parametrize(
    "rest", ["recipe: {beta2: 0.95}", "recipe: {learning_rate: 0.001}", "model: {seq_len: 64}"]
)
def test_what_changes_a_result_changes_the_run_id(rest):
    grid = GRID.format(budgets="[1e11]", sizes=3)
    assert ids(plan(grid)).isdisjoint(ids(plan(grid, rest=rest)))


def test_another_corpus_makes_another_run():
    grid = GRID.format(budgets="[1e11]", sizes=3)
    other = dataclasses.replace(FACTS, digest="1" * 24)
    assert ids(plan(grid)).isdisjoint(ids(plan(grid, facts=other)))


def test_a_run_spends_its_budget_up_to_half_a_step():
    for cell in plan(GRID.format(budgets="[3e10, 6.5e11]", sizes=5)).cells:
        step = cell.run.flops / cell.run.recipe.steps
        assert abs(cell.run.flops - cell.budget) <= step / 2 * 1.0001


def test_run_spec_survives_json():
    run = plan(GRID.format(budgets="[1e11]", sizes=1)).cells[0].run
    assert RunSpec.from_json(run.to_json()) == run
    assert canonical_json(run.to_json()) == canonical_json(
        RunSpec.from_json(run.to_json()).to_json()
    )


def test_longest_runs_come_first():
    flops = [cell.run.flops for cell in plan(GRID.format(budgets="[3e10, 1e11]", sizes=5)).cells]
    assert flops == sorted(flops, reverse=True)


def test_replicates_train_grid_cells_with_other_seeds():
    planned = plan(GRID.format(budgets="[3e10, 1e11]", sizes=5), rest="replicates: 4")
    grid = {(c.run.shape, c.run.tokens) for c in planned.cells if c.role == "grid"}
    again = [cell for cell in planned.cells if cell.role == "replicate"]
    assert len(again) == 4
    assert len({cell.run.run_id for cell in planned.cells}) == 14
    assert all((c.run.shape, c.run.tokens) in grid and c.run.seed == 1 for c in again)


def test_cells_beyond_the_corpus_are_rejected_with_the_reason():
    facts = dataclasses.replace(FACTS, train_tokens=200_000)
    planned = plan(GRID.format(budgets="[1e11]", sizes=5), facts=facts)
    assert planned.rejected
    assert all("passes over the corpus" in cell.reason for cell in planned.rejected)
    assert len(planned.cells) + len(planned.rejected) == 5


def test_repeated_tokens_are_warned_about():
    facts = dataclasses.replace(FACTS, train_tokens=600_000)
    warnings = plan(GRID.format(budgets="[1e11]", sizes=5), facts=facts).warnings
    assert any("more than once" in line for line in warnings)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"validation_documents": 3}, "530k bytes of held-out text in 3 document(s)"),
        ({"validation_bytes": 300_000}, "300k bytes of held-out text, wished for 524k"),
        ({"train_bytes": 1_000_000, "validation_bytes": 90_000}, "wished for 109k"),
        ({"overlap": 0.3}, "30% of held-out 32-byte spans occur in the training text"),
    ],
)
def test_a_held_out_set_that_measures_little_is_warned_about(facts, says):
    grid = GRID.format(budgets="[1e11]", sizes=3)
    assert plan(grid).warnings == ()
    (warning,) = plan(grid, facts=dataclasses.replace(FACTS, **facts)).warnings
    assert says in warning


def test_a_grid_without_a_trainable_cell_is_an_error():
    with pytest.raises(SpecError, match="too few to warm up"):
        plan("grid: {cells: [{params: 1e4, tokens: 1000}]}")


def test_a_model_beyond_memory_is_refused_with_the_estimate():
    with pytest.raises(SpecError, match="GiB to train"):
        plan("grid: {cells: [{params: 3e8, tokens: 1e6}]}", memory=2 * 2**30)


@pytest.mark.parametrize(
    ("grid", "cells"),
    [
        ("grid: {params: [1e4, 3e4], tokens: [2e5, 4e5, 8e5]}", 6),
        ("grid: {params: [1e4, 3e4], tokens_per_param: [10, 20]}", 4),
        ("grid: {cells: [{params: 1e4, tokens: 3e5}, {params: 2e4, tokens: 3e5}]}", 2),
    ],
)
def test_other_grids_have_no_budget(grid, cells):
    planned = plan(grid)
    assert len(planned.cells) == cells
    assert all(cell.budget is None for cell in planned.cells)


def test_requested_sizes_become_the_nearest_rung():
    shapes = {cell.run.shape for cell in plan("grid: {params: [3.1e4], tokens: [3e5]}").cells}
    assert [count_params(shape, "matmul") for shape in shapes] == [32768]


def test_sizes_between_rungs_go_to_the_nearer_one():
    ladder = list_ladder(256, 128, max_params=1e6)
    sizes = [count_params(shape, "matmul") for shape in ladder]
    for small, large in pairwise(sizes):
        middle = (small * large) ** 0.5
        wishes = [small, middle * 0.999, middle * 1.001, large]
        cells = "".join(f"{{params: {wish!r}, tokens: 2e6}}, " for wish in map(float, wishes))
        built = {
            count_params(cell.run.shape, "matmul")
            for cell in plan(f"grid: {{cells: [{cells}]}}").cells
        }
        assert built == {small, large}


_HUGE = st.floats(-40, 40).map(lambda exponent: 10.0**exponent)
_HUGE_LISTS = st.lists(_HUGE, min_size=1, max_size=3, unique=True)
_HUGE_GRIDS = st.one_of(
    st.fixed_dictionaries({"params": _HUGE_LISTS, "tokens": _HUGE_LISTS}),
    st.fixed_dictionaries({"params": _HUGE_LISTS, "tokens_per_param": _HUGE_LISTS}),
    st.fixed_dictionaries(
        {"cells": st.lists(st.fixed_dictionaries({"params": _HUGE, "tokens": _HUGE}), max_size=3)}
    ),
    st.fixed_dictionaries(
        {"budgets": _HUGE_LISTS},
        optional={
            "span": st.floats(1.001, 1024),
            "sizes": st.integers(1, 99),
            "prior": st.fixed_dictionaries(
                {},
                optional={
                    "params": _HUGE,
                    "flops": st.one_of(_HUGE, st.just(5e-324)),
                    "exponent": st.floats(0, 1, exclude_max=True),
                },
            ),
        },
    ),
)


@settings(max_examples=300, deadline=None)
@given(_HUGE_GRIDS, st.sampled_from([4.0, 1e39]))
def test_a_grid_of_any_size_is_planned_or_refused_without_delay(grid, max_epochs):
    corpus = {"source": "python-stdlib", "max_epochs": max_epochs}
    text = json.dumps({"name": "a", "corpus": corpus, "grid": grid})
    rungs = 0

    def count_rung(shape, original=ladder.count_matmul_params):
        nonlocal rungs
        rungs += 1
        return original(shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "count_matmul_params", count_rung)
        try:
            planned = plan_sweep(parse_sweep(text.encode(), source="a.yaml"), FACTS)
        except SpecError as error:
            assert error.problems  # noqa: PT017  either outcome is right; hanging is not
        else:
            assert planned.cells
            assert all(cell.run.run_id for cell in planned.cells)
    assert rungs < 50_000  # the ladder has 4000 rungs, each counted a few times


def test_the_recipe_passes_through_its_reference_point():
    shape = make_shape(256, 128, d_model=2 * 16, n_layers=2)
    reference = TRANSFORMER.reference
    recipe = decide_recipe(shape, reference.tokens, RecipeSpec())
    # The batch is a whole number of sequences, so the rate differs by the square root of the
    # rounding.
    batch = recipe.batch_sequences * 128
    expected = reference.learning_rate * (batch / reference.batch_tokens) ** 0.5
    assert recipe.learning_rate == pytest.approx(expected, rel=2e-3)
    assert (recipe.base_width, recipe.base_depth) == (shape.d_model, shape.n_layers)


@pytest.mark.parametrize("tokens", [1e5, 1e6, 1e8])
def test_warmup_and_decay_stay_within_their_shares(tokens):
    shape = make_shape(256, 128, d_model=4 * 16, n_layers=4)
    recipe = decide_recipe(shape, tokens, RecipeSpec())
    # A tenth of the run or 150 steps, whichever is more, but at most two fifths of the run.
    longest = max(0.1 * recipe.steps, min(150, 0.4 * recipe.steps))
    assert min(150, 0.4 * recipe.steps) - 1 <= recipe.warmup_steps <= longest + 1
    assert recipe.decay_steps <= recipe.steps / 2
    assert recipe.decay_steps >= min(200, recipe.steps // 2)


def test_settings_of_the_user_are_kept():
    asked = RecipeSpec(learning_rate=0.001, batch_sequences=3, decay_fraction=0.5, beta2=0.9)
    recipe = decide_recipe(make_shape(256, 128, d_model=1 * 16, n_layers=1), 1e6, asked)
    assert (recipe.learning_rate, recipe.batch_sequences, recipe.beta2) == (0.001, 3, 0.9)
    assert recipe.decay_steps == round(0.5 * recipe.steps)


def test_totals_count_a_run_once():
    planned = plan(GRID.format(budgets="[1e11]", sizes=2))
    runs = [cell.run for cell in planned.cells]
    totals = sum_costs(runs + runs)
    assert totals.runs == 2
    assert totals.flops == sum(run.flops for run in runs)
    assert totals.peak_bytes == max(estimate_memory(run) for run in runs)

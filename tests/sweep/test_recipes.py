"""Several recipes in one sweep file: one sweep per recipe over the same cells."""

import dataclasses
from pathlib import Path

import pytest
from known_corpus import FACTS

from scaling.errors import SpecError
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import load_sweep, parse_sweep
from scaling.sweep.recipe import MAX_WARMUP_SHARE
from scaling.sweep.siblings import list_siblings, select_sibling
from scaling.sweep.spec import SweepSpec


def parse(recipes: str, recipe: str = "{}", corpus: str = "source: python-stdlib") -> SweepSpec:
    text = (
        f"name: a\ncorpus: {{{corpus}}}\ngrid: {{budgets: [3e10, 3e11]}}\nreplicates: 2\n"
        f"recipe: {recipe}\nrecipes: {recipes}\nmodel: {{context_bytes: 128}}\n"
    )
    return parse_sweep(text.encode(), source="a.yaml")


def test_each_recipe_gets_a_sweep_of_the_same_cells() -> None:
    spec = parse("{long: {warmup_tokens: 1e5, decay_fraction: 0}, flat: {beta2: 0.9}, rules: {}}")
    siblings = list_siblings(spec)
    assert [one.name for one in siblings] == ["a-long", "a-flat", "a-rules"]
    plans = [plan_sweep(one, FACTS) for one in siblings]
    cells = [
        sorted((c.run.shape.d_model, c.run.tokens, c.run.seed, c.role) for c in plan.cells)
        for plan in plans
    ]
    # Replicates are chosen by run_id, which depends on the recipe.
    grid = [[cell for cell in one if cell[-1] == "grid"] for one in cells]
    assert grid[0] == grid[1] == grid[2]
    runs = [{cell.run.run_id for cell in plan.cells} for plan in plans]
    assert len(set.union(*runs)) == sum(map(len, runs))  # no run belongs to two recipes


def test_a_recipe_that_sets_nothing_trains_the_runs_of_a_sweep_without_recipes() -> None:
    siblings = list_siblings(parse("{rules: {}, flat: {decay_fraction: 0}}"))
    text = (
        "name: b\ncorpus: {source: python-stdlib}\ngrid: {budgets: [3e10, 3e11]}\nreplicates: 2\n"
        "model: {context_bytes: 128}\n"
    )
    plain = plan_sweep(parse_sweep(text.encode(), source="b.yaml"), FACTS)
    assert {cell.run.run_id for cell in plan_sweep(siblings[0], FACTS).cells} == {
        cell.run.run_id for cell in plain.cells
    }


def test_a_named_recipe_adds_to_the_shared_one_and_null_gives_a_key_back_to_the_rules() -> None:
    spec = parse(
        "{kept: {beta2: 0.9}, other: {learning_rate: 0.002}, ruled: {learning_rate: null}}",
        recipe="{learning_rate: 0.001}",
    )
    kept, other, ruled = (one.recipe for one in list_siblings(spec))
    assert (kept.learning_rate, kept.beta2) == (0.001, 0.9)
    assert (other.learning_rate, other.beta2) == (0.002, None)
    assert ruled.learning_rate is None


def test_a_folder_finds_its_recipe_by_its_name() -> None:
    spec = parse("{long: {warmup_tokens: 1e5}, rules: {}}")
    assert select_sibling(spec, "a-long", source="a").recipe.warmup_tokens == 1e5
    with pytest.raises(SpecError, match="it makes the sweeps a-long, a-rules"):
        select_sibling(spec, "a-gone", source="a")


def test_a_warmup_in_tokens_is_as_long_in_every_run_that_can_hold_it() -> None:
    warm, _ = list_siblings(parse("{warm: {warmup_tokens: 1.5e5, decay_fraction: 0}, rules: {}}"))
    short, long = 0, 0
    for cell in plan_sweep(warm, FACTS).cells:
        recipe = cell.run.recipe
        step = recipe.batch_sequences * cell.run.shape.seq_len
        if cell.run.tokens < 1.5e5:
            assert recipe.warmup_steps == recipe.steps  # the whole run is warmup
            short += 1
        else:
            assert abs(recipe.warmup_steps * step - 1.5e5) <= step / 2
            long += 1
        assert recipe.decay_steps == 0
    assert min(short, long) > 0


def test_a_warmup_in_tokens_ends_where_the_decay_begins() -> None:
    warm, rules = list_siblings(parse("{warm: {warmup_tokens: 1e9}, rules: {}}"))
    for cell in plan_sweep(warm, FACTS).cells:
        recipe = cell.run.recipe
        assert recipe.warmup_steps == recipe.steps - recipe.decay_steps
    for cell in plan_sweep(rules, FACTS).cells:
        recipe = cell.run.recipe
        assert recipe.warmup_steps <= MAX_WARMUP_SHARE * recipe.steps + 1


@pytest.mark.parametrize(
    ("recipes", "more", "says"),
    [
        ("{one: {}}", {}, "a.yaml:6:10: recipes: one recipe is nothing to compare"),
        ("{a: {lr: 1}, b: {}}", {}, "recipes.a.lr: unknown key. Known keys: learning_rate"),
        ("{Bad Name: {}, b: {}}", {}, "a.yaml:6:11: recipes.Bad Name: expected a name of a-z"),
        ("{a: 3, b: {}}", {}, "recipes.a: expected a mapping, got 3"),
        ("[a, b]", {}, "recipes: expected a mapping, got a list"),
        (
            "{a: {warmup_tokens: 1e5}, b: {}}",
            {"recipe": "{warmup_fraction: 0.1}"},
            "recipes.a.warmup_tokens: warmup_fraction and warmup_tokens are two warmups",
        ),
        (
            "{a: {}, b: {decay_fraction: 0.7}}",
            {"recipe": "{warmup_fraction: 0.4}"},
            "recipes.b.decay_fraction: warmup_fraction 0.4 and decay_fraction 0.7 leave no step",
        ),
        (
            "{a: {}, b: {}}",
            {"corpus": "source: python-stdlib, tokenizer: [bytes, 'bpe:512']"},
            "recipes and tokenizers are compared one after the other",
        ),
    ],
)
def test_recipes_that_cannot_be_compared_are_refused_at_their_place(recipes, more, says) -> None:
    with pytest.raises(SpecError) as caught:
        parse(recipes, **more)
    assert says in str(caught.value)


def test_the_shipped_ladder_from_kaplan_to_chinchilla_toggles_one_thing_at_a_time() -> None:
    spec = load_sweep(Path(__file__).parents[2] / "sweeps" / "kaplan-vs-chinchilla.yaml")
    # The standard library under bpe:1024.
    facts = dataclasses.replace(
        FACTS, vocab_size=1024, train_tokens=3_450_000, validation_tokens=194_000
    )
    long, short, matched = list_siblings(spec)
    differ = [
        {name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)}
        for one, other in ((long.recipe, short.recipe), (short.recipe, matched.recipe))
    ]
    assert differ == [{"warmup_tokens"}, {"decay_fraction"}]
    assert matched.recipe.model_dump(exclude_none=True) == {}  # all keys follow the rules
    shares = []
    for sibling in (long, short, matched):
        plan = plan_sweep(sibling, facts)
        assert not plan.rejected
        assert not plan.warnings  # no text is repeated
        warmed = [cell for cell in plan.cells if cell.budget == min(spec.grid.budgets)]
        share = [cell.run.recipe.warmup_steps / cell.run.recipe.steps for cell in warmed]
        shares.append(sum(share) / len(share))
    # At the smallest budget the long warmup takes the whole run for most sizes.
    assert shares[0] > 0.8
    assert shares[1] < MAX_WARMUP_SHARE

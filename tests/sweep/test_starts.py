"""The keys initialise, starts and unique_tokens of a sweep file, and the plans they make."""

import dataclasses
import json
from pathlib import Path

import pytest
from known_corpus import FACTS

from scaling.errors import SpecError
from scaling.sweep.parents import Parent, choose_parent
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.siblings import list_siblings
from scaling.sweep.trunks import count_spent_flops, list_trunks, name_prefix

RESULTS = Path(__file__).parents[2] / "results" / "reference"
PLAIN = """\
name: one
corpus: {source: novels}
grid: {params: [1e4, 3e4], tokens: [1e6]}
"""
GRID = "params: [1e4, 3e4], tokens: [1e6]"
STARTED = PLAIN + "initialise: {from: results/parent}\n"


def parse(text):
    return parse_sweep(text.encode(), source="a.yaml")


def plan_runs(text, **facts):
    known = dataclasses.replace(FACTS, **facts)
    return [cell.run for cell in plan_sweep(parse(text), known).cells]


def make_parent(run, weights="a" * 64, loss=1.5, **changes):
    return Parent(run=dataclasses.replace(run, **changes), weights=weights, loss=loss, flops=1000)


def make_parents(text=PLAIN, **facts):
    return tuple(
        make_parent(run, weights=f"{at:064x}") for at, run in enumerate(plan_runs(text, **facts))
    )


def test_runs_without_the_new_keys_keep_their_ids():
    """Every stored run_id of results/reference is computed again."""
    paths = sorted(RESULTS.glob("runs/*/result.json"))
    assert len(paths) > 30
    for path in paths:
        run = RunSpec.from_json(json.loads(path.read_text())["run"])
        assert run.parent is None
        assert run.unique_tokens is None
        assert {"parent", "unique_tokens"}.isdisjoint(run.to_json())
        assert run.run_id == path.parent.name


def test_a_parent_changes_the_run_id_and_is_read_back():
    (plain, *_), parents = plan_runs(PLAIN), make_parents()
    started = {run.shape: run for run in plan_runs(STARTED, parents=parents)}[plain.shape]
    (own,) = (one for one in parents if one.run.shape == plain.shape)
    assert started.parent == own.weights
    assert started.run_id != plain.run_id
    assert dataclasses.replace(started, parent=None).run_id == plain.run_id
    assert dataclasses.replace(started, parent="b" * 64).run_id != started.run_id
    assert RunSpec.from_json(json.loads(json.dumps(started.to_json()))) == started


def test_the_parent_with_the_most_tokens_is_chosen():
    run = plan_runs(PLAIN)[0]
    short = make_parent(run, weights="1" * 64, recipe=dataclasses.replace(run.recipe, steps=100))
    first = make_parent(run, weights="2" * 64, loss=1.4)
    same_seed = make_parent(run, weights="3" * 64, seed=1)
    other = make_parent(plan_runs(PLAIN)[1], weights="4" * 64, loss=1.0)
    every = (short, first, same_seed, other)
    assert choose_parent(every, run.shape, seed=0) == first
    assert choose_parent(every, run.shape, seed=1) == same_seed
    assert choose_parent(every, run.shape, seed=7) == first  # none of that seed: the lowest loss
    assert choose_parent((short,), run.shape, seed=0) == short
    assert choose_parent((other,), run.shape, seed=0) is None


def test_a_model_without_a_parent_is_named_with_the_models_available():
    parents = make_parents()[:1]
    with pytest.raises(SpecError) as caught:
        plan_runs(STARTED, parents=parents)
    (problem,) = caught.value.problems
    assert problem.startswith("results/parent has no run of ")
    assert "Train that model there, or ask for one of these." in problem


def test_only_runs_of_one_parent_share_a_trunk():
    text = STARTED.replace("tokens: [1e6]", "tokens: [1e6, 2e6, 4e6]") + "schedule: {trunk: true}\n"
    parents = make_parents()
    runs = plan_runs(text, parents=parents)
    trunks = list_trunks(runs)
    assert len(trunks) == 2  # one for each model
    assert all(len({run.parent for run in one.runs}) == 1 for one in trunks.values())
    first = runs[0]
    assert name_prefix(first) != name_prefix(dataclasses.replace(first, parent="c" * 64))
    spent = count_spent_flops(runs)
    assert sum(spent.values()) < sum(run.flops for run in runs)


def test_planned_flops_exclude_the_parents():
    plain, started = plan_runs(PLAIN), plan_runs(STARTED, parents=make_parents())
    assert [run.flops for run in started] == [run.flops for run in plain]


def test_replicates_keep_the_parent_of_their_cell():
    text = STARTED + "replicates: 2\n"
    runs = plan_runs(text, parents=make_parents())
    assert sorted(run.seed for run in runs) == [0, 0, 1, 1]
    assert len({(run.shape, run.parent) for run in runs}) == 2


def test_a_grid_of_epochs_limits_the_text():
    text = PLAIN.replace("tokens: [1e6]", "unique_tokens: [1e5, 4e5], epochs: [2, 8]")
    runs = plan_runs(text)
    assert len(runs) == 2 * 2 * 2
    assert {run.unique_tokens for run in runs} == {100_000, 400_000}
    for run in runs:  # D is epochs times the text, to the batch
        assert run.tokens / run.unique_tokens == pytest.approx(2, rel=0.01) or (
            run.tokens / run.unique_tokens == pytest.approx(8, rel=0.01)
        )
    assert len({name_prefix(run) for run in runs}) >= 4  # other text is no common prefix
    limited = plan_runs(text.replace("epochs: [2, 8]", "epochs: [2, 8], max_tokens: 1e6"))
    assert len(limited) == 2 * 3
    assert max(run.tokens for run in limited) < 1.1e6


def test_a_cell_may_limit_its_text():
    """As a grid of epochs with the same U and D; other cells see the whole text."""
    cells = "{params: 1e4, unique_tokens: 1e5, tokens: 4e5}, {params: 1e4, tokens: 4e5}"
    limited, whole = plan_runs(PLAIN.replace(GRID, f"cells: [{cells}]"))
    assert (limited.unique_tokens, whole.unique_tokens) == (100_000, None)
    (same,) = plan_runs(PLAIN.replace(GRID, "params: [1e4], unique_tokens: [1e5], epochs: [4]"))
    assert limited.run_id == same.run_id
    extra = "extra_cells: [{params: 1e4, unique_tokens: 1e5, tokens: 8e5}]\n"
    runs = plan_runs(PLAIN.replace(GRID, "cells: [{params: 1e4, tokens: 4e5}]") + extra)
    assert sorted(str(run.unique_tokens) for run in runs) == ["100000", "None"]


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ("unique_tokens: [1e9], epochs: [1]", "1B unique tokens are more than the 10M"),
        (
            "unique_tokens: [200], epochs: [5000]",
            "200 unique tokens are fewer than two sequences of 128",
        ),
        ("unique_tokens: [1e4], epochs: [1]", "too few to warm up"),
    ],
)
def test_impossible_amounts_of_text_are_refused(grid, reason):
    with pytest.raises(SpecError, match="no cell of the grid can be trained") as caught:
        plan_runs(PLAIN.replace("tokens: [1e6]", grid))
    assert reason in str(caught.value)


def test_a_source_seen_once_has_no_second_epoch():
    text = PLAIN.replace("novels", "synthetic, tokens: 1e6").replace(
        "tokens: [1e6]}", "unique_tokens: [1e5], epochs: [2]}"
    )
    with pytest.raises(SpecError, match="source synthetic never repeats a token"):
        plan_runs(text)


def test_each_named_start_makes_a_sweep():
    text = PLAIN + "starts: {scratch: {}, english: {from: results/p, run: ab12}}\n"
    one, two = list_siblings(parse(text))
    assert (one.name, one.initialise.source) == ("one-scratch", None)
    assert (two.name, two.initialise.source, two.initialise.run) == (
        "one-english",
        "results/p",
        "ab12",
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("starts: {a: {}}\n", "a.yaml:4:9: starts: a single start has nothing to compare with"),
        (
            "starts: {a: {}, b: {from: x}}\ninitialise: {from: y}\n",
            "starts and initialise exclude each other",
        ),
        ("starts: {a: {}, b: {from: x}}\nfamilies: [lstm, rnn]\n", "only the starts may differ"),
        ("initialise: {run: ab}\n", "run ab of which folder? Set initialise.from."),
        ("initialise: {form: x}\n", "initialise.form: unknown key. Did you mean 'from'?"),
        ("initialise: {from: x, run: q}\n", "initialise.run"),
        ("schedule: {trunk: true}\nevaluate: [loss_best]\n", "Remove schedule.trunk, or this"),
        ("evaluate: [{loss_best: {halvings: 0}}]\n", ""),
    ],
)
def test_invalid_starts_are_refused(more, sentence):
    if not sentence:  # said where the corpus is known
        from scaling.sweep.probe_demands import Ground
        from scaling.sweep.probe_spec import check_demands

        ground = Ground(seq_len=128, vocab_size=256, source="novels", tokenizer="bytes")
        with pytest.raises(SpecError, match="halvings is 0"):
            check_demands(parse(PLAIN + more).evaluate, ground)
        return
    with pytest.raises(SpecError) as caught:
        parse(PLAIN + more)
    assert sentence in str(caught.value)


def test_a_custom_trainer_cannot_use_starts_or_limited_text():
    text = """\
name: own
trainer: {command: [python, a.py], data: x, vocab_size: 256}
recipe: {}
grid: {params: [1e4], unique_tokens: [1e5], epochs: [1]}
initialise: {from: results/p}
"""
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert "only the built-in trainer starts from other runs" in str(caught.value)
    assert "only the built-in trainer limits the text" in str(caught.value)
    cells = "cells: [{params: 1e4, unique_tokens: 1e5, tokens: 4e5}]"
    extra = "extra_cells: [{params: 1e4, unique_tokens: 1e5, tokens: 4e5}]\n"
    for changed, at in (
        (text.replace("params: [1e4], unique_tokens: [1e5], epochs: [1]", cells), "grid"),
        (text.replace("unique_tokens: [1e5], epochs: [1]", "tokens: [4e5]") + extra, "extra_cells"),
    ):
        with pytest.raises(SpecError) as caught:
            parse(changed)
        assert f": {at}: only the built-in trainer limits the text" in str(caught.value)

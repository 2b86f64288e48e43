"""A sweep of two recipes on the command line: a folder each, their exponents side by side."""

import json
from pathlib import Path

import pytest
from commands import call, start
from sibling_sweeps import train_siblings

SWEEP = """\
name: pair
corpus: {source: text, paths: [texts]}
model: {seq_len: 16}
grid: {budgets: [3e8, 6e8], sizes: 1, prior: {params: 5000, exponent: 0}}
recipe: {beta2: 0.95}
recipes:
  warm: {warmup_tokens: 1e5, decay_fraction: 0}
  rules: {}
keep_weights: false
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_siblings(tmp_path_factory.mktemp("recipes"), SWEEP)


def read_recipes(root: Path, name: str) -> list[dict[str, float]]:
    paths = (root / "results" / name / "runs").glob("*/result.json")
    return [json.loads(path.read_text())["run"]["recipe"] for path in paths]


def test_each_recipe_has_results_and_a_page(root: Path) -> None:
    for name in ("pair-warm", "pair-rules"):
        assert len(read_recipes(root, name)) == 2
        assert (root / "reports" / name / "index.html").is_file()
    assert not (root / "results" / "pair").exists()


def test_runs_are_trained_with_the_recipe_of_their_folder(root: Path) -> None:
    for recipe in read_recipes(root, "pair-warm"):
        assert recipe["decay_steps"] == 0
        assert recipe["warmup_steps"] == min(
            recipe["steps"], round(1e5 / (16 * recipe["batch_sequences"]))
        )
        assert recipe["beta2"] == 0.95
    for recipe in read_recipes(root, "pair-rules"):
        assert recipe["decay_steps"] == min(200, recipe["steps"] // 2)
        assert recipe["beta2"] == 0.95


def test_two_runs_each_are_too_few_to_compare_and_this_is_printed(root: Path) -> None:
    done = call("recipes", "results/pair-warm", "results/pair-rules", cwd=root)
    assert done.code == 2
    assert "0 of 2 recipes have a frontier; two are needed" in done.errors
    assert "recipes are not compared: 0 of 2" in (root / "said.txt").read_text()


def test_sweeps_of_other_cells_are_not_compared(root: Path) -> None:
    other = SWEEP.replace("6e8", "9e8").replace("name: pair", "name: other")
    (root / "other.yaml").write_text(other)
    assert start("run", "other.yaml", "--executor", "inline", cwd=root).code == 4
    done = call("recipes", "results/pair-warm", "results/other-rules", cwd=root)
    assert done.code == 2
    assert "differ in more than the recipe" in done.errors

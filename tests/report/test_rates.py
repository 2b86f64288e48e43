"""A fit uses each cell's best learning rate, from the folder and from its index."""

from pathlib import Path

import numpy as np
import pytest
from simulated import FACTS, commit

from scaling.ledger.commit import Ledger
from scaling.ledger.sweep_table import INDEX_PATH, choose_rates, write_index
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.siblings import select_sibling
from scaling.tables.reading import read_table
from scaling.tables.run_table import sort_rows
from scaling.workflow.stored import open_results, read_runs

SWEEP = """\
name: rates
corpus: {source: python-stdlib}
grid: {params: [1e4, 2e4, 4e4], tokens: [4e5, 8e5, 1.6e6]}
families: [transformer, lstm]
rates: [0.5, 1, 2]
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LSTM's sweep, with every run finished at a different loss."""
    made = tmp_path_factory.mktemp("root") / "results" / "rates-lstm"
    spec = select_sibling(parse_sweep(SWEEP.encode(), source="s.yaml"), made.name, source="s.yaml")
    ledger = Ledger.create(made, name=made.name, corpus=FACTS, sweep_yaml=SWEEP)
    for cell in plan_sweep(spec, FACTS).cells:
        commit(ledger, cell.run)
    write_index(ledger, ledger.read_results(), open_results(made).plan.cells)
    return made


def test_the_best_rate_of_each_cell_is_kept_with_its_seeds(folder: Path) -> None:
    table, stored = read_runs(folder)
    assert stored is not None
    assert table.family == "lstm"
    assert len(table) == 9 * 2
    results = stored.results.results
    for name in table.run:
        mine = results[name]
        where = mine.run.shape, mine.run.tokens
        cell = [one for one in results.values() if (one.run.shape, one.run.tokens) == where]
        best = min(cell, key=lambda one: one.loss)
        assert mine.run.recipe == best.run.recipe
    (note,) = (one for one in table.notes if "best learning rate" in one)
    assert "36 of 54 runs left out" in note
    assert note.endswith("of 9 cells")


def test_the_index_gives_the_same_table(folder: Path) -> None:
    table, _ = read_runs(folder)
    index = read_table(folder / INDEX_PATH)
    assert sorted(index.run) == sorted(table.run)
    mine, theirs = sort_rows(table), sort_rows(index)
    for column in ("params", "tokens", "loss", "flops", "seed", "learning_rate"):
        assert np.array_equal(getattr(mine, column), getattr(theirs, column)), column
    assert (mine.group, mine.cost) == (theirs.group, theirs.cost)
    assert index.family == "lstm"
    assert any("36 rate" in note for note in index.notes)


def test_a_single_rate_is_kept_without_a_note(folder: Path) -> None:
    results = [one for one in open_results(folder).results.results.values() if one.run.seed == 0]
    rates: dict[object, float] = {}
    for one in results:
        rates.setdefault((one.run.shape, one.run.tokens), one.run.recipe.learning_rate)
    single = [one for one in results
              if rates[one.run.shape, one.run.tokens] == one.run.recipe.learning_rate]  # fmt: skip
    assert choose_rates(single) == (single, ())

"""Claims about bracket runs in the ledger: trained, listed, and in no fit."""

import csv
import dataclasses
from pathlib import Path

from synthetic import expected_loss, make_corpus, make_ledger, make_run, train_here

from scaling.ledger.sweep_table import INDEX_PATH, tabulate
from scaling.sweep.cells import Cell
from scaling.sweep.cost_model import SIX_ND
from scaling.sweep.runspec import RunSpec


def change(run: RunSpec, **changes: float) -> RunSpec:
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **changes))


def test_bracket_runs_are_trained_but_are_not_rows_of_the_table(tmp_path: Path) -> None:
    corner, other = make_run(0), make_run(1)
    faster = change(corner, learning_rate=1.0)
    larger = change(corner, batch_sequences=4, steps=5)
    cells = [
        Cell(run=corner, budget=1e6, role="grid"),
        Cell(run=other, budget=1e6, role="grid"),
        Cell(
            run=faster,
            budget=1e6,
            role="bracket",
            varied=("learning_rate", corner.run_id, 2.0),
        ),
        Cell(run=larger, budget=1e6, role="bracket", varied=("batch", corner.run_id, 2.0)),
    ]
    ledger = make_ledger(tmp_path)
    train_here(cells, ledger, corpus=make_corpus(tmp_path))
    table = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    assert set(table.run) == {corner.run_id, other.run_id}
    (bracket,) = table.brackets
    assert bracket.run == corner.run_id
    assert bracket.loss == expected_loss(corner)
    assert bracket.learning_rates == ((2.0, expected_loss(faster)),)
    assert bracket.batches == ((2.0, expected_loss(larger)),)
    with (ledger.folder / INDEX_PATH).open() as file:
        roles = {row["run_id"]: row["role"] for row in csv.DictReader(file)}
    assert roles[faster.run_id] == "bracket"
    assert roles[corner.run_id] == "grid"
    # The table's digest depends on the brackets.
    plain = tabulate(ledger, ledger.read_results(), cells[:2], convention="matmul", cost=SIX_ND)
    assert plain.brackets == ()
    assert plain.digest != table.digest

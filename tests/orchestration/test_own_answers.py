"""After runs of the user's own trainer: epochs over a corpus, stored fits, simulations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from own import GOOD, MANY, attempt, prepare

from scaling.cli import cli
from scaling.data.shards import open_shards
from scaling.design.changes import list_changes
from scaling.design.expectation import tabulate_expected
from scaling.ledger.commit import Ledger
from scaling.sweep.own_ladder import list_sweep_ladder, make_sweep_cost
from scaling.sweep.plan import plan_sweep
from scaling.verbs import obtaining
from scaling.workflow.preparing import Sweep, prepare_sweep
from scaling.workflow.simulating import find_prior
from scaling.workflow.training import open_ledger, train_sweep

CORPUS = "corpus: {source: novels}\n"


def read_corpus(folder: Path, rest: str, body: str = GOOD) -> tuple[Sweep, Ledger]:
    """A sweep whose data is prepared here, and its results folder."""
    path = folder / "sweep.yaml"
    prepare(folder, body)
    text = path.read_text().partition("grid:")[0]
    path.write_text(text.replace("  data: shelf\n", "").replace("mine", "read") + CORPUS + rest)
    sweep = prepare_sweep(path, root=folder)
    return sweep, open_ledger(sweep, root=folder, retrain=False)


def test_epochs_over_a_corpus_are_counted(tmp_path: Path) -> None:
    sweep, ledger = read_corpus(tmp_path, "grid: {params: [10e6], tokens: [1e5, 1e8]}\n")
    assert len(train_sweep(sweep, ledger, executor="inline").finished) == 2
    there = open_shards(sweep.corpus.folder).facts.train_tokens
    assert 10**5 < there < 10**8  # one run sees part of it, the other repeats it
    results = ledger.read_results().results.values()
    seen = {one.run.tokens: (one.unique_tokens, one.epochs) for one in results}
    assert seen == {10**5: (10**5, 10**5 / there), 10**8: (there, 10**8 / there)}


def test_a_corpus_that_is_edited_meanwhile_is_noticed(tmp_path: Path) -> None:
    edit = "open(run['corpus'] + '/train.bin', 'r+b').write(b'x')\n"
    sweep, ledger = read_corpus(tmp_path, "grid: {params: [10e6], tokens: [1e5]}\n", edit + GOOD)
    outcome = attempt(sweep, ledger)
    assert outcome.kind == "failed"
    assert "train.bin changed since it was written" in outcome.message


def test_a_stored_fit_of_listed_models_is_recalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, ledger = prepare(tmp_path, rest=MANY)
    train_sweep(sweep, ledger, executor="inline")
    words = ["allocate", str(ledger.folder), "--flops", "1e19", "--bootstrap", "50", "--json"]
    first = CliRunner().invoke(cli, words)
    assert first.exit_code in (0, 3), first.output

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the runs were read again")

    monkeypatch.setattr(obtaining, "obtain_fit", refuse)
    second = CliRunner().invoke(cli, words)
    assert json.loads(second.stdout) == json.loads(first.stdout)


def test_a_sweep_of_listed_models_is_simulated(tmp_path: Path) -> None:
    """Losses are drawn only for the listed models, and changes to the sweep keep to them."""
    sweep, _ = read_corpus(tmp_path, "grid: {budgets: [2e15, 6e15], sizes: 4, span: 4}\n")
    spec, facts = sweep.spec, sweep.corpus.facts
    cost = make_sweep_cost(spec, facts, "matmul")
    prior = find_prior(spec, facts, cost, sweep.plan, source=None, noise=0.01)
    table = tabulate_expected(sweep.plan.cells, prior, facts=facts, cost=cost)
    models = {one.params for one in list_sweep_ladder(spec, facts)}
    assert set(table.params) <= models
    changed = [plan_sweep(other, facts).cells for _, _, other in list_changes(spec)]
    assert changed
    assert {cell.run.shape.params for cells in changed for cell in cells} <= models

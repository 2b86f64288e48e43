"""A sweep that grows keeps the finished runs of its results folder."""

import shutil
from pathlib import Path

import pytest

from scaling.data import shards
from scaling.data.shards import PreparedCorpus
from scaling.ledger.commit import Ledger
from scaling.workflow import preparing
from scaling.workflow.stored import open_results

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A root with the results on code and its sweep file, which has one more budget."""
    shutil.copytree(REPOSITORY / "results" / "code", tmp_path / "results" / "code")
    text = (REPOSITORY / "sweeps" / "code.yaml").read_text()
    assert "budgets: [2e10," in text
    text = text.replace("budgets: [2e10,", "budgets: [1.2e10, 2e10,")
    (tmp_path / "code.yaml").write_text(text)
    (tmp_path / "results" / "code" / "sweep.yaml").write_text(text)
    return tmp_path


def test_a_grown_sweep_plans_every_run_it_has_finished(grown, monkeypatch):
    folder = grown / "results" / "code"
    ledger = Ledger.open(folder)
    corpus = PreparedCorpus(folder=grown, facts=ledger.corpus)
    monkeypatch.setattr(shards, "prepare_corpus", lambda *_, **__: corpus)
    asked = preparing.prepare_sweep(grown / "code.yaml", root=grown).plan
    assert open_results(folder).plan == asked
    finished = ledger.read_results().results.keys()
    assert len(finished) == 42 + 4  # plus the validation runs
    assert finished < {cell.run.run_id for cell in asked.cells}
    assert len([cell for cell in asked.cells if cell.role == "replicate"]) == 7

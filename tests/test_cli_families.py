"""A sweep of two families on the command line: a folder each, probes of both, their comparison."""

import csv
import json
from pathlib import Path

import pytest
from commands import start
from sibling_sweeps import train_siblings

SWEEP = """\
name: pair
corpus: {source: text, paths: [texts]}
families: [transformer, rnn]
rates: [0.5, 1]
model: {seq_len: 16}
grid: {params: [5e3], tokens: [15e3]}
evaluate:
  - context_exponent
  - context_gain: {early: 2, late: 14}
  - gradient_decay: {lags: 8, windows: 4}
  - gradient_decay_start: {lags: 8, windows: 4}
  - longest_match: {samples: 4}
  - longest_match_control: {samples: 4}
  - code_valid: {samples: 4, context: 8}
  - copy_gain: {lag: 8, samples: 4}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families")
    more = "\nx = 1\ny = 2\n"  # lines at which generated code can begin
    train_siblings(folder, SWEEP, ending=more)
    return folder


def read_index(root: Path, name: str) -> list[dict[str, str]]:
    with (root / "results" / name / "index" / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_family_has_results_a_page_and_a_value_of_every_probe(root: Path) -> None:
    for family in ("transformer", "rnn"):
        rows = read_index(root, f"pair-{family}")
        assert [row["family"] for row in rows] == [family] * 2
        assert sorted(row["role"] for row in rows) == ["grid", "rate"]
        best, worse = sorted(rows, key=lambda row: row["role"])
        assert float(best["loss"]) <= float(worse["loss"])
        names = ("context_exponent", "context_gain", "gradient_decay", "gradient_decay_start")
        names += ("longest_match", "longest_match_control", "code_valid", "copy_gain")
        assert all(row[name] for row in rows for name in names)
        assert (root / "reports" / f"pair-{family}" / "index.html").is_file()
    assert not (root / "results" / "pair").exists()


def test_cells_too_few_for_a_law_are_not_compared_and_it_is_said(root: Path) -> None:
    assert "families are not compared: " in (root / "said.txt").read_text()


def test_every_family_samples(root: Path) -> None:
    for family in ("transformer", "rnn"):
        words = ("--prompt", "w00", "--tokens", "6", "--json")
        told = json.loads(start("sample", f"results/pair-{family}", *words, cwd=root).out)
        assert 1 <= len(told["tokens"]) <= 6


def test_a_plan_and_a_fit_know_the_family(root: Path) -> None:
    plan = json.loads(start("plan", "pair.yaml", "--json", "--no-benchmark", cwd=root).out)
    assert {cell["sweep"] for cell in plan["cells"]} == {"pair-transformer", "pair-rnn"}
    assert all(cell["cached"] for cell in plan["cells"])
    assert start("verify", "results/pair-rnn", cwd=root).code == 0

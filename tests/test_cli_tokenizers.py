"""A sweep of two tokenizers on the command line: a folder each, one answer in bits per byte."""

import json
import math
from pathlib import Path

import pytest
from commands import call, start
from sibling_sweeps import train_siblings

SWEEP = """\
name: pair
corpus: {source: text, paths: [texts], tokenizer: [bytes, "words:400"]}
model: {context_bytes: 32}
grid: {budgets: [6e8], sizes: 1, prior: {params: 7000, exponent: 0}}
keep_weights: false
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_siblings(tmp_path_factory.mktemp("pair"), SWEEP)


def test_each_tokenizer_has_results_and_a_page(root: Path) -> None:
    for name in ("pair-bytes", "pair-words-400"):
        assert len(list((root / "results" / name / "runs").glob("*/result.json"))) == 1
        assert (root / "reports" / name / "index.html").is_file()
    assert not (root / "results" / "pair").exists()


def test_a_plan_names_the_tokenizer_of_every_cell(root: Path) -> None:
    plan = json.loads(call("plan", "pair.yaml", "--json", cwd=root).out)
    assert {cell["tokenizer"] for cell in plan["cells"]} == {"bytes", "words:400"}
    assert all(cell["cached"] for cell in plan["cells"])
    runs = {cell["run_id"] for cell in plan["cells"]}
    assert plan["totals"]["runs"] == len(runs)
    lengths = {cell["tokenizer"]: cell["shape"]["seq_len"] for cell in plan["cells"]}
    assert lengths["bytes"] == 32
    assert lengths["words:400"] < 12  # "w000 " is one token; windows contain the same text


def test_running_again_trains_nothing(root: Path) -> None:
    before = {p: p.read_bytes() for p in (root / "results").glob("*/runs/*/result.json")}
    again = start("run", "pair.yaml", "--executor", "inline", cwd=root)
    assert again.code == 4
    assert {p: p.read_bytes() for p in (root / "results").glob("*/runs/*/result.json")} == before


def test_every_verb_reads_one_of_the_folders(root: Path) -> None:
    folder = "results/pair-words-400"
    fitted = call("fit", folder, "--json", "--no-bootstrap", cwd=root)
    assert fitted.code == 4  # one run determines no law
    assert json.loads(fitted.out)["n"] == 1
    assert call("verify", folder, cwd=root).code == 0
    assert "finished" in call("status", folder, cwd=root).out


def test_one_run_each_is_too_little_to_compare_and_this_is_printed(root: Path) -> None:
    done = call("tokenizers", "results/pair-bytes", "results/pair-words-400", cwd=root)
    assert done.code == 2
    assert "0 of 2 tokenizers have a law; two are needed" in done.errors
    assert "tokenizers are not compared: 0 of 2" in (root / "said.txt").read_text()


def test_bits_per_byte_are_per_byte_of_the_same_text(root: Path) -> None:
    for path in (root / "results").glob("*/runs/*/result.json"):
        result = json.loads(path.read_text())
        facts = json.loads((path.parents[2] / "sweep.json").read_text())["corpus"]
        tokens, size = facts["validation_tokens"], facts["validation_bytes"]
        expected = result["loss"] / math.log(2) * tokens / size
        assert result["bits_per_byte"] == pytest.approx(expected, rel=1e-12)


def test_what_is_no_results_folder_does_not_compare(root: Path) -> None:
    done = call("tokenizers", "results/pair-bytes", "pair.yaml", cwd=root)
    assert done.code == 2
    assert "Traceback" not in done.errors

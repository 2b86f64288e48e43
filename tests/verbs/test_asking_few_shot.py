"""`scaling few-shot` on a small sweep with two numbers of chains."""

import json
from pathlib import Path

import pytest
from commands import CODE, call
from sibling_sweeps import train_siblings

SWEEP = """\
name: pair
corpus: {source: markov_chains, states: 3, tokens: 2e4, chains: [2, 64]}
model: {seq_len: 16}
grid: {params: [1e3], tokens: [1e4]}
recipe: {batch_sequences: 2}
evaluate:
  - few_shot: {sequences: 16}
  - few_shot_seen: {sequences: 16}
  - few_shot_phase: {sequences: 16}
  - few_shot_regret: {sequences: 16}
  - few_shot_regret_bayes: {sequences: 16}
"""
FOLDERS = ("results/pair-chains-2", "results/pair-chains-64")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_siblings(tmp_path_factory.mktemp("pair"), SWEEP)


def test_every_run_has_every_probe_and_curve(root: Path) -> None:
    for folder in FOLDERS:
        values = list((root / folder).glob("runs/*/probes/*.json"))
        assert len(values) == 5
        curves = [one.name for one in values if "examples in the context" in one.read_text()]
        assert sorted(name.split("-")[0] for name in curves) == [
            "few_shot", "few_shot_regret", "few_shot_regret_bayes",
        ]  # fmt: skip


def test_one_folder_answers_in_text_and_json(root: Path) -> None:
    said = call("few-shot", FOLDERS[0], cwd=root)
    assert said.code in (0, 4)
    assert said.out.startswith("pair-chains-2: 2 chains. ")
    found = json.loads(call("few-shot", FOLDERS[0], "--json", cwd=root).out)
    assert found["schema_version"] == 1
    assert found["reason"] == ""
    (sweep,) = found["sweeps"]
    assert (sweep["name"], sweep["chains"]) == ("pair-chains-2", 2)
    assert sweep["phase"]["sharp"] == "few_shot_phase"
    assert sweep["phase"]["smooth"] == "few_shot"
    assert found["boundary"] is None


def test_several_folders_give_a_boundary_or_a_reason(root: Path) -> None:
    found = json.loads(call("few-shot", *FOLDERS, "--json", cwd=root).out)
    assert [one["chains"] for one in found["sweeps"]] == [2, 64]
    assert "3 and 2 are needed" in found["boundary"]["reason"]
    assert "no boundary between remembering and inferring" in (root / "said.txt").read_text()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((FOLDERS[0], FOLDERS[0]), ("compared by corpus.chains", "or a single folder")),
        (("pair.yaml",), ("pair.yaml",)),
        ((), ("RESULTS",)),
    ],
)
def test_bad_questions_exit_2_with_the_reason(root: Path, words, parts) -> None:
    said = call("few-shot", *words, cwd=root)
    assert said.code == 2
    assert all(part in said.errors for part in parts), said.errors
    assert said.out == ""
    assert "Traceback" not in said.errors


def test_a_folder_without_the_probes_exits_4_with_json() -> None:
    said = call("few-shot", CODE, "--json")
    assert said.code == 4
    assert "no run has a value of few_shot_phase" in json.loads(said.out)["reason"]


def test_the_page_has_the_sentences(root: Path) -> None:
    from scaling.workflow.few_shot import say_few_shot
    from scaling.workflow.siblings import open_siblings
    from scaling.workflow.stored import open_results

    stored = open_results(root / FOLDERS[0])
    said = say_few_shot(stored, open_siblings(stored))
    assert "runs" in said[0]
    assert said[-1].startswith("No boundary between remembering and inferring")

"""Starts on the command line: a parent sweep, arms from scratch and from it, and the answer."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Said, call, start, tell
from sibling_sweeps import write_texts

import scaling
from scaling.workflow.stored import open_results

PARENT = """\
name: parent
corpus: {source: text, paths: [texts]}
model: {seq_len: 16}
grid: {params: [5e3, 9e3], tokens: [20e3]}
evaluate: [{gradient_decay: {lags: 8, windows: 4}}]
"""
ARMS = """\
name: arms
corpus: {source: text, paths: [others]}
model: {seq_len: 16}
grid: {params: [5e3, 9e3], unique_tokens: [10e3, 20e3], epochs: [1]}
starts:
  scratch: {}
  words: {from: results/parent}
seeds: [0, 1]
evaluate: [{loss_best: {halvings: 2}}]
keep_weights: false
"""
# For each option: the arguments without it, and with it.
OPTIONS = {
    "--json": ((), ("--json",)),
    "--level": (("--json",), ("--json", "--level", "0.5")),
    "--seed": (("--json",), ("--json", "--seed", "1")),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starts")
    write_texts(folder / "texts", seed=0)
    write_texts(folder / "others", seed=1)
    for name, sweep in (("parent", PARENT), ("arms", ARMS)):
        (folder / f"{name}.yaml").write_text(sweep)
        done = start("run", f"{name}.yaml", "--executor", "inline", cwd=folder)
        assert done.code in (0, 4), done.errors  # a few cells may have no law
        (folder / f"{name}.txt").write_text(done.out + done.errors)
    return folder


def plan(root: Path, text: str) -> Said:
    (root / "other.yaml").write_text(text)
    return call("plan", "other.yaml", "--no-benchmark", cwd=root)


def test_every_run_starts_from_the_parent_of_its_model(root: Path) -> None:
    parents = {
        one.run.shape: one.files["weights.pt"]
        for one in open_results(root / "results" / "parent").results.results.values()
    }
    results = open_results(root / "results" / "arms-words").results.results.values()
    assert len(results) == 2 * 2 * 2
    assert all(one.run.parent == parents[one.run.shape] for one in results)
    scratch = open_results(root / "results" / "arms-scratch").results.results.values()
    assert all(one.run.parent is None for one in scratch)


def test_a_finished_sweep_needs_no_parent_and_no_training(root: Path) -> None:
    again = call("run", "arms.yaml", "--executor", "inline", cwd=root)
    assert "training" not in again.errors
    (root / "results" / "parent").rename(root / "results" / "moved")
    try:
        assert call("status", "results/arms-words", cwd=root).code == 0
        assert call("verify", "results/arms-words", cwd=root).code == 0
        assert call("transfer", "results/arms-words", cwd=root).code == 0
    finally:
        (root / "results" / "moved").rename(root / "results" / "parent")


def test_a_lost_run_is_trained_again_from_the_kept_weights(root: Path, tmp_path: Path) -> None:
    for name in ("others", "arms.yaml", "results"):
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    run = next((tmp_path / "results" / "arms-words" / "runs").iterdir())
    before = json.loads((run / "result.json").read_text())["loss"]
    shutil.rmtree(run)
    call("run", "arms.yaml", "--executor", "inline", cwd=tmp_path)
    assert json.loads((run / "result.json").read_text())["loss"] == before


# Kills itself with SIGKILL when its only run has written 30 checkpoints, one per step.
KILLED = """
import os, signal, sys
from scaling import cli
from scaling.files import faults
from scaling.training import trainer

trainer.CHECKPOINT_SECONDS = 0.0
written = []

def strike(point):
    written.append(point)
    if written.count("checkpoint.tidied") == 30:
        os.kill(os.getpid(), signal.SIGKILL)

with faults.listening(strike):
    cli.cli.main(["run", "one.yaml", "--executor", "inline"])
"""
ONE = """\
name: one
corpus: {source: text, paths: [others]}
model: {seq_len: 16}
grid: {cells: [{params: 5e3, unique_tokens: 10e3, tokens: 20e3}]}
initialise: {from: results/parent}
"""


def make_copy(root: Path, folder: Path) -> Path:
    """Make a folder with the arms' text, the parent's results, and a sweep of one started run."""
    shutil.copytree(root / "others", folder / "others")
    shutil.copytree(root / "results" / "parent", folder / "results" / "parent")
    (folder / "one.yaml").write_text(ONE)
    return folder


def read_only_run(folder: Path) -> dict[str, object]:
    """Read all of the only run that does not depend on time or attempt."""
    (result,) = open_results(folder / "results" / "one").results.results.values()
    attempt = folder / "results" / "one" / "runs" / result.run.run_id / "attempts"
    return {
        "run": result.run,
        "loss": result.loss,
        "weights": result.files["weights.pt"],
        "curve": (attempt / result.attempt_id / "metrics.jsonl").read_bytes(),
        "flops": result.flops,
    }


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = make_copy(root, tmp_path_factory.mktemp("undisturbed"))
    assert call("run", "one.yaml", "--executor", "inline", cwd=folder).code in (0, 4)
    return read_only_run(folder)


@pytest.mark.parametrize("parent", ["there", "gone", "without weights"])
def test_a_killed_run_resumes_to_the_same_bits(
    root: Path, tmp_path: Path, undisturbed: dict[str, object], parent: str
) -> None:
    folder = make_copy(root, tmp_path / "killed")
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=folder, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(folder.rglob("checkpoint-000000030.pt"))
    assert not open_results(folder / "results" / "one").results.results
    if parent == "gone":
        shutil.rmtree(folder / "results" / "parent")
    if parent == "without weights":
        for path in (folder / "results" / "parent").rglob("weights.pt"):
            path.unlink()
    said = call("run", "one.yaml", "--executor", "inline", cwd=folder)
    assert said.code in (0, 4), said.errors  # one run has no law
    assert read_only_run(folder) == undisturbed
    (result,) = open_results(folder / "results" / "one").results.results.values()
    assert result.flops_spent < result.flops  # it went on from a checkpoint


def test_gradients_before_the_first_step_equal_the_parents(root: Path, tmp_path: Path) -> None:
    """On the parent's own text, its gradients after training are expected exactly."""
    folder = make_copy(root, tmp_path / "same-text")
    shutil.copytree(root / "texts", folder / "texts")
    (folder / "one.yaml").write_text(
        ONE.replace("others", "texts")
        + "evaluate: [{gradient_decay_start: {lags: 8, windows: 4}}]\n"
    )
    assert call("run", "one.yaml", "--executor", "inline", cwd=folder).code in (0, 4)
    (started,) = read_probes(folder / "results" / "one", "gradient_decay_start").values()
    ended = read_probes(folder / "results" / "parent", "gradient_decay")
    (result,) = open_results(folder / "results" / "one").results.results.values()
    parents = open_results(folder / "results" / "parent").results.results
    (parent,) = (
        run_id for run_id, one in parents.items() if one.files["weights.pt"] == result.run.parent
    )
    assert started == ended[parent]


def read_probes(folder: Path, name: str) -> dict[str, tuple[float, object]]:
    """Read value and curve of a probe, by run."""
    found = {}
    for path in folder.glob(f"runs/*/probes/{name}-*.json"):
        one = json.loads(path.read_text())
        found[path.parents[1].name] = (one["value"], one["curve"]["y"])
    return found


def test_kept_weights_serve_only_the_same_start(root: Path, tmp_path: Path) -> None:
    """The folder keeps the weights of results/parent; they do not stand in for another folder."""
    folder = make_copy(root, tmp_path / "changed")
    assert call("run", "one.yaml", "--executor", "inline", cwd=folder).code in (0, 4)
    shutil.rmtree(folder / "results" / "parent")
    assert call("plan", "one.yaml", "--no-benchmark", cwd=folder).code == 0
    (folder / "one.yaml").write_text(ONE.replace("results/parent", "results/other"))
    said = call("plan", "one.yaml", "--no-benchmark", cwd=folder)
    assert said.code == 2
    assert "results/other is not a results folder" in said.errors


def test_transfer_prints_the_answer(root: Path) -> None:
    said = tell("transfer", "results/arms-scratch", "results/arms-words", cwd=root)
    assert said.startswith("arms-words against arms-scratch: 4 cells, seed noise ")
    assert "at equal total compute, the parent's included" in said
    assert tell("transfer", "results/arms-words", cwd=root) == said  # its siblings
    assert "arms-words against arms-scratch" in (root / "arms.txt").read_text()


def test_json_and_python_agree(root: Path) -> None:
    told = json.loads(call("transfer", "results/arms-words", "--json", cwd=root).out)
    (arm,) = told["arms"]
    (found,) = scaling.find_transfer(root / "results" / "arms-words")
    assert arm["verdict"] == found.verdict
    assert arm["early_stop"] is True
    assert [one["loss"] for one in arm["cells"]] == [one.tuned.loss for one in found.cells]
    parents = open_results(root / "results" / "parent").results.results.values()
    flops = {one.run.shape: one.flops for one in parents}
    assert {row.flops - row.own_flops for row in found.compute} == set(map(float, flops.values()))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_shows_an_effect(root: Path, option: str) -> None:
    without, given = (call("transfer", "results/arms-words", *words, cwd=root).out
                      for words in OPTIONS[option])  # fmt: skip
    assert without != given


def test_the_page_has_the_section(root: Path) -> None:
    for name in ("scratch", "words"):
        page = (root / "reports" / f"arms-{name}" / "index.html").read_text()
        assert "how much target text does pre-training save?" in page
        assert "arms-words: " in page
    call("report", "results/arms-words", "--format", "md", cwd=root)
    text = (root / "reports" / "arms-words" / "report.md").read_text()
    assert "## Transfer: arms-words" in text


def test_loss_best_reports_the_lowest_loss_and_its_curve(root: Path) -> None:
    paths = (root / "results" / "arms-words" / "runs").glob("*/probes/loss_best-*.json")
    values = [json.loads(path.read_text()) for path in paths]
    assert len(values) == 8
    for one in values:
        assert one["value"] <= min(one["curve"]["y"])
        assert len(one["curve"]["x"]) == 3  # a quarter, a half, the end


STARTED = ARMS.replace(
    "starts:\n  scratch: {}\n  words: {from: results/parent}", "initialise: {from: results/parent}"
)


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            ("results/parent", "results/gone"),
            ["results/gone is not a results folder", "run that sweep first"],
        ),
        (("seq_len: 16", "seq_len: 32"), ["its context is 16 tokens, not 32. Set model.seq_len."]),
        (
            ("{seq_len: 16}", "{seq_len: 16, family: rnn}"),
            ["of family transformer, not rnn. Set model.family."],
        ),
        (
            ("paths: [others]", "paths: [others], tokenizer: characters"),
            ["its tokenizer is bytes, not characters"],
        ),
        (
            ("params: [5e3, 9e3]", "params: [5e3, 3e4]"),
            ["has no run of ", "to start from; it has "],
        ),
        (
            ("results/parent}", "results/parent, run: ffffffff}"),
            ["no finished run's id begins with ffffffff"],
        ),
        (("results/parent", "results/arms-scratch"), ["kept no weights. Set keep_weights: true"]),
    ],
)  # fmt: skip
def test_a_wrong_parent_is_refused_with_the_remedy(
    root: Path, change: tuple[str, str], sentences: list[str]
) -> None:
    said = plan(root, STARTED.replace(*change))
    assert said.code == 2
    for sentence in sentences:
        assert sentence in said.errors
    assert re.search(r"other\.yaml:\d+:\d+: (initialise|grid): ", said.errors)


def test_everything_wrong_with_a_parent_is_named_at_once(root: Path, tmp_path: Path) -> None:
    folder = make_copy(root, tmp_path / "all-wrong")
    for path in (folder / "results" / "parent").rglob("weights.pt"):
        path.unlink()
    wrong = STARTED.replace("seq_len: 16}", "seq_len: 32, family: rnn}").replace(
        "paths: [others]", "paths: [others], tokenizer: characters"
    )
    said = plan(folder, wrong)
    assert (said.code, said.out) == (2, "")
    for sentence in (
        "family transformer, not rnn",
        "its context is 16 tokens, not 32",
        "its tokenizer is bytes, not characters",
        "its weights are not here. Copy them from where it was trained",
    ):
        assert sentence in said.errors
    for line in said.errors.splitlines():
        assert re.match(r"other\.yaml:\d+:\d+: initialise: results/parent: its ", line), line
    assert "Traceback" not in said.errors


@pytest.mark.parametrize("verb", [("plan", "--no-benchmark"), ("run", "--executor", "inline")])
def test_every_bad_start_is_named_before_any_is_trained(
    root: Path, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    folder = make_copy(root, tmp_path / "bad-starts")
    (folder / "bad.yaml").write_text(
        ARMS.replace("results/parent}", "results/gone}\n  more: {from: results/away}").replace(
            "name: arms", "name: bad"
        )
    )
    said = call(verb[0], "bad.yaml", *verb[1:], cwd=folder)
    assert (said.code, said.out) == (2, "")
    for name in ("gone", "away"):
        assert f"starts: results/{name} is not a results folder" in said.errors
    assert not (folder / "results" / "bad-scratch").exists()


def test_one_parent_may_serve_all_runs(root: Path) -> None:
    results = open_results(root / "results" / "parent").results.results
    name = sorted(results)[0]
    text = STARTED.replace("results/parent}", f"results/parent, run: {name[:10]}}}")
    said = plan(root, text)
    assert said.code == 2  # the other model has another shape
    assert "has no run of " in said.errors
    from scaling.sweep.counting import count_matmul_params

    own = count_matmul_params(results[name].run.shape)
    assert plan(root, text.replace("params: [5e3, 9e3]", f"params: [{own}]")).code == 0


def test_sweeps_that_are_not_arms_are_refused(root: Path) -> None:
    said = call("transfer", "results/parent", cwd=root)
    assert said.code == 2
    assert "1 start from scratch and 0 from other runs" in said.errors
    said = call("transfer", "results/parent", "results/arms-words", cwd=root)
    assert said.code == 2
    assert "2 corpora, so their losses cannot be compared" in said.errors
    assert call("transfer", "results/none", cwd=root).code == 2

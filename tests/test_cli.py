"""The whole path through the command line, with models that train in seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import call, start

SWEEP = """\
name: tiny
corpus: {source: python-stdlib}
model: {seq_len: 32}
grid: {budgets: [1.8e9, 3.6e9, 7.2e9], sizes: 4, span: 2.1, prior: {params: 8400, exponent: 0}}
forecast: [1e10]
"""
CELLS = 12


def start_sweep(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", "run", "tiny.yaml", "--executor", "inline"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
    )


def list_results(root: Path) -> dict[str, bytes]:
    found = root.glob("results/tiny/runs/*/result.json")
    return {path.parent.name: path.read_bytes() for path in found}


def wait_for_results(root: Path, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list_results(root)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no results in two minutes"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny sweep was killed, continued, and finished."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(SWEEP)

    killed = start_sweep(folder)
    wait_for_results(folder, killed, 2)
    killed.kill()
    killed.communicate()
    (folder / "kept.json").write_text(json.dumps(sorted(list_results(folder))))
    before = list_results(folder)

    stopped = start_sweep(folder)
    wait_for_results(folder, stopped, len(before) + 2)
    stopped.send_signal(signal.SIGINT)
    said, errors = stopped.communicate()
    assert stopped.returncode == 130, errors
    assert said == ""
    assert "scaling run tiny.yaml --executor inline" in errors

    done = start("run", "tiny.yaml", "--executor", "inline", cwd=folder)
    assert done.code in (0, 4), done.errors
    (folder / "said.txt").write_text(done.out)
    after = list_results(folder)
    assert before.items() <= after.items()
    assert len(after) == CELLS
    return folder


def test_a_killed_and_a_stopped_sweep_are_completed(root: Path) -> None:
    kept = json.loads((root / "kept.json").read_text())
    attempts = {run: len(list(root.glob(f"results/tiny/runs/{run}/attempts/*"))) for run in kept}
    assert set(attempts.values()) == {1}
    call("verify", "results/tiny", "--repair", cwd=root)  # a kill may leave temporary files
    verified = call("verify", "results/tiny", cwd=root)
    assert (verified.code, verified.out) == (0, "results/tiny: 0 finding(s)\n")


def test_the_answer_names_parameters_and_tokens(root: Path) -> None:
    said = (root / "said.txt").read_text()
    assert "For 1e10 FLOPs" in said
    assert "N* grows as C^" in said
    assert len(said.splitlines()) <= 15
    assert f"report: {Path('reports/tiny/index.html')}" in said


def test_the_same_command_again_trains_nothing(root: Path) -> None:
    before = list_results(root)
    page = (root / "reports" / "tiny" / "index.html").stat().st_mtime_ns
    again = start("run", "tiny.yaml", "--executor", "inline", cwd=root)
    assert list_results(root) == before
    assert (root / "reports" / "tiny" / "index.html").stat().st_mtime_ns == page
    assert again.out == (root / "said.txt").read_text()
    whole = call("run", "tiny.yaml", "--executor", "inline", "--verbose", cwd=root)
    assert len(whole.out) > len(again.out)


def test_added_budgets_train_only_what_is_new(root: Path) -> None:
    before = list_results(root)
    more = SWEEP.replace("7.2e9]", "7.2e9, 9e9]")
    (root / "tiny.yaml").write_text(more)
    try:
        planned = json.loads(call("plan", "tiny.yaml", "--no-benchmark", "--json", cwd=root).out)
        assert sum(cell["cached"] for cell in planned["cells"]) == CELLS
        assert len(planned["cells"]) == CELLS + 4
    finally:
        (root / "tiny.yaml").write_text(SWEEP)
    assert list_results(root) == before


def test_a_device_is_measured_once_and_status_compares(root: Path) -> None:
    assert "scaling plan measures" in call("status", "results/tiny", cwd=root).out
    first, second = (call("plan", "tiny.yaml", "--json", cwd=root) for _ in range(2))
    assert "measured the throughput" in first.errors
    assert second.errors == ""
    assert json.loads(first.out) == json.loads(second.out)
    cells = json.loads(first.out)["cells"]
    assert all(cell["cached"] and cell["predicted_seconds"] > 0 for cell in cells)
    time = json.loads(call("status", "results/tiny", "--json", cwd=root).out)["time"]
    # The time of the killed and of the stopped run excludes their first attempts.
    assert CELLS - 2 <= time["compared_runs"] <= CELLS
    assert time["ratio"] > 0


def test_reading_verbs_print_json(root: Path) -> None:
    for words in (
        ("fit", "results/tiny", "--no-bootstrap"),
        ("allocate", "results/tiny", "--no-bootstrap", "--flops", "1e9", "--anyway"),
        ("predict", "results/tiny", "--no-bootstrap", "--params=2e4", "--tokens=1e4", "--anyway"),
        ("status", "results/tiny"),
        ("verify", "results/tiny"),
        ("plan", "tiny.yaml", "--no-benchmark"),
    ):
        done = call(*words, "--json", cwd=root)
        assert done.code in (0, 4), (words, done.errors)
        assert json.loads(done.out)["schema_version"] == 1, words


def test_a_fault_of_the_machine_ends_with_the_command_that_continues(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP + "resources: {cpus_per_run: 4096}\n")
    done = start("run", "tiny.yaml", cwd=tmp_path)
    assert (done.code, done.out) == (5, "")
    assert "one run needs 4096 CPU cores, this machine has" in done.errors
    assert done.errors.endswith("To continue:\n  scaling run tiny.yaml\n")


def test_ctrl_c_during_the_imports_ends_it_without_a_traceback(tmp_path: Path) -> None:
    # An early import sends the signal and swallows the KeyboardInterrupt.
    (tmp_path / "click.py").write_text(
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: pass\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "scaling", "status", "."],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_broken_sweep_file_is_answered_with_all_its_errors(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "name: Bad Name\ncorpus: {source: python-stdlib}\n"
        "grid: {budgts: [1e10], sizes: 5}\nseeds: [0, 0]\n"
    )
    done = start("run", "bad.yaml", cwd=tmp_path)
    assert done.code == 2
    places = [line.split(": ")[0] for line in done.errors.splitlines()]
    assert places == ["bad.yaml:1:7", "bad.yaml:3:1", "bad.yaml:3:8", "bad.yaml:4:8"]
    assert "Did you mean 'budgets'?" in done.errors
    assert not (tmp_path / "results").exists()

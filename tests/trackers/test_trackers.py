"""Claims about trackers: each run arrives once, none is lost or delayed, nothing private is
sent."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "orchestration"))

from synthetic import expected_loss, make_cells, make_corpus, make_ledger, make_run, train_here

from scaling.errors import IntegrityError, UsageError
from scaling.ledger.commit import Ledger
from scaling.trackers import open_tracker, require_tracker
from scaling.trackers.feed import Feed
from scaling.trackers.protocol import TrackedRun, TrackerName
from scaling.trackers.sending import find_folder, list_unsent, send_results

CANARY = "canary-7f3a9d51"


def needs(name: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(absent, reason=f"the extra [{name}] is not installed")


class Memory:
    """A tracker that keeps what it is sent and can be down."""

    def __init__(self, down_from: int | None = None) -> None:
        self.runs: list[TrackedRun] = []
        self._down_from = down_from

    def send(self, run: TrackedRun) -> None:
        if self._down_from is not None and len(self.runs) >= self._down_from:
            raise ConnectionError("nobody is there")
        self.runs.append(run)


def train(
    folder: Path, count: int, announce: Callable[[str], None] | None = None, **behaviour: Any
) -> Ledger:
    ledger, corpus = make_ledger(folder), make_corpus(folder, behaviour)
    train_here(make_cells(count), ledger, corpus=corpus, announce=announce)
    return ledger


# --- what is sent -----------------------------------------------------------------------------


def test_every_committed_run_is_announced_once_and_again_by_the_next_call(tmp_path: Path) -> None:
    heard: list[str] = []
    train(tmp_path, 3, heard.append)
    train(tmp_path, 4, heard.append)
    ids = [make_run(seed).run_id for seed in range(4)]
    assert sorted(heard) == sorted([*ids[:3], *ids])


def test_each_result_is_sent_once_and_a_retrained_one_again(tmp_path: Path) -> None:
    ledger = train(tmp_path, 3)
    tracker = Memory()
    for expected in (3, 0):
        ids = list_unsent(ledger, "wandb")
        assert send_results(ledger, "wandb", tracker, ids) == expected
    ledger.set_aside(make_run(1).run_id)
    train(tmp_path, 3)
    assert send_results(ledger, "wandb", tracker, list_unsent(ledger, "wandb")) == 1
    assert [run.run_id for run in tracker.runs].count(make_run(1).run_id) == 2


def test_a_tracker_that_goes_down_is_sent_the_rest_later(tmp_path: Path) -> None:
    ledger = train(tmp_path, 4)
    first, second = Memory(down_from=2), Memory()
    with pytest.raises(ConnectionError):
        send_results(ledger, "mlflow", first, list_unsent(ledger, "mlflow"))
    send_results(ledger, "mlflow", second, list_unsent(ledger, "mlflow"))
    assert len(first.runs) == len(second.runs) == 2
    sent = {run.run_id for run in first.runs + second.runs}
    assert sent == {make_run(seed).run_id for seed in range(4)}


def test_a_run_is_described_by_what_was_decided_and_measured(tmp_path: Path) -> None:
    ledger = train(tmp_path, 2, **{"1": {"diverge": True}})
    tracker = Memory()
    send_results(ledger, "wandb", tracker, [make_run(0).run_id, make_run(1).run_id, "../../x"])
    good, diverged = tracker.runs
    assert good.summary["final.loss"] == expected_loss(make_run(0))
    assert [step for step, _ in good.curve] == list(range(10))
    assert good.config["recipe.steps"] == 10
    assert diverged.diverged
    assert "final.loss" not in diverged.summary


def test_a_damaged_result_is_not_sent(tmp_path: Path) -> None:
    ledger = train(tmp_path, 1)
    path = ledger.folder / "runs" / make_run(0).run_id / "result.json"
    path.write_text(path.read_text().replace('"loss": 1', '"loss": 0'))
    tracker = Memory()
    assert send_results(ledger, "wandb", tracker, [make_run(0).run_id]) == 0
    assert list_unsent(ledger, "wandb") == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    ledger = train(tmp_path, 1)
    (tmp_path / "outside").mkdir()
    (ledger.folder / "trackers").symlink_to(tmp_path / "outside")
    with pytest.raises(IntegrityError, match="is a link"):
        find_folder(ledger, "mlflow")
    assert not list((tmp_path / "outside").iterdir())


# --- the process beside the driver ------------------------------------------------------------


def test_a_tracker_that_is_down_is_reported_once_and_delays_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a broken installation, the tracker's package cannot be imported.
    (tmp_path / "wandb.py").write_text("raise OSError('no route to host')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    said: list[str] = []
    ledger = make_ledger(tmp_path)
    feed = Feed("wandb", ledger, said.append)
    train(tmp_path, 3, feed.send)
    feed.close()
    (line,) = said
    assert "no route to host" in line
    assert "No run is affected" in line
    assert f"scaling track {ledger.folder} --to wandb" in line
    assert len(list_unsent(ledger, "wandb")) == 3


def hang(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker whose package never answers."""
    (folder / "wandb.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{Path(__file__).parents[2]}")
    monkeypatch.setattr("scaling.trackers.feed._LEAST_PATIENCE_SECONDS", 0.2)


def test_a_tracker_that_hangs_is_ended_and_more_runs_than_its_pipe_holds_do_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(tmp_path, monkeypatch)
    said: list[str] = []
    feed = Feed("wandb", train(tmp_path, 1), said.append)
    for _ in range(20_000):  # 340 kB through a pipe of 64 kB that nobody reads
        feed.send("0" * 16)
    feed.close()
    assert len(said) == 1
    assert "did not finish in time" in said[0]


def test_a_tracker_that_has_every_run_is_not_warned_of_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow takes seconds to exit after the last run has arrived."""
    hang(tmp_path, monkeypatch)
    said: list[str] = []
    ledger = train(tmp_path, 2)
    feed = Feed("wandb", ledger, said.append)
    send_results(ledger, "wandb", Memory(), list_unsent(ledger, "wandb"))
    feed.close()
    assert said == []


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'scaling\[mlflow\]'"):
        require_tracker("mlflow")


# --- the real ones ----------------------------------------------------------------------------


def feed_for_real(folder: Path, name: TrackerName, count: int) -> tuple[Ledger, list[str]]:
    said: list[str] = []
    ledger = make_ledger(folder)
    feed = Feed(name, ledger, said.append)
    train(folder, count, feed.send)
    feed._process.stdin.close()  # type: ignore[union-attr]
    feed._process.wait(timeout=120)  # a short sweep waits less than an import takes
    feed.close()
    return ledger, said


@pytest.mark.slow
@needs("wandb")
def test_wandb_offline_has_a_folder_per_run_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", CANARY)
    monkeypatch.setenv("WANDB_API_KEY", CANARY + "0" * 25)
    ledger, said = feed_for_real(tmp_path, "wandb", 2)
    assert said == []
    files = list((ledger.folder / "trackers" / "wandb").rglob("run-*.wandb"))
    assert sorted(path.stem[4:] for path in files) == sorted(
        make_run(seed).run_id for seed in range(2)
    )
    for path in (ledger.folder / "trackers").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
    folder = find_folder(ledger, "wandb")
    tracker = open_tracker("wandb", project="demo", folder=folder)
    (folder / "sent").unlink()  # as if the process had died before it recorded the sent runs
    assert send_results(ledger, "wandb", tracker, list_unsent(ledger, "wandb")) == 2
    assert len(list(folder.rglob("run-*.wandb"))) == 2


@pytest.mark.slow
@needs("mlflow")
def test_mlflow_has_each_run_once_with_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SOME_API_TOKEN", CANARY)
    ledger, said = feed_for_real(tmp_path, "mlflow", 2)
    assert said == []
    folder = find_folder(ledger, "mlflow")
    tracker: Any = open_tracker("mlflow", project="demo", folder=folder)
    client, experiment = tracker._client, tracker._experiment
    (folder / "sent").unlink()
    assert send_results(ledger, "mlflow", tracker, list_unsent(ledger, "mlflow")) == 2
    runs = client.search_runs([experiment])
    assert {run.info.run_name: run.data.metrics["final.loss"] for run in runs} == {
        make_run(seed).run_id: expected_loss(make_run(seed)) for seed in range(2)
    }
    assert len(runs) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert json.loads(runs[0].data.params["recipe.steps"]) == 10
    for path in folder.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path

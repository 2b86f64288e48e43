"""Claims about real Ray: private, on loopback only, survives dead workers, leaves nothing
behind."""

import contextlib
import dataclasses
import importlib
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from synthetic import (
    SETTINGS,
    expected_loss,
    is_at_work,
    make_cells,
    make_corpus,
    make_ledger,
    make_run,
    start_driver,
    wait_until,
)

from scaling.errors import EnvironmentFault, UsageError
from scaling.ledger.integrity import verify
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors import ray as ray_executor
from scaling.orchestration.executors.ray import RayExecutor

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)  # so that workers find the synthetic trainer


def list_family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def list_open_listeners(processes: list[psutil.Process]) -> Iterator[tuple[str, Any]]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # workers come and go
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    yield process.name(), connection.laddr


def list_ray_folders() -> list[Path]:
    return list(Path("/tmp").glob(f"scaling-ray-{os.getpid()}-*"))


def intrude(folder: Path) -> str:
    """What another user can do in Ray's folder: rename its sockets, plant a file, list it.

    Only the mode is checked if this process cannot become another user."""
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        return f"open: {folder.stat().st_mode:o}"
    if os.getuid() != 0:
        return "kept out"
    (session,) = (folder / "ray").glob("session_[0-9]*")
    # That user may be unable to run our Python.
    script = 'mv "$1/sockets" "$1/mine"; : > "$1/planted"; ls "$2"'
    subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(session), str(folder)],
        user=65534, group=65534, extra_groups=[], stderr=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    return "inside" if (session / "planted").exists() or (session / "mine").exists() else "kept out"


@pytest.mark.ray
def test_a_ray_sweep_is_private_survives_dead_workers_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, Any]] = []
    intruder: list[str] = []
    ours = ("RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "OMP_NUM_THREADS", "PATH")
    environment = [os.environ.get(name) for name in ours]
    before = set(list_family())  # including an earlier test's shared memory tracker

    class Watched(RayExecutor):
        def close(self, *, at_once: bool = False) -> None:
            seen.extend(list_open_listeners([psutil.Process(), *list_family()]))
            intruder.extend(intrude(folder) for folder in list_ray_folders())
            super().close(at_once=at_once)

    behaviour = {
        "0": {"kill_at": 6},
        "1": {"raise_at": 2, "times": 9},
        "2": {"diverge": True},
        "3": {"kill_at": 5, "times": 2},
        "4": {"stop_at": 5},
        "5": {"preempt_at": 5, "step_seconds": 0.21},
        "6": {"oom_above": 1},
    }
    cells = make_cells(8)
    settings = dataclasses.replace(SETTINGS, stall_limit=5.0)
    ledger = make_ledger(tmp_path)
    corpus = make_corpus(tmp_path, behaviour)
    outcome = run_cells(cells, ledger, Watched(cpus=2), corpus=corpus, settings=settings)

    assert len(outcome.finished) == 6
    assert outcome.diverged == (make_run(2).run_id,)
    assert [(f.run_id, f.cause) for f in outcome.failed] == [(make_run(1).run_id, "exception")]
    attempts = [len(ledger.list_attempts(make_run(seed).run_id)) for seed in range(8)]
    assert attempts == [2, 2, 1, 3, 2, 2, 2, 1]
    halved = ledger.find_result(make_run(6).run_id)
    assert halved.numerics["micro_batch"] == "1"
    resumed = ledger.find_result(make_run(0).run_id)
    assert resumed.loss == expected_loss(make_run(0))
    assert resumed.flops_spent < resumed.flops
    assert verify(ledger, cells) == ()

    assert len(seen) >= 4  # GCS, raylet, workers
    assert {address.ip.removeprefix("::ffff:") for _, address in seen} == {"127.0.0.1"}
    assert set(list_family()) <= before
    assert not list_ray_folders()
    assert intruder == ["kept out"]
    assert [os.environ.get(name) for name in ours] == environment
    assert capfd.readouterr().out == ""  # standard output is reserved for answers


@pytest.mark.ray
def test_a_killed_driver_is_continued_at_once(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.05}})
    process = start_driver(tmp_path, 6, 20, "ray")
    ledger_path = tmp_path / "results" / "demo"
    wait_until(lambda: len(list(ledger_path.glob("runs/*/result.json"))) >= 2)
    process.kill()
    process.communicate()
    kept = make_ledger(tmp_path).read_results().digests
    again = start_driver(tmp_path, 6, 20, "ray")
    said, errors = again.communicate()
    assert again.returncode == 0, errors
    assert json.loads(said)["finished"] == 6
    stored = make_ledger(tmp_path).read_results(check="files")
    assert kept.items() <= stored.digests.items()
    assert not stored.damaged
    cells = make_cells(6, steps=20)
    assert all(result.loss == expected_loss(result.run) for result in stored.results.values())
    assert {finding.kind for finding in verify(make_ledger(tmp_path), cells)} <= {"stray"}


@pytest.mark.ray
@pytest.mark.parametrize(
    ("victim", "code"),
    [("gcs_server", 5), ("raylet", 5), ("driver", 5), ("guardian", -signal.SIGKILL)],
)
@pytest.mark.slow
def test_any_process_may_be_killed_without_leftovers_or_losses(
    tmp_path: Path, victim: str, code: int
) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.05}})
    process = start_driver(tmp_path, 6, 20, "ray")
    ledger_path = tmp_path / "results" / "demo"
    wait_until(lambda: len(list(ledger_path.glob("runs/*/result.json"))) >= 2)
    kept = make_ledger(tmp_path).read_results().digests
    family = psutil.Process(process.pid).children(recursive=True)
    driver = psutil.Process(process.pid).children()[0]
    chosen = {"driver": driver, "guardian": psutil.Process(process.pid)}.get(victim)
    (chosen or next(member for member in family if member.name() == victim)).kill()
    _, said = process.communicate()
    assert process.returncode == code, said
    assert ("same command" in said) == (victim != "guardian")
    wait_until(lambda: not any(map(is_at_work, family)))
    again = start_driver(tmp_path, 6, 20, "ray")
    said, errors = again.communicate()
    assert again.returncode == 0, errors
    digests = make_ledger(tmp_path).read_results(check="files").digests
    assert kept.items() <= digests.items()
    assert len(digests) == 6


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["gcs_server", "raylet"])
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_daemon_killed_while_ray_starts_is_not_waited_for(
    tmp_path: Path, victim: str, after: float
) -> None:
    make_corpus(tmp_path)
    process = start_driver(tmp_path, 4, 10, "ray")
    wait_until(lambda: bool(find_named(process, victim)))
    time.sleep(after)
    family = psutil.Process(process.pid).children(recursive=True)
    for member in find_named(process, victim):
        member.kill()
    _, said = process.communicate()
    if process.returncode == 0:  # Ray's start was interrupted and retried
        assert "Ray did not start (try 1): one of its daemons died" in said
        assert len(make_ledger(tmp_path).read_results().results) == 4
    else:
        assert process.returncode == 5, said
        # Reported by the driver, or by its guardian if a call into Ray blocks the driver.
        assert re.search(r"one of (its|Ray's) daemons (has )?died", said)
    assert not any(map(is_at_work, family))


def find_named(process: Any, name: str) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
        return [member for member in family if member.name() == name]
    return []


@pytest.mark.ray
def test_the_second_ctrl_c_ends_everything(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"hang_at": 5}})
    process = start_driver(tmp_path, 2, 1000, "ray")
    wait_until(lambda: len(list(tmp_path.rglob("heartbeat"))) >= 2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: make_ledger(tmp_path).read_term() == 2)  # the first signal was handled
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "ended at once" in said
    assert not any(map(is_at_work, family))


@pytest.mark.ray
def test_ctrl_c_reaches_workers_through_the_driver_only(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.05}})
    process = start_driver(tmp_path, 2, 1000, "ray")
    wait_until(lambda: len(list(tmp_path.rglob("checkpoint-*.pt"))) >= 2)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process gets it
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not [member for member in family if member.is_running()]
    attempts = list(tmp_path.glob("results/demo/runs/*/attempts/*"))
    assert attempts
    assert not [path for path in attempts if (path / "failed.json").exists()]


def replace_ray(monkeypatch: pytest.MonkeyPatch, init: Callable[..., None]) -> None:
    ray = SimpleNamespace(exceptions=None, init=init, shutdown=lambda: None)
    monkeypatch.setattr(importlib, "import_module", lambda name: ray)


def test_a_ray_that_does_not_start_suggests_the_inline_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []

    def fail(**options: Any) -> None:
        tries.append(1)
        raise RuntimeError("the raylet timed out\nand more")

    replace_ray(monkeypatch, fail)
    with pytest.raises(EnvironmentFault, match=r"in 3 tries: .*timed out\. .*executor inline"):
        RayExecutor(cpus=2).start()
    assert len(tries) == 3
    assert not list_ray_folders()


def test_a_ray_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As under a memory limit: its daemons live but start no worker."""
    monkeypatch.setattr(ray_executor, "_START_SECONDS", 0.5)

    def wait(**options: Any) -> None:
        while True:
            time.sleep(0.01)

    replace_ray(monkeypatch, wait)
    with pytest.raises(EnvironmentFault, match=r"it did not answer .*ulimit -v.* inline"):
        RayExecutor(cpus=2).start()
    assert not list_ray_folders()


def test_a_request_that_does_not_fit_is_refused_before_ray_starts() -> None:
    with pytest.raises(EnvironmentFault, match="needs 64 CPU cores, this machine has 2"):
        RayExecutor(Needs(cpus_per_run=64), cpus=2).start()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "auto"])
def test_a_cluster_that_does_not_answer_is_named_at_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # a folder in which no cluster was started
    with pytest.raises(EnvironmentFault, match=f"no Ray cluster can be joined at '{address}'"):
        RayExecutor(Needs(address=address)).start()


@pytest.mark.parametrize(
    ("address", "what"),
    [("http://head:8265", 'use "scaling submit"'), ("ray://head:10001", "Ray Client is not")],
)
def test_an_address_that_is_not_rays_is_refused_with_the_right_one(address: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        RayExecutor(Needs(address=address)).start()

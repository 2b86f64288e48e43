"""The death of a Ray daemon is noticed at once, also during a start that would wait for it.

A daemon is known by its name, so a copy of `sleep` that is called gcs_server is one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.orchestration.executors import ray_processes
from scaling.orchestration.executors.ray_processes import DaemonDiedError, DaemonWatch


@pytest.fixture
def sleep(tmp_path: Path) -> str:
    """The path of a daemon that does nothing."""
    program = shutil.which("sleep")
    assert program is not None
    return str(shutil.copy(program, tmp_path / "gcs_server"))


@pytest.fixture
def watch() -> Iterator[DaemonWatch]:
    watch = DaemonWatch(600.0)
    watch.begin()
    yield watch
    watch.end()


def start_in_vain(sleep: str, watch: DaemonWatch) -> None:
    with watch.starting():
        subprocess.Popen([sleep, "0.6"])
        while True:  # like Ray's start, which waits for a file and swallows every Exception
            try:
                time.sleep(0.01)
            except Exception:
                continue


def test_a_start_whose_daemon_dies_is_aborted(sleep: str, watch: DaemonWatch) -> None:
    with pytest.raises(DaemonDiedError):
        start_in_vain(sleep, watch)
    assert watch.lacks_daemon()


def test_a_second_try_is_not_blamed_for_the_first(sleep: str, watch: DaemonWatch) -> None:
    with pytest.raises(DaemonDiedError):
        start_in_vain(sleep, watch)
    with watch.starting():
        second = subprocess.Popen([sleep, "600"])
    assert not watch.lacks_daemon()
    second.kill()
    second.wait()
    assert watch.lacks_daemon()


def test_a_suspended_daemon_counts_as_dead(sleep: str, watch: DaemonWatch) -> None:
    with watch.starting():
        daemon = subprocess.Popen([sleep, "600"])
    assert not watch.lacks_daemon()
    daemon.send_signal(signal.SIGSTOP)
    os.waitpid(daemon.pid, os.WUNTRACED)
    assert watch.lacks_daemon()
    daemon.kill()
    daemon.wait()


def test_a_daemon_asked_to_end_does_not_count_as_dead(
    sleep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_processes, "_DEAD_SECONDS", 0.0)
    watch = DaemonWatch(600.0)
    watch.begin()
    with watch.starting():
        daemon = subprocess.Popen([sleep, "600"])
    watch.end()
    daemon.kill()
    daemon.wait()
    time.sleep(3 * ray_processes._LOOK_SECONDS)  # long enough for the watch to end this process


STUCK = """
import subprocess, sys, time
from scaling.orchestration.executors import ray_processes

ray_processes._DEAD_SECONDS = 0.5
watch = ray_processes.DaemonWatch(600.0)
watch.begin()
with watch.starting():
    daemon = subprocess.Popen([sys.argv[1], "0.6"])
    time.sleep(600)  # no Python instruction is executed, as in a call into C++
"""


def test_a_call_that_never_returns_is_ended_with_its_process(sleep: str) -> None:
    done = subprocess.run([sys.executable, "-c", STUCK, sleep], capture_output=True, text=True)
    assert done.returncode == -9
    assert "Ray is gone" in done.stderr


def test_processes_that_are_not_rays_are_left_alone(sleep: str) -> None:
    feed = subprocess.Popen([sleep, "600"])  # e.g. a tracker's
    before = ray_processes.children()
    daemon = subprocess.Popen([sleep, "600"])
    try:
        ours = ray_processes.descendants(of_others_than=before)
        assert [process.pid for process in ours] == [daemon.pid]
    finally:
        for process in (feed, daemon):
            process.kill()
            process.wait()

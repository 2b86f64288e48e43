"""However the driver ends, its guardian reports it, leaves no process and prints how to
continue."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from synthetic import is_at_work, wait_until

# The driver starts a worker in a session of its own, as Ray does, prints its pid, and then acts.
CODE = """
import os, signal, subprocess, sys, time
from scaling.orchestration.guardian import guard

def work():
    print(sys.modules.get("ray"), flush=True)
    worker = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(os.getpid(), worker.pid, flush=True)
    sys.stdin.readline()
    {act}
    time.sleep(600)
    return 0

sys.exit(guard(work, resume="scaling run it"))
"""


def start(act: str) -> tuple[subprocess.Popen[str], psutil.Process, psutil.Process]:
    """The guardian, its driver and the driver's worker."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(act=act)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "None\n"
    driver, worker = (psutil.Process(int(pid)) for pid in process.stdout.readline().split())
    return process, driver, worker


def let_go(process: subprocess.Popen[str]) -> str:
    """Let the driver act; returns the line it then prints."""
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline()


@pytest.mark.parametrize("code", [0, 3, 130])
def test_an_orderly_end_keeps_its_exit_code_and_leaves_nothing(code: int) -> None:
    process, _, worker = start(f"return {code}")
    _, said = process.communicate("go\n")
    assert (process.returncode, said) == (code, "")
    assert not is_at_work(worker)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_the_guardian_reports_a_driver_that_was_killed(name: str) -> None:
    process, driver, worker = start("pass")
    driver.send_signal(signal.Signals[name])
    _, said = process.communicate()
    assert process.returncode == 5
    assert said == (
        f"the driver was ended by {name}; finished runs are kept. To continue:\n  scaling run it\n"
    )
    assert not is_at_work(worker)


def test_an_unexpected_exception_is_shown_and_exits_1() -> None:
    process, _, worker = start("raise RuntimeError('unforeseen')")
    _, said = process.communicate("go\n")
    assert process.returncode == 1
    assert "RuntimeError: unforeseen" in said
    assert not is_at_work(worker)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_the_first_signal_is_the_drivers_and_the_second_ends_everything(
    signum: signal.Signals, code: int
) -> None:
    hear = "[signal.signal(n, lambda *_: print('heard', flush=True)) for n in (2, 15)]; print('up', flush=True)"  # noqa: E501
    process, driver, worker = start(hear)
    assert let_go(process) == "up\n"
    process.send_signal(signum)
    assert process.stdout.readline() == "heard\n"
    assert is_at_work(driver)
    process.send_signal(signum)
    _, said = process.communicate()
    assert process.returncode == code
    assert said.startswith("ended at once; finished runs are kept.")
    assert not is_at_work(worker)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_unhandled_signal_ends_the_driver_inside_a_broad_except(
    signum: signal.Signals, code: int
) -> None:
    deaf = (
        r"exec('print(1, flush=True)\ntry: time.sleep(600)\nexcept BaseException: time.sleep(600)')"
    )
    process, _, worker = start(deaf)
    assert let_go(process) == "1\n"
    process.send_signal(signum)
    _, said = process.communicate()
    assert process.returncode == code
    assert said.endswith("To continue:\n  scaling run it\n")
    assert not is_at_work(worker)


def test_a_closed_terminal_is_ignored_under_nohup() -> None:
    command = [sys.executable, "-c", CODE.format(act="print('up', flush=True)")]
    with subprocess.Popen(
        ["nohup", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"None\n"
        driver = psutil.Process(int(process.stdout.readline().split()[0]))
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)  # handled after the start, as the first signal
        process.communicate()
        assert process.returncode == 143
        assert not is_at_work(driver)


def test_killing_the_command_kills_the_driver_and_its_session() -> None:
    # Without a parent, like Ray's agents; the worker of CODE is in a session that is not Ray's.
    agent = "os.system('sleep 600 & echo $!'); sys.stdout.flush()"
    process, driver, worker = start(agent)
    process.stdin.write("go\n")
    process.stdin.flush()
    orphan = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    wait_until(lambda: not is_at_work(driver) and not is_at_work(orphan))
    worker.kill()


def test_an_orderly_end_ends_the_undertaker_too() -> None:
    process, driver, _ = start("return 0")
    watching = [one for one in psutil.Process(process.pid).children() if one != driver]
    assert len(watching) == 1
    process.communicate("go\n")
    assert not any(map(is_at_work, watching))


def test_ctrl_c_does_not_reach_the_undertaker() -> None:
    process, driver, worker = start("pass")
    (watching,) = (one for one in psutil.Process(process.pid).children() if one != driver)
    for signum in (signal.SIGINT, signal.SIGTERM):
        watching.send_signal(signum)
    process.kill()
    process.wait()
    wait_until(lambda: not is_at_work(driver) and not is_at_work(watching))
    worker.kill()


def test_a_driver_blocked_after_its_daemon_died_is_ended(tmp_path: Path) -> None:
    """Ray's own calls may hold the interpreter for half a minute once its GCS is dead."""
    daemon = tmp_path / "gcs_server"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", daemon)
    act = (
        f"subprocess.Popen([{str(daemon)!r}, '0.2'])\n"
        "    import ctypes; ctypes.PyDLL(None).sleep(600)"
    )
    process, driver, worker = start(act)
    _, said = process.communicate("go\n", timeout=60)
    assert process.returncode == 5
    assert "one of Ray's daemons has died" in said
    assert "scaling run it" in said
    assert not is_at_work(driver)
    assert not is_at_work(worker)

"""A small parent process that does not use Ray, and survives whatever Ray does to the driver.

    guardian ──fork──► driver ──► Ray's daemons and workers
       │  Ctrl-C, SIGTERM: passed on once; the second time everything below is killed
       │  a terminal that is closed (SIGHUP): as SIGTERM
       │  driver gone silently (killed, SIGSEGV, hard exit): exit 5
       │  driver that does not reap a dead daemon of Ray: killed, exit 5
       ├─ in every case: nothing below is left alive, and the command that continues is printed
       └──fork──► undertaker: waits for the guardian's own end, and ends the driver's session

Once the GCS is dead, calls into Ray may end the driver from C++, where no Python handler runs, or
hold its interpreter for half a minute, so that none of its threads notices anything.
The kernel ends the driver with its guardian (so killing the command frees its lock at once), and
makes the guardian the parent of every orphaned process (so that none is overlooked). The
undertaker, in its own session, covers SIGKILL of the guardian. Linux only: elsewhere the work runs
without a guardian.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from scaling.errors import EnvironmentFault

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GONE_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.05
FOLDER_PREFIX = "scaling-ray-"  # name of Ray's folder, followed by the driver's pid
RAY_DAEMONS = frozenset({"raylet", "gcs_server"})
_LOOK_FOR_DEAD_SECONDS = 1.0
# Longer than the 8 s within which the driver ends itself (ray_processes.py)
_UNBURIED_SECONDS = 9.0


def guard(work: Callable[[], int], *, resume: str) -> int:
    """Do `work` in a child process and clean up after its end.

    Args:
        work: Does everything, errors included; returns its exit code.
        resume: The command that continues.

    Returns:
        The exit code: that of `work`, or the one for the way it ended.
    """
    if sys.platform != "linux":
        return work()
    _ask_kernel(_SET_CHILD_SUBREAPER, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    guardian = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid == 0:
        _drive(work, guardian, mask)
    _fork_undertaker(pid)
    watch = _Guardian(pid)
    # If SIGHUP was ignored, as under nohup, it stays so.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [one for one in _SIGNALS if one != signal.SIGHUP or not nohup]
    before = {signum: signal.signal(signum, watch.hear) for signum in heard}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        status = watch.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        _end_everything()
        _remove_ray_folders(pid)
    return _judge(status, watch.heard, resume)


class _Guardian:
    """Waits for the driver and handles signals."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.heard: list[int] = []
        self._looked = self._last_well = time.monotonic()

    def hear(self, signum: int, frame: FrameType | None) -> None:
        signum = signal.SIGTERM if signum == signal.SIGHUP else signum
        self.heard.append(signum)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signum if len(self.heard) == 1 else signal.SIGKILL)

    def wait(self) -> int:
        """Return the driver's wait status, reaping other descendants that end meanwhile."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == self._pid:
                return status
            if pid == 0:
                self._end_deaf_driver()
                time.sleep(_LOOK_AGAIN_SECONDS)

    def _end_deaf_driver(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_FOR_DEAD_SECONDS:
            return
        self._looked = now
        if not _leaves_daemon_unburied(self._pid):
            self._last_well = now
        elif now - self._last_well > _UNBURIED_SECONDS:
            sys.stderr.write("one of Ray's daemons has died, and Ray's own call holds the driver\n")
            self._last_well = now
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


def _leaves_daemon_unburied(driver: int) -> bool:
    try:
        return any(
            one.status() == psutil.STATUS_ZOMBIE and one.name() in RAY_DAEMONS
            for one in psutil.Process(driver).children()
        )
    except psutil.Error:  # one was reaped just now
        return False


def _drive(work: Callable[[], int], guardian: int, mask: set[int | signal.Signals]) -> NoReturn:
    """Run the child to its exit, so that it never returns into the parent's code."""
    code = 1
    try:
        # In its own session a terminal's Ctrl-C reaches it only through the guardian.
        os.setsid()
        _ask_kernel(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guardian:
            os.kill(os.getpid(), signal.SIGKILL)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # An unhandled SIGINT ends the process: a KeyboardInterrupt can get lost in an import or
            # a destructor. The guardian prints how to continue.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # skips atexit, where Ray waits for processes that may be dead


def _fork_undertaker(driver: int) -> None:
    """Start a process that reads from a pipe whose other end only the guardian holds."""
    reads, writes = os.pipe()
    if os.fork():
        os.close(reads)  # the write end stays open as long as this process lives
        return
    try:
        os.setsid()
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        os.close(writes)
        os.read(reads, 1)
        end_session(driver)
    finally:
        os._exit(0)


def end_session(leader: int) -> None:
    """Kill every process of the session that `leader` leads or led, such as Ray's agents, which
    overwrite their environment and lose their parent. No other session can have this number while
    one of them is alive."""
    deadline = time.monotonic() + _GONE_SECONDS
    while members := list(_list_session(leader)):
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(members, timeout=_LOOK_AGAIN_SECONDS)
        if time.monotonic() > deadline:
            return  # in an uninterruptible call: the kernel ends it when that returns


def _list_session(leader: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _judge(status: int, heard: list[int], resume: str) -> int:
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    if heard:
        how, code = "ended at once", 128 + heard[0]
    else:
        name = signal.Signals(os.WTERMSIG(status)).name
        how, code = f"the driver was ended by {name}", EnvironmentFault.exit_code
    sys.stderr.write(f"{how}; finished runs are kept. To continue:\n  {resume}\n")
    return code


def _end_everything() -> None:
    """Kill every process below this one: workers, Ray's daemons, orphans."""
    while family := psutil.Process().children(recursive=True):
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, alive = psutil.wait_procs(family, timeout=_GONE_SECONDS)
        if alive:
            return  # in an uninterruptible call: the kernel ends it when that returns


def _remove_ray_folders(driver: int) -> None:
    """Remove the folders of a driver that could not do so; no process writes there any more."""
    for path in Path("/tmp").glob(f"{FOLDER_PREFIX}{driver}-*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.getuid() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def _ask_kernel(what: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)

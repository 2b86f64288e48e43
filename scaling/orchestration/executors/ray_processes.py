"""The processes and folders of a Ray of our own: watched while they live, ended at the end.

    started ──► daemons are looked for ──► seen ──► gone:
        DaemonDiedError in the thread that starts Ray, "Ray is gone" in one that waits for attempts;
        8 s later the end of this process

Without its GCS or raylet Ray's own start waits for half a minute, and other calls block for a whole
one and then end the process from C++, where no Python handler is heard. Measured with Ray 2.60.
Where such a call holds the interpreter no thread of this process sees anything: the guardian does.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from scaling.orchestration.guardian import FOLDER_PREFIX, RAY_DAEMONS, end_session

GONE_SECONDS = 2.0

_LOOK_SECONDS = 0.25
_DEAD_SECONDS = 8.0
_REMOVE_AGAIN_SECONDS = 0.1

logger = logging.getLogger(__name__)


class DaemonDiedError(BaseException):
    """A daemon of the Ray that was being started is gone, or none has answered in time. No `except
    Exception` of Ray's own start may take it for one more reason to wait."""


class DaemonWatch:
    """Sees Ray's daemons from the moment they appear below this process until `end`.

    Args:
        patience: Seconds that all tries to start may take together.

    Attributes:
        late: They took longer: Ray has daemons that live and do not answer, as under a limit on
            memory, where it waits for minutes and says nothing.
    """

    def __init__(self, patience: float) -> None:
        self.late = False
        self._patience, self._begun = patience, time.monotonic()
        self._seen: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()
        self._starter: int | None = None
        self._ended = threading.Event()

    def begin(self) -> None:
        """Watch, in a thread of its own."""
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """What dies from now on was told to."""
        self._ended.set()

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """A try to start Ray in the calling thread.

        Raises:
            DaemonDiedError: In the middle of the block, where a daemon that it started is gone.
        """
        self._seen = {}
        self._starter = threading.get_ident()
        try:
            yield
            self._look_for_daemons()
        finally:
            with self._lock:
                self._starter = None

    def lacks_daemon(self) -> bool:
        """A daemon that was seen is gone, or stopped: nothing is heard from it either."""
        return any(_is_mute(process) for process in list(self._seen.values()))

    def _look_for_daemons(self) -> None:
        for process in descendants():
            if process.pid not in self._seen and name_of(process) in RAY_DAEMONS:
                self._seen[process.pid] = process

    def _watch(self) -> None:
        dead_since = None
        while not self._ended.wait(_LOOK_SECONDS):
            with self._lock:
                if self._starter is not None:
                    self._look_for_daemons()
                dead = self.lacks_daemon()
                if self._starter is not None and time.monotonic() - self._begun > self._patience:
                    dead = self.late = True
                if dead and dead_since is None and self._starter is not None:
                    _raise_in(self._starter, DaemonDiedError)
            dead_since = (dead_since or time.monotonic()) if dead else None
            if dead_since is not None and time.monotonic() - dead_since > _DEAD_SECONDS:
                what = "does not start" if self.late else "is gone, one of its daemons has died"
                logger.error("Ray %s; so this process ends too", what)
                os.kill(os.getpid(), signal.SIGKILL)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise in another thread, at its next Python instruction (none comes while it is in C++)."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def is_dead(process: psutil.Process) -> bool:
    """It has ended, or only its remains are left that nobody has buried yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def children() -> list[psutil.Process]:
    """The processes that this one has started itself."""
    return psutil.Process().children()


def _is_mute(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    except psutil.Error:
        return True


def descendants(*, of_others_than: Sequence[psutil.Process] = ()) -> list[psutil.Process]:
    """Every process below this one, but for some of its children and what is below them."""
    found = []
    for child in children():
        if child not in of_others_than:
            found.append(child)
            with contextlib.suppress(psutil.NoSuchProcess):
                found += child.children(recursive=True)
    return found


def name_of(process: psutil.Process) -> str:
    """Its name; empty when it is gone."""
    try:
        return process.name()
    except psutil.Error:
        return ""


def end_processes(processes: list[psutil.Process], *, patience: float) -> None:
    """Wait `patience` seconds for their end, then kill them."""
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=GONE_SECONDS)


def remove_folder(folder: Path, *, patience: float) -> None:
    """Remove Ray's folder, into which a worker that was just being started may still write."""
    deadline = time.monotonic() + patience
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > deadline:
            return
        time.sleep(_REMOVE_AGAIN_SECONDS)


def remove_stale_folders() -> None:
    """Folders of drivers that were killed before they could remove them."""
    for path in Path("/tmp").glob(f"{FOLDER_PREFIX}*"):
        match = re.fullmatch(rf"{FOLDER_PREFIX}([0-9]+)-.*", path.name)
        with contextlib.suppress(OSError):
            ours = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if match and ours and _is_gone(int(match[1])):
                end_session(int(match[1]))  # otherwise two of Ray's agents live on for minutes
                shutil.rmtree(path, ignore_errors=True)


def _is_gone(pid: int) -> bool:
    try:
        return is_dead(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def count_oom_kills() -> int:
    """Processes that this machine's kernel has killed for lack of memory; 0 where it keeps none."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def quieten(ray_worker: Any) -> None:
    """Messages of the raylet go to the log: Ray writes them to standard output, which is for
    answers, and has no setting for it (2.60). Private, so a version without it loses nothing."""

    def log_message(data: Mapping[str, Any], **_: Any) -> None:
        logger.info("%s", " ".join(str(line) for line in data.get("lines", ())))

    ray_worker.print_to_stdstream = log_message

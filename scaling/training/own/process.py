"""The process of somebody's own trainer: started alone, watched, and ended with all it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scaling.ledger.marked import VARIABLE, end_marked, list_marked

_SET_PARENT_DEATH_SIGNAL = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# [seconds]; short at first, for trainers that take milliseconds.
_FIRST_LOOK, _LOOK_AGAIN = 0.01, 0.1
_LINGER_SECONDS = 1.0  # helper processes of libraries end a moment after the trainer
_TAIL_BYTES, _TAIL_LINES = 4096, 10
# Variables a program needs to find itself, its libraries, its GPUs and a writable folder. No tokens
# or credentials: a sweep file names those under trainer.env.
PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"),
    }
)
PASSED_ON_PREFIXES = ("LC_", "CONDA_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "ROCR_", "HIP_")


def make_environment(
    given: Sequence[tuple[str, str | None]], own: Mapping[str, str], *, cpus: int
) -> dict[str, str]:
    """The environment of a trainer.

    Args:
        given: Entries of trainer.env: a value, or None to pass on what is set here.
        own: What only this run has.
        cpus: Threads of its libraries.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    passed["OMP_NUM_THREADS"] = str(cpus)
    for name, value in given:
        if value is not None or name in os.environ:
            passed[name] = os.environ[name] if value is None else value
    return {**passed, **own}


class TrainerProcess:
    """A trainer at work, in a session of its own that ends with this process.

    Args:
        words: Its command.
        cwd: Its working folder.
        environment: All of it; the mark of its attempt is among it.
        log: Where what it prints is appended.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self, words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._mark, self._log = environment[VARIABLE], log
        self._begun_at = log.stat().st_size if log.exists() else 0
        self.was_asked = self.ignored_sigterm = False
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                words,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def wait(self, look: Callable[[], bool], *, grace: float) -> int | None:
        """Its exit code, negative for a signal; None where it was asked to stop and did not end
        well by itself.

        Args:
            look: Called now and then; returns whether it is to stop.
            grace: Seconds between SIGTERM and SIGKILL.
        """
        pause = _FIRST_LOOK
        while True:
            try:
                return self._child.wait(pause)
            except subprocess.TimeoutExpired:
                pause = min(_LOOK_AGAIN, 1.5 * pause)
            if look():
                return self._stop(look, grace)

    def _stop(self, look: Callable[[], bool], grace: float) -> int | None:
        self.was_asked = True
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            look()
            try:
                code = self._child.wait(min(_LOOK_AGAIN, grace))
                return 0 if code == 0 else None
            except subprocess.TimeoutExpired:
                continue
        self.ignored_sigterm = True
        return None

    def end(self) -> list[str]:
        """Kill whatever of it is left; the names of what outlived it."""
        if self._child.poll() is not None:
            deadline = time.monotonic() + _LINGER_SECONDS
            while list_marked(self._mark) and time.monotonic() < deadline:
                time.sleep(_LOOK_AGAIN)
        self._signal(signal.SIGKILL)
        self._child.wait()
        return end_marked(self._mark)

    def read_tail(self) -> str:
        """The last lines that it printed."""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._begun_at, size - _TAIL_BYTES))
            lines = log.read().decode("utf-8", errors="replace").splitlines()
        return "\n".join(line.rstrip() for line in lines[-_TAIL_LINES:])

    def _signal(self, signum: int) -> None:
        """To its group; once it has been waited for, another's may have its number."""
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signum)


def _die_with_parent() -> None:
    """In the child, before its program: the kernel ends it with the worker that waits for it."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)

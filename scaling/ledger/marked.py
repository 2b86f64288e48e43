"""Processes of somebody's own trainer, known by a variable that all of them inherit.

A trainer may start others, in sessions of their own and with no parent left; their environment
names the attempt they were started for. Only this machine's, and this user's, are seen.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

VARIABLE = "SCALING_ATTEMPT"
_GONE_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.05


def name_mark(folder: Path, run_id: str = "", attempt_id: str = "") -> str:
    """The value of the variable for an attempt; without one, what those of a folder begin with."""
    return "/".join([str(folder.absolute()), "", *([run_id, attempt_id] if run_id else [""])])


def list_marked(mark: str, *, but: str | None = None) -> list[psutil.Process]:
    """Living processes whose mark begins so, this one left out, and those whose begins as `but`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid():
                continue
            theirs = process.environ().get(VARIABLE, "")
            if (
                theirs.startswith(mark)
                and not (but is not None and theirs.startswith(but))
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


def end_marked(mark: str, *, but: str | None = None) -> list[str]:
    """Kill them, and those they start meanwhile; their names.

    Args:
        mark: As their marks begin.
        but: As the marks of those begin that stay.
    """
    names: list[str] = []
    deadline = time.monotonic() + _GONE_SECONDS
    while (living := list_marked(mark, but=but)) and time.monotonic() < deadline:
        for process in living:
            with contextlib.suppress(psutil.Error):
                names.append(process.name())
                process.kill()
        psutil.wait_procs(living, timeout=_LOOK_AGAIN_SECONDS)
    return names

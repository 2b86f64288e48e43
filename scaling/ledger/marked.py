"""Processes of a user's own trainer, found by an environment variable that all of them inherit.

A trainer may start processes with their own session and no parent left; their environment names
the attempt they were started for. Only processes of this machine and this user are seen.
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
    """The value of the variable for an attempt, or the common prefix of those of a folder."""
    return "/".join([str(folder.absolute()), "", *([run_id, attempt_id] if run_id else [""])])


def list_marked(mark: str, *, but: str | None = None) -> list[psutil.Process]:
    """Living processes with a mark beginning with `mark` and not with `but`, except this one."""
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
    """Kill marked processes, and those they start meanwhile; returns their names.

    Args:
        mark: Prefix of the marks to kill.
        but: Prefix of the marks to spare.
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

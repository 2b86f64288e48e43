"""Named points at which a test may kill the process or fill the disk; no-ops otherwise.

    SCALING_FAULT="commit.linked:kill"          SIGKILL when the point is reached
    SCALING_FAULT="commit.linked:full@3"        "no space left" at the third time, and ever after

A test kills at every one of them; a new point without a kill fails that test.
"""

from __future__ import annotations

import errno
import os
import signal

POINTS = (
    "lock.taken",
    "term.advanced",
    "attempt.created",
    "attempt.trained",
    "commit.digested",
    "commit.written",
    "commit.linked",
    "commit.cleaned",
    "failure.written",
    "driver.submitted",
    "driver.recorded",
    "replace.written",
    "replace.replaced",
    "index.written",
)

_VARIABLE = "SCALING_FAULT"
_reached: dict[str, int] = {}


def reach(point: str) -> None:
    """Say that the code is here; what then happens is decided by a test's environment."""
    armed = os.environ.get(_VARIABLE)
    if armed:
        _act(point, armed)


def _act(point: str, armed: str) -> None:
    assert point in POINTS, point
    target, _, action = armed.partition(":")
    if target != point:
        return
    action, _, nth = action.partition("@")
    _reached[point] = _reached.get(point, 0) + 1
    if _reached[point] < int(nth or 1):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)
    else:
        raise ValueError(f"{_VARIABLE}={armed!r}: the action is kill or full")

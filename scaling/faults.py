"""Named points at which a test may kill the process or fill the disk; no-ops otherwise.

    SCALING_FAULT="commit.linked:kill"          SIGKILL when the point is reached
    SCALING_FAULT="commit.linked:full@3"        "no space left" at the third time, and ever after

Every write and every transition has a point. A test kills at each time each is reached, and finds
the old state or the new one; a new point that it does not reach fails it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator

POINTS = (
    "lock.taken",
    "sweep.named",
    "sweep.stated",
    "term.advanced",
    "attempt.created",
    "attempt.trained",
    "attempt.stopped",
    "heartbeat.written",
    "checkpoint.written",
    "checkpoint.digested",
    "checkpoint.tidied",
    "trunk.stored",
    "commit.digested",
    "commit.written",
    "commit.linked",
    "commit.cleaned",
    "failure.written",
    "driver.submitted",
    "driver.recorded",
    "driver.retried",
    "driver.gave_up",
    "driver.stopping",
    "replace.written",
    "replace.replaced",
    "index.written",
    "result.set_aside",
    "result.restored",
    "stray.removed",
    "corpus.written",
    "corpus.moved",
)

_VARIABLE = "SCALING_FAULT"
_reached: dict[str, int] = {}
_listeners: list[Callable[[str], None]] = []


def reach(point: str) -> None:
    """Say that the code is here; what then happens is decided by a test."""
    for listener in _listeners:
        assert point in POINTS, point
        listener(point)
    armed = os.environ.get(_VARIABLE)
    if armed:
        _act(point, armed)


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call `listener` at every point while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


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

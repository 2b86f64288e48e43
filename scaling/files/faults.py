"""Named points in every write and every transition, at which a test may kill or fill the disk.

    with faults.listening(listener): ...      listener("commit.linked") when the code is there

A test kills at each time each is reached, and finds the old state or the new one; a new point that
it does not reach fails it.
"""

from __future__ import annotations

import contextlib
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
    "link.linked",
    "replace.written",
    "replace.replaced",
    "index.written",
    "result.set_aside",
    "result.restored",
    "stray.removed",
    "corpus.written",
    "corpus.moved",
)

_listeners: list[Callable[[str], None]] = []


def reach(point: str) -> None:
    """Say that the code is here; nothing happens unless a test listens."""
    for listener in _listeners:
        assert point in POINTS, point
        listener(point)


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call `listener` at every point while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)

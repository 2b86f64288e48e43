"""Named points in every write and transition where a test may kill the process or fill the disk.

    with faults.listening(listener): ...      listener("commit.linked") when the code gets there

A test kills the process at each point, each time it is reached, and verifies that the old or the
new state is left. The test fails if there is a point that it does not reach.
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
    """Report that the code has reached a point; does nothing unless a test listens."""
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

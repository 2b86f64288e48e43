"""Work that may take a while, named, so that nobody waits before a silent terminal.

    with stage("training the tokenizer bpe:4096"):
        ...

A library call says nothing by itself. The command line asks to be told (`show_stages`) and prints
the name of each stage that is still at work after a second. Inside an inner stage the outer one
waits: only the innermost is named.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

_PATIENCE_SECONDS = 1.0


class _Watch:
    """Tells of one stage at a time, from a thread of its own."""

    def __init__(self, show: Callable[[str], None], after: float) -> None:
        self._show, self._after = show, after
        self._said: set[str] = set()  # a stage that is entered again is not told again
        self._timer: threading.Timer | None = None
        self._open: list[str] = []

    def enter(self, what: str) -> None:
        self._open.append(what)
        self._restart()

    def leave(self) -> None:
        self._open.pop()
        self._restart()

    def _restart(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._open and self._open[-1] not in self._said:
            self._timer = threading.Timer(self._after, self._tell, [self._open[-1]])
            self._timer.daemon = True
            self._timer.start()

    def _tell(self, what: str) -> None:
        self._said.add(what)
        self._show(f"{what} …")


_watch: _Watch | None = None


def show_stages(show: Callable[[str], None] | None, *, after: float = _PATIENCE_SECONDS) -> None:
    """Tell `show` of every stage that lasts longer than `after` [s]; None: of no more stages.

    `show` is called from another thread than the one that works.
    """
    global _watch
    _watch = None if show is None else _Watch(show, after)


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Name the work in this block."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.enter(what)
    try:
        yield
    finally:
        watch.leave()

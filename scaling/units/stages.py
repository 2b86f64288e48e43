"""Work that may take a while, named, so that nobody waits before a silent terminal.

    with stage("tokenizing 27M bytes of text") as note:
        for at, text in enumerate(texts):
            note(at / len(texts))
            ...

A library call says nothing by itself. The command line asks to be told (`show_stages`) and prints
the name of each stage that is still at work after a second and, where the share that is done is
noted, that share every ten seconds. Inside an inner stage the outer one waits: only the innermost
is named.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_PATIENCE_SECONDS = 1.0
_SHARE_SECONDS = 10.0  # as often as a sweep's plain progress lines


class _Watch:
    """Tells of one stage at a time, from a thread of its own."""

    def __init__(self, show: Callable[[str], None], after: float) -> None:
        self._show, self._after = show, after
        self._said: set[str] = set()  # a stage entered again is not announced again
        self._timer: threading.Timer | None = None
        self._open: list[str] = []
        self._told = time.monotonic()

    def enter(self, what: str) -> None:
        self._open.append(what)
        self._restart()

    def leave(self) -> None:
        self._open.pop()
        self._restart()

    def note(self, share: float) -> None:
        """How much of the innermost stage is done, 0 to 1."""
        if self._open[-1] in self._said and time.monotonic() - self._told >= _SHARE_SECONDS:
            self._tell(f"{self._open[-1]}: {share:.0%}")

    def _restart(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._open and self._open[-1] not in self._said:
            self._timer = threading.Timer(self._after, self._name, [self._open[-1]])
            self._timer.daemon = True
            self._timer.start()

    def _name(self, what: str) -> None:
        self._said.add(what)
        self._tell(f"{what} …")

    def _tell(self, line: str) -> None:
        self._told = time.monotonic()
        self._show(line)


_watch: _Watch | None = None


def show_stages(show: Callable[[str], None] | None, *, after: float = _PATIENCE_SECONDS) -> None:
    """Tell `show` of every stage that lasts longer than `after` [s]; None: of no more stages.

    `show` is called from another thread than the one that works.
    """
    global _watch
    _watch = None if show is None else _Watch(show, after)


@contextlib.contextmanager
def stage(what: str) -> Iterator[Callable[[float], None]]:
    """Name the work in this block; what it yields takes the share that is done, 0 to 1."""
    watch = _watch
    if watch is None:
        yield lambda share: None
        return
    watch.enter(what)
    try:
        yield watch.note
    finally:
        watch.leave()

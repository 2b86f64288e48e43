"""Ctrl-C and SIGTERM while a sweep is driven."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class KilledAtOnce(BaseException):
    """The user asked a second time: end now. No `except Exception` on the way may hold it up."""


@contextlib.contextmanager
def handling_signals(interrupt: Callable[[int], None]) -> Iterator[None]:
    """SIGINT and SIGTERM reach `interrupt` in the block, and go where they went after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers only in the main thread
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    claim_signals(interrupt)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def claim_signals(interrupt: Callable[[int], None]) -> None:
    """Take SIGINT and SIGTERM, also from whoever took them since."""

    def handle(signum: int, frame: FrameType | None) -> Any:
        interrupt(signum)

    if threading.current_thread() is threading.main_thread():
        handler: Callable[[int, FrameType | None], Any] = handle
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, handler)

"""Progress of a sweep on standard error: live on a terminal, plain lines elsewhere.

    12 of 24 runs · 2 running · 1 failed · 81.2k tokens/s · 1 min 40 s left

The time left is the remaining FLOPs over the FLOP/s of this session: runs are submitted longest
first, so counting runs would mislead.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TextIO

from scaling.units import clean_line, format_count, format_seconds

_PLAIN_SECONDS = 10.0
_WINDOW_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A sweep at one moment.

    Attributes:
        total, finished, running, diverged, failed: Numbers of runs.
        tokens, flops: Tokens and FLOPs of this session, running attempts included.
        flops_left: FLOPs of runs neither finished nor given up, minus those of running attempts.
    """

    total: int
    finished: int
    running: int
    diverged: int
    failed: int
    tokens: float
    flops: float
    flops_left: float


class Progress:
    """A display for the driver's progress; this one shows nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Record the present state, and draw it when due."""

    def say(self, line: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Restore the terminal."""


def open_progress(stream: TextIO | None = None) -> Progress:
    """Progress for `stream` (standard error unless given): live if it is a terminal."""
    stream = stream or sys.stderr
    return LiveProgress(stream) if stream.isatty() else PlainProgress(stream)


class Meter:
    """Rates over the last seconds and the time left, from successive snapshots."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Snapshot]] = deque()

    def add(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if self._seen and snapshot.tokens == self._seen[-1][1].tokens == 0:
            self._seen.pop()  # workers are still starting; the rate counts from the first tokens
        self._seen.append((now, snapshot))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW_SECONDS:
            self._seen.popleft()

    def describe(self) -> str:
        """Return the line shown at the head of this file."""
        if not self._seen:
            return ""
        (then, old), (now, new) = self._seen[0], self._seen[-1]
        parts = [f"{new.finished} of {new.total} runs", f"{new.running} running"]
        if new.diverged:
            parts.append(f"{new.diverged} diverged")
        if new.failed:
            parts.append(f"{new.failed} failed")
        seconds = now - then
        if seconds > 0 and new.tokens > old.tokens:
            parts.append(f"{format_count((new.tokens - old.tokens) / seconds)} tokens/s")
        if seconds > 0 and new.flops > old.flops and new.flops_left > 0:
            left = new.flops_left / ((new.flops - old.flops) / seconds)
            parts.append(f"{format_seconds(left)} left")
        return " · ".join(parts)


class PlainProgress(Progress):
    """Prints a line every ten seconds, and one for each event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._meter = stream, Meter()
        self._shown = time.monotonic()

    def show(self, snapshot: Snapshot) -> None:
        self._meter.add(snapshot)
        if time.monotonic() - self._shown >= _PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._write(self._meter.describe())

    def say(self, line: str) -> None:
        self._write(clean_line(line))

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not stop the sweep
            self._stream.write(line + "\n")
            self._stream.flush()


class LiveProgress(Progress):
    """A bar that is redrawn in place, with lines that stay above it."""

    def __init__(self, stream: TextIO) -> None:
        # Imported here because rich takes 50 ms and most commands draw nothing.
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._meter = Meter()
        self._bar = RichProgress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=Console(file=stream),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._drawn = False  # not before there is something to show

    def show(self, snapshot: Snapshot) -> None:
        self._meter.add(snapshot)
        done = snapshot.flops / max(1.0, snapshot.flops + snapshot.flops_left)
        text = self._meter.describe()
        with contextlib.suppress(OSError):
            if not self._drawn:
                self._drawn = True
                self._bar.start()
            self._bar.update(self._task, description=text, total=1.0, completed=done)

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._bar.console.print(clean_line(line), markup=False, highlight=False)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._drawn:
                self._bar.stop()

"""Standard streams that cannot end the work: a full disk behind `>`, a reader that left, a letter
that the encoding lacks, a stream that was closed before we began.

What cannot be written is lost, and said in the end where it was an answer.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO


class LastingStream(io.TextIOWrapper):
    """A stream that goes to nowhere from its first failure on, and remembers it."""

    fault: OSError | None = None

    def write(self, text: str, /) -> int:
        """See TextIOBase."""
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """See TextIOBase."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.fault = self.fault or error
        with contextlib.suppress(OSError):
            _point_nowhere(self.fileno())


def settle_streams() -> None:
    """Replace the process's standard streams by lasting ones.

    A closed one is opened to nowhere: the next file that is opened would get its number, and what
    is said would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _point_nowhere(number)
    # Streams that the caller has replaced stay.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _make_lasting(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _make_lasting(2, sys.stderr)


def find_lost_answer() -> OSError | None:
    """Why not all of the answer could be written; None if it was, or if its reader left."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    fault = getattr(sys.stdout, "fault", None)
    return None if fault is None or fault.errno == errno.EPIPE else fault


def _make_lasting(number: int, before: TextIO | None) -> LastingStream:
    encoding = (before.encoding if before is not None else None) or "utf-8"
    raw = open(number, "wb", closefd=False)  # noqa: SIM115 (stays open)
    return LastingStream(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _point_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)

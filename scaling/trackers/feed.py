"""The driver's end of a tracker: a process beside it, told which runs have been committed.

    driver ──run_id──► pipe ──► python -m scaling.trackers ──► tracker

The pipe never blocks the driver: what does not fit is found by the process itself at the end. The
process has a session of its own, so Ctrl-C reaches it through the driver alone, and no terminal. A
tracker that fails ends it, which is said once; what was not sent is sent by the next call, or by
`scaling track`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from scaling.errors import ScalingError
from scaling.ledger.commit import Ledger
from scaling.trackers.protocol import TrackerName
from scaling.trackers.sending import find_folder, list_unsent

_LEAST_PATIENCE_SECONDS = 2.0
_PATIENCE_SHARE = 0.01  # share of the sweep's duration
_LAST_BYTES = 2000


class Feed:
    """One tracker of one sweep, until `close`.

    Args:
        name: Name of the tracker.
        ledger: What is sent.
        say: Where a warning goes.
    """

    def __init__(self, name: TrackerName, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._name, self._say, self._begun = name, say, time.monotonic()
        self._ledger = ledger
        self._folder, self._results = find_folder(ledger, name), ledger.folder
        words = [sys.executable, "-m", "scaling.trackers", str(ledger.folder.absolute()), name]
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        os.set_blocking(self._pipe, False)
        self._warned = False

    def send(self, run_id: str) -> None:
        """Tell of a run that is committed; returns at once, whatever the tracker does."""
        if self._process.poll() is not None:
            self._warn()
            return
        with contextlib.suppress(OSError):  # pipe full or broken; see the module's docstring
            os.write(self._pipe, f"{run_id}\n".encode())

    def close(self) -> None:
        """Give the tracker a hundredth of the sweep's time to finish, then end it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        elapsed = time.monotonic() - self._begun
        late = ""
        try:
            self._process.wait(max(_LEAST_PATIENCE_SECONDS, _PATIENCE_SHARE * elapsed))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            late = "it did not finish in time"
        # A bad exit matters only if a run did not arrive, which the files show.
        if (late or self._process.returncode) and list_unsent(self._ledger, self._name):
            self._warn(late)

    def _warn(self, what: str = "") -> None:
        if not self._warned:
            self._warned = True
            self._say(
                f"warning: {self._name} does not have every run ({what or self._read_error()}). No "
                f'run is affected; "scaling track {self._results} --to {self._name}" sends the rest'
            )

    def _read_error(self) -> str:
        with contextlib.suppress(OSError):
            text = (self._folder / "log.txt").read_bytes()[-_LAST_BYTES:]
            lines = text.decode("utf-8", errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return f"its process ended with {self._process.returncode}"


@contextlib.contextmanager
def feeding(
    names: Sequence[TrackerName], ledger: Ledger, say: Callable[[str], None]
) -> Iterator[Callable[[str], None]]:
    """What to call with each run that is committed while the block runs."""
    feeds = []
    for name in names:
        try:
            feeds.append(Feed(name, ledger, say))
        except (OSError, ScalingError) as error:
            say(f"warning: {name} is not fed ({error}). No run is affected")

    def announce(run_id: str) -> None:
        for feed in feeds:
            feed.send(run_id)

    try:
        yield announce
    finally:
        for feed in feeds:
            feed.close()

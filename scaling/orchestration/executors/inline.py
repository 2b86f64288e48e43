"""Attempts one after another in this process: no Ray, no workers, easy to step through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from scaling.errors import UsageError
from scaling.orchestration.attempt import AttemptRequest, run_attempt
from scaling.orchestration.executors import AttemptEnded, Needs


def open_executor(needs: Needs) -> InlineExecutor:
    """An executor in this process.

    Raises:
        UsageError: A cluster is to be joined, or a run is for several nodes.
    """
    if needs.address is not None:
        raise UsageError("--address joins a Ray cluster; it does not go with inline.")
    if needs.nodes_per_run > 1:
        raise UsageError(
            f"one run is for {needs.nodes_per_run} nodes, and inline is one process here. Join a "
            "cluster: --executor ray --address."
        )
    return InlineExecutor()


class InlineExecutor:
    """Runs an attempt whenever it is waited for; a hung attempt cannot be ended from here."""

    runs_here = True

    def __init__(self) -> None:
        self._queue: deque[AttemptRequest] = deque()

    def start(self) -> None:
        """Nothing to make ready."""

    def describe(self) -> str:
        """Nothing."""
        return ""

    def capacity(self) -> int:
        """One."""
        return 1

    def submit(self, request: AttemptRequest) -> None:
        """Queue an attempt."""
        self._queue.append(request)

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        """Run the next attempt to its end, calling `tick` between its steps."""
        if not self._queue:
            return ()
        request = self._queue.popleft()
        outcome = run_attempt(request, tick=tick)
        return (AttemptEnded(attempt_id=request.attempt_id, outcome=outcome),)

    def kill(self, attempt_id: str) -> None:
        """Drop an attempt that has not begun."""
        self._queue = deque(request for request in self._queue if request.attempt_id != attempt_id)

    def avoid(self, node: str) -> bool:
        """There is no other node than this process's."""
        return False

    def list_lost(self) -> frozenset[str]:
        """None: this process is here."""
        return frozenset()

    def forget(self, attempt_id: str) -> None:
        """Drop an attempt that has not begun; one that runs ends before anybody is asked."""
        self.kill(attempt_id)

    def close(self, *, at_once: bool = False) -> None:
        """Drop what has not begun."""
        self._queue.clear()

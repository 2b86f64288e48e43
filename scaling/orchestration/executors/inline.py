"""Attempts one after another in this process: no Ray, no workers, easy to step through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from scaling.errors import UsageError
from scaling.orchestration.attempt import AttemptRequest, run_attempt
from scaling.orchestration.executors import AttemptEnded, Needs


def open_executor(needs: Needs) -> InlineExecutor:
    """Make an executor in this process.

    Raises:
        UsageError: A cluster should be joined, or a run needs several nodes.
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
    """Runs an attempt during each `wait`; a hung attempt cannot be ended from here."""

    runs_here = True

    def __init__(self) -> None:
        self._queue: deque[AttemptRequest] = deque()

    def start(self) -> None:
        """Do nothing: there is nothing to start."""

    def describe(self) -> str:
        """Empty: there is nothing to know."""
        return ""

    def capacity(self) -> int:
        """One attempt at a time."""
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
        """False: there is no other node than this process's."""
        return False

    def list_lost(self) -> frozenset[str]:
        """No nodes: this process is running."""
        return frozenset()

    def forget(self, attempt_id: str) -> None:
        """Drop an attempt that has not begun; a running one ends before this can be called."""
        self.kill(attempt_id)

    def close(self, *, at_once: bool = False) -> None:
        """Drop attempts that have not begun."""
        self._queue.clear()

"""Where attempts are executed: interchangeable siblings behind one small protocol.

An executor is a file with `open_executor(needs)` and a line of `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # keep the registry cheap to import
    from scaling.ledger.signs import FailureCause
    from scaling.orchestration.attempt import AttemptOutcome, AttemptRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a sweep asks of its executor.

    Attributes:
        cpus_per_run: Cores that one attempt occupies.
        gpus_per_run: Share of a GPU that one attempt occupies; None: none.
        nodes_per_run: Nodes that one attempt runs on; what it occupies, it occupies on each.
        memory_per_run: Bytes that the largest attempt occupies; None: not known.
        reserves_memory: Whether somebody stated them, to be reserved on one machine too, where an
            estimate only bounds what is planned.
        address: Address of a cluster to join; None: none.
        shared: The results folder and the corpus, which every worker must see.
    """

    cpus_per_run: int
    gpus_per_run: float | None
    memory_per_run: int | None
    address: str | None
    shared: tuple[Path, Path]
    nodes_per_run: int = 1
    reserves_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt is over.

    Attributes:
        attempt_id: Which.
        outcome: What its worker said; None if it died before it could.
        cause: Why it died: `crash`, or `out_of_memory` where that is known.
        message: For people, one line.
    """

    attempt_id: str
    outcome: AttemptOutcome | None = None
    cause: FailureCause = "crash"
    message: str = ""


class Executor(Protocol):
    """Executes attempts. Construction is free; `start` may cost seconds and fail.

    Attributes:
        runs_here: Attempts run in the caller's thread, so that ending one at once means raising
            an exception in the middle of it. Elsewhere that would only break the executor.
    """

    runs_here: bool

    def start(self) -> None:
        """Make ready.

        Raises:
            EnvironmentFault: The machine cannot run it.
        """

    def describe(self) -> str:
        """What a user should know of it once it has started, in a line; empty if nothing."""

    def capacity(self) -> int:
        """Attempts it works on at the same time, at present."""

    def submit(self, request: AttemptRequest) -> None:
        """Take an attempt; it begins when there is room."""

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        """Attempts that ended, after at most `timeout` seconds where a worker has its own process.

        Args:
            timeout: Seconds.
            tick: Called now and then by an executor that works in the caller's thread.

        Raises:
            EnvironmentFault: The executor itself has died.
        """

    def kill(self, attempt_id: str) -> None:
        """End the process of an attempt now, if it has one; `wait` will report it."""

    def avoid(self, node: str) -> bool:
        """Give no more attempts to a node; returns whether another one is left."""

    def list_lost(self) -> frozenset[str]:
        """Nodes that it knows to be gone, those that were gone before it came included."""

    def forget(self, attempt_id: str) -> None:
        """Report nothing more of an attempt: its end is known from elsewhere."""

    def close(self, *, at_once: bool = False) -> None:
        """End everything that still runs, and leave no process and no folder behind.

        Args:
            at_once: Kill at once instead of asking first.
        """

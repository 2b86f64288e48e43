"""Executors of attempts: interchangeable siblings behind one small protocol.

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
    """The resources that a sweep needs from its executor.

    Attributes:
        cpus_per_run: Cores of one attempt (the built-in trainer computes with one thread).
        gpus_per_run: Share of a GPU, or number of GPUs, of one attempt; None: none.
        nodes_per_run: Nodes of one attempt; the other resources are needed on each.
        memory_per_run: Memory of the largest attempt [bytes]; None: unknown.
        reserves_memory: Whether the user stated that memory, so that it is reserved on one machine
            too; an estimate only bounds the plan.
        address: Address of a cluster to join, `auto` or `host:port`; None: none.
        shared: The results folder and the corpus, which every node of that cluster must see; None:
            this is not checked.
    """

    cpus_per_run: int = 1
    gpus_per_run: float | None = None
    nodes_per_run: int = 1
    memory_per_run: int | None = None
    reserves_memory: bool = False
    address: str | None = None
    shared: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """The end of an attempt.

    Attributes:
        attempt_id: The attempt.
        outcome: Outcome reported by its worker; None if the worker died before.
        cause: Why it died: `crash`, or `out_of_memory` if that is known.
        message: One line for people.
    """

    attempt_id: str
    outcome: AttemptOutcome | None = None
    cause: FailureCause = "crash"
    message: str = ""


class Executor(Protocol):
    """Executes attempts. Construction is free; `start` may cost seconds and fail.

    Attributes:
        runs_here: Whether attempts run in the caller's thread, so that ending one at once means
            raising an exception in the middle of it. Elsewhere that would break the executor.
    """

    runs_here: bool

    def start(self) -> None:
        """Start the executor.

        Raises:
            EnvironmentFault: The machine cannot run it.
        """

    def describe(self) -> str:
        """A line that a user should know once it has started; empty if there is none."""

    def capacity(self) -> int:
        """Number of attempts that it can run at the same time at present."""

    def submit(self, request: AttemptRequest) -> None:
        """Accept an attempt; it begins when there is room."""

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        """Attempts that ended; waits at most `timeout` seconds if workers have their own process.

        Args:
            timeout: Longest wait [s].
            tick: Called now and then by an executor that works in the caller's thread.

        Raises:
            EnvironmentFault: The executor itself has died.
        """

    def kill(self, attempt_id: str) -> None:
        """End the process of an attempt now, if it has one; `wait` will report it."""

    def avoid(self, node: str) -> bool:
        """Give no more attempts to a node; returns whether another one is left."""

    def list_lost(self) -> frozenset[str]:
        """Nodes known to be gone, including those gone before it started."""

    def forget(self, attempt_id: str) -> None:
        """Report nothing more about an attempt whose end is known from elsewhere."""

    def close(self, *, at_once: bool = False) -> None:
        """End all running attempts, and leave no process and no folder behind.

        Args:
            at_once: Kill at once instead of asking first.
        """

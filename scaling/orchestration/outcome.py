"""How a sweep is driven, and what a call of the driver left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scaling.ledger.found import Damage
from scaling.ledger.signs import FailureCause
from scaling.orchestration.attempt import DEFAULT_TRAINER
from scaling.sweep.execution import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """How a sweep is driven; none of it changes a run_id.

    Attributes:
        trainer: `module:function`.
        execution: How each run is computed.
        stall_limit: Seconds without a sign of life after which a worker may be called hung.
        crash_retries: Times a run is tried again after its worker died.
        backoff: Pause before the first such retry [s]; doubles with each.
        crashes_in_a_row: Worker deaths, with no run ending well between, that stop the sweep.
        retry_budget: Retries of all runs together; None: one for each run, and at least 20.
        grace: Seconds that running attempts have to write a checkpoint after Ctrl-C.
        share_trunks: Whether runs with the same prefix train it once.
    """

    trainer: str = DEFAULT_TRAINER
    execution: Execution = field(default_factory=Execution)
    stall_limit: float = 600.0
    crash_retries: int = 3
    backoff: float = 1.0
    crashes_in_a_row: int = 5
    retry_budget: int | None = None
    grace: float = 8.0  # 10 s are promised, and to end a worker that does not hear takes two
    share_trunks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """A run that was given up; `folder` is its last attempt's, with failed.json and log.txt."""

    run_id: str
    cause: FailureCause
    message: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """What a call of run_cells left behind; run_ids of the planned cells.

    Attributes:
        finished: With an intact, finite result.
        diverged: With a result that says so.
        failed: Given up.
        damaged: Results that were left out; `Ledger.set_aside` lets one be trained again.
        left: Neither: not begun, or interrupted.
        cancelled: Of those left, the ones that were asked not to be trained.
        trained: How many of finished and diverged this call added.
        interrupted_by: Signal number that stopped the sweep; None if it ran to its end.
    """

    finished: tuple[str, ...]
    diverged: tuple[str, ...]
    failed: tuple[FailedRun, ...]
    damaged: tuple[Damage, ...]
    left: tuple[str, ...]
    trained: int
    interrupted_by: int | None
    cancelled: tuple[str, ...] = ()

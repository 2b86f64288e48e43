"""How a sweep is driven, and what a call of the driver left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling.ledger.cancelling import is_cancelled
from scaling.ledger.commit import Ledger
from scaling.ledger.found import Damage
from scaling.ledger.results import RunResult
from scaling.ledger.signs import FailureCause
from scaling.orchestration.attempt import DEFAULT_TRAINER
from scaling.orchestration.probing import count_unmeasured
from scaling.sweep.execution import Execution
from scaling.sweep.probes import AskedProbe


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
        probes: What is measured of every finished run that can have it.
    """

    trainer: str = DEFAULT_TRAINER
    execution: Execution = field(default_factory=Execution)
    stall_limit: float = 600.0
    crash_retries: int = 3
    backoff: float = 1.0
    crashes_in_a_row: int = 5
    retry_budget: int | None = None
    grace: float = 8.0  # 10 s are promised; ending an unresponsive worker takes two of them
    share_trunks: bool = False
    probes: tuple[AskedProbe, ...] = ()


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
        cancelled: Unfinished runs that somebody cancelled.
        unmeasured: (probe, how many of `finished` have no value of it), where there are any.
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
    unmeasured: tuple[tuple[str, int], ...] = ()


def summarize_sweep(
    planned: Iterable[str],
    results: Mapping[str, RunResult],
    failed: Mapping[str, FailedRun],
    *,
    ledger: Ledger,
    damaged: tuple[Damage, ...],
    probes: Sequence[AskedProbe],
    trained: int,
    interrupted_by: int | None,
) -> SweepOutcome:
    """What became of the planned runs.

    Args:
        planned: run_ids.
        results, failed: By run_id.
        ledger: Where they are.
        damaged, trained, interrupted_by: As in `SweepOutcome`.
        probes: That were asked for.
    """
    lost = {damage.run_id for damage in damaged}
    by_status: dict[str, list[str]] = {"finished": [], "diverged": [], "left": []}
    for run_id in planned:
        if run_id in results:
            by_status[results[run_id].status].append(run_id)
        elif run_id not in failed and run_id not in lost:
            by_status["left"].append(run_id)
    return SweepOutcome(
        finished=tuple(by_status["finished"]),
        diverged=tuple(by_status["diverged"]),
        failed=tuple(one for run_id, one in failed.items() if run_id not in results),
        damaged=damaged,
        left=tuple(by_status["left"]),
        trained=trained,
        interrupted_by=interrupted_by,
        cancelled=tuple(one for one in by_status["left"] if is_cancelled(ledger, one)),
        unmeasured=count_unmeasured(probes, ledger, by_status["finished"]),
    )

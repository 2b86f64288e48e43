"""Settings of the driver, and the outcome of one of its calls."""

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
    """Settings of the driver; none of them changes a run_id.

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
        probes: Probes to measure on every finished run that allows it.
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
    """The outcome of a call of run_cells, as run_ids of the planned cells.

    Attributes:
        finished: Runs with an intact, finite result.
        diverged: Runs whose result says that they diverged.
        failed: Runs that were given up.
        damaged: Results that were left out; `Ledger.set_aside` lets a run be trained again.
        left: Runs that have not begun or were interrupted.
        cancelled: Unfinished runs that the user cancelled.
        unmeasured: (probe, number of `finished` runs without a value of it), for each such probe.
        trained: Number of finished and diverged runs that this call added.
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
    """Summarise the state of the planned runs.

    Args:
        planned: run_ids of the plan.
        results, failed: Results and failures by run_id.
        ledger: The ledger of the runs.
        damaged, trained, interrupted_by: As in `SweepOutcome`.
        probes: Probes that were asked for.
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

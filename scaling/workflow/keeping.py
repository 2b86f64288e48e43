"""Results kept in order: verified, trained again, copied to a tracker."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import EnvironmentFault, ScalingError, UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import RUN_NAME
from scaling.ledger.sweep_table import write_index
from scaling.units.stages import stage
from scaling.workflow.stored import list_failures, open_results

if TYPE_CHECKING:
    from scaling.trackers.protocol import TrackerName


@stage("sending runs to the tracker")
def send_to_tracker(folder: Path, name: TrackerName) -> int:
    """Send every result that a tracker does not have; returns how many.

    Raises:
        UsageError: The tracker is not installed.
        EnvironmentFault: It cannot be reached.
    """
    from scaling.trackers import open_tracker, require_tracker
    from scaling.trackers.sending import find_folder, list_unsent, send_results

    require_tracker(name)
    ledger = Ledger.open(folder)
    where = find_folder(ledger, name)
    try:
        tracker = open_tracker(name, project=ledger.name, folder=where)
        return send_results(ledger, name, tracker, list_unsent(ledger, name))
    except ScalingError:
        raise
    except Exception as error:  # every tracker raises its own classes
        raise EnvironmentFault(
            f"{name}: {type(error).__name__}: {error}. What was sent is noted; the same command "
            "sends the rest."
        ) from error


@stage("checking every file against its digest")
def verify_results(folder: Path, *, repair: bool) -> list[dict[str, Any]]:
    """Every finding of `integrity.verify`, as plain mappings."""
    from scaling.ledger.integrity import verify

    stored = open_results(folder)
    findings = verify(stored.ledger, stored.plan.cells, repair=repair)
    return [dataclasses.asdict(finding) for finding in findings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What the next run trains again.

    Attributes:
        aside: Where results went that no longer count.
        allowed: Runs that were cancelled.
        failed: Runs that failed: the next run tries them without being asked.
    """

    aside: tuple[Path, ...]
    allowed: tuple[str, ...]
    failed: tuple[str, ...]


@stage("looking for runs to train again")
def renew_runs(
    folder: Path, run_ids: Sequence[str] = (), *, failed: bool = False, diverged: bool = False
) -> Renewed:
    """Let runs be trained again: their results are set aside, cancelling them is taken back.

    Args:
        folder: The results folder.
        run_ids: Which; none: those with a damaged result.
        failed: Also every run that diverged, was cancelled, or failed.
        diverged: Also every run that diverged, and nothing else that failed.

    Raises:
        UsageError: A named run has no result and was not cancelled.
        LockedError: A driver is at work and a result would be set aside.
    """
    from scaling.ledger.cancelling import allow_run, is_cancelled

    for run_id in run_ids:
        if not RUN_NAME.fullmatch(run_id):
            raise UsageError(f"{run_id[:40]!r} is no run_id: 16 digits of 0-9 and a-f.")
    stored = open_results(folder)
    ledger, found = stored.ledger, stored.results
    chosen = list(run_ids) or [one.run_id for one in found.damaged if one.run_id is not None]
    cancelled = [run_id for run_id in chosen if is_cancelled(ledger, run_id)]
    failures: dict[str, str] = {}
    if failed or diverged:
        chosen += [one for one, result in found.results.items() if result.status == "diverged"]
    if failed:
        planned = dict.fromkeys(cell.run.run_id for cell in stored.plan.cells)
        cancelled += [run_id for run_id in planned if is_cancelled(ledger, run_id)]
        failures = list_failures(stored)
    allowed = tuple(run_id for run_id in cancelled if allow_run(ledger, run_id))
    gone = [run_id for run_id in chosen if run_id not in cancelled]
    with ledger.lock() if gone else contextlib.nullcontext():
        aside = tuple(ledger.set_aside(run_id) for run_id in gone)
        if aside:  # or `verify` would report the runs as lost, because the index still names them
            write_index(ledger, ledger.read_results(), open_results(folder).plan.cells)
    return Renewed(
        aside=aside,
        allowed=allowed,
        failed=tuple(run_id for run_id in failures if run_id not in allowed),
    )

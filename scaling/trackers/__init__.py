"""Experiment trackers, interchangeable siblings: finished runs, where a team looks at runs.

The ledger is the truth and a tracker a view of it: runs are sent from what was committed, once each
(`sending.py`), by a process beside the driver (`feed.py`), so that a tracker that is down, slow or
full neither fails nor delays a run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from scaling.errors import UsageError

TrackerName = Literal["wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = ("wandb", "mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a run; nothing of the machine it ran on, and no environment.

    Attributes:
        run_id: Also its name and identity there.
        digest: Of its result.
        diverged: Whether it counts as a failed run there.
        config: What was decided before it began.
        curve: (step, metric -> value), ascending.
        summary: What it came to.
    """

    run_id: str
    digest: str
    diverged: bool
    config: Mapping[str, str | int | float]
    curve: tuple[tuple[int, Mapping[str, float]], ...]
    summary: Mapping[str, float]


class Tracker(Protocol):
    """Where runs are sent."""

    def send(self, run: TrackedRun) -> None:
        """Record a run, in the place of an earlier or half-sent record of it."""


def open_tracker(name: TrackerName, *, project: str, folder: Path) -> Tracker:
    """The tracker of that name.

    Args:
        name: Which.
        project: The sweep's name.
        folder: Where a tracker that is local keeps its files.
    """
    if name == "wandb":
        from scaling.trackers.offline_wandb import OfflineWandb

        return OfflineWandb(project=project, folder=folder)
    from scaling.trackers.local_mlflow import LocalMlflow

    return LocalMlflow(project=project, folder=folder)


def require_tracker(name: TrackerName) -> None:
    """Find out before hours of training that a tracker is not installed.

    Raises:
        UsageError: Naming the extra.
    """
    if importlib.util.find_spec(name) is None:
        raise UsageError(f"tracking with {name} needs its extra: pip install 'scaling[{name}]'")

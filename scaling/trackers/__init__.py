"""Experiment trackers, interchangeable siblings: they show finished runs to a team.

The ledger is the truth and a tracker a view of it. Committed runs are sent once each (`sending.py`)
by a process beside the driver (`feed.py`), so that a tracker that is down, slow or full neither
fails nor delays a run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from scaling.errors import UsageError
from scaling.trackers.protocol import Tracker, TrackerName


def open_tracker(name: TrackerName, *, project: str, folder: Path) -> Tracker:
    """Open the tracker of that name.

    Args:
        name: Name of the tracker.
        project: The sweep's name.
        folder: Where a local tracker keeps its files.
    """
    if name == "wandb":
        from scaling.trackers.offline_wandb import OfflineWandb

        return OfflineWandb(project=project, folder=folder)
    from scaling.trackers.local_mlflow import LocalMlflow

    return LocalMlflow(project=project, folder=folder)


def require_tracker(name: TrackerName) -> None:
    """Verify before hours of training that a tracker is installed.

    Raises:
        UsageError: It is not; the message names the extra.
    """
    if importlib.util.find_spec(name) is None:
        raise UsageError(f"tracking with {name} needs its extra: pip install 'scaling[{name}]'")

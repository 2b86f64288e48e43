"""W&B in its offline mode: one folder a run, which `wandb sync` uploads whenever you like.

Nothing is sent anywhere unless WANDB_MODE says so. What W&B would record of the machine, the
environment, the source code and the git repository is switched off.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import wandb

from scaling.trackers.protocol import TrackedRun


class OfflineWandb:
    """Runs of one project.

    Args:
        project: Name of the project.
        folder: Folder in which `wandb/offline-run-*` are written.
    """

    def __init__(self, *, project: str, folder: Path) -> None:
        self._project, self._folder = project, folder

    def send(self, run: TrackedRun) -> None:
        """Write the run's folder, replacing what an interrupted call left of it."""
        for path in (self._folder / "wandb").glob(f"*run-*-{run.run_id}"):
            shutil.rmtree(path)
        settings = wandb.Settings(
            mode=os.environ.get("WANDB_MODE", "offline"),
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        sent = wandb.init(
            project=self._project,
            id=run.run_id,
            name=run.run_id,
            dir=str(self._folder),
            config=dict(run.config),
            settings=settings,
            resume="allow" if settings.mode == "online" else None,
        )
        for step, values in run.curve:
            sent.log(dict(values), step=step)
        sent.summary.update(dict(run.summary))
        sent.finish(exit_code=1 if run.diverged else 0)

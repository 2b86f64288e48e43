"""MLflow: an experiment per sweep, in the store that MLFLOW_TRACKING_URI names, else in a file.

Only the tracking client is used, so that no active run, source, user or git commit is recorded.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# mlflow reads this on import: send no telemetry.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from scaling.trackers.protocol import TrackedRun

_TAG = "scaling.run_id"
_DIGEST = "scaling.digest"
_BATCH = 1000  # MLflow's limit on metrics in one call


class LocalMlflow:
    """Runs of one experiment.

    Args:
        project: Name of the experiment.
        folder: Where `mlflow.db` lies unless MLFLOW_TRACKING_URI names another store.
    """

    def __init__(self, *, project: str, folder: Path) -> None:
        local = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", local))
        found = self._client.get_experiment_by_name(project)
        self._experiment: str = (
            self._client.create_experiment(project, artifact_location=str(folder / "artifacts"))
            if found is None
            else found.experiment_id
        )

    def send(self, run: TrackedRun) -> None:
        """Record the run, unless this very result is there whole; anything else of it goes."""
        query = f"tags.`{_TAG}` = '{run.run_id}'"
        for known in self._client.search_runs([self._experiment], query):
            whole = known.info.status in ("FINISHED", "FAILED")
            if whole and known.data.tags.get(_DIGEST) == run.digest:
                return
            self._client.delete_run(known.info.run_id)
        tags = {_TAG: run.run_id, _DIGEST: run.digest}
        sent = self._client.create_run(self._experiment, run_name=run.run_id, tags=tags)
        key, now = sent.info.run_id, int(1e3 * time.time())
        metrics = [
            Metric(name, value, now, step)
            for step, values in run.curve
            for name, value in values.items()
        ]
        metrics += [Metric(name, value, now, 0) for name, value in run.summary.items()]
        params = [Param(name, str(value)) for name, value in run.config.items()]
        self._client.log_batch(key, params=params)
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(key, metrics=metrics[first : first + _BATCH])
        self._client.set_terminated(key, "FAILED" if run.diverged else "FINISHED")

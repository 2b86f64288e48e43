"""The interface of a tracker, and the record of a run that it receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

TrackerName = Literal["wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = ("wandb", "mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """The record of a run for a tracker, without its machine or environment.

    Attributes:
        run_id: The run's id, also its name and identity in the tracker.
        digest: Digest of its result.
        diverged: Whether it counts as a failed run in the tracker.
        config: Settings fixed before it began.
        curve: (step, metric -> value), ascending.
        summary: Final values.
    """

    run_id: str
    digest: str
    diverged: bool
    config: Mapping[str, str | int | float]
    curve: tuple[tuple[int, Mapping[str, float]], ...]
    summary: Mapping[str, float]


class Tracker(Protocol):
    """A tracker that runs are sent to."""

    def send(self, run: TrackedRun) -> None:
        """Record a run, replacing an earlier or partial record of it."""

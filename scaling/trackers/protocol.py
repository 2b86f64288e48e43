"""What a tracker is, and what it is told of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

TrackerName = Literal["wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = ("wandb", "mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a run; nothing of the machine it ran on, and no environment.

    Attributes:
        run_id: Also its name and identity there.
        digest: Digest of its result.
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

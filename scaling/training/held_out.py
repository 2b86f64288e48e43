"""The held-out loss during training: before the first step, after 1/2, 1/4, … of the steps, and at
the end.

    held_out.json      {"unit": "nats/token", "steps": […], "tokens": […], "loss": […]}

More points would cost more and barely move the minimum, around which the loss is flat in ln D.
"""

from __future__ import annotations

import json
from pathlib import Path

from scaling.files.durable import write_durably

HELD_OUT_FILE = "held_out.json"


class HeldOutCurve:
    """When to measure a run's held-out loss, and the losses measured.

    Args:
        steps: Steps of the run.
        halvings: As in `Execution`.

    Attributes:
        losses: Loss by number of steps taken [nats/token].
    """

    def __init__(self, steps: int, halvings: int) -> None:
        way = {0, *(steps >> halved for halved in range(1, halvings + 1))}
        self._due = way if halvings else set()
        self.losses: dict[int, float] = {}

    def is_due(self, step: int) -> bool:
        """Return whether the loss after `step` steps is wanted and not yet measured."""
        return step in self._due and step not in self.losses

    def write(self, attempt: Path, *, tokens_per_step: int) -> None:
        """Write the curve into the attempt's folder."""
        steps = sorted(self.losses)
        curve = {
            "unit": "nats/token",
            "steps": steps,
            "tokens": [step * tokens_per_step for step in steps],
            "loss": [self.losses[step] for step in steps],
        }
        write_durably(attempt / HELD_OUT_FILE, json.dumps(curve).encode())

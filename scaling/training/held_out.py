"""The held-out loss of a run on the way: before its first step, and after a half, a quarter, … of
its steps.

    held_out.json      {"unit": "nats/token", "steps": […], "tokens": […], "loss": […]}, to the end

Steps between halves would cost as much again and move a minimum little: around it the loss is flat
in ln D.
"""

from __future__ import annotations

import json
from pathlib import Path

from scaling.files.durable import write_durably

HELD_OUT_FILE = "held_out.json"


class HeldOutCurve:
    """When the held-out loss of a run is due, and what it was.

    Args:
        steps: Steps of the run.
        halvings: As in `Execution`.

    Attributes:
        losses: Loss after so many steps [nats/token].
    """

    def __init__(self, steps: int, halvings: int) -> None:
        way = {0, *(steps >> halved for halved in range(1, halvings + 1))}
        self._due = way if halvings else set()
        self.losses: dict[int, float] = {}

    def is_due(self, step: int) -> bool:
        """Whether it is to be measured after so many steps, and was not."""
        return step in self._due and step not in self.losses

    def write(self, attempt: Path, *, tokens_per_step: int) -> None:
        """Leave the curve in the folder of the attempt."""
        steps = sorted(self.losses)
        curve = {
            "unit": "nats/token",
            "steps": steps,
            "tokens": [step * tokens_per_step for step in steps],
            "loss": [self.losses[step] for step in steps],
        }
        write_durably(attempt / HELD_OUT_FILE, json.dumps(curve).encode())

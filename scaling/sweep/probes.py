"""PROBES: the quantities that can be measured of a trained run beside its loss.

A probe is facts and the place of a function, so that every room may know it and only a worker
imports what it computes with:

    Probe(name="tail_loss", version=1, unit="nats/token", direction="lower",
          measure="scaling.training.probes.tail_loss:measure_tail_loss", …)

A sweep asks for probes under `evaluate`; they are no part of a run's identity.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Option = bool | int | float | str
Direction = Literal["lower", "higher"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A quantity, and what measures it.

    Attributes:
        name: Of the quantity: its column in tables, and `--metric NAME`.
        version: Raised when the same run would give another value.
        unit: Of the value; empty: a share or a count.
        direction: Which of two values is better.
        meaning: In words.
        measure: `module:function`, called with a `training.probing.TrainedRun`; returns the value
            and its standard error (None: not known). Empty: only a trainer reports it.
        bound: What no model can pass, which a law of a higher-is-better quantity needs.
        needs_weights: Whether the function looks at the model.
        options: Those it has, with their defaults.
    """

    name: str
    version: int
    unit: str
    direction: Direction
    meaning: str
    measure: str
    bound: float | None = None
    needs_weights: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)

    def load(self) -> Callable[[Any], tuple[float, float | None]]:
        """The function, imported now.

        Raises:
            ImportError, AttributeError: There is none of that name.
        """
        module, _, function = self.measure.partition(":")
        found: Callable[[Any], tuple[float, float | None]] = getattr(
            importlib.import_module(module), function
        )
        return found


@dataclass(frozen=True, slots=True)
class AskedProbe:
    """A probe, and the options that a sweep sets otherwise than by default."""

    probe: Probe
    changed: Mapping[str, Option] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Option]:
        """Every option with its value."""
        return {**self.probe.options, **self.changed}


PROBES: dict[str, Probe] = {}


def register_probe(probe: Probe) -> Probe:
    """Make a probe known to sweep files of this process.

    Raises:
        ValueError: Its name is taken, or none that a file may have.
    """
    if not _NAME.fullmatch(probe.name) or PROBES.setdefault(probe.name, probe) != probe:
        raise ValueError(f"probe {probe.name!r}: the name is taken or not a-z, 0-9 and _")
    return probe


register_probe(
    Probe(
        name="tail_loss",
        version=1,
        unit="nats/token",
        direction="lower",
        meaning="held-out loss on the last part of the context (`share`, a quarter)",
        measure="scaling.training.probes.tail_loss:measure_tail_loss",
        options={"share": 0.25},
    )
)

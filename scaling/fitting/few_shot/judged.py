"""The answer of `scaling few-shot`: laws in examples, phase over seeds, diversity boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling.files.contract import write_fields
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.ability import Ability
from scaling.fitting.few_shot.boundary import Boundary
from scaling.fitting.few_shot.shots import ShotCell, Trend


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotSweep:
    """The few-shot results of one folder.

    Attributes:
        name: The sweep's name.
        chains: Number of training sources; 0 if every sequence had its own.
        cells: One per (N, D), ascending.
        trends: How the law's coefficients change with N and D.
        phase: `few_shot_phase` over seeds; None if it was not measured.
    """

    name: str
    chains: int
    cells: tuple[ShotCell, ...]
    trends: tuple[Trend, ...]
    phase: Ability | None

    @property
    def fitted(self) -> bool:
        """Whether anything was fitted."""
        laws = any(one.exponent is not None for one in self.cells)
        return laws or (self.phase is not None and self.phase.fitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShot:
    """The few-shot results of one or several folders.

    Attributes:
        reason: The reason there are no results; empty if there are some.
        sweeps: One per folder.
        boundary: The diversity boundary over folders with different numbers of chains; None for a
            single folder.
    """

    reason: str = ""
    sweeps: tuple[ShotSweep, ...] = ()
    boundary: Boundary | None = None

    @property
    def fitted(self) -> bool:
        """Whether anything was fitted."""
        line = self.boundary is not None and self.boundary.exponent is not None
        return line or any(one.fitted for one in self.sweeps)

    def to_contract(self) -> dict[str, Any]:
        """Return the JSON of `scaling few-shot`."""
        return {"schema_version": SCHEMA_VERSION, **write_fields(self)}

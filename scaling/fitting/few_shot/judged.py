"""Few-shot learning judged: laws in examples, the phase over seeds, the boundary of diversity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.ability import Ability
from scaling.fitting.few_shot.boundary import Boundary
from scaling.fitting.few_shot.shots import ShotCell, Trend


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotSweep:
    """What one results folder says.

    Attributes:
        name: Of the sweep.
        chains: How many sources it was trained on; 0: each sequence had its own.
        cells: Of each (N, D), ascending.
        trends: How the law in examples moves.
        phase: `few_shot_phase` over seeds; None: not measured.
    """

    name: str
    chains: int
    cells: tuple[ShotCell, ...]
    trends: tuple[Trend, ...]
    phase: Ability | None

    @property
    def fitted(self) -> bool:
        """Whether anything could be fitted."""
        laws = any(one.exponent is not None for one in self.cells)
        return laws or (self.phase is not None and self.phase.fitted)

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "name": self.name,
            "chains": self.chains,
            "cells": [one.to_contract() for one in self.cells],
            "trends": [one.to_contract() for one in self.trends],
            "phase": None if self.phase is None else self.phase.to_contract(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShot:
    """What one or several folders say; the boundary is that of folders that differ in the number
    of chains, None of one folder. `reason`: why they say nothing; else empty."""

    sweeps: tuple[ShotSweep, ...] = ()
    boundary: Boundary | None = None
    reason: str = ""

    @property
    def fitted(self) -> bool:
        """Whether anything could be fitted."""
        line = self.boundary is not None and self.boundary.exponent is not None
        return line or any(one.fitted for one in self.sweeps)

    def to_contract(self) -> dict[str, Any]:
        """JSON of `scaling few-shot`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "reason": self.reason,
            "sweeps": [one.to_contract() for one in self.sweeps],
            "boundary": None if self.boundary is None else self.boundary.to_contract(),
        }

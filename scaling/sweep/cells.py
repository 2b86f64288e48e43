"""Cells of a plan: what is trained, in which role, and what was refused and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.sweep.bracket import Varied
from scaling.sweep.runspec import RunSpec

CellRole = Literal["grid", "replicate", "bracket", "validation", "rate"]
# Roles that enter a fit; the others measure the recipe or check a forecast.
FITTED_ROLES: tuple[CellRole, ...] = ("grid", "replicate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One grid point: a run and the place it has in the sweep.

    Attributes:
        run: What is trained.
        budget: The declared budget the run belongs to [FLOPs]; None where a grid has no budgets.
        role: `grid`, `replicate` for a cell trained again with another seed, `bracket` for one
            with another recipe, or `validation` for one that a registered forecast speaks of; no
            fit sees the last two. An index calls `rate` what was trained at a learning rate that
            is not the best of its cell.
        varied: What a bracket run varies, of which run_id, by which factor; None for the others.
    """

    run: RunSpec
    budget: float | None
    role: CellRole
    varied: tuple[Varied, str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedCell:
    """A grid point that will not be trained, and why."""

    budget: float | None
    params: float
    tokens: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep trains, and what it does not.

    Attributes:
        cells: Runs to train, longest first.
        rejected: Grid points that will not be trained, each with its reason.
        warnings: What to know before training, one sentence each.
    """

    cells: tuple[Cell, ...]
    rejected: tuple[RejectedCell, ...]
    warnings: tuple[str, ...]

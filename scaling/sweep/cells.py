"""Cells of a plan: runs to train with their role, and rejected grid points with the reason."""

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
        run: The run to train.
        budget: The declared budget the run belongs to [FLOPs]; None if the grid has no budgets.
        role: `grid`, `replicate` for a cell trained again with another seed, `bracket` for one
            with another recipe, or `validation` for the run of a registered forecast; no fit uses
            the last two. In an index, `rate` marks a run at a learning rate that is not the best of
            its cell.
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
    """The runs that a sweep trains, and the grid points that it rejects.

    Attributes:
        cells: Runs to train, longest first.
        rejected: Grid points that will not be trained, each with its reason.
        warnings: What a user should know before training, one sentence each.
    """

    cells: tuple[Cell, ...]
    rejected: tuple[RejectedCell, ...]
    warnings: tuple[str, ...]

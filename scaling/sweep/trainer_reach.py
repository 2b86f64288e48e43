"""Whether a grid finds models in a list: those nearest to it may be far away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scaling.sweep.grids import CellGrid, CellSpec, Grid, IsoflopGrid
from scaling.sweep.trainer_spec import NamedModelSpec
from scaling.units import format_count, format_flops

# Rungs of the built-in ladder are at most ×3 apart, so no wish there is farther from its model.
FARTHEST = 3.0
Problem = tuple[tuple[str | int, ...], str]  # path in the sweep file, what is wrong there


def list_unreached(
    grid: Grid, extra_cells: Sequence[CellSpec], models: Sequence[NamedModelSpec]
) -> Iterator[Problem]:
    """The wishes of a grid that no listed model is near to."""
    if not models:
        return
    for path, params, reach, wish in _list_centres(grid, extra_cells):
        nearest = min(models, key=lambda one: abs(math.log(one.params / params)))
        if abs(math.log(nearest.params / params)) > math.log(reach) * (1 + 1e-9):
            sentence = (
                f"no model lies within ×{reach:g} of the {format_count(params)} parameters {wish}; "
                f"the nearest is {nearest.name} with {format_count(nearest.params)}. List others, "
                "or ask for other sizes (grid.span, grid.prior)."
            )
            yield path, sentence


def _list_centres(
    grid: Grid, extra_cells: Sequence[CellSpec]
) -> Iterator[tuple[tuple[str | int, ...], float, float, str]]:
    if isinstance(grid, IsoflopGrid):
        for at, budget in enumerate(grid.budgets):
            wish = f"expected at {format_flops(budget)} FLOPs"
            yield ("grid", "budgets", at), grid.prior.expect_params(budget), grid.span, wish
    elif isinstance(grid, CellGrid):
        for at, cell in enumerate(grid.cells):
            yield ("grid", "cells", at, "params"), cell.params, FARTHEST, "asked for"
    else:
        for at, params in enumerate(getattr(grid, "params", ())):
            yield ("grid", "params", at), params, FARTHEST, "asked for"
    for at, cell in enumerate(extra_cells):
        yield ("extra_cells", at, "params"), cell.params, FARTHEST, "asked for"

"""The answer of `scaling few-shot`, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, clean_text
from scaling.words.abilities import say_onsets, say_seeds, say_success
from scaling.words.few_shot import (
    CELL_COLUMNS,
    list_cells,
    say_boundary,
    say_boundary_forecast,
    say_crossings,
    say_phase,
    say_trend,
)

if TYPE_CHECKING:
    from scaling.fitting.few_shot.judged import FewShot, ShotSweep

_CELLS_SHOWN = 12


def format_few_shot(found: FewShot) -> str:
    """Format each results folder, then the boundary if there are several."""
    parts = [_format_sweep(one, brief=len(found.sweeps) > 1) for one in found.sweeps]
    if found.boundary is not None:
        lines = [
            say_boundary(found.boundary),
            *(f"  {one}" for one in say_crossings(found.boundary)),
            f"  {say_boundary_forecast(found.boundary)}",
        ]
        parts.append("\n".join(lines))
    return clean_text(("\n" if len(parts) > 2 else "\n\n").join(parts))


def _format_sweep(sweep: ShotSweep, *, brief: bool) -> str:
    source = f"{sweep.chains} chains" if sweep.chains else "a new source per sequence"
    lines = [f"{sweep.name}: {source}. {say_phase(sweep.cells)}"]
    if brief:
        return lines[0]
    if sweep.phase is not None:
        lines.append(f"  {say_success(sweep.phase.success)}")
        lines.append(f"  {say_seeds(sweep.phase.success)}")
        if onset := say_onsets(sweep.phase.onsets):
            lines.append(f"  most seeds infer from {onset} on")
    if any(one.exponent is not None for one in sweep.cells):
        lines.append("  excess over the known source after k examples: e + a · (1 + k/k₀)^−c")
        rows = list_cells(sweep.cells)
        shown = rows[-_CELLS_SHOWN:]
        lines += [f"    {line}" for line in align_columns([CELL_COLUMNS, *shown])]
        if len(rows) > len(shown):
            lines.append(f"    {len(rows) - len(shown)} smaller ones: use --json")
        lines += [f"  {say_trend(one)}" for one in sweep.trends]
    return "\n".join(lines)

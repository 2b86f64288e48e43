"""The answer of `scaling transfer`, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, clean_text
from scaling.words.transfer import (
    CELL_COLUMNS,
    list_cells,
    list_notes,
    say_change,
    say_compute,
    say_law,
    say_plane,
    say_verdict,
)

if TYPE_CHECKING:
    from scaling.fitting.transfer.judging import Transfer


def format_transfer(found: Transfer) -> str:
    """Format the verdict, the cells, the law, the sign changes and the losses at equal compute."""
    noise = "unknown" if found.noise is None else f"{100.0 * found.noise:.2g} % of the loss"
    scratch, tuned = found.names
    lines = [
        f"{tuned} against {scratch}: {len(found.cells)} cells, seed noise {noise}",
        f"  {say_verdict(found)}",
        *(f"    {line}" for line in align_columns([CELL_COLUMNS, *list_cells(found)])),
        f"  {say_law(found)}",
        *(f"  {line}" for line in map(say_change, found.changes)),
        *(f"  {line}" for line in filter(None, [say_plane(found)])),
        f"  {say_compute(found)}",
        *(f"  note: {line}" for line in list_notes(found)),
    ]
    return clean_text("\n".join(lines))

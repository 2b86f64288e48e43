"""The one legend of the page's colours: every figure takes a run's colour from its budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.report.canvas import name_variable
from scaling.report.measured import MeasuredRuns
from scaling.units import format_flops

_MOST = 12  # swatches that are distinguishable and fit on two lines
_STOPS = 5  # stops of a continuous scale


@dataclass(frozen=True, slots=True)
class Legend:
    """What the colours mean.

    Attributes:
        title: Quantity and unit.
        swatches: (CSS variable of the colour, value), ascending.
        note: On colours that are none of these; empty: there are no others.
    """

    title: str
    swatches: tuple[tuple[str, str], ...]
    note: str


def make_legend(data: MeasuredRuns) -> Legend | None:
    """Of the fitted runs: their budgets, some of many, or a scale of C where none are declared;
    None without runs."""
    if len(data) == 0:
        return None
    if not data.budgets:
        ends = float(data.flops.min()), float(data.flops.max())
        places = np.linspace(0.0, 1.0, _STOPS if ends[1] > ends[0] else 1).tolist()
        values = [ends[0] * (ends[1] / ends[0]) ** place for place in places]
        scale = [(name_variable(p), format_flops(c)) for p, c in zip(places, values, strict=True)]
        return Legend("training compute C [FLOP]", tuple(scale), "")
    count = len(data.budgets)
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int)).tolist()
    swatches = tuple(
        (name_variable(at / max(1, count - 1)), format_flops(data.budgets[at])) for at in shown
    )
    some = "" if count <= _MOST else f"{len(shown)} of {count} budgets. "
    grey = "Grey: runs whose budget no others share." if bool((data.rank < 0).any()) else ""
    return Legend("training budget C [FLOP]", swatches, (some + grey).strip())

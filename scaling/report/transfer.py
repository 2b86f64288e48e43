"""The page's section "Transfer": sentences, figure and tables for each start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from scaling.report.axes import (
    draw_markers,
    label_ends,
    leave_room,
    set_linear_axis,
    set_log_axis,
    span_of,
)
from scaling.report.canvas import MUTED, choose_color
from scaling.report.gallery import Picture, compose_picture
from scaling.units import format_count
from scaling.units.losses import LossScale
from scaling.words.transfer import (
    CELL_COLUMNS,
    COMPUTE_COLUMNS,
    list_cells,
    list_compute,
    list_sentences,
    say_verdict,
)

if TYPE_CHECKING:
    from scaling.fitting.transfer.effective import TransferCell
    from scaling.fitting.transfer.judging import Transfer

_DATA_LABEL = "target text D_F [tokens]"
_PAD = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSection:
    """The content of the section for one arm."""

    name: str
    verdict: str
    sentences: tuple[str, ...]
    picture: Picture
    cell_heads: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    compute_heads: tuple[str, ...]
    compute: Sequence[tuple[str, ...]]


def show_transfer(every: Sequence[Transfer], scale: LossScale) -> list[TransferSection]:
    """Describe each fine-tuned arm against the arm from scratch."""
    return [
        TransferSection(
            name=one.names[1],
            verdict=say_verdict(one),
            sentences=tuple(list_sentences(one)),
            picture=_picture_transfer(one, scale, f"transfer-{at}"),
            cell_heads=CELL_COLUMNS,
            cells=list_cells(one),
            compute_heads=COMPUTE_COLUMNS,
            compute=list_compute(one),
        )
        for at, one in enumerate(every)
    ]


def _picture_transfer(found: Transfer, scale: LossScale, key: str) -> Picture:
    return compose_picture(
        key,
        [partial(draw_losses, found, scale), partial(draw_worth, found)],
        alt=f"Loss against target text, from scratch and from {found.names[1]}, and the text that "
        f"from scratch would need as a multiple of it. {say_verdict(found)}",
        caption="Left: held-out loss against the amount of target text D_F, by N; dashed: from "
        "scratch, solid: from trained weights. Right: the text needed from scratch for the same "
        "loss, as a multiple (D_F + D_T)/D_F of the text available, with "
        f"{100.0 * found.level:g} % intervals. Triangles are bounds; below 1, pre-training hurts.",
        height=380,
    )


def draw_losses(found: Transfer, scale: LossScale, ax: Axes) -> None:
    """Draw the loss of both arms against D_F, one colour per N."""
    _set_data(found, ax, letters=6)
    ends, values = [], []
    for params, color, cells in _list_rows(found):
        row = [one for one in found.scratch if one.params == params]
        own = np.array([scale.to(one.loss) for one in row], dtype=np.float64)
        x = np.array([one.data for one in row])
        ax.plot(x, own, color=color, linewidth=1.4, linestyle=(0, (5, 2)), zorder=2)
        draw_markers(ax, x, own, [color] * len(row), size=20.0)
        at = np.array([one.data for one in cells])
        tuned = np.array([scale.to(one.tuned.loss) for one in cells], dtype=np.float64)
        ax.plot(at, tuned, color=color, linewidth=1.8, zorder=3)
        draw_markers(ax, at, tuned, [color] * len(cells), size=36.0)
        ends.append((float(at[-1]), float(tuned[-1]), format_count(params)))
        values += [*own.tolist(), *tuned.tolist()]
    pad = _PAD * (max(values) - min(values) or 1.0)
    set_linear_axis(ax, "y", min(values) - pad, max(values) + pad)
    ax.set_ylabel(f"loss [{scale.label}]")
    label_ends(ax, ends)


def draw_worth(found: Transfer, ax: Axes) -> None:
    """Draw (D_F + D_T)/D_F against D_F with intervals; the line joins cells without a bound."""
    worth = [one.effective / one.data for one in found.cells]
    low, high = span_of(np.array([*worth, 1.0]), margin=0.12)
    _set_data(found, ax, letters=6)
    set_log_axis(ax, "y", low, high, words=lambda value: f"{value:g}")
    ax.axhline(1.0, color=MUTED, linewidth=1.0, zorder=1)
    ends = []
    for params, color, cells in _list_rows(found):
        x = np.array([one.data for one in cells])
        y = np.array([one.effective / one.data for one in cells])
        known = [not one.censored for one in cells]  # a line through bounds would show no trend
        ax.plot(x[known], y[known], color=color, linewidth=1.2, zorder=2)
        for one, at in zip(cells, y.tolist(), strict=True):
            _draw_cell(one, at, color, (low, high), ax)
        valued = [at for at, one in enumerate(cells) if not one.censored] or [len(cells) - 1]
        ends.append((float(x[valued[-1]]), float(y[valued[-1]]), format_count(params)))
    ax.set_ylabel("text needed from scratch / D_F")
    label_ends(ax, ends)


def _draw_cell(
    one: TransferCell, at: float, color: str, span: tuple[float, float], ax: Axes
) -> None:
    marker = {"above": "^", "below": "v"}.get(one.censored, "o")
    draw_markers(ax, one.data, at, [color], marker=marker, size=36.0)
    ends = one.transferred_interval
    if ends is not None:
        low, high = ((one.data + end) / one.data for end in (ends.low, ends.high))
        shown = np.clip([low, high if math.isfinite(high) else span[1]], *span)
        ax.plot([one.data] * 2, shown, color=color, linewidth=1.0, zorder=3)


def _list_rows(found: Transfer) -> list[tuple[float, str, list[TransferCell]]]:
    """List (N, colour, cells), ascending in N."""
    every = sorted({one.params for one in found.cells})
    return [
        (params, choose_color(at / max(1, len(every) - 1)),
         [one for one in found.cells if one.params == params])
        for at, params in enumerate(every)
    ]  # fmt: skip


def _set_data(found: Transfer, ax: Axes, *, letters: int) -> None:
    amounts = [*(one.data for one in found.cells), *(one.data for one in found.scratch)]
    low, high = span_of(np.array(amounts), margin=0.06)
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=letters))
    ax.set_xlabel(_DATA_LABEL)

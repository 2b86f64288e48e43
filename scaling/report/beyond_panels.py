"""Panels of a quantity measured beside the loss, against N, D, C or the loss: `draw_by_x(…, ax)`.

Colour shows the family if a sweep has several, else N. Against N, lines join runs of equal budget,
or of equal D if none is declared, the largest heavy; against D and C, runs of one N. Seeds of one
(N, D) are drawn as their mean, controls dashed (hollow against the loss), the score of guessing
dotted, and in red what the smaller runs forecast for the largest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from scaling.report.axes import (
    draw_markers,
    format_power,
    label_ends,
    leave_room,
    set_linear_axis,
    set_log_axis,
    span_of,
)
from scaling.report.beyond import Beyond, ProbedRun, ProbedSweep, average_seeds
from scaling.report.canvas import ACCENT, MUTED, SURFACE, choose_color
from scaling.report.figures import PARAMS_LABEL, TOKENS_LABEL
from scaling.units import FloatArray, format_count
from scaling.units.losses import LossScale

# A run's (value, standard error); None if it has no value.
Read = Callable[[ProbedRun], tuple[float, float | None] | None]
Against = Literal["params", "tokens", "flops", "loss"]

HEAVY, THIN = 1.8, 0.8
DASHES: tuple[object, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
LETTERS = 11
_HOLLOW = ("o", "s", "^", "D")  # markers against the loss: the probe, then its controls
_DECADES = 2.0  # positive values that span more get a logarithmic axis
_SAME = 1.02  # values of an axis within this factor do not vary
_LABELS = {"params": PARAMS_LABEL, "tokens": TOKENS_LABEL, "flops": "compute C [FLOP]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a panel shows on its y axis.

    Attributes:
        label: Label of the axis.
        reads: The probe's value of a run, then those of its controls.
        name: The probe; empty for the loss.
        chance: Score of guessing; None if unknown.
    """

    label: str
    reads: Sequence[Read]
    name: str = ""
    chance: float | None = None


def list_panels(beyond: Beyond) -> list[Against]:
    """What cells vary in: N, D, the loss, and C if N and D both vary; N if nothing varies."""
    runs = [run for sweep in beyond.sweeps for run in average_seeds(sweep.runs)]
    spans = {
        name: max(getattr(one, name) for one in runs) / min(getattr(one, name) for one in runs)
        for name in ("params", "tokens")
    }
    shown: list[Against] = [name for name in ("params", "tokens") if spans[name] > _SAME]
    if len(shown) > 1:
        shown.append("flops")
    if len({one.loss for one in runs}) > 1:
        shown.append("loss")
    return shown or ["params"]


def draw_by_amount(beyond: Beyond, shown: Quantity, against: Against, ax: Axes) -> None:
    """Draw a quantity against N, a line for each D, or against D or C, a line for each N; dashed
    for each control."""
    several, by_size = len(beyond.sweeps) > 1, against == "params"
    _set_axes(beyond, shown, against, ax)
    ends: list[tuple[float, float, str]] = []
    for at, sweep in enumerate(beyond.sweeps):
        rows = sweep.list_series() if by_size else _list_sizes(sweep)
        for row in rows:
            last = row is rows[-1]
            colors = [_color_run(beyond, at, one) for one in row]
            line = MUTED if by_size and not several else colors[0]
            end = _draw_line(shown, against, row, line, colors, last, ax)
            if end is not None and (last or not several):
                own = _name_series(sweep, row) if by_size else format_count(row[0].params)
                ends.append((*end, sweep.name if several else own))
    _draw_forecasts(beyond, shown, against, ax)
    label_ends(ax, ends, thin=not several)


def _list_sizes(sweep: ProbedSweep) -> list[list[ProbedRun]]:
    """The runs of each N, with the mean of seeds, by D."""
    runs = sorted(average_seeds(sweep.runs), key=lambda one: (one.params, one.tokens))
    return [list(row) for _, row in itertools.groupby(runs, key=lambda one: one.params)]


def draw_by_loss(beyond: Beyond, shown: Quantity, scale: LossScale, ax: Axes) -> None:
    """Draw a quantity against the loss: a dot for each (N, D), hollow for each control."""
    runs = [(at, run) for at, one in enumerate(beyond.sweeps) for run in average_seeds(one.runs)]
    losses = [float(scale.to(run.loss)) for _, run in runs]
    pad = 0.06 * (max(losses) - min(losses))
    set_linear_axis(ax, "x", min(losses) - pad, max(losses) + pad)
    _set_values(beyond, shown, ax)
    for read, marker in zip(shown.reads, _HOLLOW, strict=False):
        points = [
            (loss, told[0], _color_run(beyond, at, run))
            for (at, run), loss in zip(runs, losses, strict=True)
            if (told := read(run)) is not None
        ]
        if not points:
            continue
        x, y, colors = zip(*points, strict=True)
        if read is shown.reads[0]:
            draw_markers(ax, x, y, colors, size=28)
        else:
            ax.scatter(x, y, s=20, c=SURFACE, marker=marker, edgecolors=list(colors), zorder=3)
    ax.set_xlabel(f"held-out loss [{scale.label}]")
    ax.set_ylabel(shown.label)


def _draw_line(
    shown: Quantity, against: Against, row: Sequence[ProbedRun], line: str, colors: Sequence[str],
    heavy: bool, ax: Axes,
) -> tuple[float, float] | None:  # fmt: skip
    """Draw a line through runs for each read; returns where the first one ends."""
    end = None
    for read, dashes in zip(shown.reads, DASHES, strict=False):
        points = [
            (getattr(one, against), *told, color)
            for one, color in zip(row, colors, strict=True)
            if (told := read(one)) is not None
        ]
        if not points:
            continue
        x, y, errors, own = zip(*points, strict=True)
        width = HEAVY if heavy else THIN
        ax.plot(x, y, color=line, linewidth=width, linestyle=dashes, zorder=2)
        if dashes != "-":
            continue
        draw_markers(ax, x, y, own, size=20 * width)
        end = x[-1], y[-1]
        if heavy:
            spread = [error or 0.0 for error in errors]
            ax.errorbar(x, y, spread, fmt="none", ecolor=line, elinewidth=1.0)
    return end


def _draw_forecasts(beyond: Beyond, shown: Quantity, against: Against, ax: Axes) -> None:
    for at, value, low, high in list_forecasts(beyond, shown.name, against):
        ax.plot([at, at], [low, high], color=ACCENT, linewidth=1.8, zorder=6)
        draw_markers(ax, at, value, [ACCENT], marker="D", size=34, zorder=7)


def list_forecasts(
    beyond: Beyond, name: str, against: Against = "params"
) -> Iterator[tuple[float, float, float, float]]:
    """(place, forecast, ends of its interval) of the most expensive run held out of each sweep."""
    for sweep in beyond.sweeps:
        law = sweep.laws.get(name)
        if law is None or law.forecast is None:
            continue
        cell = law.forecast.cells[-1]
        same = [one for one in sweep.runs if (one.params, one.tokens) == (cell.params, cell.tokens)]
        for one in same[:1]:
            yield getattr(one, against), cell.forecast, cell.interval.low, cell.interval.high


def _set_axes(beyond: Beyond, shown: Quantity, against: Against, ax: Axes) -> None:
    runs = [run for sweep in beyond.sweeps for run in sweep.runs]
    low, high = span_of(np.array([getattr(one, against) for one in runs]), margin=0.06)
    several = len(beyond.sweeps) > 1
    room = leave_room(ax, low, high, letters=LETTERS if several else 5)
    words = format_power if against == "flops" else format_count
    set_log_axis(ax, "x", low, room, words=words)
    _set_values(beyond, shown, ax)
    ax.set_xlabel(_LABELS[against])
    ax.set_ylabel(shown.label)


def _set_values(beyond: Beyond, shown: Quantity, ax: Axes) -> None:
    """The y axis, the same in every panel, and the line of guessing."""
    runs = [run for sweep in beyond.sweeps for run in average_seeds(sweep.runs)]
    found = [told for read in shown.reads for run in runs if (told := read(run)) is not None]
    reach = [value + sign * (error or 0.0) for value, error in found for sign in (-1, 1)]
    values = [value for value, _ in found]
    for _, value, low, high in list_forecasts(beyond, shown.name):
        reach += [low, high]
        values += [value]
    if shown.chance is not None:
        reach.append(shown.chance)
        ax.axhline(shown.chance, color=MUTED, linewidth=1.0, linestyle=":", zorder=1)
    set_value_axis(ax, np.array(values), reach=np.array(reach))


def _name_series(sweep: ProbedSweep, row: Sequence[ProbedRun]) -> str:
    """The D of a line, or the C of one that is a budget; empty for the only line."""
    if len({one.series for one in sweep.runs}) < 2:
        return ""
    same = all(one.tokens == row[0].tokens for one in row)
    return format_count(row[0].tokens) if same else format_power(row[0].series)


def _color_run(beyond: Beyond, at: int, run: ProbedRun) -> str:
    """The colour of a run: of its family if there are several, else of its N."""
    if len(beyond.sweeps) > 1:
        return _color_of(at, len(beyond.sweeps))
    sizes = sorted({one.params for one in beyond.sweeps[0].runs})
    return _color_of(sizes.index(run.params), len(sizes))


def _color_of(at: int, count: int) -> str:
    return choose_color(at / max(1, count - 1))


def set_value_axis(
    ax: Axes, values: FloatArray, *, reach: FloatArray | None = None, log: bool = False
) -> None:
    """Set an axis of values, logarithmic if they span decades, else with all error bars inside."""
    low, high = float(values.min()), float(values.max())
    if log or (low > 0 and high > low * 10**_DECADES):
        words = format_power if high > 1e4 * low else _write
        set_log_axis(ax, "y", *span_of(values, margin=0.06), words=words)
        return
    if reach is not None:
        low, high = float(reach.min()), float(reach.max())
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
    set_linear_axis(ax, "y", low - pad, high + pad)


def _write(value: float) -> str:
    return f"{value:g}"

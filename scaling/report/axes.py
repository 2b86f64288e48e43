"""Axes as every figure wants them: logarithmic ticks in words, labels that keep their distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from scaling.report.canvas import INK, MUTED, SURFACE
from scaling.units import FloatArray, format_count, format_flops

Format = Callable[[float], str]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NARROW = 400.0  # [CSS pixels] of one axes: below it every second tick goes


def format_power(value: float) -> str:
    """A budget for an axis: 1e12 -> '10¹²', 5e11 -> '5·10¹¹'."""
    mantissa, _, exponent = format_flops(value).partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def set_log_axis(
    ax: Axes, which: str, low: float, high: float, *, words: Format = format_count
) -> None:
    """A logarithmic x or y axis from low to high with a handful of round ticks."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    set_scale, set_limits = (
        (ax.set_xscale, ax.set_xlim) if which == "x" else (ax.set_yscale, ax.set_ylim)
    )
    set_scale("log")
    set_limits(low, high)
    most = 9 if which == "y" or _width_of(ax) > _NARROW else 5
    if words is format_power and which == "x":
        most = max(3, most - 2)
    axis.set_major_locator(FixedLocator(choose_log_ticks(low, high, most=most)))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def set_linear_axis(ax: Axes, which: str, low: float, high: float) -> None:
    """A linear axis with at most seven ticks."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xlim if which == "x" else ax.set_ylim)(low, high)
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def choose_log_ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round values inside [low, high]: 1-2-5, 1-3, decades, or every k-th decade, as many fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1)
    choices = [
        [m * 10.0**k for k in decades for m in steps]
        for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
    ]
    choices += [[10.0**k for k in decades[::stride]] for stride in range(2, len(decades) + 1)]
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    fitting = [ticks for ticks in inside if len(ticks) <= most]
    return next((ticks for ticks in fitting if len(ticks) >= 2), fitting[0] if fitting else [])


def span_of(values: FloatArray, *, margin: float) -> tuple[float, float]:
    """(low, high) of positive values with a margin, as a share of their logarithmic range."""
    logs = np.log(values[np.isfinite(values) & (values > 0)])
    pad = max(margin * float(np.ptp(logs)), 0.05)
    return float(np.exp(logs.min() - pad)), float(np.exp(logs.max() + pad))


def label_ends(
    ax: Axes, ends: Sequence[tuple[float, float, str]], *, size: float | None = None
) -> None:
    """Write each label right of its line's end (x, y, text), spread so that none overlaps.

    Labels that cannot find room are left out; the ends of the list are kept first.
    """
    if not ends:
        return
    points = size or _font_of(ax)
    scale = ax.get_window_extent().height
    step = 1.15 * points * (ax.figure.dpi if ax.figure else 72.0) / 72.0
    room = max(1, int(scale / step))
    chosen = _thin(list(ends), room)
    at = np.array([ax.transData.transform((x, y))[1] for x, y, _ in chosen])
    placed = spread(at, step)
    for (x, y, text), wanted, where in zip(chosen, at, placed, strict=True):
        shift = (where - wanted) / (ax.figure.dpi if ax.figure else 72.0) * 72.0
        ax.annotate(
            text,
            (x, y),
            xytext=(6, shift),
            textcoords="offset points",
            va="center",
            color=MUTED,
            fontsize=points,
            annotation_clip=False,
            parse_math=False,
        )


def spread(wanted: FloatArray, step: float) -> FloatArray:
    """Positions nearest to `wanted`, in the same order, at least `step` apart."""
    order = np.argsort(wanted, kind="stable")
    groups: list[list[float]] = []  # (sum of wanted minus offsets, members): pool what collides
    for value in wanted[order]:
        groups.append([float(value), 1.0])
        while len(groups) > 1 and _start(groups[-1], step) < _end(groups[-2], step) + step:
            last = groups.pop()
            before = groups[-1]
            before[0] = (before[0] * before[1] + last[0] * last[1]) / (before[1] + last[1])
            before[1] += last[1]
    flat = [_start(group, step) + step * k for group in groups for k in range(int(group[1]))]
    placed = np.empty_like(wanted)
    placed[order] = flat
    return placed


def note(ax: Axes, x: float, y: float, text: str, *, ha: str = "left", va: str = "top") -> None:
    """A remark inside the axes, in axes fractions."""
    ax.text(x, y, text, transform=ax.transAxes, ha=ha, va=va, color=MUTED, parse_math=False)


def halo() -> dict[str, object]:
    """Marker edge that keeps overlapping dots apart."""
    return {"edgecolors": SURFACE, "linewidths": 0.8}


def mark_zero(ax: Axes) -> None:
    """The line of no error."""
    ax.axhline(0.0, color=INK, linewidth=1.0, zorder=1)


def _thin(ends: list[tuple[float, float, str]], room: int) -> list[tuple[float, float, str]]:
    if len(ends) <= room:
        return ends
    keep = np.unique(np.linspace(0, len(ends) - 1, max(2, room)).round().astype(int))
    return [ends[index] for index in keep]


def _start(group: list[float], step: float) -> float:
    return group[0] - step * (group[1] - 1.0) / 2.0


def _end(group: list[float], step: float) -> float:
    return group[0] + step * (group[1] - 1.0) / 2.0


def _width_of(ax: Axes) -> float:
    return float(ax.get_window_extent().width) * 72.0 / (ax.figure.dpi if ax.figure else 72.0)


def _font_of(ax: Axes) -> float:
    return float(ax.xaxis.label.get_fontsize())

"""Axes shared by all figures: logarithmic ticks in words, labels that do not overlap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from scaling.report.canvas import INK, MUTED, PLAIN, SURFACE
from scaling.units import FloatArray, format_count, format_flops

Format = Callable[[float], str]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_TICKS = 9


def format_power(value: float) -> str:
    """A budget for an axis: 1e12 -> '10¹²', 5e11 -> '5·10¹¹'."""
    mantissa, _, exponent = format_flops(value).partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def set_log_axis(
    ax: Axes, which: str, low: float, high: float, *, words: Format = format_count
) -> None:
    """Set a logarithmic x or y axis from low to high with a few round ticks."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    set_scale, set_limits = (
        (ax.set_xscale, ax.set_xlim) if which == "x" else (ax.set_yscale, ax.set_ylim)
    )
    set_scale("log")
    set_limits(low, high)
    font, box = _font_of(ax), ax.get_window_extent()
    longest = max(len(words(end)) for end in (low, high))
    needed = (0.62 * longest + 0.8) * font / box.width if which == "x" else 2 * font / box.height
    ticks = choose_log_ticks(low, high, apart=needed * math.log10(high / low))
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def set_linear_axis(ax: Axes, which: str, low: float, high: float) -> None:
    """Set a linear axis with at most seven ticks."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xlim if which == "x" else ax.set_ylim)(low, high)
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def choose_log_ticks(low: float, high: float, *, apart: float) -> list[float]:
    """As many round values in [low, high] as can be `apart` decades from each other: 1-2-3-5,
    1-2-5, 1-3, decades, or every k-th decade."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1)
    choices = [
        [m * 10.0**k for k in decades for m in steps]
        for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
    ]
    choices += [
        [10.0**k for k in decades[offset::stride]]
        for stride in range(2, len(decades) + 1)
        for offset in range(stride)
    ]
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    fitting = [
        ticks
        for ticks in inside
        if len(ticks) <= _MOST_TICKS
        and all(math.log10(b / a) >= apart for a, b in itertools.pairwise(ticks))
    ]
    return max(fitting, key=len, default=[])


def span_of(values: FloatArray, *, margin: float) -> tuple[float, float]:
    """(low, high) of positive values with a margin, as a share of their logarithmic range."""
    logs = np.log(values[np.isfinite(values) & (values > 0)])
    pad = max(margin * float(np.ptp(logs)), 0.05)
    return float(np.exp(logs.min() - pad)), float(np.exp(logs.max() + pad))


def leave_room(ax: Axes, low: float, high: float, *, letters: int = 7) -> float:
    """Right end of a logarithmic x axis that holds [low, high] and a label after it."""
    width = float(ax.get_window_extent().width)
    share = min(0.5, ((0.62 * letters + 0.9) * _font_of(ax)) / width)
    return float(high * (high / low) ** (share / (1.0 - share)))


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str]], *, thin: bool = False) -> None:
    """Write each label right of its line's end (x, y, text), without overlaps.

    Labels that collide are moved apart; with `thin`, for lines close together, inner ones are left
    out instead.
    """
    if not ends:
        return
    step = 1.2 * _font_of(ax)  # points equal pixels, because canvas.py draws at 72 dpi
    wanted = np.array([ax.transData.transform((x, y))[1] for x, y, _ in ends])
    kept = keep_apart(wanted, step) if thin else list(range(len(ends)))
    box = ax.get_window_extent()
    placed = spread(wanted[kept], step)
    placed -= max(0.0, float(placed.max()) - box.y1)
    placed += max(0.0, box.y0 + step / 2 - float(placed.min()))
    for index, where in zip(kept, placed, strict=True):
        x, y, text = ends[index]
        ax.annotate(
            text,
            (x, y),
            xytext=(6, where - wanted[index]),
            textcoords="offset points",
            va="center",
            color=MUTED,
            annotation_clip=False,
            zorder=9,
            bbox={"facecolor": SURFACE, "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )


def keep_apart(wanted: FloatArray, step: float) -> list[int]:
    """Indices of positions at least `step` apart, including the lowest and the highest."""
    order = np.argsort(wanted, kind="stable").tolist()
    kept = [order[0]]
    for index in order[1:-1]:
        top = wanted[order[-1]]
        if wanted[index] - wanted[kept[-1]] >= step and top - wanted[index] >= step:
            kept.append(index)
    if len(order) > 1:
        kept.append(order[-1])
    return sorted(kept)


def spread(wanted: FloatArray, step: float) -> FloatArray:
    """Positions nearest to `wanted`, in the same order, at least `step` apart."""
    order = np.argsort(wanted, kind="stable")
    # (sum of wanted minus offsets, count) of each group of labels that collide.
    groups: list[list[float]] = []
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
    """Write a remark inside the axes, placed in axes fractions."""
    ax.text(x, y, text, transform=ax.transAxes, ha=ha, va=va, color=MUTED, gid=PLAIN)


def draw_markers(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    colors: Sequence[str],
    *,
    marker: str = "o",
    size: float = 44.0,
    zorder: int = 4,
) -> None:
    """Draw filled markers, each with an edge that separates it from those it overlaps."""
    ax.scatter(
        x,
        y,
        s=size,
        c=list(colors),
        marker=marker,
        edgecolors=SURFACE,
        linewidths=0.8,
        zorder=zorder,
    )


def mark_zero(ax: Axes) -> None:
    """Draw the line of no error."""
    ax.axhline(0.0, color=INK, linewidth=1.0, zorder=1)


def _start(group: list[float], step: float) -> float:
    return group[0] - step * (group[1] - 1.0) / 2.0


def _end(group: list[float], step: float) -> float:
    return group[0] + step * (group[1] - 1.0) / 2.0


def _font_of(ax: Axes) -> float:
    return float(ax.xaxis.label.get_fontsize())

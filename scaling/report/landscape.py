"""Two figures of the whole plane: the loss surface L(N, D), and D*/N* against budget.

The surface is drawn as lines of equal loss, found exactly: D(N) = law.tokens_for_loss(N, loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from scaling.allocation import Allocation
from scaling.fitting.fitted import Fit
from scaling.laws.registry import read_law
from scaling.report.axes import (
    draw_markers,
    format_power,
    label_ends,
    leave_room,
    set_log_axis,
    span_of,
)
from scaling.report.canvas import ACCENT, INK, MUTED, choose_color
from scaling.report.figures import (
    DOT,
    PARAMS_LABEL,
    TOKENS_LABEL,
    draw_dots,
    draw_line,
    draw_minima,
    shade_data,
)
from scaling.report.measured import FrontierLines, MeasuredRuns
from scaling.units import FloatArray

# Hoffmann et al. 2022, arXiv:2203.15556: about 20 tokens per parameter at 5.76e23 FLOPs.
CHINCHILLA_RATIO = 20.0

_LEVELS = 9  # approximate number of lines of equal loss
_SIZES = 60  # points of each line
_LEAST_LABELLED = 9  # points, about a label's width


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Lines in the plane of N and D, cut to the window around the runs.

    Attributes:
        params, tokens: The window's (low, high).
        levels: (loss as it is drawn, N, D) of each line of equal loss.
        budgets: (C [FLOP], N, D) of each line of equal compute.
        best: N*, D* of the frontier.
    """

    params: tuple[float, float]
    tokens: tuple[float, float]
    levels: tuple[tuple[float, FloatArray, FloatArray], ...]
    budgets: tuple[tuple[float, FloatArray, FloatArray], ...]
    best: tuple[FloatArray, FloatArray]


def trace_surface(data: MeasuredRuns, fit: Fit, lines: FrontierLines | None) -> Surface | None:
    """The law's lines of equal loss where the runs are; None without a law or runs."""
    law = fit.answering.law
    if law is None or len(data) == 0:
        return None
    family, letters = read_law(law.family, law.params)
    params, tokens = span_of(data.params, margin=0.08), span_of(data.tokens, margin=0.08)
    sizes = np.geomspace(*params, _SIZES)
    corners = family.loss(letters, np.array([*params, *params]), np.repeat(tokens, 2))
    levels = []
    written = data.scale.to(corners)
    for loss in _choose_levels(float(written.min()), float(written.max())):
        with np.errstate(all="ignore"):  # some sizes never reach the loss
            wanted = np.asarray(data.scale.from_(loss))
            needed = family.tokens_for_loss(letters, sizes, wanted)
        inside = np.isfinite(needed) & (needed >= tokens[0]) & (needed <= tokens[1])
        if inside.sum() > 1:
            levels.append((loss, sizes[inside], needed[inside]))
    budgets = []
    for flops in data.budgets:
        spent = flops / fit.cost.flops_per_token(sizes)
        inside = (spent >= tokens[0]) & (spent <= tokens[1])
        budgets.append((flops, sizes[inside], spent[inside]))
    best = (np.empty(0), np.empty(0))
    if lines is not None:
        n, d = lines.best["params"], lines.best["tokens"]
        inside = (n >= params[0]) & (n <= params[1]) & (d >= tokens[0]) & (d <= tokens[1])
        best = n[inside], d[inside]
    return Surface(
        params=params, tokens=tokens, levels=tuple(levels), budgets=tuple(budgets), best=best
    )


def _choose_levels(low: float, high: float) -> list[float]:
    """Round losses between low and high, some _LEVELS of them."""
    rough = (high - low) / _LEVELS
    if not rough > 0:
        return []
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough)
    first = int(np.ceil(low / step))
    return [float(f"{step * k:.6g}") for k in range(first, int(high / step) + 1)]


def draw_surface(data: MeasuredRuns, surface: Surface, ax: Axes) -> None:
    """Lines of equal loss (labelled), of equal compute (dashed), the runs, and the best of each."""
    set_log_axis(ax, "x", *surface.params)
    set_log_axis(ax, "y", *surface.tokens)
    for flops, params, tokens in surface.budgets:
        color = choose_color(data.find_position(flops))
        ax.plot(params, tokens, color=color, linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    for loss, params, tokens in surface.levels:
        ax.plot(params, tokens, color=MUTED, linewidth=1.2, zorder=1)
        if (label := label_level(data, surface, loss)) is None:
            continue
        middle = len(params) // 2
        ax.annotate(
            label,
            (params[middle], tokens[middle]),
            ha="center",
            va="center",
            color=MUTED,
            zorder=3,
        )
    if surface.best[0].size > 1:
        ax.plot(*surface.best, color=INK, linewidth=2.2, zorder=3)
    draw_dots(ax, data, data.params, data.tokens)
    ax.set_xlabel(PARAMS_LABEL)
    ax.set_ylabel(TOKENS_LABEL)


def label_level(data: MeasuredRuns, surface: Surface, loss: float) -> str | None:
    """A line's number, of the middle line with its unit; None of a line in a corner, where it would
    stand on the axis."""
    long = [one for one, params, _ in surface.levels if len(params) >= _LEAST_LABELLED]
    if loss not in long:
        return None
    return f"{loss:g} {data.scale.label}" if loss == long[len(long) // 2] else f"{loss:g}"


def draw_ratio(
    data: MeasuredRuns,
    fit: Fit,
    ax: Axes,
    *,
    lines: FrontierLines,
    allocations: Sequence[Allocation],
) -> None:
    """D*/N* against C, with its band, the answers, and Chinchilla's 20 as a reference."""
    flops, band = lines.flops, None
    if lines.band is not None:
        # At one budget D falls as N rises, so D's low end belongs to N's high end.
        params, tokens = lines.band["params"], lines.band["tokens"]
        band = tokens[0] / params[1], tokens[1] / params[0]
    reference = np.full(2, CHINCHILLA_RATIO)
    ax.plot(flops[[0, -1]], reference, color=ACCENT, linewidth=1.4, linestyle=(0, (6, 3)), zorder=2)
    shown = draw_line(ax, lines, lines.best["tokens"] / lines.best["params"], band)
    shown += [reference, draw_minima(ax, data, fit, lambda optima: optima[:, 2] / optima[:, 1])]
    if allocations:
        at = np.array([one.flops for one in allocations])
        values = np.array([one.tokens_per_param for one in allocations])
        draw_markers(ax, at, values, [ACCENT] * len(at), size=64, zorder=7)
        shown.append(values)
    left = flops[0] / DOT
    right = leave_room(ax, left, flops[-1], letters=14)
    set_log_axis(ax, "x", left, right, words=format_power)
    set_log_axis(ax, "y", *span_of(np.concatenate(shown), margin=0.08))
    shade_data(ax, lines)
    label_ends(ax, [(float(flops[-1]), CHINCHILLA_RATIO, "Chinchilla: 20")])
    ax.set_ylabel("tokens per parameter D*/N*")

"""The report's figures: `draw_x(data, fit, ax)`.

Dots are measured, lines fitted, dashes extrapolated, bands intervals at the fit's level. Colour
shows the budget (viridis, ascending; without budgets, C). N, D and C are logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from scaling.allocation import Allocation
from scaling.fitting.fitted import Fit
from scaling.fitting.isoflop import Curve
from scaling.ledger.forecasts import ForecastOutcome
from scaling.report.axes import (
    draw_markers,
    format_power,
    label_ends,
    leave_room,
    mark_zero,
    note,
    set_linear_axis,
    set_log_axis,
    span_of,
)
from scaling.report.canvas import ACCENT, INK, MUTED, SHADE, choose_color
from scaling.report.measured import FrontierLines, MeasuredRuns, evaluate_law, trace_curve
from scaling.units import FloatArray, format_count

TrainingCurve = Sequence[tuple[float, float]]

PARAMS_LABEL = "model size N [parameters]"
TOKENS_LABEL = "data D [tokens]"
FLOPS_LABEL = "budget C [FLOP]"

_NO_ROOM = 0.2  # share of an axis, at its end, where a label beside a point would leave the figure
DOT = 1.2  # margin as a factor of C: half a dot
_MOST_LINES = 30  # lines of the law; more would merge
_CURVE_BINS = 45  # points of a training curve: finer than a figure shows


def draw_isoflop(data: MeasuredRuns, fit: Fit, ax: Axes) -> None:
    """Draw loss against N, a parabola per budget, with its minimum marked accepted or rejected."""
    low, high = span_of(data.params, margin=0.06)
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=12))
    loss = data.scale.to(data.loss)
    _set_loss_axis(ax, loss)
    ends = []
    for curve in data.curves:
        color = choose_color(data.position[curve.rows[0]])
        x_end, y_end = _draw_parabola(ax, data, curve, color)
        ends.append((x_end, y_end, f"{format_power(curve.budget.flops)} FLOP"))
    draw_dots(ax, data, data.params, loss)
    ax.set_xlabel(PARAMS_LABEL)
    ax.set_ylabel(label_loss(data))
    label_ends(ax, ends)


def label_loss(data: MeasuredRuns) -> str:
    """The label of the axis of losses."""
    return f"loss L [{data.scale.label}]"


def _draw_parabola(ax: Axes, data: MeasuredRuns, curve: Curve, color: str) -> tuple[float, float]:
    """Draw one budget's curve; returns its right end."""
    params, loss, lowest = trace_curve(data, curve, 80)
    style = ":" if curve.rejection else "-"
    width = 1.2 if lowest is None else 1.8
    ax.plot(params, loss, color=color, linewidth=width, linestyle=style)
    if lowest is not None:
        left, right = ax.get_xlim()
        if not curve.rejection:
            draw_markers(ax, *lowest, [color], marker="D", size=90, zorder=6)
        elif left < lowest[0] < right:
            ax.scatter(*lowest, s=70, marker="x", color=ACCENT, linewidths=2.0, zorder=6)
    return float(params[-1]), float(loss[-1])


def draw_law(data: MeasuredRuns, fit: Fit, ax: Axes) -> None:
    """Draw loss against D: one line of the law per model size, dashed where it has no run."""
    low, high = span_of(data.tokens, margin=0.05)
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=10))
    ends: list[tuple[float, float, str]] = []
    starts = []
    for params in _choose_sizes(data.params):
        own = data.tokens[data.params == params]
        inside = np.geomspace(own.min(), own.max(), 50)
        beyond = np.geomspace(own.max(), high, 50)
        line = evaluate_law(fit, np.full(50, params), inside)
        further = evaluate_law(fit, np.full(50, params), beyond)
        if line is None or further is None:
            return
        line, further = data.scale.to(line), data.scale.to(further)
        ax.plot(beyond, further, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        ax.plot(inside, line, color=MUTED, linewidth=1.6, zorder=2)
        starts.append(float(line[0]))
        ends.append((high, float(further[-1]), f"N = {format_count(params)}"))
    draw_dots(ax, data, data.tokens, data.scale.to(data.loss))
    ax.set_xlabel(TOKENS_LABEL)
    ax.set_ylabel(label_loss(data))
    _set_loss_axis(
        ax, np.append(data.scale.to(data.loss), [*starts, *(loss for _, loss, _ in ends)])
    )
    label_ends(ax, ends, thin=True)


def _choose_sizes(params: FloatArray) -> FloatArray:
    """Choose the sizes that get a line: all, or _MOST_LINES from the smallest to the largest."""
    sizes = np.unique(params)
    kept = np.linspace(0, sizes.size - 1, min(sizes.size, _MOST_LINES)).round().astype(int)
    return np.asarray(sizes[kept], dtype=np.float64)


def draw_residuals(data: MeasuredRuns, fit: Fit, ax: Axes, *, against: str) -> None:
    """Draw ln measured − ln law [%] against "params", "tokens" or "ratio"; band: ±2 σ of seeds."""
    law = evaluate_law(fit, data.params, data.tokens)
    if law is None:
        return
    values, label = {
        "params": (data.params, PARAMS_LABEL),
        "tokens": (data.tokens, TOKENS_LABEL),
        "ratio": (data.tokens / data.params, "tokens per parameter D/N"),
    }[against]
    residual = 100.0 * np.log(data.loss / law)
    sigma = None if fit.replicate_sigma is None else 200.0 * fit.replicate_sigma
    reach = 1.15 * max(float(np.max(np.abs(residual))), sigma or 0.0, 0.05)
    set_log_axis(ax, "x", *span_of(values, margin=0.06))
    set_linear_axis(ax, "y", -reach, reach)
    if sigma is not None:
        ax.axhspan(-sigma, sigma, color=SHADE, zorder=0)
    mark_zero(ax)
    draw_dots(ax, data, values, residual)
    ax.set_xlabel(label)
    place = ax.get_subplotspec()
    if place is None or place.is_first_col():
        ax.set_ylabel("residual of ln L [%]")


def draw_frontier(
    data: MeasuredRuns,
    fit: Fit,
    ax: Axes,
    *,
    lines: FrontierLines,
    quantity: str,
    allocations: Sequence[Allocation],
) -> None:
    """Draw N*(C) or D*(C) (`quantity`: "params" or "tokens"): line, band, minima, answers."""
    flops, column = lines.flops, 0 if quantity == "params" else 1
    band = None if lines.band is None else lines.band[quantity]
    shown = draw_line(ax, lines, lines.best[quantity], band)
    shown.append(draw_minima(ax, data, fit, lambda optima: optima[:, 1 + column]))
    shown.append(_draw_answers(ax, allocations, quantity, ends=(flops[0], flops[-1])))
    set_log_axis(ax, "x", flops[0] / DOT, flops[-1], words=format_power)
    set_log_axis(ax, "y", *span_of(np.concatenate(shown), margin=0.06))
    shade_data(ax, lines)
    ax.set_ylabel("best " + (PARAMS_LABEL if column == 0 else TOKENS_LABEL))


def draw_compute(
    data: MeasuredRuns,
    ax: Axes,
    *,
    lines: FrontierLines,
    allocations: Sequence[Allocation],
    outcomes: Sequence[ForecastOutcome] = (),
) -> None:
    """Draw loss against C: every run, the best run at each C, answers, and registered forecasts
    with the results of their runs."""
    scale, loss = data.scale, data.scale.to(data.loss)
    band = None if lines.band is None else lines.band["loss"]
    ends = None if band is None else (scale.to(band[0]), scale.to(band[1]))
    best = scale.to(lines.best["loss"])
    draw_line(ax, lines, best, ends)
    draw_dots(ax, data, data.flops, loss)
    shown = [loss, best]
    for one in allocations:
        interval = one.loss_interval
        if interval is not None:
            low, high = scale.to(interval.low), scale.to(interval.high)
            ax.plot([one.flops] * 2, [low, high], color=ACCENT, linewidth=2.2, zorder=4)
            shown.append(np.array([low, high]))
    for outcome in outcomes:
        said = outcome.registered.forecast
        low, high = scale.to(said.low), scale.to(said.high)
        flops = said.run.flops
        ax.plot([flops] * 2, [low, high], color=ACCENT, linewidth=2.2, zorder=4)
        middle = scale.to(said.loss)
        ax.plot(flops, middle, "_", color=ACCENT, markersize=13, markeredgewidth=2.2, zorder=4)
        shown.append(np.array([low, high]))
        if outcome.measured is not None:
            reached = np.array([scale.to(outcome.measured)])
            draw_markers(ax, flops, reached, [INK], marker="*", size=130, zorder=8)
            shown.append(reached)
    set_log_axis(ax, "x", lines.flops[0] / DOT, lines.flops[-1], words=format_power)
    _set_loss_axis(ax, np.concatenate(shown))
    shade_data(ax, lines, at=(0.03, 0.08))
    ax.set_ylabel(label_loss(data))


def draw_line(
    ax: Axes, lines: FrontierLines, best: FloatArray, band: tuple[FloatArray, FloatArray] | None
) -> list[FloatArray]:
    """Draw a quantity of the frontier against C with its band, dashed beyond the data; returns the
    values shown."""
    flops, edge = lines.flops, lines.edge
    if band is not None:
        ax.fill_between(flops, *band, color=MUTED, alpha=0.22, linewidth=0)
    ax.plot(flops[flops <= edge], best[flops <= edge], color=INK, linewidth=1.9)
    ax.plot(flops[flops >= edge], best[flops >= edge], color=INK, linewidth=1.9, linestyle="--")
    return [best, *(band or ())]


def shade_data(ax: Axes, lines: FrontierLines, *, at: tuple[float, float] = (0.03, 0.97)) -> None:
    """Shade the budgets of the data on an axis of C; its label begins `at` (axes fractions)."""
    ax.axvspan(lines.flops[0], lines.edge, color=SHADE, zorder=0, linewidth=0)
    note(ax, *at, "within the data")
    ax.set_xlabel(FLOPS_LABEL)


def draw_minima(
    ax: Axes, data: MeasuredRuns, fit: Fit, value: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Draw a value of the accepted IsoFLOP minima (C, N, D, loss), in their budget's colour."""
    isoflop = fit.approaches.get("isoflop")
    if isoflop is None or not isoflop.optima:
        return np.empty(0)
    optima = np.array(isoflop.optima)
    colors = [choose_color(data.find_position(flops)) for flops in optima[:, 0]]
    values = value(optima)
    draw_markers(ax, optima[:, 0], values, colors, marker="D", size=58, zorder=5)
    return values


def _draw_answers(
    ax: Axes, allocations: Sequence[Allocation], quantity: str, *, ends: tuple[float, float]
) -> FloatArray:
    """Draw each answer with its whole interval, and its number below the line to the right, away
    from the minima; above to the left if the axis (`ends`) has no room there."""
    shown = []
    room = ends[1] * (ends[0] / ends[1]) ** _NO_ROOM
    for one in allocations:
        value: float = getattr(one, quantity)
        interval = getattr(one, f"{quantity}_interval")
        if interval is not None:
            ax.plot([one.flops] * 2, [interval.low, interval.high], color=ACCENT, linewidth=2.2)
            shown += [interval.low, interval.high]
        draw_markers(ax, one.flops, value, [ACCENT], size=64, zorder=7)
        fits = one.flops < room
        ax.annotate(
            format_count(value),
            (one.flops, value),
            xytext=(9, -3) if fits else (-9, 3),
            textcoords="offset points",
            ha="left" if fits else "right",
            va="top" if fits else "bottom",
            color=ACCENT,
            fontweight="bold",
        )
        shown.append(value)
    return np.array(shown)


def draw_backcast(data: MeasuredRuns, fit: Fit, ax: Axes) -> None:
    """Draw the largest budget's runs against N: measured, and predicted from the smaller budgets,
    joined by a line if each size has one run."""
    known = {name: index for index, name in enumerate(data.run)}
    if fit.backcast is None:
        return
    rows = [at for at, name in enumerate(fit.backcast.run) if name in known]
    if not rows:
        return
    where = np.array([known[fit.backcast.run[at]] for at in rows])
    predicted = data.scale.to(np.array([fit.backcast.predicted[at] for at in rows]))
    order = np.argsort(data.params[where], kind="stable")
    where, predicted = where[order], predicted[order]
    params, measured = data.params[where], data.scale.to(data.loss[where])
    low, high = span_of(params, margin=0.12)
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=8))
    _set_loss_axis(ax, np.concatenate((measured, predicted)))
    ax.vlines(params, measured, predicted, color=MUTED, linewidth=1.0, zorder=1)
    if np.unique(params).size == params.size:
        ax.plot(params, predicted, color=INK, linewidth=1.6, linestyle="--", zorder=2)
    else:
        ax.plot(params, predicted, color=INK, marker="_", markersize=9, linestyle="none", zorder=2)
    colors = [choose_color(position) for position in data.position[where]]
    draw_markers(ax, params, measured, colors)
    last = int(np.argmax(params))
    label_ends(
        ax,
        [
            (float(params[last]), float(predicted[last]), "predicted"),
            (float(params[last]), float(measured[last]), "measured"),
        ],
    )
    ax.set_xlabel(PARAMS_LABEL)
    ax.set_ylabel(label_loss(data))


def draw_training(
    curves: Mapping[str, TrainingCurve],
    data: MeasuredRuns,
    ax: Axes,
    *,
    against: Literal["tokens", "flops"] = "tokens",
    diverged: Sequence[str] = (),
) -> None:
    """Draw training loss against tokens or FLOPs, averaged in equal steps of ln D; diverged runs
    are dotted, and only against tokens, since they are in no table of costs."""
    known = {name: index for index, name in enumerate(data.run)}
    everything: list[FloatArray] = []
    for run_id in sorted(curves):
        points = np.array([p for p in curves[run_id] if p[0] > 0 and np.isfinite(p[1])])
        if points.size == 0:
            continue
        index = known.get(run_id)
        if against == "flops":
            if index is None:
                continue
            points[:, 0] *= data.flops[index] / data.tokens[index]
        tokens, loss = _average(points)
        loss = data.scale.to(loss)
        if run_id in diverged:
            ax.plot(tokens, loss, color=ACCENT, linewidth=1.0, linestyle=":", zorder=3)
        else:
            position = math.nan if index is None else data.position[index]
            ax.plot(tokens, loss, color=choose_color(position), linewidth=0.9, alpha=0.85)
        everything.append(np.stack((tokens, loss)))
    if not everything:
        return
    every = np.concatenate(everything, axis=1)
    low, high = span_of(every[0], margin=0.02)
    words = format_count if against == "tokens" else format_power
    set_log_axis(ax, "x", low, high, words=words)
    bottom, top = np.percentile(every[1], [0.0, 99.5])
    set_log_axis(ax, "y", 0.96 * bottom, 1.06 * top, words=lambda value: f"{value:g}")
    ax.set_xlabel("tokens seen" if against == "tokens" else "FLOPs spent")
    ax.set_ylabel(f"training loss [{data.scale.label}]")


def _average(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(tokens, loss) averaged over at most _CURVE_BINS equal steps of ln tokens."""
    if len(points) <= _CURVE_BINS:
        return points[:, 0], points[:, 1]
    logs = np.log(points[:, 0])
    edges = np.linspace(logs.min(), logs.max(), _CURVE_BINS + 1)[1:-1]
    bins = np.searchsorted(edges, logs)
    count = np.bincount(bins, minlength=_CURVE_BINS)
    kept = count > 0
    tokens, loss = (
        np.bincount(bins, weights=values, minlength=_CURVE_BINS)[kept] / count[kept]
        for values in (logs, points[:, 1])
    )
    return np.exp(tokens), loss


def draw_dots(ax: Axes, data: MeasuredRuns, x: FloatArray, y: FloatArray) -> None:
    """Draw measured runs in their budget's colour; repeated cells are rings."""
    colors = [choose_color(position) for position in data.position]
    first = np.flatnonzero(~data.replicate)
    draw_markers(ax, x[first], y[first], [colors[at] for at in first])
    for at in np.flatnonzero(data.replicate):
        ax.plot(
            [x[at]],
            [y[at]],
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor=colors[at],
            markeredgewidth=1.6,
            linestyle="none",
            zorder=5,
        )


def _set_loss_axis(ax: Axes, loss: FloatArray) -> None:
    pad = max(0.06 * float(np.ptp(loss)), 0.01)
    set_linear_axis(ax, "y", float(loss.min()) - 1.6 * pad, float(loss.max()) + pad)

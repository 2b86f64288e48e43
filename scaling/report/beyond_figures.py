"""Figures of quantities measured beside the loss: `draw_x(beyond, …, ax)`.

Colour shows the family if a sweep has several, else N. Lines join runs of equal budget, or of equal
D if none is declared, with seeds of one (N, D) as their mean: the largest is heavy, the others
thin; a probe's control is dashed. Curves are those of the heavy line's runs, with the largest model
heavy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from scaling.ledger.probes import ProbeValue
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
from scaling.report.canvas import choose_color
from scaling.report.figures import PARAMS_LABEL
from scaling.report.gallery import Picture, compose_picture
from scaling.sweep.probes import PROBES, ProbeCurve
from scaling.units import FloatArray, format_count
from scaling.units.losses import LossScale

# A run's (value, standard error); None if it has no value.
Read = Callable[[ProbedRun], tuple[float, float | None] | None]

_HEAVY, _THIN = 1.8, 0.8
_DASHES: tuple[object, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
_DECADES = 2.0  # positive values that span more get a logarithmic axis
_LETTERS = 11


def draw_beyond(beyond: Beyond, scale: LossScale) -> list[Picture]:
    """Draw a figure of the families' losses, if there are several, and one of each probe."""
    pictures = []
    names = ", ".join(one.name for one in beyond.sweeps)
    if len(beyond.sweeps) > 1:
        pictures.append(
            compose_picture(
                "families",
                [
                    partial(
                        draw_values, beyond, [partial(_read_loss, scale)], f"loss [{scale.label}]"
                    )
                ],
                alt=f"Held-out loss against model size for {names}.",
                caption="Held-out loss of each family, by the best learning rate of each size. "
                "Lines join runs on equally many tokens: heavy the most, thin fewer.",
                height=400,
            )
        )
    for group in group_probes(beyond):
        pictures.append(_picture_probe(beyond, group))
    return pictures


def group_probes(beyond: Beyond) -> list[list[ProbeValue]]:
    """Group each probe with those drawn in the same figure."""
    groups: dict[str, list[ProbeValue]] = {}
    found = {one.name: one for one in beyond.list_probes()}
    for name, one in found.items():
        beside = PROBES[name].beside if name in PROBES else ""
        groups.setdefault(beside if beside in found else name, []).append(one)
    return [sorted(group, key=lambda one: one.name != name) for name, group in groups.items()]


def draw_values(beyond: Beyond, reads: Sequence[Read], label: str, ax: Axes) -> None:
    """Draw a quantity against N: a line for each D, dashed for each further quantity."""
    runs = [run for sweep in beyond.sweeps for row in sweep.list_series() for run in row]
    low, high = span_of(np.array([one.params for one in runs]), margin=0.06)
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=_LETTERS))
    found = [told for read in reads for run in runs if (told := read(run)) is not None]
    reach = [value + sign * (error or 0.0) for value, error in found for sign in (-1, 1)]
    _set_value_axis(ax, np.array([value for value, _ in found]), reach=np.array(reach))
    ends: list[tuple[float, float, str]] = []
    for at, sweep in enumerate(beyond.sweeps):
        color = _color_of(at, len(beyond.sweeps))
        series = sweep.list_series()
        for row in series:
            longest = row is series[-1]
            for read, dashes in zip(reads, _DASHES, strict=False):
                points = [(one.params, *told) for one in row if (told := read(one)) is not None]
                if not points:
                    continue
                x, y, errors = zip(*points, strict=True)
                width = _HEAVY if longest else _THIN
                ax.plot(x, y, color=color, linewidth=width, linestyle=dashes)
                draw_markers(ax, np.array(x), np.array(y), [color] * len(x), size=20 * width)
                if longest and dashes == "-":
                    spread = [error or 0.0 for error in errors]
                    ax.errorbar(x, y, spread, fmt="none", ecolor=color, elinewidth=1.0)
                    ends.append((x[-1], y[-1], sweep.name if len(beyond.sweeps) > 1 else ""))
    ax.set_xlabel(PARAMS_LABEL)
    ax.set_ylabel(label)
    label_ends(ax, [one for one in ends if one[2]])


def draw_curves(beyond: Beyond, names: Sequence[str], ax: Axes) -> None:
    """Draw the curves behind the values of probes, for the runs on the most tokens."""
    found = list(_list_curves(beyond, names))
    first = found[0][0]
    low, high = span_of(np.concatenate([curve.x for curve, *_ in found]), margin=0.03)
    several = len(beyond.sweeps) > 1
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=_LETTERS))
    drawn = np.concatenate([curve.y for curve, *_ in found])
    _set_value_axis(ax, drawn[drawn > 0] if first.y_log else drawn, log=first.y_log)
    ends = []
    for curve, sweep, run, place, largest, dashes in found:
        x, y = np.array(curve.x), np.array(curve.y)
        shown = y > 0 if first.y_log else np.full(len(y), True)
        heavy = largest or not several
        ax.plot(
            x[shown], y[shown], color=choose_color(place), linestyle=dashes,
            linewidth=_HEAVY if heavy else _THIN,
        )  # fmt: skip
        if dashes == "-" and heavy and shown.any():
            end = np.flatnonzero(shown)[-1]
            ends.append((x[end], y[end], sweep.name if several else format_count(run.params)))
    ax.set_xlabel(first.x_label)
    ax.set_ylabel(first.y_label)
    label_ends(ax, ends)


def _picture_probe(beyond: Beyond, group: Sequence[ProbeValue]) -> Picture:
    first, names = group[0], [one.name for one in group]
    seeds = any(len(average_seeds(one.runs)) < len(one.runs) for one in beyond.sweeps)
    unit = f" [{first.unit}]" if first.unit else ""
    reads: list[Read] = [partial(_read_probe, name) for name in names]
    draws = [partial(draw_values, beyond, reads, first.name + unit)]
    meanings = [_describe(one) for one in group if one.name in PROBES]
    caption = "; ".join(meanings) or first.name
    if len(names) > 1:
        caption += f". Dashed: {', '.join(names[1:])}"
    curved = [one.name for one in group if one.curve is not None]
    if curved:
        draws.append(partial(draw_curves, beyond, curved))
        caption += ". Right: the curve that the value sums up, of the runs on the most tokens"
        caption += ", heavy the largest model" if len(beyond.sweeps) > 1 else ", by N"
    caption += ". Means over seeds, bars their standard errors" if seeds else ""
    return compose_picture(
        f"probe-{first.name.replace('_', '-')}",
        draws,
        alt=f"{first.name} against model size, for {', '.join(one.name for one in beyond.sweeps)}.",
        caption=f"{caption}.",
        height=360,
    )


def _describe(value: ProbeValue) -> str:
    """The meaning of a probe, with the values of its options."""
    probe, meaning = PROBES[value.name], PROBES[value.name].meaning
    for option, default in probe.options.items():
        given = json.loads(value.options[option]) if option in value.options else default
        meaning = meaning.replace(f"`{option}`", str(given))
    return f"{value.name}: {meaning}"


def _list_curves(
    beyond: Beyond, names: Sequence[str]
) -> Iterator[tuple[ProbeCurve, ProbedSweep, ProbedRun, float, bool, object]]:
    for at, sweep in enumerate(beyond.sweeps):
        runs = sweep.list_series()[-1]
        for rank, run in enumerate(runs):
            several = len(beyond.sweeps) > 1
            place = at / (len(beyond.sweeps) - 1) if several else rank / max(1, len(runs) - 1)
            for name, dashes in zip(names, _DASHES, strict=False):
                value = run.values.get(name)
                if value is not None and value.curve is not None:
                    yield value.curve, sweep, run, place, rank == len(runs) - 1, dashes


def _color_of(at: int, count: int) -> str:
    return choose_color(at / max(1, count - 1))


def _read_loss(scale: LossScale, run: ProbedRun) -> tuple[float, float | None]:
    return float(scale.to(run.loss)), None


def _read_probe(name: str, run: ProbedRun) -> tuple[float, float | None] | None:
    value = run.values.get(name)
    return None if value is None else (value.value, value.standard_error)


def _set_value_axis(
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

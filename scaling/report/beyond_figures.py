"""Figures of quantities measured beside the loss: a probe, its controls, and the curve behind it.

A probe has a panel for each of N, D, C and the loss that varies (`beyond_panels`), and one for the
curve that its value sums up: that of the runs on the most tokens, or FLOPs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from scaling.ledger.probes import ProbeValue
from scaling.report.axes import label_ends, leave_room, set_log_axis, span_of
from scaling.report.beyond import (
    Beyond,
    ProbeAccount,
    ProbedRun,
    ProbedSweep,
    average_seeds,
    group_probes,
    tell_probe,
)
from scaling.report.beyond_panels import (
    DASHES,
    HEAVY,
    LETTERS,
    THIN,
    Against,
    Quantity,
    Read,
    draw_by_amount,
    draw_by_loss,
    list_forecasts,
    list_panels,
    set_value_axis,
)
from scaling.report.canvas import choose_color
from scaling.report.gallery import Picture, compose_picture
from scaling.sweep.probes import PROBES, ProbeCurve
from scaling.units import format_count
from scaling.units.losses import LossScale

_WORDS = {"params": "N", "tokens": "D", "flops": "C", "loss": "the loss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeGroup:
    """A figure, and what is said of each probe in it; no probe: the losses of families."""

    picture: Picture
    accounts: tuple[ProbeAccount, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of all its probes, each once, those that fit first."""
        every = dict.fromkeys(command for one in self.accounts for command in one.commands)
        return tuple(sorted(every, key=lambda command: " fit " not in command))


def show_beyond(beyond: Beyond, scale: LossScale) -> list[ProbeGroup]:
    """The losses of families, if there are several, then each probe with its controls."""
    groups = [
        ProbeGroup(
            picture=_picture_probe(beyond, group, scale),
            accounts=tuple(tell_probe(beyond, one.name) for one in group),
        )
        for group in group_probes(beyond)
    ]
    if len(beyond.sweeps) > 1:
        groups.insert(0, ProbeGroup(picture=_picture_families(beyond, scale)))
    return groups


def _picture_families(beyond: Beyond, scale: LossScale) -> Picture:
    loss = Quantity(label=f"loss [{scale.label}]", reads=[partial(_read_loss, scale)])
    return compose_picture(
        "families",
        [partial(draw_by_amount, beyond, loss, "params")],
        alt=f"Held-out loss against model size for {', '.join(one.name for one in beyond.sweeps)}.",
        caption="Held-out loss of each family, by the best learning rate of each size. "
        "Lines join runs on equally many tokens: heavy the most, thin fewer.",
        height=400,
    )


def draw_curves(beyond: Beyond, names: Sequence[str], ax: Axes) -> None:
    """Draw the curves behind the values of probes, for the runs on the most tokens."""
    found = list(_list_curves(beyond, names))
    first = found[0][0]
    low, high = span_of(np.concatenate([curve.x for curve, *_ in found]), margin=0.03)
    several = len(beyond.sweeps) > 1
    set_log_axis(ax, "x", low, leave_room(ax, low, high, letters=LETTERS))
    drawn = np.concatenate([curve.y for curve, *_ in found])
    set_value_axis(ax, drawn[drawn > 0] if first.y_log else drawn, log=first.y_log)
    ends = []
    for curve, sweep, run, place, largest, dashes in found:
        x, y = np.array(curve.x), np.array(curve.y)
        shown = y > 0 if first.y_log else np.full(len(y), True)
        heavy = largest or not several
        ax.plot(
            x[shown], y[shown], color=choose_color(place), linestyle=dashes,
            linewidth=HEAVY if heavy else THIN,
        )  # fmt: skip
        if dashes == "-" and heavy and shown.any():
            end = np.flatnonzero(shown)[-1]
            ends.append((x[end], y[end], sweep.name if several else format_count(run.params)))
    ax.set_xlabel(first.x_label)
    ax.set_ylabel(first.y_label)
    label_ends(ax, ends)


def _picture_probe(beyond: Beyond, group: Sequence[ProbeValue], scale: LossScale) -> Picture:
    first, names = group[0], [one.name for one in group]
    panels = list_panels(beyond)
    reads: list[Read] = [partial(_read_probe, name) for name in names]
    shown = Quantity(
        label=first.name + (f" [{first.unit}]" if first.unit else ""),
        reads=reads,
        name=first.name,
        chance=beyond.chances.get(first.name),
    )
    draws = [_draw_panel(beyond, shown, one, scale) for one in panels]
    curved = [one.name for one in group if one.curve is not None]
    if curved:
        draws.append(partial(draw_curves, beyond, curved))
    against = ", ".join(_WORDS[one] for one in panels)
    return compose_picture(
        f"probe-{first.name.replace('_', '-')}",
        draws,
        alt=f"{first.name} against {against}, for {', '.join(one.name for one in beyond.sweeps)}.",
        caption=_write_caption(beyond, group, bool(curved)),
        height=290 if len(draws) > 2 else 360,
        columns=2 if len(draws) == 4 else 3,
    )


def _draw_panel(
    beyond: Beyond, shown: Quantity, against: Against, scale: LossScale
) -> partial[None]:
    if against == "loss":
        return partial(draw_by_loss, beyond, shown, scale)
    return partial(draw_by_amount, beyond, shown, against)


def _write_caption(beyond: Beyond, group: Sequence[ProbeValue], curved: bool) -> str:
    first, names = group[0], [one.name for one in group]
    seeds = any(len(average_seeds(one.runs)) < len(one.runs) for one in beyond.sweeps)
    caption = "; ".join(_describe(one) for one in group if one.name in PROBES) or first.name
    if len(names) > 1:
        caption += f". Dashed, and hollow against the loss: {', '.join(names[1:])}"
    if first.name in beyond.chances:
        caption += ". Dotted: guessing"
    if any(list_forecasts(beyond, first.name)):
        caption += ". Red: forecast of the largest runs from the others, with its interval"
    if curved:
        caption += ". Last: the curve that the value sums up, of the runs on the most tokens"
        caption += ", heavy the largest model" if len(beyond.sweeps) > 1 else ", by N"
    caption += ". Means over seeds, bars their standard errors" if seeds else ""
    return f"{caption}."


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
            for name, dashes in zip(names, DASHES, strict=False):
                value = run.values.get(name)
                if value is not None and value.curve is not None:
                    yield value.curve, sweep, run, place, rank == len(runs) - 1, dashes


def _read_loss(scale: LossScale, run: ProbedRun) -> tuple[float, float | None]:
    return float(scale.to(run.loss)), None


def _read_probe(name: str, run: ProbedRun) -> tuple[float, float | None] | None:
    value = run.values.get(name)
    return None if value is None else (value.value, value.standard_error)

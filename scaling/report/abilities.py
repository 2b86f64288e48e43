"""The page's section on abilities: figure, sentences and tables for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from scaling.report.axes import draw_markers, set_linear_axis, set_log_axis, span_of
from scaling.report.canvas import ACCENT, INK, MUTED, choose_color
from scaling.report.figures import PARAMS_LABEL, TOKENS_LABEL
from scaling.report.gallery import Picture, compose_picture
from scaling.units import FloatArray, format_count
from scaling.words.abilities import (
    FORECAST_COLUMNS,
    list_criteria,
    list_forecasts,
    list_parts,
    say_flag_briefly,
    say_null,
    say_onsets,
    say_parts,
    say_seeds,
    say_success,
    say_verdict,
    upper_first,
)

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability, ScoredCell

_HEIGHT = 310  # of a panel [CSS pixels]
_JITTER = 0.012  # offset between bars of one size, as a share of the logarithmic range
_PAD = 0.05  # margin at either end of an axis of shares


@dataclass(frozen=True, slots=True, kw_only=True)
class AbilitySection:
    """The page's content for one ability."""

    name: str
    smooth: str
    verdict: str
    sentences: tuple[str, ...]
    picture: Picture
    criteria: Sequence[tuple[str, ...]]
    forecast_heads: tuple[str, ...]
    forecasts: Sequence[tuple[str, ...]]
    parts_title: str
    parts: Sequence[tuple[str, ...]]


def show_abilities(abilities: Sequence[Ability]) -> list[AbilitySection]:
    """Describe the abilities of a sweep in words, rows and figures."""
    return [
        AbilitySection(
            name=one.names.sharp,
            smooth=one.names.smooth,
            verdict=say_verdict(one),
            sentences=tuple(filter(None, _list_sentences(one))),
            picture=_picture_ability(one, f"ability-{at}"),
            criteria=list_criteria(one),
            forecast_heads=FORECAST_COLUMNS,
            forecasts=list_forecasts(one),
            parts_title=f"{one.parts.name} by {one.parts.label}" if one.parts else "",
            parts=list_parts(one),
        )
        for at, one in enumerate(abilities)
    ]


def _list_sentences(one: Ability) -> list[str]:
    onset, parts = say_onsets(one.onsets), say_parts(one)
    return [
        f"{say_success(one.success)}. {upper_first(say_seeds(one.success))}.",
        f"Most seeds succeed from: {onset}." if onset else "",
        f"{upper_first(parts)}." if parts else "",
        f"{say_null(one)}." if one.names.null else "",
        f"{upper_first(say_flag_briefly(one))}.",
    ]


def _picture_ability(ability: Ability, key: str) -> Picture:
    law = ability.success
    size = "model size" if ability.axis == "N" else "tokens"
    alt = (
        f"{ability.names.sharp} and {ability.names.smooth} of {len(ability.runs)} runs against "
        f"{size}, and the share of seeds that succeed. {say_success(law)}."
    )
    return compose_picture(
        key,
        [partial(draw, ability) for draw in (draw_sharp, draw_smooth, draw_success)],
        alt=alt,
        caption=_write_caption(ability),
        height=_HEIGHT,
        phone_height=_HEIGHT,
    )


def _write_caption(ability: Ability) -> str:
    names, law = ability.names, ability.success
    said = f"Every dot is a run. First: {names.sharp} and its mean over seeds (line)"
    said += f", with {names.null} (dashed)" if names.null else ""
    said += "; triangles: the mean of those that succeed" if ability.bimodal else ""
    if ability.two_steps is not None:
        said += "; red: forecasts of the two largest sizes from the smaller ones"
    said += f". Then {names.smooth}, the smooth score of the same runs. Last the share of seeds "
    said += f"that reach {law.threshold:g}, with 90 % intervals"
    if law.midpoint is not None:
        said += ", its logistic, and where that passes one half (red, with its interval)"
    return said + (". Colour: D, from dark to light." if _list_groups(ability)[0][0] else ".")


def draw_sharp(ability: Ability, ax: Axes) -> None:
    """Draw the sharp score of every run, cell means, the null, and forecasts with intervals."""
    _draw_runs(ability, ax, "sharp")
    for color, x, cells in _list_lines(ability):
        ax.plot(x, [one.sharp for one in cells], color=color, linewidth=1.8, zorder=3)
        null = [np.nan if one.null is None else one.null for one in cells]
        ax.plot(x, null, color=color, linewidth=1.4, linestyle=(0, (4, 3)), zorder=2)
    for color, x, cells in _list_lines(ability) if ability.bimodal else ():
        won = np.array([np.nan if one.successful is None else one.successful for one in cells])
        draw_markers(ax, x, won, [color] * len(cells), marker="^", size=36, zorder=5)
    for one in ability.two_steps.outcomes if ability.two_steps else ():
        at = one.params if ability.axis == "N" else one.tokens
        ends = [one.interval.low, one.interval.high]
        ax.plot([at, at], ends, color=ACCENT, linewidth=1.8, zorder=6)
        draw_markers(ax, at, one.forecast, [ACCENT], marker="D", size=40, zorder=7)
    _set_shares(ability, ax)
    ax.set_ylabel(ability.names.sharp)


def draw_smooth(ability: Ability, ax: Axes) -> None:
    """Draw the smooth score of every run, and cell means."""
    _draw_runs(ability, ax, "smooth")
    for color, x, cells in _list_lines(ability):
        smooth = [np.nan if one.smooth is None else one.smooth for one in cells]
        ax.plot(x, smooth, color=color, linewidth=1.8, zorder=3)
    values = [one.smooth for one in ability.runs if one.smooth is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    pad = _PAD * (high - low or 1.0)
    set_linear_axis(ax, "y", low - pad, high + pad)
    _set_sizes(ability, ax)
    unit = f" [{ability.unit}]" if ability.unit else ""
    ax.set_ylabel(f"{ability.names.smooth}{unit}")


def draw_success(ability: Ability, ax: Axes) -> None:
    """Draw the share of successful seeds in each cell with its interval, and the logistic."""
    law, groups = ability.success, _list_groups(ability)
    colors, order = dict(groups), [tokens for tokens, _ in groups]
    step = _JITTER * np.log(np.divide(*_find_span(ability)[::-1]))
    for one in law.cells:
        at, color = one.params if ability.axis == "N" else one.tokens, INK
        if one.tokens in colors:  # draw the bars of one size side by side
            at *= np.exp((order.index(one.tokens) - 0.5 * (len(order) - 1)) * step)
            color = colors[one.tokens]
        ax.plot(
            [at, at], [one.interval.low, one.interval.high], color=color, linewidth=1.0, zorder=2
        )
        draw_markers(ax, at, one.successes / one.runs, [color], zorder=4)
    low, high = _find_span(ability)
    x = np.geomspace(low, high, 200)
    if law.midpoint is not None and law.interval is not None:
        for tokens, color in groups:
            every = None if tokens is None else np.full(x.size, tokens)
            ax.plot(x, law.predict(x, every), color=color, linewidth=1.8, zorder=3)
        ends = np.clip([law.interval.low, law.interval.high], low, high)
        ax.plot(ends, [0.5, 0.5], color=ACCENT, linewidth=2.2, zorder=6)
        draw_markers(ax, law.midpoint, 0.5, [ACCENT], marker="D", size=40, zorder=7)
    _set_sizes(ability, ax)
    set_linear_axis(ax, "y", -_PAD, 1.0 + _PAD)
    ax.set_ylabel(f"share of seeds with {law.threshold:g} or more")


def _draw_runs(ability: Ability, ax: Axes, which: str) -> None:
    """Draw a dot for every run, the seeds of a cell side by side."""
    low, high = _find_span(ability)
    step = _JITTER * np.log(high / low)
    seen: dict[tuple[float, float], int] = {}
    places, values, colors = [], [], []
    palette = dict(_list_groups(ability))
    for one in ability.runs:
        value = getattr(one, which)
        if value is None:
            continue
        cell = one.params, one.tokens
        seen[cell] = seen.get(cell, -1) + 1
        beside = (seen[cell] % 5 - 2) * 0.5 * step
        places.append((one.params if ability.axis == "N" else one.tokens) * np.exp(beside))
        values.append(value)
        colors.append(palette.get(one.tokens, MUTED))
    if places:
        ax.scatter(places, values, s=16, c=colors, alpha=0.6, linewidths=0, zorder=4)


def _list_lines(ability: Ability) -> list[tuple[str, FloatArray, list[ScoredCell]]]:
    """(colour, sizes, cells) of each group of cells."""
    lines = []
    for tokens, color in _list_groups(ability):
        cells = [one for one in ability.cells if tokens is None or one.tokens == tokens]
        x = np.array([one.params if ability.axis == "N" else one.tokens for one in cells])
        lines.append((color, x, cells))
    return lines


def _list_groups(ability: Ability) -> list[tuple[float | None, str]]:
    """(D, colour), ascending, if one N has several D; else one group of all cells."""
    sizes = {one.params for one in ability.cells}
    if ability.axis == "D" or len(ability.cells) == len(sizes):
        return [(None, INK)]
    every = sorted({one.tokens for one in ability.cells})
    return [(tokens, choose_color(at / (len(every) - 1))) for at, tokens in enumerate(every)]


def _find_span(ability: Ability) -> tuple[float, float]:
    sizes = [one.params if ability.axis == "N" else one.tokens for one in ability.cells]
    return span_of(np.array(sizes), margin=0.06)


def _set_sizes(ability: Ability, ax: Axes) -> None:
    set_log_axis(ax, "x", *_find_span(ability), words=format_count)
    ax.set_xlabel(PARAMS_LABEL if ability.axis == "N" else TOKENS_LABEL)


def _set_shares(ability: Ability, ax: Axes) -> None:
    pad = _PAD * ability.ceiling
    _set_sizes(ability, ax)
    set_linear_axis(ax, "y", -pad, ability.ceiling + pad)
    if ability.chance > 0.0:
        ax.axhline(ability.chance, color=MUTED, linewidth=1.0, linestyle=":", zorder=1)

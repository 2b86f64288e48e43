"""A metric's law, forecast, control and commands in sentences: for page, Markdown and terminal."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import TYPE_CHECKING

from scaling.fitting.abilities.names import CONTROLS
from scaling.sweep.probes import PROBES
from scaling.units import format_count
from scaling.words.letters import spell_letter
from scaling.words.plain import format_share

if TYPE_CHECKING:
    from scaling.fitting.metric_laws.judged import MetricLaw
    from scaling.fitting.metric_laws.outcome import CellOutcome

_LARGEST = {"C": "Of the largest C", "N": "Of the largest N", "D": "Of the largest D"}


def say_law(law: MetricLaw) -> str:
    """The law with its coefficients, or why there is none."""
    if not law.supported:
        return f"None: {law.reason}."
    parts = [
        f"{spell_letter(name)} {value:.3g}" + _say_ends(law, name)
        for name, value in law.letters.items()
    ]
    where = ""
    if law.at is not None:
        other = "D" if "N^" in law.equation else "N"
        where = f" on {other} = {format_count(law.at)}"
    unit = f" [{law.unit}]" if law.unit else ""
    return (
        f"{law.symbol} = {spell_letter(law.equation)}{unit}{where}, {law.runs} runs: "
        f"{', '.join(parts)} ({_share(law)} intervals)."
    )


def say_forecast(law: MetricLaw) -> str:
    """The largest runs as the smaller ones forecast them, and what was measured; or why not."""
    found = law.forecast
    if found is None:
        if law.refused == law.reason:
            return "None: nothing is forecast without a law."
        return f"None: {law.refused}."
    last = found.cells[-1]
    said = f"{_LARGEST[found.along]}, from {found.fitted} other runs: {_say_cell(last)}."
    if len(found.cells) > 1:
        said += f" Of {len(found.cells)} such cells {found.inside} are hit."
    return said


def say_control(name: str, here: Collection[str], chance: float | None = None) -> str:
    """What a metric's values compare with.

    Args:
        name: The metric.
        here: Every metric of the sweep.
        chance: Score of guessing; None if it is not known.
    """
    probe = PROBES.get(name)
    said = []
    if probe is not None and probe.beside:
        drawn = "beside which it is drawn" if probe.beside in here else "which was not measured"
        said.append(f"Itself what {probe.beside} compares with, {drawn}.")
    beside = [one for one in here if one in PROBES and PROBES[one].beside == name]
    if beside:
        said.append(f"Drawn in other lines: {', '.join(beside)}.")
    if chance is not None:
        said.append(f"Guessing scores {chance:.3g} (dotted).")
    if probe is not None and probe.control:
        said.append(f"{probe.control[:1].upper()}{probe.control[1:]}.")
    return " ".join(said) or "None: its probe names none."


def list_commands(law: MetricLaw, source: str, *, starts: bool = False) -> list[str]:
    """The commands that print a metric's law and what else is asked of it; `starts`: whether the
    sweep compares starts."""
    probe = PROBES.get(law.name)
    commands = [["scaling", "fit", source, "--metric", law.name]]
    if probe is not None and probe.verb:
        commands.append(["scaling", probe.verb, source])
    elif probe is not None and probe.bound is not None and law.name not in CONTROLS:
        commands.append(["scaling", "abilities", source, "--sharp", law.name])
    if starts:
        commands.append(["scaling", "transfer", source])
    return [shlex.join(one) for one in commands]


def _say_cell(one: CellOutcome) -> str:
    ends = f"{one.interval.low:.3g} to {one.interval.high:.3g}"
    at = f"N {format_count(one.params)}, D {format_count(one.tokens)}"
    result = "a hit" if one.inside else "a miss"
    return f"{one.forecast:.3g} ({ends}) forecast at {at}, {one.measured:.3g} measured: {result}"


def _say_ends(law: MetricLaw, name: str) -> str:
    own = law.intervals.get(name)
    return "" if own is None else f" ({own.low:.3g} to {own.high:.3g})"


def _share(law: MetricLaw) -> str:
    return format_share(next((one.level for one in law.intervals.values()), None))

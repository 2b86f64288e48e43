"""Stereotypes exaggerated, in sentences: for the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.abilities import say_success
from scaling.words.plain import format_interval, format_plain

if TYPE_CHECKING:
    from scaling.fitting.bias import Bias, BiasedCell, Lag

_CONTROL = 0.5  # the skew at which there is nothing to exaggerate


def list_sentences(bias: Bias) -> list[str]:
    """Everything that is said, a sentence or two each."""
    largest = bias.cells[-1]
    said = [say_metric(largest), say_control(largest), say_ignorance(bias)]
    if largest.lag is not None:
        said.append(say_lag(largest.lag, largest))
    for law, who in ((bias.counter, "not typical"), (bias.typical, "typical")):
        if law is not None and law.midpoint is not None:
            said.append(f"Of people who are {who}, share told right: {say_success(law)}.")
    return [one for one in said if one]


def say_metric(cell: BiasedCell) -> str:
    """What is the metric's: the likeliest answer of a known share."""
    group, argmax, sampled = (cell.values[one] for one in ("argmax_group", "argmax", "sampled"))
    if group is None:
        return ""
    said = (
        f"The metric's: likeliest answers add {group:.3f} to the typical share for whoever knows "
        "the group alone, since they turn any majority into all; that is arithmetic at every N."
    )
    if argmax is not None:
        said += f" {_name(cell)} they add {argmax:.3f}"
        said += f", drawn answers {sampled:+.3f}." if sampled is not None else "."
    return said


def say_control(cell: BiasedCell) -> str:
    """What likeliest answers add where nothing is typical."""
    added = dict(cell.skews).get(_CONTROL)
    if added is None:
        return ""
    return (
        f"The control, a skew of one half: a{_name(cell)[1:]} likeliest answers add {added:+.3f}."
    )


def say_ignorance(bias: Bias) -> str:
    """What is ignorance: errors of the smallest and the largest N, by who is typical."""
    own = [one for one in bias.cells if one.tokens == bias.cells[-1].tokens]
    first, last = own[0], own[-1]
    names = ("counter_error", "typical_error")
    errors = [one.values[name] for name in names for one in (first, last)]
    if None in errors:
        return ""
    counter, counter_last, typical, typical_last = errors
    return (
        f"Ignorance: on {format_count(last.tokens)} tokens people who are not typical are told "
        f"wrongly in {counter:.3f} of cases at {format_count(first.params)} "
        f"parameters and {counter_last:.3f} at {format_count(last.params)}, typical ones "
        f"in {typical:.3f} and {typical_last:.3f}."
    )


def say_lag(lag: Lag, cell: BiasedCell) -> str:
    """How many more exposures people who are not typical need."""
    least = "at least " if lag.at_least else ""
    interval = f" ({format_interval(lag.interval, format_plain)})" if lag.interval else ""
    return (
        f"{_name(cell)} errors fall below a half from {format_plain(round(lag.counter, 1))} "
        f"exposures on of people who are not typical, and {'at most ' if lag.at_least else ''}"
        f"{format_plain(round(lag.typical, 1))} of those who are: {least}{lag.ratio:.3g} times as "
        f"many{interval}, in {lag.runs} run{'s' if lag.runs > 1 else ''}."
    )


def _name(cell: BiasedCell) -> str:
    return f"At {format_count(cell.params)} parameters and {format_count(cell.tokens)} tokens"

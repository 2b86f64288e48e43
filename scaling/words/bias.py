"""Findings about bias amplification in sentences, for the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.abilities import say_success
from scaling.words.plain import format_interval, format_plain

if TYPE_CHECKING:
    from scaling.fitting.bias import Bias, BiasedCell, Lag

_CONTROL = 0.5  # the skew without a stereotype


def list_sentences(bias: Bias) -> list[str]:
    """List all findings, in a sentence or two each."""
    largest = bias.cells[-1]
    said = [say_metric(largest), say_control(largest), say_ignorance(bias)]
    if largest.lag is not None:
        said.append(say_lag(largest.lag, largest))
    for law, who in ((bias.counter, "Atypical"), (bias.typical, "Typical")):
        if law is not None and law.midpoint is not None:
            said.append(f"{who} people, share answered correctly: {say_success(law)}.")
    return [one for one in said if one]


def say_metric(cell: BiasedCell) -> str:
    """Say how much of the amplification is arithmetic, and what the largest model adds."""
    group, argmax, sampled = (cell.values[one] for one in ("argmax_group", "argmax", "sampled"))
    if group is None:
        return ""
    said = (
        f"Arithmetic: argmax answers add {group:.3f} to the typical share for a predictor that "
        "knows only the group, since the argmax turns any majority into everyone."
    )
    if argmax is not None:
        said += f" {_name(cell)} argmax answers add {argmax:.3f}"
        said += f", sampled answers {sampled:+.3f}." if sampled is not None else "."
    return said


def say_control(cell: BiasedCell) -> str:
    """Say what argmax answers add at a skew of one half."""
    added = dict(cell.skews).get(_CONTROL)
    if added is None:
        return ""
    return f"Control, a skew of one half: a{_name(cell)[1:]} argmax answers add {added:+.3f}."


def say_ignorance(bias: Bias) -> str:
    """Say the errors for atypical and typical people at the smallest and the largest N."""
    own = [one for one in bias.cells if one.tokens == bias.cells[-1].tokens]
    first, last = own[0], own[-1]
    names = ("counter_error", "typical_error")
    errors = [one.values[name] for name in names for one in (first, last)]
    if None in errors:
        return ""
    counter, counter_last, typical, typical_last = errors
    return (
        f"Knowledge of individuals: on {format_count(last.tokens)} tokens the error for atypical "
        f"people is {counter:.3f} at {format_count(first.params)} parameters and "
        f"{counter_last:.3f} at {format_count(last.params)}, and for typical people "
        f"{typical:.3f} and {typical_last:.3f}."
    )


def say_lag(lag: Lag, cell: BiasedCell) -> str:
    """Say how many times the exposures of typical people atypical people need."""
    least = "at least " if lag.at_least else ""
    interval = f" ({format_interval(lag.interval, format_plain)})" if lag.interval else ""
    return (
        f"{_name(cell)} the error falls below one half after "
        f"{format_plain(round(lag.counter, 1))} exposures for atypical people and after "
        f"{'at most ' if lag.at_least else ''}{format_plain(round(lag.typical, 1))} for typical "
        f"people: {least}{lag.ratio:.3g} times as many{interval}, in {lag.runs} "
        f"run{'s' if lag.runs > 1 else ''}."
    )


def _name(cell: BiasedCell) -> str:
    return f"At {format_count(cell.params)} parameters and {format_count(cell.tokens)} tokens"

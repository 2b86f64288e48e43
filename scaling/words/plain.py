"""Numbers and approaches in words; what is absent is a dash, never `None` or `nan`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from scaling.fitting.fitted import Interval
from scaling.units import format_count, format_flops, format_seconds

ABSENT = "–"

# Control characters, lone surrogates, and marks that reorder the text around them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

APPROACH_WORDS: Mapping[str, str] = {
    "parametric": "one law through every run (Approach 3)",
    "projection": "the same law by variable projection, without derivatives",
    "isoflop": "minima of the budgets' parabolas (Approach 2)",
    "akima": "minima of the budgets, interpolated",
    "cubic": "minima of the budgets' cubics, lopsided alike",
    "envelope": "the envelope of training curves (Approach 1)",
}

FORECAST_HEADINGS = (
    "registered",
    "C [FLOP] (× largest)",
    "N on D",
    "law",
    "forecast loss",
    "measured",
    "outcome",
)


def replace_unprintable(text: str) -> str:
    """The text with a mark in the place of every character that should not be printed."""
    return _UNPRINTABLE.sub("\ufffd", text)


def is_number(value: object) -> bool:
    """Whether it can be printed as a number."""
    return isinstance(value, int | float) and math.isfinite(value)


def format_loss(value: float | None) -> str:
    """A loss or bits per byte, to a thousandth."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.3f}" if 0.1 <= abs(value) < 1e4 else f"{value:.3g}"


def format_plain(value: float | None) -> str:
    """Any number, four significant digits; whole numbers in full."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}"
    mantissa, e, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def format_optional(value: float | None, words: Callable[[float], str] = format_count) -> str:
    """By `words`, or a dash."""
    return ABSENT if value is None or not math.isfinite(value) else words(value)


def format_share(value: float | None) -> str:
    """A fraction in percent: .05 -> '5 %'."""
    if value is None or not math.isfinite(value):
        return ABSENT
    digits = f"{100.0 * value:.2g}" if abs(value) < 0.995 else f"{100.0 * value:.0f}"
    return f"{digits}\u00a0%"  # no break between a number and its unit


def format_interval(interval: Interval | None, words: Callable[[float], str]) -> str:
    """'80k to 120k'; an end that is no number is unbounded; empty without an interval."""
    if interval is None:
        return ""
    low, high = interval.low, interval.high
    if math.isfinite(low) and math.isfinite(high):
        return f"{words(low)} to {words(high)}"
    if math.isfinite(low):
        return f"above {words(low)} without an upper end"
    return f"below {words(high)} without a lower end" if math.isfinite(high) else "unbounded"


def format_range(
    low: float | None, high: float | None, words: Callable[[float], str] = format_plain
) -> str:
    """One value, or 'low … high'."""
    first, last = format_optional(low, words), format_optional(high, words)
    return first if first == last else f"{first} … {last}"


def format_duration(value: float | None) -> str:
    """Seconds for people, or a dash."""
    return format_optional(value, format_seconds)


def format_budget(value: float | None) -> str:
    """FLOPs for people, or a dash."""
    return format_optional(value, format_flops)

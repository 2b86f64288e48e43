"""Numbers, checks and coefficients in words; what is absent is a dash, never `None` or `nan`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from scaling.fitting.result import Interval
from scaling.units import format_count, format_flops, format_seconds

ABSENT = "–"

# What a gate asks, as a statement that holds where it passes.
_CHECK_NAMES: Mapping[str, str] = {
    "interior_minimum": "Each budget's best size lies inside the sizes tried",
    "positive_curvature": "Each IsoFLOP curve bends upwards",
    "off_centre_grid": "The sizes tried are centred on the best one",
    "too_few_cells": "There are enough runs for the law",
    "too_few_budgets": "There are enough budgets",
    "design_imprecise": "The design can pin down the exponent",
    "parameter_at_bound": "No coefficient sits on its bound",
    "not_identified": "The runs determine every coefficient",
    "not_converged": "The fit reached its optimum, and this was confirmed",
    "methods_disagree": "Two independent approaches agree",
    "lr_at_edge": "The learning rate is inside the range tried",
    "batch_at_edge": "The batch size is inside the range tried",
    "undercooled": "The learning rate had time to decay",
    "warmup_too_long": "Warmup is short compared with training",
    "too_few_steps": "Every run took enough steps",
    "diverged_cells": "No run diverged",
    "repeated_data": "Text was not repeated too often",
    "train_val_overlap": "Held-out text does not occur in training",
    "duplicate_cells": "No cell appears twice by accident",
    "several_recipes_per_cell": "Each cell has one recipe",
    "lack_of_fit": "The law fits as closely as the noise allows",
    "residual_trend": "What the law misses has no pattern",
    "influence": "No single budget decides the answer",
    "eval_noise": "Evaluation noise is small beside the differences",
    "extrapolation_distance": "The question is close to the data",
    "mixed_tokenisers": "One tokenizer throughout",
    "numerics_changed": "One version of the trainer throughout",
}


def name_check(code: str) -> str:
    """A gate in plain words."""
    return _CHECK_NAMES.get(code, code.replace("_", " ").capitalize())


def is_number(value: object) -> bool:
    """Whether it can be printed as a number."""
    return isinstance(value, int | float) and math.isfinite(value)


def format_loss(value: float | None) -> str:
    """A loss or bits per byte, four significant digits."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.4g}"


def format_plain(value: float | None) -> str:
    """Any number, four significant digits; whole numbers in full."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.4g}"


def format_optional(value: float | None, words: Callable[[float], str] = format_count) -> str:
    """By `words`, or a dash."""
    return ABSENT if value is None or not math.isfinite(value) else words(value)


def format_share(value: float | None) -> str:
    """A fraction in percent: .05 -> '5 %'."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{100.0 * value:.2g} %" if abs(value) < 0.995 else f"{100.0 * value:.0f} %"


def format_interval(interval: Interval | None, words: Callable[[float], str]) -> str:
    """'80k to 120k'; an end that is no number is unbounded; empty without an interval."""
    if interval is None:
        return ""
    low, high = interval.low, interval.high
    if math.isfinite(low) and math.isfinite(high):
        return f"{words(low)} to {words(high)}"
    if math.isfinite(low):
        return f"above {words(low)}, without an upper end"
    return f"below {words(high)}, without a lower end" if math.isfinite(high) else "unbounded"


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

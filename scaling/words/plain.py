"""Numbers, checks and coefficients in words; what is absent is a dash, never `None` or `nan`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from scaling.fitting.fitted import Check, Interval
from scaling.units import format_count, format_flops, format_seconds

ABSENT = "–"

# Control characters, lone surrogates, and marks that reorder the text around them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# What a gate says where it passes, and where it fails.
_CHECK_NAMES: Mapping[str, tuple[str, str]] = {
    "interior_minimum": (
        "Each budget's best size lies inside the sizes tried",
        "At some budgets the best size lies at the edge of the sizes tried",
    ),
    "positive_curvature": (
        "Each IsoFLOP curve bends upwards",
        "Some IsoFLOP curves do not bend upwards",
    ),
    "off_centre_grid": (
        "The sizes tried are centred on the best one",
        "The sizes tried are not centred on the best one",
    ),
    "too_few_cells": ("There are enough runs for the law", "Too few runs for the law"),
    "too_few_budgets": ("There are enough budgets", "Too few usable budgets"),
    "design_imprecise": (
        "The design can pin down the exponent",
        "The design cannot pin down the exponent",
    ),
    "parameter_at_bound": ("No coefficient sits on its bound", "A coefficient sits on its bound"),
    "not_identified": (
        "The runs determine every coefficient",
        "The runs do not determine every coefficient",
    ),
    "not_converged": (
        "The fit reached its optimum, and this was confirmed",
        "The fit was not shown to reach its optimum",
    ),
    "methods_disagree": (
        "Two independent approaches agree within their intervals",
        "Two independent approaches disagree",
    ),
    "lr_at_edge": (
        "The best learning rate lies inside the range tried",
        "The best learning rate lies at the edge of the range tried",
    ),
    "batch_at_edge": (
        "The best batch size lies inside the range tried",
        "The best batch size lies at the edge of the range tried",
    ),
    "undercooled": (
        "The learning rate had time to decay",
        "Some runs had too little time to decay the learning rate",
    ),
    "warmup_too_long": (
        "Warmup takes little of each run, or as much of all",
        "Warmup takes too much of some short runs",
    ),
    "clipped_steps": (
        "Short and long runs were clipped alike",
        "Short runs were clipped more often than long ones, or less",
    ),
    "above_unigram": (
        "Every run learnt more than how often each token occurs",
        "Some runs end above the unigram entropy: untrained, not diverged",
    ),
    "seed_spread": (
        "No size shows more seed noise than the others",
        "Seed noise is larger in some sizes",
    ),
    "below_scaling_regime": (
        "No rise of the local exponent with C was shown",
        "The local exponent rises with C: some runs are below the scaling regime",
    ),
    "too_few_steps": ("Every run took enough steps", "Some runs took too few steps"),
    "diverged_cells": ("No run diverged", "Some runs diverged"),
    "repeated_data": ("Text was not repeated too often", "Text was repeated too often"),
    "train_val_overlap": (
        "Little held-out text occurs in training",
        "Much held-out text occurs in training",
    ),
    "implausible_units": (
        "Numbers lie where those of models do",
        "Some columns seem to be in another unit",
    ),
    "duplicate_cells": ("No cell appears twice", "Some cells appear twice"),
    "several_recipes_per_cell": ("Each cell has one recipe", "Some cells mix recipes"),
    "lack_of_fit": (
        "No misfit beyond seed noise was shown",
        "The law misses the runs by more than their noise",
    ),
    "outliers": ("No run lies far off the law alone", "Some runs lie far off the law"),
    "residual_trend": (
        "No trend of the residuals reaches 1 % of the loss",
        "Residuals show a trend",
    ),
    "influence": (
        "No single budget moves the exponent a by more than 0.1",
        "A single budget decides the answer",
    ),
    "eval_noise": (
        "Evaluation noise moves the exponent a by at most 0.1",
        "Evaluation noise could move the answer",
    ),
    "extrapolation_distance": (
        "The question is close to the data",
        "The question is far beyond the data",
    ),
    "mid_run_points": (
        "Points along a run compare with finished runs",
        "Points along a run do not compare with finished runs",
    ),
    "mixed_tokenisers": ("One tokenizer throughout", "Several tokenizers are mixed"),
    "numerics_changed": (
        "Every run was computed alike",
        "Runs of several versions, devices or precisions are mixed",
    ),
}

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


def name_check(check: Check) -> str:
    """A gate's outcome in plain words."""
    plain = check.code.replace("_", " ").capitalize()
    holds, fails = _CHECK_NAMES.get(check.code, (plain, plain))
    if check.passed is None:
        return f"{holds}?"
    return f"{holds}." if check.passed else f"{fails}."


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
    return f"{digits}\u00a0%"  # a number and its unit stay on one line


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

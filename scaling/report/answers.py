"""The answer in words: one sentence per budget, its basis, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaling.allocation import Allocation
from scaling.allocation.measured import Measurement
from scaling.fitting.fitted import Check, Fit, Interval
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.counting import CountConvention
from scaling.sweep.families.registry import describe_shape
from scaling.units import bits_per_byte, format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.checks import name_check
from scaling.words.plain import ABSENT, format_interval, format_loss, format_share

_SHOWN_BY_MARKER = "extrapolation_distance"
_ROUNDING = 0.005  # decades: this close to an end of the range is rounding, not extrapolation

CONVENTIONS: Mapping[CountConvention, str] = {
    "matmul": "in matrix products (head included, lookup embeddings not)",
    "total": "all stored (embeddings and head included)",
    "non_embedding": "without embeddings and head",
}


def describe_count(fit: Fit, of_table: bool) -> str:
    """Words for how N is counted, to follow "N is counted"."""
    if fit.convention is None and of_table:
        return "as the table counts it"
    return CONVENTIONS[fit.convention or "matmul"]


def describe_law_unit(fit: Fit, scale: LossScale) -> str:
    """The unit of what the law gives; empty without a law, or if it is the unit of losses."""
    if fit.law is None or fit.members:
        return ""
    own = fit.law.find_scale(scale)
    return "" if own is scale else scale.describe_law(own)


@dataclass(frozen=True, slots=True)
class Marker:
    """How far beyond the data an answer reaches: a tone (good, amber, red) and its words."""

    tone: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One forecast budget, ready to print.

    Attributes:
        flops, params, tokens: The sentence's numbers.
        level: Probability of each interval.
        params_interval, tokens_interval: Intervals in words; empty if there are none.
        facts: (term, description) pairs below the sentence.
        marker: Distance beyond the data.
        failed: Failed checks of this answer alone, beside their names.
        measured: (loss, N, D, number of runs) of the best run at this budget; None without one.
    """

    flops: str
    params: str
    tokens: str
    level: float
    params_interval: str
    tokens_interval: str
    facts: tuple[tuple[str, str], ...]
    marker: Marker
    failed: tuple[tuple[str, Check], ...]
    measured: tuple[str, str, str, str] | None = None


def describe_answer(
    one: Allocation, fit: Fit, facts: CorpusFacts | None, scale: LossScale = NATS
) -> Answer:
    """Describe one allocation in words, with losses in a unit."""
    return Answer(
        flops=format_flops(one.flops),
        params=format_count(one.params),
        tokens=format_count(one.tokens),
        level=one.level,
        params_interval=format_interval(one.params_interval, format_count),
        tokens_interval=format_interval(one.tokens_interval, format_count),
        facts=tuple(_list_facts(one, facts, scale)),
        marker=mark_distance(one, fit),
        failed=list_failed(
            check
            for check in one.checks
            if check not in fit.checks and check.code != _SHOWN_BY_MARKER
        ),
        measured=None if one.measured is None else _describe_measured(one.measured, scale),
    )


def _describe_measured(found: Measurement, scale: LossScale) -> tuple[str, str, str, str]:
    runs = "the run" if found.runs == 1 else f"the best of {found.runs} runs"
    n, d = format_count(found.params), format_count(found.tokens)
    return format_loss(scale.to(found.loss)), n, d, runs


def list_failed(checks: Iterable[Check]) -> tuple[tuple[str, Check], ...]:
    """(name, check) of every check that failed."""
    return tuple((name_check(check), check) for check in checks if check.passed is False)


def group_checks(
    fit: Fit, allocations: tuple[Allocation, ...]
) -> list[tuple[str, str, list[tuple[str, Check]]]]:
    """(tone, heading, checks): failed first, each code and finding once."""
    every = {
        (check.code, check.seen): check
        for check in (*fit.checks, *(check for one in allocations for check in one.checks))
    }
    groups = (
        ("red", "Failed", False),
        ("amber", "Could not be evaluated", None),
        ("good", "Passed", True),
    )
    return [
        (tone, heading, [(name_check(c), c) for c in every.values() if c.passed is passed])
        for tone, heading, passed in groups
        if any(check.passed is passed for check in every.values())
    ]


def mark_distance(one: Allocation, fit: Fit) -> Marker:
    """Mark an answer: green inside the data, amber beyond half the trained span, red beyond it.

    Source of the grades: ours (decision 0076).
    """
    known = _find_range(one, fit)
    if known is None:
        return Marker("amber", "at an unknown distance from the data")
    low, high = known
    beyond = max(math.log10(one.flops / high), math.log10(low / one.flops))
    if beyond <= _ROUNDING:
        return Marker("good", "inside the range of budgets that were trained")
    side, end = ("beyond the largest", high) if one.flops > high else ("below the smallest", low)
    span = math.log10(high / low)
    text = (
        f"{_count_decades(beyond)} (×{10**beyond:.3g}) {side} trained budget, {format_flops(end)} "
        f"FLOPs; the trained budgets span {_count_decades(span)}"
    )
    if beyond > span:
        return Marker("red", f"{text}: further out than the data are wide")
    if beyond > span / 2:
        return Marker("amber", f"{text}: more than half of that")
    return Marker("good", text)


def _count_decades(value: float) -> str:
    text = f"{value:.2g}"
    return f"{text} decade" if text == "1" else f"{text} decades"


def _find_range(one: Allocation, fit: Fit) -> tuple[float, float] | None:
    """Range of budgets behind the answer's approach: all runs, or those with a usable minimum."""
    if one.approach != "parametric" and one.approach in fit.approaches:
        return fit.approaches[one.approach].range
    return None if fit.covered is None else fit.covered.flops


def _list_facts(
    one: Allocation, facts: CorpusFacts | None, scale: LossScale
) -> list[tuple[str, str]]:
    lines = [("Predicted loss", describe_loss(one.loss, one.loss_interval, facts, scale))]
    if one.wider_on_text is not None:
        ends = format_interval(one.wider_on_text.rewrite(scale), format_loss)
        lines.append(("On other documents of this text", ends))
    if one.flat_basin is not None:
        low, high = (format_count(end) for end in one.flat_basin)
        words = (
            f"any size from {low} to {high} parameters needs at most "
            f"{format_share(one.compute_penalty)} more compute for the same loss"
        )
        lines.append(("Flat basin", words))
    if one.shape is not None:
        built = one.shape
        words = (
            f"{describe_shape(built.shape).full}: {format_count(built.params)} parameters on "
            f"{format_count(built.tokens)} tokens{_describe_penalty(built.compute_penalty)}"
        )
        lines.append(("Nearest model that can be built", words))
    lines.append(("Tokens per parameter", format_count(one.tokens_per_param)))
    return lines


def _describe_penalty(penalty: float | None) -> str:
    if penalty is None:
        return ""
    if penalty < 5e-4:
        return " (as good as any size)"
    return f" ({format_share(penalty)} more compute than the best size between the rungs)"


def describe_loss(
    loss: float | None,
    interval: Interval | None,
    facts: CorpusFacts | None,
    scale: LossScale = NATS,
) -> str:
    """A loss in its unit with interval, and in bits per byte if the corpus allows."""
    if loss is None or not math.isfinite(loss):
        return "not known by this approach"
    words = f"{format_loss(scale.to(loss))} {scale.label}"
    if interval is not None:
        words += f" ({format_interval(interval.rewrite(scale), format_loss)})"
    per_byte = None if scale.unit == "bpb" else convert_to_bits(loss, facts)
    return words if per_byte is None else f"{words}; {format_loss(per_byte)} bits per byte"


def convert_to_bits(loss: float | None, facts: CorpusFacts | None) -> float | None:
    """Convert a loss to bits per byte; None if the loss or the corpus's bytes are unknown."""
    if loss is None or facts is None:
        return None
    return bits_per_byte(loss, tokens=facts.validation_tokens, bytes_=facts.validation_bytes)


def compare_conventions(
    by_count: Mapping[CountConvention, Allocation | None],
    used: str,
    facts: CorpusFacts | None,
    scale: LossScale = NATS,
) -> list[dict[str, str]]:
    """One row per way of counting N; `used` is the report's own."""
    rows = []
    for count, meaning in CONVENTIONS.items():
        if count not in by_count:
            continue
        one = by_count[count]
        row = dict.fromkeys(("params", "tokens", "ratio", "loss", "bits", "basin", "shape"), ABSENT)
        if one is not None:
            row |= {
                "params": format_count(one.params),
                "tokens": format_count(one.tokens),
                "ratio": format_count(one.tokens_per_param),
                "loss": format_loss(scale.to_or_none(one.loss)),
                "bits": format_loss(convert_to_bits(one.loss, facts)),
            }
            if one.flat_basin is not None:
                row["basin"] = " to ".join(format_count(end) for end in one.flat_basin)
            if one.shape is not None:
                row["shape"] = describe_shape(one.shape.shape).label
        name = f"{count} (used in this report)" if count == used else count
        rows.append(row | {"name": name, "meaning": meaning})
    return rows

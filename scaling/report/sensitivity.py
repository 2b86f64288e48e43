"""Sensitivity of the answer to the choice of methods, laws and runs.

Every row is a separate point fit, made with the command beside it. Nothing here enters the answer;
it shows how much of the answer is due to the runs and how much to the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scaling.allocation import Allocation
from scaling.units import format_count
from scaling.units.losses import NATS, LossScale
from scaling.words.plain import ABSENT, format_loss

Group = Literal["method", "law", "runs"]

HEADINGS: dict[Group, str] = {"method": "Methods", "law": "Laws", "runs": "Which runs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One other way to answer.

    Attributes:
        group: The choice that differs.
        words: The choice, in words.
        command: Command that gives this answer.
        runs: Number of fitted runs; None if none could be fitted.
        answer: The answer; None if there is none.
        reason: Why there is none.
    """

    group: Group
    words: str
    command: str
    runs: int | None
    answer: Allocation | None
    reason: str = ""


def list_variants(
    variants: Sequence[Variant], scale: LossScale = NATS
) -> list[tuple[str, list[tuple[str, str, str, str, str, str, str]]]]:
    """(heading, rows) of each group; a row is words, runs, N*, D*, D*/N*, loss, command."""
    return [
        (heading, rows)
        for group, heading in HEADINGS.items()
        if (rows := [_describe(one, scale) for one in variants if one.group == group])
    ]


def _describe(one: Variant, scale: LossScale) -> tuple[str, str, str, str, str, str, str]:
    runs = ABSENT if one.runs is None else str(one.runs)
    if one.answer is None:
        return (f"{one.words}: {one.reason}", runs, ABSENT, ABSENT, ABSENT, ABSENT, one.command)
    answer = one.answer
    return (
        one.words,
        runs,
        format_count(answer.params),
        format_count(answer.tokens),
        format_count(answer.tokens_per_param),
        format_loss(scale.to_or_none(answer.loss)),
        one.command,
    )


def describe_spread(variants: Sequence[Variant], used: Allocation) -> str:
    """Describe in a sentence how far the answers differ; empty if there is nothing to compare."""
    answers = [one.answer for one in variants if one.answer is not None]
    if len(answers) < 2:
        return ""
    params, tokens = [one.params for one in answers], [one.tokens for one in answers]
    sentence = (
        f"Over these {len(answers)} ways the best size runs from {format_count(min(params))} to "
        f"{format_count(max(params))} parameters (×{max(params) / min(params):.2g}) and the data "
        f"from {format_count(min(tokens))} to {format_count(max(tokens))} tokens"
    )
    inside = used.params_interval
    if inside is None:
        return sentence + "."
    within = sum(inside.low <= one.params <= inside.high for one in answers)
    return f"{sentence}; {within} of the {len(answers)} sizes lie inside the answer's interval."

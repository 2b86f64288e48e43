"""What probes ask of a sweep: a context long enough, a corpus of the right source.

A demand is a function of a probe's options and the ground it is measured on; it returns what is
missing and the remedy, or an empty string. They are asked before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from scaling.sweep.corpus_sources import SOURCES
from scaling.sweep.tokenizer_names import NO_TOKENIZER

Option = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a probe is measured on: the context [tokens], the vocabulary, the corpus's source in the
    sweep file, its tokenizer, and how many chains it is drawn from (0: one for each sequence)."""

    seq_len: int
    vocab_size: int
    source: str
    tokenizer: str
    chains: int = 0


Demand: TypeAlias = Callable[[Mapping[str, Option], Ground], str]


def fit_context(name: str, *, beyond: int = 0) -> Demand:
    """An option that counts tokens of the context: from 1 to the context less `beyond`."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked, most = float(options[name]), ground.seq_len - beyond
        if 1 <= asked <= most and asked == int(asked):
            return ""
        return (
            f"{name} {asked:g} does not fit a context of {ground.seq_len} tokens. Set it to 1 … "
            f"{most}, or model.seq_len to {max(1, round(asked)) + beyond} or more."
        )

    return check


def fit_twice(name: str) -> Demand:
    """An option that counts tokens, of which the context holds twice as many."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked, most = float(options[name]), ground.seq_len // 2
        if 1 <= asked <= most and asked == int(asked):
            return ""
        return (
            f"{name} {asked:g} does not fit twice into a context of {ground.seq_len} tokens. Set "
            f"it to 1 … {most}, or model.seq_len to {2 * max(1, round(asked))} or more."
        )

    return check


def count(name: str, *, least: int = 2, most: int = 100_000) -> Demand:
    """An option that is a whole number from `least` to `most`."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked = float(options[name])
        good = least <= asked <= most and asked == int(asked)
        return "" if good else f"{name} is {asked:g}. Set it to a whole number, {least} … {most}."

    return check


def positive(name: str) -> Demand:
    """An option above 0."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked = float(options[name])
        return "" if 0 < asked < 1e6 else f"{name} is {asked:g}. Set it above 0."

    return check


def source(name: str) -> Demand:
    """A corpus of one source."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        if ground.source == name:
            return ""
        return f"it needs corpus.source {name}, and this is {ground.source}. Leave it out."

    return check


def asks_questions(options: Mapping[str, Option], ground: Ground) -> str:
    """A corpus that can ask questions."""
    able = [one.name for one in SOURCES.values() if one.questions]
    if ground.source in able:
        return ""
    return f"it needs corpus.source {' or '.join(able)}, and this is {ground.source}. Leave it out."


def has_sequences(options: Mapping[str, Option], ground: Ground) -> str:
    """A corpus of sequences, each of a source of its own."""
    able = [one.name for one in SOURCES.values() if one.sequences]
    if ground.source in able:
        return ""
    return f"it needs corpus.source {' or '.join(able)}, and this is {ground.source}. Leave it out."


def few_chains(options: Mapping[str, Option], ground: Ground) -> str:
    """A corpus of as many chains as are stated."""
    if ground.chains:
        return ""
    return (
        "it needs chains that are trained on again and again. Set corpus.chains, or leave it out."
    )


def text(options: Mapping[str, Option], ground: Ground) -> str:
    """A corpus of text."""
    if ground.tokenizer != NO_TOKENIZER:
        return ""
    return f"it needs a corpus of text, and {ground.source} has none. Leave it out."


def rising(first: str, second: str) -> Demand:
    """An option that is below another."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        low, high = float(options[first]), float(options[second])
        return "" if low < high else f"{first} {low:g} is not below {second} {high:g}. Swap them."

    return check


def pairs_fit(options: Mapping[str, Option], ground: Ground) -> str:
    """`pairs`, where it is not the corpus's own: examples within the context, and keys enough."""
    asked = float(options["pairs"])
    if asked == 0:
        return ""
    most = min((ground.seq_len - 1) // 4, (ground.vocab_size - 1) // 2)
    if 1 <= asked <= most and asked == int(asked):
        return ""
    return (
        f"{asked:g} pairs do not fit: an example has 4 tokens a pair and one more, and half of the "
        f"vocabulary is keys. Set pairs to 1 … {most}, or raise model.seq_len ({ground.seq_len}) "
        f"and corpus.vocab_size ({ground.vocab_size})."
    )


def list_unmet(demands: tuple[Demand, ...], options: Mapping[str, Option], ground: Ground) -> str:
    """The first demand that is not met; empty if all are."""
    return next((why for one in demands if (why := one(options, ground))), "")

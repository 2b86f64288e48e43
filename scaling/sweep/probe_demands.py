"""Demands of probes on a sweep: a context that is long enough, a corpus of the right source.

A demand is a function of a probe's options and the sweep's `Ground`; it returns what is missing and
the remedy, or an empty string. Demands are checked before anything is trained.
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
    """The setting in which a probe is measured: the context [tokens], the vocabulary, the corpus's
    source in the sweep file, its tokenizer, and the number of chains (0: one for each sequence)."""

    seq_len: int
    vocab_size: int
    source: str
    tokenizer: str
    chains: int = 0


Demand: TypeAlias = Callable[[Mapping[str, Option], Ground], str]


def fit_context(name: str, *, beyond: int = 0) -> Demand:
    """Demand that an option counts tokens of the context: 1 to the context minus `beyond`."""

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
    """Demand that the context has at least twice as many tokens as an option counts."""

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
    """Demand that an option is a whole number from `least` to `most`."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked = float(options[name])
        good = least <= asked <= most and asked == int(asked)
        return "" if good else f"{name} is {asked:g}. Set it to a whole number, {least} … {most}."

    return check


def positive(name: str) -> Demand:
    """Demand that an option is above 0."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        asked = float(options[name])
        return "" if 0 < asked < 1e6 else f"{name} is {asked:g}. Set it above 0."

    return check


def source(*names: str) -> Demand:
    """Demand a corpus of one of these sources."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        if ground.source in names:
            return ""
        return (
            f"it needs corpus.source {' or '.join(names)}, and this is {ground.source}. "
            "Leave it out."
        )

    return check


asks_questions = source(*(one.name for one in SOURCES.values() if one.questions))
has_sequences = source(*(one.name for one in SOURCES.values() if one.sequences))


def few_chains(options: Mapping[str, Option], ground: Ground) -> str:
    """Demand a corpus with a stated number of training chains."""
    if ground.chains:
        return ""
    return "it needs a fixed set of training chains. Set corpus.chains, or leave it out."


def text(options: Mapping[str, Option], ground: Ground) -> str:
    """Demand a corpus of text."""
    if ground.tokenizer != NO_TOKENIZER:
        return ""
    return f"it needs a corpus of text, and {ground.source} has none. Leave it out."


def rising(first: str, second: str) -> Demand:
    """Demand that an option is below another."""

    def check(options: Mapping[str, Option], ground: Ground) -> str:
        low, high = float(options[first]), float(options[second])
        return "" if low < high else f"{first} {low:g} is not below {second} {high:g}. Swap them."

    return check


def pairs_fit(options: Mapping[str, Option], ground: Ground) -> str:
    """Demand for `pairs` other than the corpus's own: examples fit the context, keys suffice."""
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

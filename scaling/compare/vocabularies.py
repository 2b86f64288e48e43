"""Which vocabulary is best for a budget: tokenizers compared by their laws, in bits per byte.

    b_v(C) = L*_v(C) / ln 2 · tokens_v / bytes,    the best v has the lowest b_v(C)

L*_v is the lowest loss along the sweep's own frontier, so a large vocabulary pays for its head in
FLOPs; tokens_v and bytes are those of the held-out text, which is one text for all. Losses per
token do not compare: a token of another vocabulary is another thing to predict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.errors import QueryError, UsageError
from scaling.files.contract import write_fields
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.fitted import Fit, Interval
from scaling.fitting.intervals import find_interval
from scaling.laws.frontier import find_frontier
from scaling.laws.registry import find_law, read_law
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.units import FloatArray, bits_per_byte

# Contexts in bytes that differ by less count as equal: rounding to whole tokens moves one by a few
# percent.
_SAME_CONTEXT = 0.1
_ROUNDING = 1.05  # whole steps move the C of a run off its budget by a few percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One tokenizer's sweep.

    Attributes:
        facts: Facts of its corpus.
        seq_len: Tokens per window.
        fit: Fit of its runs.
        lowest: Declared budget [FLOPs] -> lowest measured loss there [nats/token].
    """

    facts: CorpusFacts
    seq_len: int
    fit: Fit
    lowest: Mapping[float, float]

    @property
    def context_bytes(self) -> float:
        """Bytes of held-out text in a window, on average."""
        return self.seq_len * self.facts.validation_bytes / self.facts.validation_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyPoint:
    """One vocabulary at one budget.

    Attributes:
        tokenizer, vocab_size: The vocabulary's tokenizer and size.
        bits: Loss at its own optimum, by its law [bits/byte].
        interval: Interval of `bits`; None without bootstrap.
        measured: Lowest loss of a run of this budget [bits/byte]; None if there is none.
        params, tokens: Its optimum N*, D*.
        text_bytes: Bytes of training text in D*.
    """

    tokenizer: str
    vocab_size: int
    bits: float
    interval: Interval | None
    measured: float | None
    params: float
    tokens: float
    text_bytes: float

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, bits="bits_per_byte")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChoice:
    """The vocabularies at one budget, ascending in size.

    Attributes:
        flops: Budget C [FLOPs].
        best: Tokenizer of the lowest bits per byte by law.
        share: Share of the draws in which `best` is the lowest; None without bootstrap.
        at_edge: Whether `best` is the smallest or the largest that was tried.
        beyond: Whether C lies outside the trained budgets.
        points: One for each vocabulary.
    """

    flops: float
    best: str
    share: float | None
    at_edge: bool
    beyond: bool
    points: tuple[VocabularyPoint, ...]

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, share="share_of_draws", beyond="beyond_data", points="tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyComparison:
    """Tokenizers compared over budgets.

    Attributes:
        level: Probability of each interval.
        context_bytes: Tokenizer -> bytes of text in a window, on average.
        left_out: Tokenizers without a law, and why.
        choices: One for each budget, ascending.
    """

    level: float
    context_bytes: Mapping[str, float]
    left_out: Mapping[str, str]
    choices: tuple[BudgetChoice, ...]

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling tokenizers`."""
        return {"schema_version": SCHEMA_VERSION, **write_fields(self, choices="budgets")}


def compare_vocabularies(
    candidates: Sequence[Candidate], *, budgets: Sequence[float], seed: int = 0
) -> VocabularyComparison:
    """Compare tokenizers at each budget.

    Args:
        candidates: Sweeps that differ in the tokenizer alone.
        budgets: C [FLOPs].
        seed: Seeds the pairing of draws.

    Raises:
        UsageError: Texts or contexts differ, or fewer than two candidates have a law.
        QueryError: A budget is not positive and finite.
    """
    if not all(math.isfinite(budget) and budget > 0 for budget in budgets):
        raise QueryError(f"budgets are {list(budgets)}; each must be a positive number of FLOPs.")
    _check_comparable(candidates)
    usable = [one for one in candidates if one.fit.law is not None and one.fit.frontier is not None]
    left_out = {
        one.facts.tokenizer: one.fit.reason or one.fit.status
        for one in candidates
        if one not in usable
    }
    if len(usable) < 2:
        raise UsageError(
            f"{len(usable)} of {len(candidates)} tokenizers have a law; two are needed to compare."
        )
    usable.sort(key=lambda one: one.facts.vocab_size)
    flops = np.array(sorted(budgets))
    best = [_evaluate(one, flops) for one in usable]
    draws = [_draw(one, flops, seed + at) for at, one in enumerate(usable)]
    return VocabularyComparison(
        choices=tuple(_choose(usable, best, draws, at, float(c)) for at, c in enumerate(flops)),
        level=usable[0].fit.level,
        context_bytes={one.facts.tokenizer: one.context_bytes for one in candidates},
        left_out=left_out,
    )


def _check_comparable(candidates: Sequence[Candidate]) -> None:
    texts = {(one.facts.train_bytes, one.facts.validation_bytes) for one in candidates}
    if len(texts) > 1 or (0, 0) in texts:
        raise UsageError(
            "these sweeps rest on other texts, or on tokens whose text is not known: bits per byte "
            "would not compare. Name sweeps of one corpus with different tokenizers."
        )
    contexts = {one.facts.tokenizer: one.context_bytes for one in candidates}
    low, high = min(contexts.values()), max(contexts.values())
    if high > (1 + _SAME_CONTEXT) * low:
        seen = ", ".join(f"{name} {value:.0f}" for name, value in contexts.items())
        raise UsageError(
            f"windows hold different amounts of text [bytes]: {seen}.\n"
            "Set model.context_bytes in place of seq_len, for every tokenizer the same."
        )


def _evaluate(one: Candidate, flops: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """N*, D* and the loss there [nats/token], each shape (budgets,)."""
    assert one.fit.law is not None
    family, letters = read_law(one.fit.law.family, one.fit.law.params)
    params, tokens = find_frontier(family, letters, flops=flops, cost=one.fit.cost)
    return params, tokens, family.loss(letters, params, tokens)


def _draw(one: Candidate, flops: FloatArray, seed: int) -> FloatArray | None:
    """Bits per byte of each bootstrap draw, shape (draws, budgets), shuffled by the seed: draws of
    two sweeps use the same weights and must not look as if they shared noise."""
    if not one.fit.draws:
        return None
    assert one.fit.law is not None
    family = find_law(one.fit.law.family)
    letters = np.random.default_rng(seed).permutation(np.array(one.fit.draws))[:, None, :]
    params, tokens = find_frontier(family, letters, flops=flops[None, :], cost=one.fit.cost)
    return family.loss(letters, params, tokens) * _bits_per_nat(one.facts)


def _bits_per_nat(facts: CorpusFacts) -> float:
    factor = bits_per_byte(1.0, tokens=facts.validation_tokens, bytes_=facts.validation_bytes)
    assert factor is not None
    return factor


def _choose(
    usable: Sequence[Candidate],
    best: Sequence[tuple[FloatArray, FloatArray, FloatArray]],
    draws: Sequence[FloatArray | None],
    at: int,
    budget: float,
) -> BudgetChoice:
    points = []
    for one, (params, tokens, loss), drawn in zip(usable, best, draws, strict=True):
        factor = _bits_per_nat(one.facts)
        measured = one.lowest.get(budget)
        points.append(
            VocabularyPoint(
                tokenizer=one.facts.tokenizer,
                vocab_size=one.facts.vocab_size,
                bits=float(loss[at]) * factor,
                interval=None if drawn is None else find_interval(drawn[:, at], one.fit.level),
                measured=None if measured is None else measured * factor,
                params=float(params[at]),
                tokens=float(tokens[at]),
                text_bytes=float(tokens[at]) * one.facts.train_bytes / one.facts.train_tokens,
            )
        )
    lowest = min(range(len(points)), key=lambda index: points[index].bits)
    share = None
    drawn_here = [one[:, at] for one in draws if one is not None]
    if len(drawn_here) == len(points):
        count = min(map(len, drawn_here))
        table = np.array([one[:count] for one in drawn_here])
        share = float(np.mean(np.argmin(table, axis=0) == lowest))
    return BudgetChoice(
        flops=budget,
        points=tuple(points),
        best=points[lowest].tokenizer,
        share=share,
        at_edge=lowest in (0, len(points) - 1),
        beyond=any(_lies_beyond(one.fit, budget) for one in usable),
    )


def _lies_beyond(fit: Fit, budget: float) -> bool:
    if fit.covered is None:
        return True
    low, high = fit.covered.flops
    return not low / _ROUNDING <= budget <= high * _ROUNDING

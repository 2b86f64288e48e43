"""Sums of two numbers, one token a digit: an ability with exact answers.

    0  a_1 … a_n  +  b_1 … b_n  =  s_0 … s_n        3n + 4 tokens

Operands have n digits, the highest first and padded with zeros; the sum has n + 1, its units first,
so that each digit follows from what stands before it and one carry. Ids: 0 begins a sum, 1 to 10
are the digits, 11 is +, 12 is =. Each number of carries, 0 to n, has equally many sums. Held-out
sums share no pair of operands with those trained on. Source: Lee et al. 2023, arXiv:2307.03381
(reversed sums, balanced carries).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.data.questions import Questions
from scaling.data.shards import Draft, PreparedCorpus, draft_drawn, prepare_once, spread_blocks
from scaling.errors import CorpusError
from scaling.units import IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

ARITHMETIC_VERSION = 1  # raise when the same seed would give other sums
NAME = "arithmetic"
VOCABULARY, PLUS, EQUALS = 13, 11, 12
HELD_OUT = 2000  # sums at most; a tenth of all if there are few
_FIRST_DIGIT, _BASE = 1, 10
_ALL_PAIRS = 1_000_000  # up to here every pair is listed; above, pairs are drawn
_DRAWN_PER_PAIR = 8


def count_example(digits: int) -> int:
    """Number of tokens of a sum."""
    return 3 * digits + 4


def count_carries(first: IntArray, second: IntArray, *, digits: int) -> IntArray:
    """Number of digits in each sum that carry into the next."""
    carry, carries = np.zeros_like(first), np.zeros_like(first)
    for place in range(digits):
        unit = _BASE**place
        carry = (first // unit % _BASE + second // unit % _BASE + carry) // _BASE
        carries += carry
    return carries


def write_sums(first: IntArray, second: IntArray, *, digits: int) -> IntArray:
    """Tokens of each sum, shape (sums, 3 · digits + 4)."""
    operands = [
        _FIRST_DIGIT + number[:, None] // _BASE ** np.arange(digits - 1, -1, -1) % _BASE
        for number in (first, second)
    ]
    total = (first + second)[:, None] // _BASE ** np.arange(digits + 1) % _BASE + _FIRST_DIGIT
    begin, plus, equals = (np.full((len(first), 1), one) for one in (0, PLUS, EQUALS))
    return np.concatenate((begin, operands[0], plus, operands[1], equals, total), axis=1)


@functools.lru_cache(maxsize=4)
def draw_sums(seed: int, digits: int, examples: int) -> tuple[IntArray, IntArray]:
    """Tokens of the sums to train on and of those held out, each in an order drawn from the seed.

    Raises:
        CorpusError: There are not that many pairs of operands.
    """
    every = _BASE ** (2 * digits)
    held = min(HELD_OUT, every // 10)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    if every <= _ALL_PAIRS:
        pairs = rng.permutation(every)
    else:
        pairs = rng.choice(every, min(every, _DRAWN_PER_PAIR * (examples + held)), replace=False)
    first, second = pairs // _BASE**digits, pairs % _BASE**digits
    carries = count_carries(first, second, digits=digits)
    parts: tuple[list[IntArray], list[IntArray]] = ([], [])
    for number in range(digits + 1):
        found = np.flatnonzero(carries == number)
        shares = [(total + digits - number) // (digits + 1) for total in (examples, held)]
        if sum(shares) > found.size:
            most = (digits + 1) * (min(np.bincount(carries)) - shares[1])
            raise CorpusError(
                f"{examples} sums of {digits} digits with every number of carries alike, and "
                f"{held} held out, are more than there are. Set corpus.examples to {most} or "
                "fewer, or raise corpus.digits."
            )
        parts[0].append(found[: shares[0]])
        parts[1].append(found[shares[0] : sum(shares)])
    train, rest = (rng.permutation(np.concatenate(part)) for part in parts)
    return (
        write_sums(first[train], second[train], digits=digits),
        write_sums(first[rest], second[rest], digits=digits),
    )


def prepare_arithmetic(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: There are too few sums, or one is longer than the context.
    """
    digits, examples = corpus.read_counts("digits", "examples")
    if count_example(digits) > seq_len:
        raise CorpusError(
            f"a sum of {digits} digits has {count_example(digits)} tokens, more than the context "
            f"of {seq_len}. Set model.seq_len to {count_example(digits)} or more."
        )
    if examples * count_example(digits) < 3 * seq_len:
        raise CorpusError(
            f"{examples} sums have {examples * count_example(digits)} tokens, less than three "
            f"contexts of {seq_len}. Ask for more corpus.examples, or a smaller model.seq_len."
        )
    key = [NAME, ARITHMETIC_VERSION, corpus.seed, digits, examples]
    train, held_out = draw_sums(corpus.seed, digits, examples)

    def draw() -> Draft:
        return draft_drawn(
            f"{NAME} {key}",
            vocab_size=VOCABULARY,
            train=train.ravel().astype(np.uint8),
            validation=held_out.ravel().astype(np.uint8),
            documents=spread_blocks(held_out.size, block=count_example(digits)),
        )

    return prepare_once(cache, key, draw)


def ask(key: list[int], rng: np.random.Generator, count: int) -> Questions:
    """Questions for `questions.ask_questions`: the first held-out sums, already in random order."""
    seed, digits, examples = key[2:]
    _, held_out = draw_sums(seed, digits, examples)
    asked = held_out[:count]
    answer = count_example(digits) - digits - 1
    return Questions(prompts=asked[:, :answer], answers=asked[:, answer:])


def find_chance(options: Mapping[str, object], corpus: CorpusSpec) -> float:
    """See `corpus_sources.Source.chance`: any digit."""
    return 1.0 / _BASE

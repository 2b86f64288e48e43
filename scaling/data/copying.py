"""Strings of random letters, each written twice: the simplest ability that needs the context.

    0  x_1 … x_n  1  x_1 … x_n        2n + 2 tokens

Letters are any of the ids from 2 on. Every string is drawn afresh, so the second half can be known
only from the first. Source: random repeated tokens as the test of induction, Olsson et al.
2022, arXiv:2209.11895.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.data.questions import Questions
from scaling.data.shards import Draft, PreparedCorpus, draft_examples, prepare_once
from scaling.errors import CorpusError
from scaling.units import IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

COPYING_VERSION = 1  # raise when the same seed would give other tokens
NAME = "copying"
BEGIN, AGAIN, FIRST_LETTER = 0, 1, 2


def count_example(length: int) -> int:
    """Number of tokens of a string written twice."""
    return 2 * length + 2


def draw_examples(rng: np.random.Generator, count: int, *, length: int, letters: int) -> IntArray:
    """Strings written twice, shape (count, 2 · length + 2)."""
    drawn = FIRST_LETTER + rng.integers(letters, size=(count, length))
    begin, again = np.full((count, 1), BEGIN), np.full((count, 1), AGAIN)
    return np.concatenate((begin, drawn, again, drawn), axis=1)


def prepare_copying(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: There is no letter, or an example is longer than the context.
    """
    tokens, vocab_size, length = corpus.read_counts("tokens", "vocab_size", "length")
    if vocab_size < FIRST_LETTER + 2:
        raise CorpusError(
            f"copying needs two letters beside its two marks; corpus.vocab_size is {vocab_size}. "
            f"Raise it to {FIRST_LETTER + 2} or more."
        )
    if count_example(length) > seq_len:
        raise CorpusError(
            f"a string of {length} letters said twice has {count_example(length)} tokens, more "
            f"than the context of {seq_len}. Set model.seq_len to {count_example(length)} or more, "
            f"or ask for at most {(seq_len - 2) // 2} letters."
        )

    def draw(rng: np.random.Generator, size: int) -> IntArray:
        count = -(-size // count_example(length))
        examples = draw_examples(rng, count, length=length, letters=vocab_size - FIRST_LETTER)
        return examples.ravel()[:size]

    def draft() -> Draft:
        return draft_examples(
            f"{NAME} {key}",
            draw,
            seed=corpus.seed,
            vocab_size=vocab_size,
            train=tokens + 2 * seq_len,
            block=count_example(length),
        )

    key = [NAME, COPYING_VERSION, corpus.seed, tokens, seq_len, vocab_size, length]
    return prepare_once(cache, key, draft)


def ask(key: list[int], rng: np.random.Generator, count: int) -> Questions:
    """Questions for `questions.ask_questions`: strings drawn afresh."""
    vocab_size, length = key[-2:]
    asked = draw_examples(rng, count, length=length, letters=vocab_size - FIRST_LETTER)
    return Questions(prompts=asked[:, : length + 2], answers=asked[:, length + 2 :])


def find_chance(options: Mapping[str, object], corpus: CorpusSpec) -> float:
    """See `corpus_sources.Source.chance`: any letter."""
    (vocab_size,) = corpus.read_counts("vocab_size")
    return 1.0 / (vocab_size - FIRST_LETTER)

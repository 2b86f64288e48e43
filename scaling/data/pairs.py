"""Associative recall: examples that name pairs of keys and values, then ask for each value.

    0  k_1 v_1 … k_P v_P  k_σ(1) v_σ(1) … k_σ(P) v_σ(P)       4P + 1 tokens, σ at random

Keys are distinct ids of the lower half of the vocabulary, values any of the upper half. Everything
is drawn afresh in every example, so that a value can be known only from the example itself: its
first mention is a coin of many sides, its second is certain. How many pairs a network recalls is
how much its state holds. Source: multi-query associative recall, Arora et al. 2023,
arXiv:2312.04927; queries follow at once here, where theirs stand at random gaps.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.data.shards import Draft, PreparedCorpus, draft_drawn, prepare_once
from scaling.errors import CorpusError
from scaling.units import IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

PAIRS_VERSION = 1  # raise when the same seed would give other tokens
NAME = "pairs"
_HELD_OUT_TOKENS, _BLOCKS = 256 * 1024, 64


def count_example(pairs: int) -> int:
    """Tokens of an example."""
    return 4 * pairs + 1


def count_keys(vocab_size: int) -> int:
    """Keys there are: half of the ids that end no example."""
    return (vocab_size - 1) // 2


def draw_examples(rng: np.random.Generator, count: int, *, pairs: int, vocab_size: int) -> IntArray:
    """Examples, shape (count, 4 · pairs + 1)."""
    keys = count_keys(vocab_size)
    key = 1 + np.argsort(rng.random((count, keys)), axis=1)[:, :pairs]
    value = rng.integers(1 + keys, vocab_size, (count, pairs))
    order = np.argsort(rng.random((count, pairs)), axis=1)
    told = np.stack((key, value), axis=2)
    asked = np.take_along_axis(told, order[..., None], axis=1)
    both = np.concatenate((told, asked), axis=1).reshape(count, 4 * pairs)
    return np.concatenate((np.zeros((count, 1), dtype=np.int64), both), axis=1)


def prepare_pairs(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: There are fewer keys than pairs, or an example is longer than the context.
    """
    tokens, vocab_size, pairs = corpus.tokens, corpus.vocab_size, corpus.pairs
    assert tokens is not None
    assert vocab_size is not None
    assert pairs is not None
    if pairs > count_keys(vocab_size):
        raise CorpusError(
            f"{pairs} pairs need {2 * pairs + 1} ids, half of them keys; corpus.vocab_size is "
            f"{vocab_size}. Raise it to {2 * pairs + 1} or more, or ask for fewer pairs."
        )
    length = count_example(pairs)
    if length > seq_len:
        raise CorpusError(
            f"an example of {pairs} pairs has {length} tokens, more than the context of {seq_len}. "
            f"Set model.seq_len to {length} or more, or ask for at most {(seq_len - 1) // 4} pairs."
        )

    def draw() -> Draft:
        parts = []
        for stream, size in ((1, tokens + 2 * seq_len), (2, _HELD_OUT_TOKENS)):
            rng = np.random.Generator(np.random.Philox(key=[corpus.seed, stream]))
            count = math.ceil(size / length)
            drawn = draw_examples(rng, count, pairs=pairs, vocab_size=vocab_size)
            parts.append(drawn.ravel()[:size].astype(np.uint32))
        train, held_out = parts
        # Blocks begin where an example does: they are the documents of the standard error.
        examples = np.linspace(0, len(held_out) // length, _BLOCKS, endpoint=False)
        return draft_drawn(
            f"{NAME} {key}",
            vocab_size=vocab_size,
            train=train,
            validation=held_out,
            documents=examples.astype(np.int64) * length,
        )

    key = [NAME, PAIRS_VERSION, corpus.seed, tokens, seq_len, vocab_size, pairs]
    return prepare_once(cache, key, draw)

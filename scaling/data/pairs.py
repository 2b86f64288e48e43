"""Associative recall: examples that name pairs of keys and values, then ask for each value.

    0  k_1 v_1 … k_P v_P  k_σ(1) v_σ(1) … k_σ(P) v_σ(P)       4P + 1 tokens, σ at random

Keys are distinct ids of the lower half of the vocabulary, values any of the upper half. Everything
is drawn afresh in every example, so that a value can be known only from the example itself: its
first mention is uniformly random, its second is certain. The number of pairs that a network recalls
measures what its state holds. Source: multi-query associative recall, Arora et al. 2023,
arXiv:2312.04927; queries follow at once here, while theirs come after random gaps.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.data.shards import Draft, PreparedCorpus, draft_examples, prepare_once
from scaling.errors import CorpusError
from scaling.units import IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

PAIRS_VERSION = 1  # raise when the same seed would give other tokens
NAME = "pairs"


def count_example(pairs: int) -> int:
    """Number of tokens of an example."""
    return 4 * pairs + 1


def count_keys(vocab_size: int) -> int:
    """Number of keys: half of the ids other than the separator."""
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


def draw_stream(
    rng: np.random.Generator, size: int, *, pairs: Sequence[int], vocab_size: int
) -> IntArray:
    """Return `size` tokens of examples, round after round (`list_round`)."""
    counts = list_round(pairs)
    rounds = math.ceil(size / sum(map(count_example, counts)))
    parts = [draw_examples(rng, rounds, pairs=one, vocab_size=vocab_size) for one in counts]
    return np.concatenate(parts, axis=1).ravel()[:size]


def list_round(pairs: Sequence[int]) -> tuple[int, ...]:
    """Number of pairs of each example in a round. A number occurs as often as it fits into the
    largest one, so that each has about equally many tokens."""
    most = max(pairs)
    return tuple(one for one in pairs for _ in range(most // one))


def prepare_pairs(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: There are fewer keys than pairs, or an example is longer than the context.
    """
    (tokens, vocab_size), pairs = corpus.read_counts("tokens", "vocab_size"), corpus.pairs
    most = max(pairs)
    if most > count_keys(vocab_size):
        raise CorpusError(
            f"{most} pairs need {2 * most + 1} ids, half of them keys; corpus.vocab_size is "
            f"{vocab_size}. Raise it to {2 * most + 1} or more, or ask for fewer pairs."
        )
    if count_example(most) > seq_len:
        length = count_example(most)
        raise CorpusError(
            f"an example of {most} pairs has {length} tokens, more than the context of {seq_len}. "
            f"Set model.seq_len to {length} or more, or ask for at most {(seq_len - 1) // 4} pairs."
        )

    def draft() -> Draft:
        drawn = draft_examples(
            f"{NAME} {key}",
            functools.partial(draw_stream, pairs=pairs, vocab_size=vocab_size),
            seed=corpus.seed,
            vocab_size=vocab_size,
            train=tokens + 2 * seq_len,
            block=sum(map(count_example, list_round(pairs))),
        )
        # Short examples recur by chance, so an overlap is no sign of a leak.
        return dataclasses.replace(drawn, overlap=0.0)

    key = [NAME, PAIRS_VERSION, corpus.seed, tokens, seq_len, vocab_size, list(pairs)]
    return prepare_once(cache, key, draft)


def find_chance(options: Mapping[str, Any], corpus: CorpusSpec) -> float:
    """See `corpus_sources.Source.chance`: any value that the example named; the mean over the
    numbers of pairs that are asked for."""
    numbers = {int(options["pairs"])} if options.get("pairs") else set(corpus.pairs)
    return sum(1.0 / one for one in numbers) / len(numbers)

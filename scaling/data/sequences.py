"""Sequences that each come from a source of their own, and what can be known of their tokens.

A corpus of such sequences has one in each window of the context (`data/batches.py`), so that
everything a model can know of the source stands before it: what it has from so many examples is
few-shot learning. A corpus source names the function that opens them
(`corpus_sources.Source.sequences`).
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scaling.data.plain_tokenizers import Tokens
from scaling.data.shards import (
    Draft,
    PreparedCorpus,
    choose_dtype,
    draft_drawn,
    prepare_once,
)
from scaling.errors import UsageError
from scaling.sweep.corpus_sources import SOURCES
from scaling.units import FloatArray, IntArray

BAYES, SIMPLE, UNIFORM, TRAINED = "bayes", "simple", "uniform", "trained"
_HELD_OUT_TOKENS = 256 * 1024  # as of `pairs`
_AT_ONCE = 4096  # sequences: some megabytes of sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What can be known of sequences of n tokens each, at those that count.

    Attributes:
        places: Of the tokens that count, from 1 on, ascending, shape (p,).
        examples: Examples of the source that stand before each, shape (p,).
        truth: Probability of every id there by the sequence's own source, shape (sequences, p, v).
        predictors: The same by what knows only the tokens before, by name: `bayes`, the best there
            is for a new source; `simple`, one that overlooks something; `uniform`; and `trained`,
            the best for the sources that were trained on, where they are few.
    """

    places: IntArray
    examples: IntArray
    truth: FloatArray
    predictors: Mapping[str, FloatArray]


class SequenceSource(Protocol):
    """How sequences are drawn, and judged."""

    @property
    def vocab_size(self) -> int:
        """Ids are below it."""

    def draw(
        self, rng: np.random.Generator, count: int, *, trained: bool
    ) -> tuple[IntArray, FloatArray]:
        """Sequences, shape (count, tokens), and the source of each; `trained`: of those that are
        trained on, else of new ones."""

    def judge(self, tokens: IntArray, sources: FloatArray) -> Judged:
        """What can be known of them."""

    def measure_floor(self, tokens: IntArray) -> float:
        """Lowest loss that a model can have on sequences of new sources [nats/token]."""


def open_sequences(corpus: str) -> SequenceSource:
    """The source of a prepared corpus.

    Args:
        corpus: Its name (`Shards.name`): the source, and what it was drawn from.

    Raises:
        UsageError: It holds no such sequences.
    """
    kind, _, key = corpus.partition(" ")
    source = SOURCES.get(kind)
    if source is None or not source.sequences:
        raise UsageError("this corpus has no sequences of sources of their own.")
    opened: SequenceSource = source.load_sequences()(ast.literal_eval(key))
    return opened


def prepare_sequences(
    source: SequenceSource, key: list[Any], *, tokens: int, seq_len: int, seed: int, cache: Path
) -> PreparedCorpus:
    """Draw a corpus of sequences, one for each window, and its held-out ones from new sources.

    Args:
        source: What draws them.
        key: Everything that decides them; its first is the corpus source.
        tokens: How many can be predicted before a sequence comes again.
        seq_len: Tokens that are predicted of each sequence.
        seed: Of both streams.
        cache: Folder of all prepared corpora.
    """
    length = seq_len + 1

    def draw(stream: int, count: int) -> Tokens:
        rng = np.random.Generator(np.random.Philox(key=[seed, stream]))
        sizes = [min(_AT_ONCE, count - first) for first in range(0, count, _AT_ONCE)]
        parts = [source.draw(rng, size, trained=stream == 1)[0] for size in sizes]
        return np.concatenate(parts).astype(choose_dtype(source.vocab_size))

    def draft() -> Draft:
        train, held_out = draw(1, -(-tokens // seq_len)), draw(2, -(-_HELD_OUT_TOKENS // length))
        drawn = draft_drawn(
            f"{key[0]} {key}",
            vocab_size=source.vocab_size,
            train=train.ravel(),
            validation=held_out.ravel(),
            documents=np.arange(len(held_out), dtype=np.int64) * length,
            bayes_loss=source.measure_floor(held_out.astype(np.int64)),
        )
        # Short stretches recur by chance: there is nothing in them to remember.
        return dataclasses.replace(drawn, overlap=0.0, sequence=length)

    return prepare_once(cache, key, draft)


def measure_divergence(p: FloatArray, log_q: FloatArray) -> FloatArray:
    """KL(p ‖ q) over the last axis [nats]; 0 · ln 0 is 0."""
    log_p = np.log(np.where(p > 0.0, p, 1.0))
    terms = np.where(p > 0.0, p * (log_p - np.where(p > 0.0, log_q, 0.0)), 0.0)
    return np.asarray(terms.sum(axis=-1))

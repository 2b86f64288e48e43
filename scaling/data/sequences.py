"""Corpora in which every sequence has its own source, and the exact predictors of its tokens.

One sequence fills one context window (`data/batches.py`), so all that a model can know about its
source is in front of the token it predicts: what it learns from that many examples is few-shot
learning. A corpus source names the function that rebuilds its sequences
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
    HELD_OUT_TOKENS,
    Draft,
    PreparedCorpus,
    choose_dtype,
    draft_drawn,
    prepare_once,
)
from scaling.errors import UsageError
from scaling.sweep.corpus_sources import SOURCES, load_function
from scaling.units import FloatArray, IntArray

BAYES, SIMPLE, UNIFORM, TRAINED = "bayes", "simple", "uniform", "trained"
_AT_ONCE = 4096  # sequences per draw: a few megabytes of sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Exact probabilities at the scored tokens of some sequences.

    Attributes:
        places: Positions of the scored tokens, from 1 on, ascending, shape (p,).
        examples: Number of examples before each, shape (p,).
        truth: Probability of every id by the sequence's own source, shape (sequences, p, v).
        predictors: The same by predictors that see only the tokens before, by name: `bayes`, the
            best for new sources; `simple`, which ignores some structure; `uniform`; and `trained`,
            the best for the training sources, if these are finitely many.
    """

    places: IntArray
    examples: IntArray
    truth: FloatArray
    predictors: Mapping[str, FloatArray]


class SequenceSource(Protocol):
    """Draws sequences and scores their predictors."""

    @property
    def vocab_size(self) -> int:
        """The number of ids."""

    def draw(
        self, rng: np.random.Generator, count: int, *, trained: bool
    ) -> tuple[IntArray, FloatArray]:
        """Draw sequences, shape (count, tokens), and return each one's source.

        Args:
            rng: Random numbers.
            count: Number of sequences.
            trained: Draw from the training sources, else from new ones.
        """

    def judge(self, tokens: IntArray, sources: FloatArray) -> Judged:
        """Compute the exact predictors of some sequences."""

    def measure_floor(self, tokens: IntArray) -> float:
        """Return the lowest loss possible on sequences of new sources [nats/token]."""


def open_sequences(corpus: str) -> SequenceSource:
    """Rebuild the source of a prepared corpus.

    Args:
        corpus: The corpus's name (`Shards.name`): its source and the key it was drawn from.

    Raises:
        UsageError: Its sequences do not have sources of their own.
    """
    kind, _, key = corpus.partition(" ")
    source = SOURCES.get(kind)
    if source is None or not source.sequences:
        raise UsageError("the sequences of this corpus have no sources of their own.")
    opened: SequenceSource = load_function(source.sequences)(ast.literal_eval(key))
    return opened


def prepare_sequences(source: SequenceSource, key: list[Any], *, cache: Path) -> PreparedCorpus:
    """Draw a corpus with one sequence per window; held-out sequences have new sources.

    Args:
        source: Draws the sequences.
        key: Everything that determines them: name and version of the corpus source, seed of both
            streams, number of predicted tokens before a sequence repeats, predicted tokens per
            sequence, and the source's own settings.
        cache: Folder of prepared corpora.
    """
    _, _, seed, tokens, seq_len, *_ = key
    length = seq_len + 1

    def draw(stream: int, count: int) -> Tokens:
        rng = np.random.Generator(np.random.Philox(key=[seed, stream]))
        sizes = [min(_AT_ONCE, count - first) for first in range(0, count, _AT_ONCE)]
        parts = [source.draw(rng, size, trained=stream == 1)[0] for size in sizes]
        return np.concatenate(parts).astype(choose_dtype(source.vocab_size))

    def draft() -> Draft:
        train, held_out = draw(1, -(-tokens // seq_len)), draw(2, -(-HELD_OUT_TOKENS // length))
        drawn = draft_drawn(
            f"{key[0]} {key}",
            vocab_size=source.vocab_size,
            train=train.ravel(),
            validation=held_out.ravel(),
            documents=np.arange(len(held_out), dtype=np.int64) * length,
            bayes_loss=source.measure_floor(held_out.astype(np.int64)),
        )
        # Short stretches recur by chance, so overlap with the training text means nothing.
        return dataclasses.replace(drawn, overlap=0.0, sequence=length)

    return prepare_once(cache, key, draft)


def measure_divergence(p: FloatArray, log_q: FloatArray) -> FloatArray:
    """Compute KL(p ‖ q) over the last axis [nats], with 0 · ln 0 = 0."""
    log_p = np.log(np.where(p > 0.0, p, 1.0))
    terms = np.where(p > 0.0, p * (log_p - np.where(p > 0.0, log_q, 0.0)), 0.0)
    return np.asarray(terms.sum(axis=-1))

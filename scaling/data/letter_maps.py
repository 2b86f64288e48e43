"""Random maps of letters, each shown by examples: a query, and the letter that it is mapped to.

    0  q_1 x_1  q_2 x_2  …        x_i = f(q_i), f a random one-to-one map, q_i any query

Queries are the ids 1 … a, what they are mapped to a + 1 … 2a. Every window of the context has a map
of its own. After u different queries exact predictors of x are

    bayes      f(q) where q was seen, else uniform over the a − u letters that are left
    simple     f(q) where q was seen, else uniform over all a: recall alone
    uniform    1 / a

Source: letter maps as few-shot tasks are a plain form of associative recall (`data/pairs.py`), with
queries that return at random, so that each further example is worth less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.data.sequences import (
    BAYES,
    SIMPLE,
    UNIFORM,
    Judged,
    SequenceSource,
    prepare_sequences,
)
from scaling.data.shards import PreparedCorpus
from scaling.errors import CorpusError
from scaling.units import FloatArray, IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

LETTERS_VERSION = 1  # raise when the same seed would give other tokens
NAME = "letter_maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMaps:
    """Sequences of `length` tokens of maps of `letters` letters."""

    letters: int
    length: int

    @property
    def vocab_size(self) -> int:
        return 2 * self.letters + 1

    def draw(
        self, rng: np.random.Generator, count: int, *, trained: bool
    ) -> tuple[IntArray, FloatArray]:
        """See `SequenceSource`; a source is f, shape (count, letters), and each is new."""
        maps = np.argsort(rng.random((count, self.letters)), axis=1)
        shots = -(-(self.length - 1) // 2)
        queries = rng.integers(self.letters, size=(count, shots))
        told = np.take_along_axis(maps, queries, axis=1)
        pairs = np.stack((1 + queries, 1 + self.letters + told), axis=2).reshape(count, -1)
        tokens = np.concatenate((np.zeros((count, 1), dtype=np.int64), pairs), axis=1)
        return tokens[:, : self.length], maps.astype(np.float64)

    def judge(self, tokens: IntArray, sources: FloatArray) -> Judged:
        """See `SequenceSource`; what queries are mapped to counts."""
        count, a = len(tokens), self.letters
        places, rows = np.arange(2, self.length, 2), np.arange(count)
        queries, told = tokens[:, places - 1] - 1, tokens[:, places] - 1 - a
        known = np.full((count, a), -1)  # what each query was mapped to
        free = np.ones((count, a))  # letters that no query was mapped to
        bayes, simple = (np.empty((count, len(places), a)) for _ in range(2))
        for at in range(len(places)):
            before = known[rows, queries[:, at]]
            certain = (before[:, None] == np.arange(a)).astype(np.float64)
            seen = (before >= 0)[:, None]
            left = free / np.maximum(free.sum(axis=1, keepdims=True), 1.0)
            bayes[:, at] = np.where(seen, certain, left)
            simple[:, at] = np.where(seen, certain, 1.0 / a)
            known[rows, queries[:, at]] = told[:, at]
            free[rows, told[:, at]] = 0.0
        uniform = np.full_like(bayes, 1.0 / a)
        return Judged(
            places=places,
            examples=np.arange(len(places)),
            truth=self._spread(np.eye(a)[told]),
            predictors={
                BAYES: self._spread(bayes),
                SIMPLE: self._spread(simple),
                UNIFORM: self._spread(uniform),
            },
        )

    def measure_floor(self, tokens: IntArray) -> float:
        """See `SequenceSource`; of a query nothing is known."""
        judged = self.judge(tokens, np.empty(0))
        said = np.take_along_axis(judged.predictors[BAYES], tokens[:, judged.places, None], axis=2)
        told, length = len(judged.places), self.length - 1
        queries = (length - told) * math.log(self.letters)
        return (queries - float(np.log(said).sum()) / len(tokens)) / length

    def _spread(self, letters: FloatArray) -> FloatArray:
        """Probabilities of letters as those of all ids."""
        wide = np.zeros((*letters.shape[:2], self.vocab_size))
        wide[..., 1 + self.letters :] = letters
        return wide


def prepare_letter_maps(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: A context has fewer examples than there are letters.
    """
    tokens, letters = corpus.tokens, corpus.letters
    assert tokens is not None
    assert letters is not None
    if 2 * letters > seq_len:
        raise CorpusError(
            f"{letters} letters are mapped by as many examples of 2 tokens, more than the context "
            f"of {seq_len} holds. Set model.seq_len to {2 * letters} or more, or corpus.letters to "
            f"{seq_len // 2} or fewer."
        )
    key = [NAME, LETTERS_VERSION, corpus.seed, tokens, seq_len, letters]
    return prepare_sequences(
        open_maps(key), key, tokens=tokens, seq_len=seq_len, seed=corpus.seed, cache=cache
    )


def open_maps(key: list[Any]) -> SequenceSource:
    """The source of a corpus; see `sequences.open_sequences`."""
    *_, seq_len, letters = key
    return LetterMaps(letters=letters, length=seq_len + 1)

"""Random maps of letters, each shown by examples: a query and its image.

    0  q_1 x_1  q_2 x_2  …        x_i = f(q_i), f a random one-to-one map, q_i any query

Queries are the ids 1 … a, images the ids a + 1 … 2a. Every context window has its own map. After u
different queries the exact predictors of x are

    bayes      f(q) if q was seen, else uniform over the a − u images left
    simple     f(q) if q was seen, else uniform over all a images: recall alone
    uniform    1 / a

As a few-shot task, letter maps are a plain form of associative recall (`data/pairs.py`). Queries
return at random, so each further example is worth less.
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

LETTERS_VERSION = 1  # raise it when the same seed gives other tokens
NAME = "letter_maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMaps:
    """Draws sequences of `length` tokens, each from a map of `letters` letters."""

    letters: int
    length: int

    @property
    def vocab_size(self) -> int:
        return 2 * self.letters + 1

    def draw(
        self, rng: np.random.Generator, count: int, *, trained: bool
    ) -> tuple[IntArray, FloatArray]:
        """See `SequenceSource`; sources are maps f, shape (count, letters), always new."""
        maps = np.argsort(rng.random((count, self.letters)), axis=1)
        shots = -(-(self.length - 1) // 2)
        queries = rng.integers(self.letters, size=(count, shots))
        told = np.take_along_axis(maps, queries, axis=1)
        pairs = np.stack((1 + queries, 1 + self.letters + told), axis=2).reshape(count, -1)
        tokens = np.concatenate((np.zeros((count, 1), dtype=np.int64), pairs), axis=1)
        return tokens[:, : self.length], maps.astype(np.float64)

    def judge(self, tokens: IntArray, sources: FloatArray) -> Judged:
        """See `SequenceSource`; the images are scored."""
        count, a = len(tokens), self.letters
        places, rows = np.arange(2, self.length, 2), np.arange(count)
        queries, told = tokens[:, places - 1] - 1, tokens[:, places] - 1 - a
        known = np.full((count, a), -1)  # image of each query
        free = np.ones((count, a))  # images not seen yet
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
        """See `SequenceSource`; queries are uniform and unpredictable."""
        judged = self.judge(tokens, np.empty(0))
        said = np.take_along_axis(judged.predictors[BAYES], tokens[:, judged.places, None], axis=2)
        told, length = len(judged.places), self.length - 1
        queries = (length - told) * math.log(self.letters)
        return (queries - float(np.log(said).sum()) / len(tokens)) / length

    def _spread(self, letters: FloatArray) -> FloatArray:
        """Pad probabilities of images to all ids."""
        wide = np.zeros((*letters.shape[:2], self.vocab_size))
        wide[..., 1 + self.letters :] = letters
        return wide


def prepare_letter_maps(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: A map needs more examples than the context holds.
    """
    tokens, letters = corpus.read_counts("tokens", "letters")
    if 2 * letters > seq_len:
        raise CorpusError(
            f"a map of {letters} letters takes as many examples of 2 tokens, more than a context "
            f"of {seq_len} tokens holds. Set model.seq_len to {2 * letters} or more, or "
            f"corpus.letters to {seq_len // 2} or fewer."
        )
    key = [NAME, LETTERS_VERSION, corpus.seed, tokens, seq_len, letters]
    return prepare_sequences(open_maps(key), key, cache=cache)


def open_maps(key: list[Any]) -> SequenceSource:
    """Rebuild the source of a corpus; see `sequences.open_sequences`."""
    *_, seq_len, letters = key
    return LetterMaps(letters=letters, length=seq_len + 1)

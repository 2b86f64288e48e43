"""Novels in which every other span repeats text from some hundred bytes before it.

    fresh span, copy of LENGTHS bytes from LAGS bytes back, fresh span, copy, …    half of the bytes

A network that keeps the context verbatim can predict a copy. A fresh span continues where the last
one ended. Held-out text is woven in the same way, from other novels.
Source: repeated text as a test of induction, Olsson et al. 2022, arXiv:2209.11895.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.documents import Document, digest_documents
from scaling.data.novels import read_novels
from scaling.data.plain_tokenizers import ByteTokenizer
from scaling.data.shards import Draft, PreparedCorpus, prepare_once, spread_blocks
from scaling.data.split import measure_overlap, split_documents
from scaling.errors import CorpusError
from scaling.sweep.tokenizer_names import BYTES

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

COPIES_VERSION = 1  # raise when the same seed would give other tokens
NAME = "copies"
LAGS = (64, 400)  # bytes from a copy back to what it repeats, both included
LENGTHS = (32, 96)  # bytes of a span, both included; a copy ends where it would repeat itself
_HELD_OUT_TOKENS = 512 * 1024  # as in `synthetic`


def weave_copies(rng: np.random.Generator, text: NDArray[Any], size: int) -> NDArray[Any]:
    """Return `size` ids: spans of a text in order, each followed by a copy.

    Raises:
        CorpusError: The text is too short.
    """
    woven = np.empty_like(text, shape=size)
    at, read = 0, 0
    while at < size:
        length = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1)) if at else LAGS[1]
        fresh = text[read : read + min(length, size - at)]
        if len(fresh) < min(length, size - at):
            raise CorpusError(
                f"{size} tokens need about {size // 2} bytes of novels, and there are {len(text)}. "
                f"Set corpus.tokens to {int(1.9 * len(text)):,} or fewer."
            )
        woven[at : at + len(fresh)] = fresh
        at, read = at + len(fresh), read + len(fresh)
        lag = int(rng.integers(LAGS[0], LAGS[1] + 1))
        length = min(int(rng.integers(LENGTHS[0], LENGTHS[1] + 1)), lag, size - at)
        woven[at : at + length] = woven[at - lag : at - lag + length]
        at += length
    return woven


def prepare_copies(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Weave the corpus.

    Raises:
        CorpusError: Copies do not fit the context, or there are too few novels.
    """
    (tokens,) = corpus.read_counts("tokens")
    if seq_len <= LAGS[1]:
        raise CorpusError(
            f"copies stand up to {LAGS[1]} tokens after what they repeat, and the context is "
            f"{seq_len}. Set model.seq_len to {LAGS[1] + 1} or more."
        )
    novels = tuple(sorted(read_novels(), key=lambda one: one.name))
    sizes = (tokens + 2 * seq_len, _HELD_OUT_TOKENS)

    def draw() -> Draft:
        sides = map(_join, split_documents(novels))
        train, held_out = (
            weave_copies(
                np.random.Generator(np.random.Philox(key=[corpus.seed, stream])), text, size
            )
            for stream, text, size in zip((1, 2), sides, sizes, strict=True)
        )
        return Draft(
            name=f"{NAME} {key}",
            vocab_size=ByteTokenizer.vocab_size,
            train=train,
            validation=held_out,
            validation_documents=spread_blocks(len(held_out)),
            train_bytes=len(train),
            validation_bytes=len(held_out),
            overlap=measure_overlap(train.tobytes(), held_out.tobytes()),
            tokenizer=BYTES,
        )

    key = [NAME, COPIES_VERSION, corpus.seed, tokens, seq_len, digest_documents(novels)]
    return prepare_once(cache, key, draw)


def _join(novels: Sequence[Document]) -> NDArray[np.uint8]:
    """Join the novels' bytes, which are their ids, with a separator after each novel."""
    return np.frombuffer(b"".join(one.text + b"\0" for one in novels), dtype=np.uint8)

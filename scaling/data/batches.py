"""Which tokens a step sees: a stateless function of (seed, step).

The training stream is cut into windows of seq_len tokens (plus the next one, to predict) from an
offset drawn per epoch; an epoch visits every window once in an order drawn from (seed, epoch). No
state is kept between steps, so a resumed run sees exactly the batches it would have seen. A run may
be given part of the stream only (`take_part`).
Of a corpus of sequences (`Draft.sequence`) each is a window of its own, of seq_len + 1 tokens.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.plain_tokenizers import Tokens
from scaling.data.shards import Shards
from scaling.units import IntArray

_PART_BLOCK = (
    4096  # tokens; text is coherent within a block, and 3e4 tokens still come from eight places
)


class BatchOrder:
    """Batches of one run.

    Args:
        shards: Opened corpus.
        seq_len: Tokens per window.
        batch_sequences: Windows per step.
        seed: Seeds the data order.
    """

    def __init__(self, shards: Shards, *, seq_len: int, batch_sequences: int, seed: int) -> None:
        self._tokens = np.asarray(shards.train)  # indexing a memmap would create a memmap each time
        self._seq_len = seq_len
        self._window = np.arange(seq_len + 1)
        self._batch = batch_sequences
        self._seed = seed
        self._stride = _find_stride(shards, seq_len)
        self._offsets = 1 if shards.sequence else seq_len
        # One window is given up so that every offset in [0, seq_len) fits.
        windows = len(_list_starts(len(shards.train), seq_len, self._stride))
        self.windows_per_epoch = windows - (0 if shards.sequence else 1)
        self._epoch = -1
        self._starts: IntArray = np.empty(0, dtype=np.int64)

    def read_batch(self, step: int) -> IntArray:
        """Token ids of step `step`, shape (batch_sequences, seq_len + 1)."""
        epoch, at = divmod(step * self._batch, self.windows_per_epoch)
        starts = self._starts_of(epoch)[at : at + self._batch]
        while len(starts) < self._batch:  # a batch may span epochs
            epoch += 1
            more = self._starts_of(epoch)[: self._batch - len(starts)]
            starts = np.concatenate((starts, more))
        batch: IntArray = self._tokens[starts[:, None] + self._window].astype(np.int64)
        return batch

    def mark_read(self, steps: int) -> NDArray[np.bool_]:
        """Mask of the training tokens that the first `steps` steps read, shape (tokens,)."""
        read = np.zeros(len(self._tokens), dtype=np.bool_)
        left, epoch = steps * self._batch, 0
        while left > 0 and not read.all():
            starts = self._starts_of(epoch)[:left]
            read[(starts[:, None] + self._window).ravel()] = True
            left, epoch = left - len(starts), epoch + 1
        return read

    def list_starts(self, steps: int) -> IntArray:
        """Where each window of the first `steps` steps begins, in the order they were read."""
        left, epoch, parts = steps * self._batch, 0, []
        while left > 0:
            parts.append(self._starts_of(epoch)[:left])
            left, epoch = left - len(parts[-1]), epoch + 1
        return np.concatenate(parts)

    def _starts_of(self, epoch: int) -> IntArray:
        if epoch != self._epoch:
            rng = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
            offset = int(rng.integers(self._offsets))
            order = rng.permutation(self.windows_per_epoch)
            self._starts, self._epoch = order * self._stride + offset, epoch
        return self._starts


def list_validation_windows(shards: Shards, *, seq_len: int) -> tuple[IntArray, IntArray]:
    """The windows every run is evaluated on: (start, document) of each, shape (windows,).

    Windows do not overlap and cover the held-out stream from its start; a window belongs to the
    document that its first predicted token is in.
    """
    starts = _list_starts(len(shards.validation), seq_len, _find_stride(shards, seq_len))
    document = np.searchsorted(shards.validation_documents, starts + 1, side="right") - 1
    return starts, document.astype(np.int64)


def list_windows(tokens: Tokens, *, seq_len: int) -> IntArray:
    """The validation windows of a held-out stream, shape (windows, seq_len + 1)."""
    starts = _list_starts(len(tokens), seq_len, seq_len)
    return np.asarray(tokens[starts[:, None] + np.arange(seq_len + 1)], dtype=np.int64)


def _find_stride(shards: Shards, seq_len: int) -> int:
    """Tokens from one window to the next: windows of a stream share their ends."""
    if shards.sequence is None:
        return seq_len
    assert shards.sequence == seq_len + 1, f"sequences are of {shards.sequence} tokens"
    return shards.sequence


def _list_starts(tokens: int, seq_len: int, stride: int) -> IntArray:
    return np.arange((tokens - seq_len - 1) // stride + 1, dtype=np.int64) * stride


def take_part(shards: Shards, tokens: int) -> Shards:
    """Limit the training text to some tokens: blocks from everywhere in the text.

    The order of the blocks depends only on the length of the text, so smaller parts are part of
    larger ones.

    Args:
        shards: Shards with at least that many training tokens.
        tokens: Number of tokens to keep.
    """
    text, left = shards.train, tokens
    parts: list[Any] = []
    size = _PART_BLOCK - _PART_BLOCK % min(shards.sequence or 1, _PART_BLOCK)  # of whole sequences
    count = math.ceil(len(text) / size)
    for block in np.random.Generator(np.random.Philox(key=[0, count])).permutation(count):
        parts.append(text[block * size : (block + 1) * size][:left])
        left -= len(parts[-1])
        if not left:
            break
    train = np.concatenate(parts)
    return replace(shards, train=train, facts=replace(shards.facts, train_tokens=len(train)))

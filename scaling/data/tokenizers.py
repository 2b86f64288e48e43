"""Tokenizers: text to token ids. Bytes today; others join behind the same Protocol."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.errors import CorpusError


class Tokenizer(Protocol):
    """What shards need of a tokenizer.

    Attributes:
        name: Enters the content address of the shards.
        vocab_size: Ids are in [0, vocab_size).
        separator: Id written after every document.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def separator(self) -> int: ...
    def encode(self, text: bytes) -> NDArray[np.uint16]: ...


class ByteTokenizer:
    """One token per byte; byte 0, which text does not contain, separates documents."""

    name = "bytes"
    vocab_size = 256
    separator = 0

    def encode(self, text: bytes) -> NDArray[np.uint16]:
        """Token ids of UTF-8 text, shape (bytes,)."""
        return np.frombuffer(text, dtype=np.uint8).astype(np.uint16)


def make_tokenizer(name: str) -> Tokenizer:
    """The tokenizer called `name` in a sweep file."""
    if name == "bytes":
        return ByteTokenizer()
    raise CorpusError(f"tokenizer {name!r} is unknown; this version has 'bytes'.")

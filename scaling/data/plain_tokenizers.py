"""Tokenizers that need no library: bytes, characters, words.

This file imports nothing of the package: it is laid beside exported weights as it stands
(training/huggingface).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]

PIECES = re.compile(rb"\s+|\S+")  # on bytes, \s is ASCII white space
SPACE = b" "
BYTE_TOKENS = 256
_HEX_TOKENS = 16


class ByteTokenizer:
    """One token per byte; byte 0, which text does not contain, separates documents."""

    name = "bytes"
    vocab_size = BYTE_TOKENS
    separator = 0

    def encode(self, text: bytes) -> Tokens:
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)

    def to_json(self) -> bytes:
        return b"{}"


class CharacterTokenizer:
    """One token per known character.

    Ids: 0 the separator, 1 to 16 hexadecimal digits, then the characters in their order.
    """

    name = "characters"
    separator = 0

    def __init__(self, characters: str) -> None:
        self._characters = characters
        self._codes = np.array([ord(one) for one in characters], dtype=np.uint32)
        self.vocab_size = 1 + _HEX_TOKENS + len(characters)

    def encode(self, text: bytes) -> Tokens:
        codes = np.frombuffer(text.decode().encode("utf-32-le"), dtype="<u4")
        place = np.searchsorted(self._codes, codes)
        known = self._codes[np.minimum(place, len(self._codes) - 1)] == codes
        ids = (place + 1 + _HEX_TOKENS).astype(np.uint32)
        parts, start = [], 0
        for at in np.flatnonzero(~known).tolist():
            digits = [int(digit, 16) + 1 for digit in chr(codes[at]).encode().hex()]
            parts += [ids[start:at], np.array(digits, dtype=np.uint32)]
            start = at + 1
        return np.concatenate([*parts, ids[start:]])

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text; a digit that spells no byte is FF, which is no UTF-8; the separator is NUL."""
        text, digits = bytearray(), ""
        for one in ids:
            if 0 < one <= _HEX_TOKENS:
                digits += f"{one - 1:x}"
                continue
            text += _read_digits(digits)
            text += self._characters[one - 1 - _HEX_TOKENS].encode() if one else b"\0"
            digits = ""
        return bytes(text) + _read_digits(digits)

    def to_json(self) -> bytes:
        return json.dumps({"characters": self._characters}).encode()


def _read_digits(digits: str) -> bytes:
    whole = len(digits) // 2 * 2
    return bytes.fromhex(digits[:whole]) + b"\xff" * (len(digits) % 2)


class WordTokenizer:
    """One token per known word or run of white space, one per byte of any other.

    Ids: 0 to 255 bytes (0 is the separator), then the words in their order. With `implied_space` a
    single space between two words is not written, unless both are spelled: their bytes would run
    into one another.
    """

    separator = 0

    def __init__(self, words: Sequence[bytes], *, implied_space: bool) -> None:
        self._words = tuple(words)
        self._ids = {word: BYTE_TOKENS + index for index, word in enumerate(words)}
        self._implied = implied_space
        self.vocab_size = BYTE_TOKENS + len(words)
        kind = "words" if implied_space else "words+space"
        self.name = f"{kind}:{self.vocab_size}"

    def encode(self, text: bytes) -> Tokens:
        pieces = PIECES.findall(text)
        known = [self._ids.get(piece) for piece in pieces]
        ids: list[int] = []
        last = len(pieces) - 1
        for at, (piece, one) in enumerate(zip(pieces, known, strict=True)):
            if one is not None:
                ids.append(one)
            elif not (
                self._implied
                and piece == SPACE
                and 0 < at < last
                and (known[at - 1] is not None or known[at + 1] is not None)
            ):
                ids.extend(piece)
        return np.array(ids, dtype=np.uint32)

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self._join(ids))

    def _join(self, ids: Iterable[int]) -> Iterator[bytes]:
        before = None  # "known" or "spelled" after a word, None after white space
        for one in ids:
            piece = bytes([one]) if one < BYTE_TOKENS else self._words[one - BYTE_TOKENS]
            here = None if piece.isspace() else "spelled" if one < BYTE_TOKENS else "known"
            if self._implied and before and here and (before, here) != ("spelled", "spelled"):
                yield SPACE
            yield piece
            before = here

    def to_json(self) -> bytes:
        return json.dumps({"words": [word.decode() for word in self._words]}).encode()

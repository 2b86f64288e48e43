"""Tokenizers: text to token ids and back, without losing a byte.

    bytes           256          one token per byte
    characters      by the text  one per character of the training text
    words:N         N            one per frequent word; a single space between words is implied
    words+space:N   N            one per frequent word or run of white space
    bpe:N           N            byte-level BPE (Hugging Face tokenizers, extra `tokenizers`)

What a vocabulary lacks is spelled, never replaced by one token for everything unknown: words by
their bytes, characters by the hexadecimal digits of theirs. So the loss over a text always pays for
every byte of it, and bits per byte compare. A vocabulary is made from the training split alone.

Source of BPE: Sennrich et al. 2016, arXiv:1508.07909; over bytes: Radford et al. 2019 (GPT-2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from scaling.data.plain_tokenizers import (
    BYTE_TOKENS,
    PIECES,
    SPACE,
    ByteTokenizer,
    CharacterTokenizer,
    Tokens,
    WordTokenizer,
)
from scaling.errors import CorpusError, IntegrityError, UsageError
from scaling.sweep.tokenizer_names import BYTES, CHARACTERS, split_name

# A pair or word that occurs once in the training text would be a token that is hardly trained.
_LEAST_COUNT = 2


class Tokenizer(Protocol):
    """What shards need of a tokenizer.

    Attributes:
        name: As in a sweep file.
        vocab_size: Ids are in [0, vocab_size).
        separator: Id written after every document; no text contains it.
    """

    @property
    def name(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def separator(self) -> int: ...
    def encode(self, text: bytes) -> Tokens:
        """Token ids, shape (tokens,)."""

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text of token ids."""

    def to_json(self) -> bytes:
        """What `read_tokenizer` needs beside the name."""


def train_tokenizer(name: str, texts: Sequence[bytes]) -> Tokenizer:
    """The tokenizer of that name for these training texts; the same texts give the same one.

    Args:
        name: One of the sweep file's (`sweep/tokenizer_names.py`).
        texts: Without NUL bytes; UTF-8 unless the tokenizer is `bytes`.

    Raises:
        CorpusError: The texts cannot fill the vocabulary.
        UsageError: An extra is not installed.
    """
    kind, size = split_name(name)
    if kind == BYTES:
        return ByteTokenizer()
    if kind == CHARACTERS:
        return CharacterTokenizer("".join(sorted(set().union(*(text.decode() for text in texts)))))
    assert size is not None
    if kind == "bpe":
        return _train_bpe(size, texts)
    return _collect_words(texts, size, implied_space=kind == "words")


def read_tokenizer(name: str, content: bytes) -> Tokenizer:
    """The tokenizer whose `to_json` is stored beside its shards.

    Raises:
        IntegrityError: The content is something else.
        UsageError: An extra is not installed.
    """
    kind, _ = split_name(name)
    try:
        if kind == BYTES:
            return ByteTokenizer()
        if kind == "bpe":
            return _read_bpe(content.decode())
        stored = json.loads(content)
        if kind == CHARACTERS:
            return CharacterTokenizer(stored["characters"])
        words = tuple(word.encode() for word in stored["words"])
        return WordTokenizer(words, implied_space=kind == "words")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"not a stored tokenizer {name!r} ({error!r:.80})") from error


class BpeTokenizer:
    """Byte-level BPE of the tokenizers library; the token of byte 0 separates documents."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.vocab_size = int(inner.get_vocab_size())
        self.name = f"bpe:{self.vocab_size}"
        self.separator_token = _NUL
        self.separator = int(inner.token_to_id(_NUL))

    def encode(self, text: bytes) -> Tokens:
        return np.array(self._inner.encode(text.decode()).ids, dtype=np.uint32)

    def decode(self, ids: Sequence[int]) -> bytes:
        return str(self._inner.decode(list(ids))).encode()

    def to_json(self) -> bytes:
        return str(self._inner.to_str()).encode()


_NUL = "Ā"  # how byte-level BPE writes byte 0 (GPT-2's printable alphabet begins at U+0100)


def _train_bpe(size: int, texts: Sequence[bytes]) -> BpeTokenizer:
    library = _import_library()
    inner = library.Tokenizer(library.models.BPE())
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=_LEAST_COUNT,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator((text.decode() for text in texts), trainer)
    _check_filled(f"bpe:{size}", size, int(inner.get_vocab_size()), len(texts))
    return BpeTokenizer(inner)


def _read_bpe(content: str) -> BpeTokenizer:
    library = _import_library()
    try:
        return BpeTokenizer(library.Tokenizer.from_str(content))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(str(error)) from error


def _collect_words(texts: Sequence[bytes], size: int, *, implied_space: bool) -> WordTokenizer:
    counts: Counter[bytes] = Counter()
    for text in texts:
        counts.update(PIECES.findall(text))
    if implied_space:
        del counts[SPACE]  # the space between words is implied; any other is encoded as its byte
    frequent = [(-count, word) for word, count in counts.items() if count >= _LEAST_COUNT]
    words = [word for _, word in sorted(frequent)[: size - BYTE_TOKENS]]
    tokenizer = WordTokenizer(words, implied_space=implied_space)
    asked = f"{tokenizer.name.partition(':')[0]}:{size}"
    _check_filled(asked, size, tokenizer.vocab_size, len(texts))
    return tokenizer


def _check_filled(name: str, size: int, filled: int, documents: int) -> None:
    if filled < size:
        raise CorpusError(
            f"corpus.tokenizer {name}: the {documents} training documents fill only {filled} of "
            f"{size} tokens. Ask for {name.partition(':')[0]}:{filled} or fewer, or add text."
        )


def _import_library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UsageError(
            "corpus.tokenizer bpe:N needs the tokenizers library, which is not installed.\n"
            "Install the extra (pip install 'scaling[tokenizers]'), or use words:N or bytes."
        ) from None
    return tokenizers

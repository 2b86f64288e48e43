"""What a tokenizer is called in a sweep file: `bytes`, `characters`, or a kind and a size.

Knows names only; what they stand for is built in data/tokenizers.py.
"""

from __future__ import annotations

import re

BYTES = "bytes"
CHARACTERS = "characters"
NO_TOKENIZER = "none"  # for token files; not allowed in a sweep file
# Kind -> smallest vocabulary: every tokenizer can encode any byte, so no text is unknown to it.
SMALLEST = {"bpe": 256, "words": 257, "words+space": 257}
LARGEST = 2**24

TOKENIZER_PATTERN = r"^(bytes|characters|(bpe|words|words\+space):[1-9][0-9]{0,7})$"
TOKENIZER_FORMS = (
    "a tokenizer is bytes, characters, bpe:N, words:N or words+space:N, N tokens in all."
)


def split_name(name: str) -> tuple[str, int | None]:
    """(kind, size in tokens); None where the kind alone decides the size."""
    kind, _, size = name.partition(":")
    return kind, int(size) if size else None


def find_name_problem(name: object) -> str:
    """Why this is no tokenizer's name, and what would be; empty if it is one."""
    if not isinstance(name, str) or not re.fullmatch(TOKENIZER_PATTERN, name):
        shown = ascii(name) if len(ascii(name)) <= 80 else f"{ascii(name)[:77]}..."
        return f"{shown} is no tokenizer; {TOKENIZER_FORMS}"
    kind, size = split_name(name)
    if size is not None and not SMALLEST[kind] <= size <= LARGEST:
        return f"{name}: N is {SMALLEST[kind]} to {LARGEST} for {kind}, to spell any byte."
    return ""

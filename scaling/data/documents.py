"""Documents: what a corpus of text consists of, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Attributes:
        name: Its path or line.
        text: Its UTF-8 bytes.
        held_out: Whether it is held out; None if the split decides.
    """

    name: str
    text: bytes
    held_out: bool | None = None


def digest_documents(documents: Sequence[Document]) -> str:
    """SHA-256 over every document's name and content."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(hashlib.sha256(document.name.encode("utf-8", "surrogateescape")).digest())
        digest.update(hashlib.sha256(document.text).digest())
    return digest.hexdigest()

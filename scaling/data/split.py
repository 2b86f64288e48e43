"""Which documents are held out: whole groups of near-duplicates, spread over the corpus.

Two documents are near-duplicates when at least 30 % of the distinct long lines of the shorter one
also stand in the other; groups are the connected components. Lines that stand in more than 50
documents (licence headers, common imports) say nothing and are passed over. Groups are taken in
the order of a hash of their first document's name until the target size is reached: the choice
depends on names and contents only, never on a random state.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.data.corpora import Document

VALIDATION_BYTES = 512 * 1024  # 197 kB has a block standard error of .038 nats (SCIENCE)
_MAX_VALIDATION_SHARE = 0.1
_SHARED_LINES = 0.3
_MIN_LINE_BYTES = 20  # shorter lines are idiom, not copying
_COMMON_LINE_DOCUMENTS = 50
_FEW_DOCUMENTS = 64  # below this, documents are cut so that the held-out set can be spread
_SECTION_BYTES = 16 * 1024
_SPAN = 32
_CHUNK = 1 << 20  # positions hashed at once: a few tens of MB of temporaries


def cut_long_documents(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The documents, cut at line ends into sections of about 16 kB where there are fewer than 64.

    One book in one file would otherwise leave nothing to hold out. Sections of one document may
    stand on both sides of the split; their text never does.
    """
    if len(documents) >= _FEW_DOCUMENTS:
        return tuple(documents)
    sections: list[Document] = []
    for document in documents:
        start, part = 0, 0
        while start < len(document.text):
            end = start + _SECTION_BYTES
            if end < len(document.text):
                newline = document.text.rfind(b"\n", start, end)
                space = document.text.rfind(b" ", start, end)
                cut = newline if newline > start else space
                end = cut + 1 if cut > start else _character_end(document.text, end)
            sections.append(Document(f"{document.name}#{part:06d}", document.text[start:end]))
            start, part = end, part + 1
    return tuple(sections)


def choose_validation(documents: Sequence[Document]) -> frozenset[int]:
    """Indices of the held-out documents.

    At least 512 kB, but at most about a tenth of the corpus; whole near-duplicate groups.
    """
    total = sum(len(document.text) for document in documents)
    target = min(VALIDATION_BYTES, _MAX_VALIDATION_SHARE * total)
    groups = _group_near_duplicates(documents)
    groups.sort(key=lambda group: hashlib.sha256(documents[group[0]].name.encode()).digest())
    chosen: list[int] = []
    size = 0
    for group in groups:
        group_size = sum(len(documents[index].text) for index in group)
        # No group may fill more than a quarter of the target: a held-out set of two documents
        # measures those two documents.
        if size < target and group_size <= target / 4:
            chosen.extend(group)
            size += group_size
    if not chosen:  # every group is large: take the smallest, rather than nothing
        smallest = min(groups, key=lambda group: sum(len(documents[i].text) for i in group))
        chosen = smallest if len(groups) > 1 else []
    return frozenset(chosen)


def measure_overlap(train: bytes, validation: bytes) -> float:
    """Share of held-out 32-byte spans (every 16th position) that occur in the training text.

    Spans are compared by a 64-bit hash; a false match has probability below 1e-6 for corpora
    under 1 GB.
    """
    if len(validation) < _SPAN or len(train) < _SPAN:
        return 0.0
    wanted = _hash_spans(np.frombuffer(validation, dtype=np.uint8))[::16]
    # A bitmap over 24 bits of the hash turns away nearly every training span before the exact
    # comparison.
    bitmap = np.zeros(1 << 24, dtype=np.bool_)
    bitmap[wanted >> np.uint64(40)] = True
    candidates = []
    text = np.frombuffer(train, dtype=np.uint8)
    for start in range(0, len(text) - _SPAN + 1, _CHUNK):
        hashes = _hash_spans(text[start : start + _CHUNK + _SPAN - 1])
        candidates.append(hashes[bitmap[hashes >> np.uint64(40)]])
    return float(np.mean(np.isin(wanted, np.concatenate(candidates))))


def _hash_spans(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A 64-bit hash of the 32 bytes that start at each position, shape (len(text) - 31,)."""
    words = np.empty(len(text) - 7, dtype=np.uint64)
    for phase in range(8):
        whole = (len(text) - phase) // 8 * 8
        words[phase::8] = text[phase : phase + whole].view(np.uint64)
    count = len(text) - _SPAN + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(0, _SPAN, 8):
        # Multiply and fold: the odd constant is 2**64 / golden ratio (Knuth, TAOCP 3, 6.4).
        hashes = (hashes ^ words[offset : offset + count]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _group_near_duplicates(documents: Sequence[Document]) -> list[list[int]]:
    lines = [
        {
            line.strip()
            for line in document.text.splitlines()
            if len(line.strip()) >= _MIN_LINE_BYTES
        }
        for document in documents
    ]
    holders: dict[bytes, list[int]] = defaultdict(list)
    for index, distinct in enumerate(lines):
        for line in distinct:
            holders[line].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        if 1 < len(indices) <= _COMMON_LINE_DOCUMENTS:
            shared.update(itertools.combinations(indices, 2))
    parent = list(range(len(documents)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for (first, second), count in shared.items():
        shorter = min(len(lines[first]), len(lines[second]))
        if count >= 3 and count >= _SHARED_LINES * shorter:  # two lines can agree by chance
            parent[root(second)] = root(first)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(documents)):
        groups[root(index)].append(index)
    return list(groups.values())


def _character_end(text: bytes, end: int) -> int:
    """The first position at or after `end` that does not split a UTF-8 character."""
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    return end

"""Which documents are held out: whole groups of near-duplicates, spread over the corpus.

Documents with the same text, but for space around it, are one group. Two others are near-duplicates
when at least 30 % of the distinct long lines of the shorter one also stand in the other; groups are
the connected components. A document of fewer than three long lines (most JSON lines) is compared by
32-byte spans instead, a sixteenth of them by hash. Lines or spans in more than 50 documents
(licence headers, common imports) are ignored. Groups are taken in the order of a hash of their
first document's name until the target size is reached: the choice depends on names and contents
only, never on a random state. A source that states what is held out is obeyed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.data.documents import Document
from scaling.data.plain_tokenizers import Tokens
from scaling.sweep.plan_warnings import FEW_HELD_OUT, VALIDATION_BYTES, VALIDATION_SHARE

_SHARED_LINES = 0.3
_MIN_LINE_BYTES = 20  # shorter lines repeat by idiom, not by copying
_FEW_LINES = 3  # two lines can agree by chance; documents with fewer are compared by spans
_SPAN_SAMPLE = 16
_COMMON_LINE_DOCUMENTS = 50
# With fewer, documents are cut into sections so that the held-out set spreads over all of them.
_FEW_DOCUMENTS = 64
_SECTION_BYTES = 16 * 1024
_SMALLEST_SECTION_BYTES = 4 * 1024  # in shorter ones most tokens would lack context
_SPAN = 32
_CHUNK = 1 << 20  # positions hashed at once: a few tens of MB of temporaries


def split_documents(
    documents: Sequence[Document],
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """(training, held-out) documents.

    Documents stay whole if there are at least 64 and they give a held-out set of the target size
    with 16 documents or more; else the long ones are cut into sections first. Sections of one
    document may be on both sides of the split; equal text never is.
    """
    if any(document.held_out is not None for document in documents):
        return (
            tuple(document for document in documents if not document.held_out),
            tuple(document for document in documents if document.held_out),
        )
    parts = tuple(documents)
    held_out = choose_validation(parts) if len(parts) >= _FEW_DOCUMENTS else frozenset()
    size = sum(len(parts[index].text) for index in held_out)
    if len(held_out) < FEW_HELD_OUT or size < _target_bytes(parts):
        parts = cut_documents(parts)
        held_out = choose_validation(parts)
    return (
        tuple(document for index, document in enumerate(parts) if index not in held_out),
        tuple(parts[index] for index in sorted(held_out)),
    )


def cut_documents(documents: Sequence[Document]) -> tuple[Document, ...]:
    """Cut documents at line ends into sections of about 16 kB, or a 16th of the held-out target if
    that is less (at least 4 kB); shorter documents stay whole."""
    section = max(_SMALLEST_SECTION_BYTES, min(_SECTION_BYTES, int(_target_bytes(documents) / 16)))
    sections: list[Document] = []
    for document in documents:
        if len(document.text) <= section:
            sections.append(document)
            continue
        start, part = 0, 0
        while start < len(document.text):
            end = start + section
            if end < len(document.text):
                newline = document.text.rfind(b"\n", start, end)
                space = document.text.rfind(b" ", start, end)
                cut = newline if newline > start else space
                end = cut + 1 if cut > start else _character_end(document.text, end)
            sections.append(Document(f"{document.name}#{part:06d}", document.text[start:end]))
            start, part = end, part + 1
    return tuple(sections)


def choose_validation(documents: Sequence[Document]) -> frozenset[int]:
    """Indices of the held-out documents: whole near-duplicate groups.

    The target is at least 512 kB, but at most about a tenth of the corpus. No group may fill more
    than a quarter of it (a held-out set of two documents measures those two documents) unless the
    smaller groups do not suffice; then the smallest of the larger ones follow, as long as they
    overshoot by no more than half. One group is held out in any case, if there are two.
    """
    target = _target_bytes(documents)
    groups = _group_near_duplicates(documents)
    sizes = {group[0]: sum(len(documents[index].text) for index in group) for group in groups}
    groups.sort(key=lambda group: hashlib.sha256(documents[group[0]].name.encode()).digest())
    small = [group for group in groups if sizes[group[0]] <= target / 4]
    large = [group for group in groups if sizes[group[0]] > target / 4]
    large.sort(key=lambda group: sizes[group[0]])
    chosen: list[int] = []
    size = 0
    for group in small + large:
        fits = sizes[group[0]] <= target / 4 or size + sizes[group[0]] <= 1.5 * target
        if size < target and fits:
            chosen.extend(group)
            size += sizes[group[0]]
    if not chosen:  # every group is too large: take the smallest rather than none
        chosen = large[0] if len(large) > 1 else []
    return frozenset(chosen)


def _target_bytes(documents: Iterable[Document]) -> float:
    return min(VALIDATION_BYTES, VALIDATION_SHARE * sum(len(one.text) for one in documents))


def measure_overlap(train: bytes, validation: bytes) -> float:
    """Share of held-out 32-byte spans (every 16th position) that occur in the training text.

    Spans are compared by a 64-bit hash; a false match has probability below 1e-6 for corpora
    under 1 GB.
    """
    if len(validation) < _SPAN or len(train) < _SPAN:
        return 0.0
    wanted = _hash_spans(np.frombuffer(validation, dtype=np.uint8))[::16]
    # A bitmap over 24 bits of the hash rules out nearly every training span before the exact
    # comparison.
    bitmap = np.zeros(1 << 24, dtype=np.bool_)
    bitmap[wanted >> np.uint64(40)] = True
    candidates = [hashes[bitmap[hashes >> np.uint64(40)]] for hashes in _hash_in_chunks(train)]
    return float(np.mean(np.isin(wanted, np.concatenate(candidates))))


def _hash_in_chunks(text: bytes) -> Iterator[NDArray[np.uint64]]:
    """Apply `_hash_spans` to a text of any length, piece by piece."""
    whole = np.frombuffer(text, dtype=np.uint8)
    for start in range(0, len(whole) - _SPAN + 1, _CHUNK):
        yield _hash_spans(whole[start : start + _CHUNK + _SPAN - 1])


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
    """Indices of each group, ascending."""
    parent = list(range(len(documents)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[bytes, int] = {}
    for index, document in enumerate(documents):
        digest = hashlib.sha256(document.text.strip()).digest()
        parent[index] = first_with.setdefault(digest, index)
    for first, second in _find_near_duplicates(documents, first_with.values()):
        parent[root(second)] = root(first)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(documents)):
        groups[root(index)].append(index)
    return list(groups.values())


def _find_near_duplicates(
    documents: Sequence[Document], compared: Iterable[int]
) -> list[tuple[int, int]]:
    pieces = {index: _list_pieces(documents[index].text) for index in compared}
    holders: dict[bytes | int, list[int]] = defaultdict(list)
    for index, distinct in pieces.items():
        for piece in distinct:
            holders[piece].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        if 1 < len(indices) <= _COMMON_LINE_DOCUMENTS:
            shared.update(itertools.combinations(indices, 2))
    return [
        pair
        for pair, count in shared.items()
        if count >= _FEW_LINES
        and count >= _SHARED_LINES * min(len(pieces[index]) for index in pair)
    ]


def _list_pieces(text: bytes) -> frozenset[bytes] | frozenset[int]:
    """The parts that a document is compared by: distinct long lines, or spans if these are few."""
    lines = frozenset(
        line.strip() for line in text.splitlines() if len(line.strip()) >= _MIN_LINE_BYTES
    )
    if len(lines) >= _FEW_LINES or len(text) < _SPAN:
        return lines
    sample: set[int] = set()
    for hashes in _hash_in_chunks(text):
        sample.update(hashes[hashes % np.uint64(_SPAN_SAMPLE) == 0].tolist())
    return frozenset(sample)


def _character_end(text: bytes, end: int) -> int:
    """The first position at or after `end` that does not split a UTF-8 character."""
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    return end


def shuffle_tokens(ids: Tokens) -> Tokens:
    """Put the ids of one side of the split in random order, separators included."""
    return np.random.Generator(np.random.Philox(key=[0, 0])).permutation(ids)

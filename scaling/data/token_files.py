"""Token shards made by other tools (`.bin`): a sequence of token ids and nothing else.

    header: none     nanoGPT          uint16, from the first byte on; uint32 if the upper halves
                                      of 32-bit words are those of the vocabulary, and .npy
    header: llm.c    llm.c, GPT-2     256 int32 (magic 20240520, version 1, count), then uint16
                     llm.c, Llama 3   the same with magic 20240801, version 7, then uint32

Sources: data/openwebtext/prepare.py of nanoGPT; dev/data/data_common.py of llm.c.
Ids above 65,535 do not fit into uint16 (numpy wraps them silently), so a headerless file of a
larger vocabulary is read as uint32 or refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.data.corpora import refuse
from scaling.data.files import list_files
from scaling.data.plain_tokenizers import Tokens
from scaling.data.shards import Draft, PreparedCorpus, prepare_once, spread_blocks
from scaling.data.split import measure_overlap
from scaling.errors import CorpusError
from scaling.sweep.tokenizer_names import NO_TOKENIZER
from scaling.units import IntArray
from scaling.units.stages import stage

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

_VERSION = 1  # raise when the same files would give other shards
_HEADER_INTS = 256
# (magic, version) -> type of the ids.
_HEADERS: dict[tuple[int, ...], np.dtype[Any]] = {
    (20240520, 1): np.dtype("<u2"),
    (20240801, 7): np.dtype("<u4"),
}
_HASHED_AT_ONCE = 1 << 24
_NPY = b"\x93NUMPY"
_LARGEST_SHORT = 1 << 16
_LOOKED_AT = 1 << 20  # ids inspected to tell 16-bit from 32-bit files


def prepare_token_files(
    corpus: CorpusSpec, *, base: Path, cache: Path, seq_len: int | None = None
) -> PreparedCorpus:
    """Read and check shards, or find that this was done before; `seq_len` is ignored.

    Raises:
        CorpusError: A file cannot be read, has another header, or holds an id beyond the
            vocabulary; names every problem.
        EnvironmentFault: The cache cannot be written.
    """
    problems: list[str] = []
    (vocab_size,) = corpus.read_counts("vocab_size")
    with stage(f"preparing corpus {corpus.source}: reading"):
        sides = [
            [
                read_token_file(path, vocab_size, corpus.header, problems)
                for path in list_files(paths, base, problems, suffix=".bin")
            ]
            for paths in (corpus.paths, corpus.held_out)
        ]
        refuse(problems)
        train, held_out = (_join(side) for side in sides)
    if len(train) < 2 or len(held_out) < 2:
        raise CorpusError(
            f"corpus shards: {len(train)} tokens to train on and {len(held_out)} held out; "
            "both need at least two."
        )
    asked = [vocab_size, corpus.separator, corpus.bytes_per_token]
    with stage(f"preparing corpus {corpus.source}: digesting"):
        digests = [_digest(train), _digest(held_out)]
    per_token = corpus.bytes_per_token or 0.0
    return prepare_once(
        cache,
        ["shards", _VERSION, *asked, *digests],
        lambda: Draft(
            name=f"shards {asked}",
            vocab_size=vocab_size,
            train=train,
            validation=held_out,
            validation_documents=_find_documents(held_out, corpus.separator),
            train_bytes=round(per_token * len(train)),
            validation_bytes=round(per_token * len(held_out)),
            overlap=measure_overlap(train.tobytes(), held_out.tobytes()),
            tokenizer=NO_TOKENIZER,
        ),
    )


def read_token_file(path: Path, vocab_size: int, header: str, problems: list[str]) -> Tokens:
    """The ids in one file; adds what is wrong with it to `problems`."""
    nothing = np.empty(0, dtype=np.uint16)
    try:
        size = path.stat().st_size
        first = np.fromfile(path, dtype="<i4", count=_HEADER_INTS)
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}).")
        return nothing
    if first.tobytes().startswith(_NPY):
        return _check_ids(path, _read_npy(path, problems), vocab_size, problems)
    seen = tuple(first[:2].tolist())
    found = _HEADERS.get(seen)
    if header == "llm.c":
        if found is None or len(first) < _HEADER_INTS:
            problems.append(
                f"{path}: begins with {list(seen)}, not with a magic and version of llm.c "
                f"({', '.join(f'{magic}, {version}' for magic, version in _HEADERS)}). "
                "Say header: none if it has no header."
            )
            return nothing
        dtype, offset, stated = found, 4 * _HEADER_INTS, int(first[2])
    else:
        if found is not None:
            problems.append(f"{path}: begins with the header of llm.c. Say header: llm.c.")
            return nothing
        wide = _is_wide(path, vocab_size)
        if vocab_size > _LARGEST_SHORT and not wide:
            problems.append(
                f"{path}: holds 16-bit ids, and a vocabulary of {vocab_size} has ids above 65,535, "
                "which have wrapped. Write it again as uint32."
            )
            return nothing
        dtype, offset, stated = np.dtype("<u4" if wide else "<u2"), 0, None
    count, rest = divmod(size - offset, dtype.itemsize)
    if rest or (stated is not None and stated != count):
        expected = "whole ids" if stated is None else f"{stated} ids, as its header says"
        problems.append(
            f"{path}: {size} bytes do not hold {expected} of {dtype.itemsize} bytes. "
            "It is torn, or of another format."
        )
        return nothing
    ids: Tokens = np.memmap(path, dtype=dtype, mode="r", offset=offset) if count else nothing
    return _check_ids(path, ids, vocab_size, problems)


def _is_wide(path: Path, vocab_size: int) -> bool:
    """Return whether a headerless file holds 32-bit ids: the upper half of each word is then one
    that the vocabulary has, which 16-bit ids match only if every second one is that small."""
    words = np.fromfile(path, dtype="<u2", count=2 * _LOOKED_AT)
    if words.size < 4 or words.size % 2:
        return False
    return bool(words[1::2].max() <= (vocab_size - 1) >> 16 and words[::2].max() > 0)


def _read_npy(path: Path, problems: list[str]) -> Tokens:
    nothing = np.empty(0, dtype=np.uint16)
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        problems.append(f"{path}: cannot be read as .npy ({error}).")
        return nothing
    if ids.ndim != 1 or ids.dtype.kind not in "ui":
        problems.append(
            f"{path}: holds {ids.dtype} of shape {ids.shape}; save one row of ids, uint16 or "
            "uint32."
        )
        return nothing
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 1 << 32:
        problems.append(f"{path}: ids lie from {ids.min()} to {ids.max()}; they are 0 to 2^32 - 1.")
        return nothing
    if ids.dtype in (np.dtype("<u2"), np.dtype("<u4")):  # keeps the memory map
        mapped: Tokens = ids
        return mapped
    short = not ids.size or int(ids.max()) < _LARGEST_SHORT
    whole: Tokens = ids.astype("<u2") if short else ids.astype("<u4")
    return whole


def _check_ids(path: Path, ids: Tokens, vocab_size: int, problems: list[str]) -> Tokens:
    if len(ids) and int(ids.max()) >= vocab_size:
        at = int(np.argmax(ids >= vocab_size))
        problems.append(
            f"{path}: token {at} is {ids[at]}, corpus.vocab_size is {vocab_size}. "
            f"Say vocab_size: {int(ids.max()) + 1} or more, or leave the file out."
        )
    return ids


def _join(parts: Sequence[Tokens]) -> Tokens:
    if len(parts) == 1:  # keeps the memory map
        return parts[0]
    joined: Any = np.concatenate(parts)  # numpy's stubs lose the dtype
    whole: Tokens = joined
    return whole


def _find_documents(ids: Tokens, separator: int | None) -> IntArray:
    """Start of each document: after every separator, or at the start of equal blocks."""
    if separator is None:
        return spread_blocks(len(ids))
    ends = np.flatnonzero(ids == separator)
    return np.concatenate(([0], ends[ends < len(ids) - 1] + 1)).astype(np.int64)


def _digest(ids: Tokens) -> str:
    digest = hashlib.sha256(ids.dtype.str.encode())
    for start in range(0, len(ids), _HASHED_AT_ONCE):
        digest.update(ids[start : start + _HASHED_AT_ONCE].tobytes())
    return digest.hexdigest()

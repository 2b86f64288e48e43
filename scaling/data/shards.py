"""Token shards: memory-mapped, content-addressed, written once, verified before use.

    results/.cache/corpora/<key>/
        train.bin  validation.bin            token ids, little-endian uint8 or uint16
        validation_documents.bin             int64 start of each held-out document
        manifest.json                        SHA-256 and size of each file, and what they hold

The key covers every document's name and bytes, the tokenizer and the version of this preparation,
so a changed corpus gets another folder and two sweeps over one corpus share theirs.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling import faults
from scaling.data.corpora import Document, digest_documents, read_documents
from scaling.data.split import measure_overlap, split_documents
from scaling.data.tokenizers import Tokenizer, make_tokenizer
from scaling.durable import blaming_machine, digest_file, write_durably
from scaling.errors import CorpusError, IntegrityError
from scaling.sweep.plan import CorpusFacts
from scaling.sweep.runspec import canonical_json
from scaling.units import IntArray

_PREPARATION_VERSION = 2  # raise when the same documents would give other shards
_FILES = ("train.bin", "validation.bin", "validation_documents.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCorpus:
    """A corpus on disk, ready to train on: where it lies and what planning needs to know of it."""

    folder: Path
    facts: CorpusFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Opened shards.

    Attributes:
        train, validation: Token ids, memory-mapped, shape (tokens,).
        validation_documents: Start of each held-out document in `validation`, ascending.
        facts: What the manifest says of them.
    """

    train: NDArray[np.uint8] | NDArray[np.uint16]
    validation: NDArray[np.uint8] | NDArray[np.uint16]
    validation_documents: IntArray
    facts: CorpusFacts


def prepare_corpus(
    source: str,
    *,
    tokenizer: str = "bytes",
    paths: Sequence[str] = (),
    field: str = "text",
    base: Path,
    cache: Path,
) -> PreparedCorpus:
    """Read, split and tokenize a corpus, or find that this was done before.

    Args:
        source, paths, field, base: As for `read_documents`.
        cache: Folder of all prepared corpora.

    Raises:
        CorpusError: The text cannot be read, or leaves nothing to train on or to hold out.
        EnvironmentFault: The cache cannot be written.
    """
    documents = read_documents(source, paths=paths, field=field, base=base)
    encoder = make_tokenizer(tokenizer)
    key = hashlib.sha256(
        canonical_json([_PREPARATION_VERSION, encoder.name, digest_documents(documents)])
    ).hexdigest()[:24]
    folder = cache / key
    if not (folder / "manifest.json").is_file():
        _write_shards(folder, documents, encoder)
    return PreparedCorpus(folder=folder, facts=open_shards(folder).facts)


def open_shards(folder: Path) -> Shards:
    """Map the shards of a prepared corpus, after checking every file against its digest.

    Raises:
        IntegrityError: A file is not what was written.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        facts = CorpusFacts(**manifest["facts"])
        digests, dtype = manifest["sha256"], np.dtype(manifest["dtype"])
        damaged = [name for name in _FILES if digest_file(folder, name) != digests[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        damaged, reason = ["manifest.json"], f" ({error})"
    else:
        reason = ""
    if damaged:
        raise IntegrityError(
            f"{folder}: {', '.join(damaged)} changed since it was written{reason}.\n"
            "Remove that folder; the next run prepares the corpus again."
        )
    return Shards(
        train=np.memmap(folder / "train.bin", dtype=dtype, mode="r"),
        validation=np.memmap(folder / "validation.bin", dtype=dtype, mode="r"),
        validation_documents=np.fromfile(folder / "validation_documents.bin", dtype="<i8"),
        facts=facts,
    )


def _write_shards(folder: Path, documents: tuple[Document, ...], encoder: Tokenizer) -> None:
    train, validation = split_documents(documents)
    if not train or not validation:
        raise CorpusError(
            f"the corpus has {len(documents)} document(s) of "
            f"{sum(len(d.text) for d in documents)} bytes, too few to hold any out. Add text."
        )
    dtype = np.dtype("<u1" if encoder.vocab_size <= 256 else "<u2")
    train_ids, _ = _encode(train, encoder, dtype)
    validation_ids, starts = _encode(validation, encoder, dtype)
    arrays = dict(zip(_FILES, (train_ids, validation_ids, starts), strict=True))
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    facts = _describe(train, validation, train_ids, validation_ids, encoder, digests)
    manifest: dict[str, Any] = {"facts": asdict(facts), "sha256": digests}
    manifest |= {"dtype": dtype.str, "tokenizer": encoder.name}
    manifest["documents"] = len(train) + len(validation)
    with blaming_machine(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
        try:
            for name, array in arrays.items():
                write_durably(temporary / name, array.tobytes())
            write_durably(temporary / "manifest.json", json.dumps(manifest, indent=1).encode())
            faults.reach("corpus.written")
            _move_into_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Rename a whole folder; where another process was first, its folder stays."""
    if folder.exists() and not (folder / "manifest.json").is_file():
        shutil.rmtree(folder)  # left by hand or by an older version: nobody can be using it
    try:
        os.replace(temporary, folder)
        faults.reach("corpus.moved")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _encode(
    documents: Sequence[Document], encoder: Tokenizer, dtype: np.dtype[np.generic]
) -> tuple[NDArray[np.generic], IntArray]:
    """All documents' ids, a separator after each, and where each begins."""
    parts: list[NDArray[np.uint16]] = []
    starts = []
    position = 0
    separator = np.array([encoder.separator], dtype=np.uint16)
    for document in documents:
        ids = encoder.encode(document.text)
        starts.append(position)
        parts += [ids, separator]
        position += len(ids) + 1
    return np.concatenate(parts).astype(dtype), np.array(starts, dtype="<i8")


def _describe(
    train: Sequence[Document],
    validation: Sequence[Document],
    train_ids: NDArray[np.generic],
    validation_ids: NDArray[np.generic],
    encoder: Tokenizer,
    digests: dict[str, str],
) -> CorpusFacts:
    counts = np.bincount(train_ids.astype(np.int64), minlength=encoder.vocab_size)
    share = counts[counts > 0] / len(train_ids)
    content = canonical_json([encoder.name, sorted(digests.items())])
    return CorpusFacts(
        digest=hashlib.sha256(content).hexdigest()[:24],
        vocab_size=encoder.vocab_size,
        train_tokens=len(train_ids),
        validation_tokens=len(validation_ids),
        train_bytes=sum(len(document.text) for document in train),
        validation_bytes=sum(len(document.text) for document in validation),
        validation_documents=len(validation),
        unigram_entropy=float(-np.sum(share * np.log(share))),
        overlap=measure_overlap(
            b"\0".join(document.text for document in train),
            b"\0".join(document.text for document in validation),
        ),
    )

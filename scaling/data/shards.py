"""Token shards: memory-mapped, content-addressed, written once, verified before use.

    results/.cache/corpora/<key>/
        train.bin  validation.bin            token ids, little-endian uint8, uint16 or uint32
        validation_documents.bin             int64 start of each held-out document
        tokenizer.json                       the tokenizer, unless ids are bytes
        manifest.json                        SHA-256 of each file, and facts of the corpus

The key covers every document's name and bytes (or every token), the tokenizer and the version of
this preparation, so a changed corpus gets another folder and two sweeps over one corpus share
theirs.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.corpora import read_documents, refuse
from scaling.data.documents import Document, digest_documents
from scaling.data.plain_tokenizers import Tokens
from scaling.data.split import measure_overlap, shuffle_tokens, split_documents
from scaling.data.tokenizers import Tokenizer, read_tokenizer, train_tokenizer
from scaling.errors import CorpusError, IntegrityError
from scaling.files import faults
from scaling.files.durable import blaming_machine, digest_file, write_durably
from scaling.files.sealed import canonical_json
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.tokenizer_names import BYTES, NO_TOKENIZER, split_name
from scaling.units import IntArray, format_count
from scaling.units.stages import stage

HELD_OUT_TOKENS = 256 * 1024  # of a drawn corpus
_BLOCKS = 64  # of a held-out stream without documents
_PREPARATION_VERSION = 2  # raise when the same documents would give other shards
_FILES = ("train.bin", "validation.bin", "validation_documents.bin")
_TOKENIZER_FILE = "tokenizer.json"
_PREPARING = ".preparing-"  # followed by the preparing process's host and pid
MANIFEST = "manifest.json"
_LONGEST_RUN = 1 << 16  # bytes without a break that BPE would train on as one word
_COUNTED_AT_ONCE = 1 << 24  # tokens per bincount, which widens them to 8 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCorpus:
    """A corpus on disk, ready to train on: its folder and the facts that planning needs."""

    folder: Path
    facts: CorpusFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Opened shards.

    Attributes:
        train, validation: Token ids, memory-mapped, shape (tokens,).
        validation_documents: Start of each held-out document in `validation`, ascending.
        facts: Facts of the corpus, from the manifest.
        name: What decides the tokens: a token source with its settings, or the tokenizer.
        sequence: See `Draft`.
    """

    train: Tokens
    validation: Tokens
    validation_documents: IntArray
    facts: CorpusFacts
    name: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Tokens of a corpus before they are written.

    Attributes:
        name: Tokenizer or source; part of the content's digest.
        train, validation: Token ids below `vocab_size`.
        validation_documents: Start of each held-out document.
        train_bytes, validation_bytes: Bytes of the text behind them; 0 if no text is known.
        overlap: As in `CorpusFacts`.
        tokenizer: Name in the facts.
        stored: The tokenizer as stored; None if ids are bytes or their meaning is unknown.
        bayes_loss: As in `CorpusFacts`.
        documents: Number of documents; None if unknown.
        sequence: Tokens of each sequence, where every one is a window of its own; None: streams.
    """

    name: str
    vocab_size: int
    train: Tokens
    validation: Tokens
    validation_documents: IntArray
    train_bytes: int
    validation_bytes: int
    overlap: float
    tokenizer: str
    stored: bytes | None = None
    bayes_loss: float | None = None
    documents: int | None = None
    sequence: int | None = None


def draft_drawn(
    name: str,
    *,
    vocab_size: int,
    train: Tokens,
    validation: Tokens,
    documents: IntArray | None = None,
    bayes_loss: float | None = None,
) -> Draft:
    """Make a draft of ids that were drawn at random and represent no text.

    Args:
        name, vocab_size, train, validation, bayes_loss: As in `Draft`.
        documents: Start of each held-out document; None: blocks stand in for them.
    """
    return Draft(
        name=name,
        vocab_size=vocab_size,
        train=train,
        validation=validation,
        validation_documents=spread_blocks(len(validation)) if documents is None else documents,
        train_bytes=0,
        validation_bytes=0,
        overlap=measure_overlap(train.tobytes(), validation.tobytes()),
        tokenizer=NO_TOKENIZER,
        bayes_loss=bayes_loss,
    )


def spread_blocks(ids: int, *, block: int = 1) -> IntArray:
    """Starts of the blocks that stand in for documents in the standard error: 64 evenly spread over
    `ids` ids, or as many as there are, each at a multiple of `block`."""
    count = ids // block
    return np.linspace(0, count, min(_BLOCKS, count), endpoint=False).astype(np.int64) * block


def draft_examples(
    name: str,
    draw: Callable[[np.random.Generator, int], IntArray],
    *,
    seed: int,
    vocab_size: int,
    train: int,
    block: int,
) -> Draft:
    """Make a draft of two streams of examples, each drawn with its own random numbers.

    Args:
        name, vocab_size: As in `Draft`.
        draw: Function of a generator and a number of ids that returns that many ids.
        seed: Seed of the corpus.
        train: Number of ids to train on; HELD_OUT_TOKENS are held out.
        block: Number of ids after which examples begin anew; held-out documents start at its
            multiples.
    """
    streams = [
        draw(np.random.Generator(np.random.Philox(key=[seed, stream])), size).astype(np.uint32)
        for stream, size in ((1, train), (2, HELD_OUT_TOKENS))
    ]
    return draft_drawn(
        name,
        vocab_size=vocab_size,
        train=streams[0],
        validation=streams[1],
        documents=spread_blocks(HELD_OUT_TOKENS, block=block),
    )


def prepare_corpus(
    source: str,
    *,
    tokenizer: str = BYTES,
    paths: Sequence[str] = (),
    field: str = "text",
    shuffled: bool = False,
    base: Path,
    cache: Path,
) -> PreparedCorpus:
    """Read, split and tokenize a corpus of text, or find that this was done before.

    Args:
        source, paths, field, base: As for `read_documents`.
        tokenizer: Its name; trained on the training split, whose documents do not depend on it.
        shuffled: Whether the tokens of each split lose their order.
        cache: Folder of all prepared corpora.

    Raises:
        CorpusError: The text cannot be read, leaves nothing to train on or to hold out, or does not
            fill the vocabulary.
        UsageError: An extra is not installed.
        EnvironmentFault: The cache cannot be written.
    """
    with stage(f"preparing corpus {source}: reading"):
        documents = read_documents(source, paths=paths, field=field, base=base)
    key = [_PREPARATION_VERSION, tokenizer, digest_documents(documents), *["shuffled"] * shuffled]
    return prepare_once(cache, key, lambda: _tokenize(documents, tokenizer, shuffled=shuffled))


def prepare_once(cache: Path, key: Sequence[object], draft: Callable[[], Draft]) -> PreparedCorpus:
    """Return the corpus of a key that determines it fully; draft and store it unless it exists.

    Raises:
        EnvironmentFault: The cache cannot be written.
    """
    folder = cache / hashlib.sha256(canonical_json(list(key))).hexdigest()[:24]
    if not is_prepared(folder):
        drafted = draft()
        with stage("preparing the corpus: writing shards"):
            store_shards(folder, drafted)
    with stage("checking the corpus's digests"):
        return PreparedCorpus(folder=folder, facts=open_shards(folder).facts)


def is_prepared(folder: Path) -> bool:
    """Return whether shards were written to a folder."""
    return (folder / MANIFEST).is_file()


def open_shards(folder: Path) -> Shards:
    """Map the shards of a prepared corpus, after checking every file against its digest.

    Raises:
        IntegrityError: A file is not what was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        facts = CorpusFacts(**manifest["facts"])
        digests, dtype = manifest["sha256"], np.dtype(manifest["dtype"])
        files = [*_FILES, *([_TOKENIZER_FILE] if _TOKENIZER_FILE in digests else [])]
        damaged = [name for name in files if digest_file(folder, name) != digests[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        damaged, reason = [MANIFEST], f" ({error})"
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
        name=str(manifest.get("tokenizer", "")),
        sequence=manifest.get("sequence"),
    )


def find_prepared(cache: Path, digest: str) -> Path | None:
    """The folder of the prepared corpus with that digest; None if it is gone."""
    for manifest in sorted(cache.glob(f"*/{MANIFEST}")):
        try:
            if json.loads(manifest.read_bytes())["facts"]["digest"] == digest:
                return manifest.parent
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged: opening it will report that
    return None


def open_tokenizer(folder: Path) -> Tokenizer:
    """Open the tokenizer of a prepared corpus.

    Raises:
        IntegrityError: A file is not what was written.
        UsageError: An extra is not installed.
    """
    name = open_shards(folder).facts.tokenizer
    stored = folder / _TOKENIZER_FILE
    return read_tokenizer(name, stored.read_bytes() if stored.is_file() else b"{}")


def store_shards(folder: Path, draft: Draft) -> None:
    """Write shards whole or not at all; if another process was first, its shards stay.

    Raises:
        EnvironmentFault: The cache cannot be written.
    """
    dtype = choose_dtype(draft.vocab_size)
    arrays = [part.astype(dtype, copy=False) for part in (draft.train, draft.validation)]
    starts = draft.validation_documents.astype("<i8", copy=False)
    files = dict(zip(_FILES, (array.tobytes() for array in (*arrays, starts)), strict=True))
    if draft.stored is not None:
        files[_TOKENIZER_FILE] = draft.stored
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest: dict[str, Any] = {"facts": _describe(draft, digests).to_json(), "sha256": digests}
    manifest |= {"dtype": dtype.str, "tokenizer": draft.name, "documents": draft.documents}
    manifest |= {} if draft.sequence is None else {"sequence": draft.sequence}
    with blaming_machine(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f"{_PREPARING}{_name_host()}-{os.getpid()}-"
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            for name, content in files.items():
                write_durably(temporary / name, content)
            write_durably(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
            faults.reach("corpus.written")
            _move_into_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(cache: Path) -> tuple[Path, ...]:
    """Remove the folders, each as large as its corpus, that killed preparations of this host left
    behind. Returns their paths."""
    found = []
    for path in sorted(cache.glob(f"{_PREPARING}{_name_host()}-*")):
        pid = path.name.removeprefix(f"{_PREPARING}{_name_host()}-").partition("-")[0]
        if pid.isdecimal() and not path.is_symlink() and _is_gone(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
            found.append(path)
    return tuple(found)


def _name_host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:40] or "host"


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:  # also another user's process, or not a pid
        return isinstance(error, ProcessLookupError)
    return False


def choose_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest type that holds every id."""
    return np.dtype("<u1" if vocab_size <= 256 else "<u2" if vocab_size <= 65_536 else "<u4")


def measure_entropy(tokens: Tokens, vocab_size: int) -> float:
    """Entropy of the tokens' frequencies [nats/token]."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), _COUNTED_AT_ONCE):
        counts += np.bincount(tokens[start : start + _COUNTED_AT_ONCE], minlength=vocab_size)
    share = counts[counts > 0] / len(tokens)
    return float(-np.sum(share * np.log(share)))


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Rename a whole folder; if another process was first, its folder stays."""
    if folder.exists() and not is_prepared(folder):
        shutil.rmtree(folder)  # incomplete: left by hand or by an older version, so not in use
    try:
        os.replace(temporary, folder)
        faults.reach("corpus.moved")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _tokenize(documents: tuple[Document, ...], name: str, *, shuffled: bool) -> Draft:
    train, validation = split_documents(documents)
    sides = [[document.text for document in side] for side in (train, validation)]
    if not train or not validation:
        raise CorpusError(
            f"the corpus has {len(documents)} document(s) of "
            f"{sum(len(d.text) for d in documents)} bytes, too few to hold any out. Add text."
        )
    if name != BYTES:
        _check_text((*train, *validation), name)
    if split_name(name)[0] == "bpe":
        _check_runs((*train, *validation), name)
    size = f"{format_count(sum(map(len, sides[0])))} bytes of text"
    with stage(f"preparing the corpus: training the tokenizer {name} on {size}"):
        content = train_tokenizer(name, sides[0]).to_json()
    # Through the same reader as when the shards are opened.
    tokenizer = read_tokenizer(name, content)
    with stage(f"preparing the corpus: tokenizing {size}") as note:
        train_ids, _ = _encode(sides[0], tokenizer, note)
        validation_ids, starts = _encode(sides[1], tokenizer)
        _check_lossless(validation, validation_ids, starts, tokenizer)
    with stage("preparing the corpus: comparing the held-out text with the training text"):
        overlap = measure_overlap(b"\0".join(sides[0]), b"\0".join(sides[1]))
    if shuffled:
        train_ids, validation_ids, overlap = *map(shuffle_tokens, (train_ids, validation_ids)), 0.0
    return Draft(
        name=name,
        vocab_size=tokenizer.vocab_size,
        train=train_ids,
        validation=validation_ids,
        validation_documents=starts,
        train_bytes=sum(map(len, sides[0])),
        validation_bytes=sum(map(len, sides[1])),
        overlap=overlap,
        tokenizer=name,
        stored=None if name == BYTES else content,
        documents=len(train) + len(validation),
    )


def _check_text(documents: Sequence[Document], name: str) -> None:
    problems = []
    for document in documents:
        try:
            document.text.decode()
        except UnicodeDecodeError as error:
            problems.append(
                f"{document.name}: byte {error.start} is not UTF-8 text, which tokenizer {name} "
                "needs. Convert the file, leave it out, or use tokenizer: bytes."
            )
    refuse(problems)


def _check_runs(documents: Sequence[Document], name: str) -> None:
    """Refuse texts with very long words. BPE takes a run of one kind of characters for a word, in
    time that grows as its square: 3 s for 100,000 letters (measured), a day for 20 million."""
    problems = []
    for document in documents:
        longest = find_longest_run(document.text)
        if longest > _LONGEST_RUN:
            problems.append(
                f"{document.name}: {longest} letters, digits or signs in a row; {name} takes at "
                f"most {_LONGEST_RUN}. Leave such text out, or use tokenizer: bytes."
            )
    refuse(problems)


def find_longest_run(text: bytes) -> int:
    """Bytes of the longest run of letters (all non-ASCII characters included), digits, white space
    or other signs: at least as long as the longest word of byte-level BPE."""
    kinds = _KINDS[np.frombuffer(text, dtype=np.uint8)]
    edges = np.flatnonzero(np.diff(kinds)) + 1
    return int(np.diff(edges, prepend=0, append=len(text)).max())


def _list_kinds() -> NDArray[np.uint8]:
    kinds = np.zeros(256, dtype=np.uint8)
    kinds[128:] = 1
    for byte in range(128):
        one = chr(byte)
        kinds[byte] = 1 if one.isalpha() else 2 if one.isdigit() else 3 if one.isspace() else 0
    return kinds


_KINDS = _list_kinds()


def _encode(
    texts: Sequence[bytes], tokenizer: Tokenizer, note: Callable[[float], None] = lambda share: None
) -> tuple[Tokens, IntArray]:
    """The ids of all documents, a separator after each, and the start of each; `note` is called
    with the share of documents that is done."""
    dtype = choose_dtype(tokenizer.vocab_size)
    separator = np.array([tokenizer.separator], dtype=dtype)
    parts, starts, position = [], [], 0
    for at, text in enumerate(texts):
        note(at / len(texts))
        ids = tokenizer.encode(text).astype(dtype)
        starts.append(position)
        parts += [ids, separator]
        position += len(ids) + 1
    return np.concatenate(parts), np.array(starts, dtype=np.int64)


def _check_lossless(
    documents: Sequence[Document], ids: Tokens, starts: IntArray, tokenizer: Tokenizer
) -> None:
    """Verify that tokens give back the text: bits per byte would flatter a lossy tokenizer."""
    ends = np.append(starts[1:], len(ids))
    for document, start, end in zip(documents, starts.tolist(), ends.tolist(), strict=True):
        text = tokenizer.decode(ids[start : end - 1].tolist())  # without its separator
        assert text == document.text, f"tokenizer {tokenizer.name} loses text of {document.name}"


def _describe(draft: Draft, digests: dict[str, str]) -> CorpusFacts:
    content = canonical_json([draft.name, sorted(digests.items())])
    return CorpusFacts(
        digest=hashlib.sha256(content).hexdigest()[:24],
        vocab_size=draft.vocab_size,
        train_tokens=len(draft.train),
        validation_tokens=len(draft.validation),
        train_bytes=draft.train_bytes,
        validation_bytes=draft.validation_bytes,
        validation_documents=len(draft.validation_documents),
        unigram_entropy=measure_entropy(draft.train, draft.vocab_size),
        overlap=draft.overlap,
        tokenizer=draft.tokenizer,
        bayes_loss=draft.bayes_loss,
    )

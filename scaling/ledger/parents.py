"""The weights that the runs of a results folder start from, kept in that folder.

    parents.json             every candidate parent (`sweep/parents.py` chooses among them)
    parents/<sha256>.pt      weights that runs start from: a hard link to the parent's file, or a
                             copy if it lies on another file system

So the folder no longer needs the parent's folder: without it, sweeps are planned again and runs
resume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import (
    blaming_machine,
    digest_file,
    make_folder,
    read_document,
    write_durably,
)
from scaling.files.sealed import build_value, open_document, seal_document
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.parents import Parent

_FILE, FOLDER = "parents.json", "parents"
_LIMIT_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Stored:
    parents: tuple[Parent, ...]


def add_parents(facts: CorpusFacts, folder: Path) -> CorpusFacts:
    """Add the candidate parents of a results folder to its facts.

    Raises:
        IntegrityError: The stored parents are damaged.
    """
    if not os.path.lexists(folder / _FILE):
        return facts
    body, _ = open_document(read_document(folder, _FILE, limit=_LIMIT_BYTES))
    stored: _Stored = build_value(_Stored, body, _FILE)
    return dataclasses.replace(facts, parents=stored.parents)


def store_parents(
    folder: Path, parents: Sequence[Parent], files: Sequence[tuple[str, Path]]
) -> None:
    """Store the candidate parents, and the weights of the chosen ones.

    Args:
        folder: The results folder.
        parents: Every candidate.
        files: SHA-256 and path of the weights of each chosen one.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: Weights have changed since their run finished.
    """
    make_folder(folder / FOLDER)
    for digest, source in files:
        if not _holds(folder, digest):
            _take(source, find_weights(folder, digest))
            if not _holds(folder, digest):
                raise IntegrityError(f"{source} was changed or torn. Train its run again.")
    entries = [
        dataclasses.asdict(one) | {"run": one.run.to_json()}
        for one in sorted(parents, key=lambda one: one.run.run_id)
    ]
    write_durably(folder / _FILE, seal_document({"parents": entries}))


def find_weights(folder: Path, digest: str) -> Path:
    """Return the path of the weights with that digest in a results folder."""
    return folder / FOLDER / f"{digest}.pt"


def _holds(folder: Path, digest: str) -> bool:
    """Return whether the weights with that digest are there and intact."""
    try:
        return digest_file(folder, f"{FOLDER}/{digest}.pt") == digest
    except OSError:
        return False


def _take(source: Path, target: Path) -> None:
    with blaming_machine(target):
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another file system, or one without hard links
            os.link(source, target)
        if not target.exists():
            write_durably(target, source.read_bytes())

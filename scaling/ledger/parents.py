"""Weights that the runs of a results folder start from, kept in it.

    parents.json             every run that may be a parent (`sweep/parents.py` chooses)
    parents/<sha256>.pt      weights of those that runs start from: another name of the parent's own
                             file where both lie on one file system, else a copy of it

The folder needs the parent's folder no more: runs resume, and plans are made again, without it.
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
    """The facts of a results folder with the runs that its own may start from.

    Raises:
        IntegrityError: What is stored of them is damaged.
    """
    if not os.path.lexists(folder / _FILE):
        return facts
    body, _ = open_document(read_document(folder, _FILE, limit=_LIMIT_BYTES))
    stored: _Stored = build_value(_Stored, body, _FILE)
    return dataclasses.replace(facts, parents=stored.parents)


def store_parents(
    folder: Path, parents: Sequence[Parent], files: Sequence[tuple[str, Path]]
) -> None:
    """Keep what may be a parent, and the weights of those that are.

    Args:
        folder: The results folder.
        parents: Every run that may be one.
        files: SHA-256 of the weights of each that is, and where they lie.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: Weights are not what they were when their run finished.
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
    """Where a results folder keeps the weights of that digest."""
    return folder / FOLDER / f"{digest}.pt"


def _holds(folder: Path, digest: str) -> bool:
    """Whether the weights of that digest are there, whole."""
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

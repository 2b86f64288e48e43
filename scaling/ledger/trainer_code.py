"""A user's own trainer in a results folder: its files as they were when runs were begun.

trainer.json             the current version: {"code": digest}
trainer/<16 hex>/...      the files of one version; never changed, so that editing a file while a
                         sweep runs does not affect its runs
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import blaming_machine, make_folder, read_document, write_durably
from scaling.files.sealed import open_document, seal_document
from scaling.sweep.corpus_facts import CorpusFacts

_FILE, _FOLDER = "trainer.json", "trainer"
_LIMIT_BYTES = 100_000


def add_code(facts: CorpusFacts, folder: Path) -> CorpusFacts:
    """Add the digest of its trainer's files to the facts of a results folder.

    Raises:
        IntegrityError: The stored trainer is damaged.
    """
    if not holds_code(folder):
        return facts
    body, _ = open_document(read_document(folder, _FILE, limit=_LIMIT_BYTES))
    if not isinstance(body.get("code"), str):
        raise IntegrityError(f"{_FILE} names no code")
    return dataclasses.replace(facts, code=body["code"])


def holds_code(folder: Path) -> bool:
    """Return whether the runs of a results folder are trained by a user's own trainer."""
    return os.path.lexists(folder / _FILE)


def store_code(folder: Path, patterns: tuple[str, ...], base: Path, code: str) -> None:
    """Store the files of a trainer and make them the current version.

    Args:
        folder: The results folder.
        patterns, base: Patterns of the files, and the folder they are relative to.
        code: Digest of the files.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: The files were edited since the digest was taken.
    """
    import shutil  # not needed to read a folder, like the next

    from scaling.sweep.trainer_files import digest_code, digest_files

    home = folder / _FOLDER / code[:16]
    if code and not home.is_dir():
        making = home.with_name(f"{home.name}.{os.getpid()}")
        files = digest_files(patterns, base)
        with blaming_machine(making):
            for name in files:
                make_folder((making / name).parent)
                write_durably(making / name, (base / name).read_bytes())
                shutil.copymode(base / name, making / name)
        if digest_code(digest_files(["**/*", "**/.*"], making)) != code:
            shutil.rmtree(making)
            raise IntegrityError(f"files of the trainer in {base} changed. Start again.")
        with contextlib.suppress(FileExistsError, OSError):
            os.rename(making, home)
    write_durably(folder / _FILE, seal_document({"code": code}))


def copy_code(folder: Path, code: str, target: Path) -> None:
    """Make a private copy of a trainer's files; an empty folder if it has none.

    Raises:
        IntegrityError: The files are missing or have changed.
    """
    import shutil

    from scaling.sweep.trainer_files import digest_code, digest_files

    target.mkdir()
    if not code:
        return
    home = folder / _FOLDER / code[:16]
    if not home.is_dir():
        raise IntegrityError(f"{home}: the trainer's files are gone. The same command stores them.")
    shutil.copytree(home, target, dirs_exist_ok=True)
    if digest_code(digest_files(["**/*", "**/.*"], target)) != code:
        raise IntegrityError(f"{home}: the trainer's files were changed. Remove that folder.")

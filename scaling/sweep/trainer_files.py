"""The files of a user's own trainer: which they are, their digest, and what is missing."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling.files.sealed import canonical_json

_MOST_FILES, _MOST_BYTES = 1000, 100 * 2**20


def find_file_problems(trainer: object, base: Path) -> list[tuple[tuple[str | int, ...], str]]:
    """(path below `trainer`, what is wrong) for every problem of its command and files.

    Args:
        trainer: The key's value as in the sweep file; malformed parts are skipped.
        base: Folder of the sweep file.
    """
    given = trainer if isinstance(trainer, dict) else {}
    found: list[tuple[tuple[str | int, ...], str]] = []
    command, files = given.get("command"), given.get("files")
    first = command[0] if isinstance(command, list) and command else None
    patterns = [one for one in files if isinstance(one, str)] if isinstance(files, list) else []
    if isinstance(first, str) and "{" not in first and not _is_command(first, patterns, base):
        sentence = f"the command {first[:60]} is not found in PATH, nor among `files`."
        found.append((("command", 0), sentence))
    for at, pattern in enumerate(patterns):
        if os.path.isabs(pattern) or ".." in Path(pattern).parts:
            found.append((("files", at), f"{pattern[:60]} lies outside the sweep file's folder."))
        elif not _match(pattern, base):
            found.append((("files", at), f"{pattern[:60]} is not there (looked in {base})."))
    listed = [name for pattern in patterns for name in _match(pattern, base)]
    if (
        len(listed) > _MOST_FILES
        or sum((base / name).stat().st_size for name in listed) > _MOST_BYTES
    ):
        sentence = f"more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB. List code, not data."
        found.append((("files",), sentence))
    return found


def digest_files(patterns: Sequence[str], base: Path) -> dict[str, str]:
    """SHA-256 of each file that the patterns match below `base`, by name, in order of name."""
    names = sorted({name for pattern in patterns for name in _match(pattern, base)})
    return {name: hashlib.sha256((base / name).read_bytes()).hexdigest() for name in names}


def digest_code(files: Mapping[str, str]) -> str:
    """One SHA-256 of names and contents; empty without files."""
    return hashlib.sha256(canonical_json(dict(files))).hexdigest() if files else ""


def _is_command(word: str, patterns: Sequence[str], base: Path) -> bool:
    if shutil.which(word) is not None and (os.path.isabs(word) or "/" not in word):
        return True
    name = os.path.normpath(word)
    return any(name in _match(one, base) and os.access(base / name, os.X_OK) for one in patterns)


def _match(pattern: str, base: Path) -> list[str]:
    if os.path.isabs(pattern) or ".." in Path(pattern).parts:
        return []
    found = glob.glob(pattern, root_dir=base, recursive=True)
    return sorted(os.path.normpath(one) for one in found if (base / one).is_file())

"""Checkpoints: written whole or not at all, checked against their digest before they are used.

A checkpoint is `checkpoint-<step>.pt` and `checkpoint-<step>.sha256` beside it, the digest written
last. The two newest are kept: if the newest is torn, the one before serves.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.errors import IntegrityError
from scaling.files import faults
from scaling.files.durable import read_plain, write_durably

_KEPT = 2
_DIGEST_LIMIT_BYTES = 100
_LIMIT_BYTES = 2**37


def save_checkpoint(folder: Path, state: dict[str, Any], *, step: int) -> None:
    """Write the state after `step` optimiser steps, then drop all but the two newest."""
    write_checkpoint(folder, pack_state(state), step=step)


def load_newest_checkpoint(folders: Sequence[Path]) -> dict[str, Any] | None:
    """The state with the most steps whose bytes have the digest written with them, or None."""
    content = read_newest_checkpoint(folders)
    return None if content is None else unpack_state(content)


def write_checkpoint(folder: Path, content: bytes, *, step: int) -> None:
    """Write a packed state and its digest, then drop all but the two newest."""
    path = folder / f"checkpoint-{step:09d}.pt"
    write_durably(path, content)
    faults.reach("checkpoint.written")
    write_durably(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    faults.reach("checkpoint.digested")
    for old in sorted(folder.glob("checkpoint-*.pt"))[:-_KEPT]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    faults.reach("checkpoint.tidied")


def read_newest_checkpoint(folders: Sequence[Path]) -> bytes | None:
    """The packed state with the most steps that has the digest written with it, or None."""
    paths = [path for folder in folders for path in folder.glob("checkpoint-*.pt")]
    for path in sorted(paths, key=lambda path: path.name, reverse=True):
        try:
            digest = read_plain(path.parent, f"{path.stem}.sha256", limit=_DIGEST_LIMIT_BYTES)
            content = read_plain(path.parent, path.name, limit=_LIMIT_BYTES)
        except (OSError, IntegrityError):
            continue  # incomplete (the digest is written last), or not a checkpoint
        if hashlib.sha256(content).hexdigest().encode() == digest:
            return content
    return None


def pack_state(state: dict[str, Any]) -> bytes:
    """The state as bytes."""
    import torch  # imported here: the rest of this module needs no torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack_state(content: bytes) -> dict[str, Any]:
    """The state that `pack_state` wrote, on the CPU; no code is loaded with it."""
    import torch

    # Onto the CPU, so that a GPU's state can be resumed without one; the caller moves it.
    buffer = io.BytesIO(content)
    state: dict[str, Any] = torch.load(buffer, weights_only=True, map_location="cpu")
    return state

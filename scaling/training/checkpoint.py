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

import torch

from scaling.durable import write_durably

_KEPT = 2


def save_checkpoint(folder: Path, state: dict[str, Any], *, step: int) -> None:
    """Write the state after `step` optimiser steps, then drop all but the two newest."""
    content = pack_state(state)
    path = folder / f"checkpoint-{step:09d}.pt"
    write_durably(path, content)
    write_durably(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    for old in sorted(folder.glob("checkpoint-*.pt"))[:-_KEPT]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)


def load_newest_checkpoint(folders: Sequence[Path]) -> dict[str, Any] | None:
    """The state with the most steps whose bytes have the digest written with them, or None."""
    paths = [path for folder in folders for path in folder.glob("checkpoint-*.pt")]
    for path in sorted(paths, key=lambda path: path.name, reverse=True):
        try:
            content = path.read_bytes()
            digest = path.with_suffix(".sha256").read_text()
        except (OSError, UnicodeDecodeError):
            continue  # never completed: its digest is written last
        if hashlib.sha256(content).hexdigest() == digest:
            return unpack_state(content)
    return None


def pack_state(state: dict[str, Any]) -> bytes:
    """The state as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack_state(content: bytes) -> dict[str, Any]:
    """The state that `pack_state` wrote; no code is loaded with it."""
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return state

"""The kept weights of a finished run, checked against the digest in its result."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from scaling.errors import IntegrityError
from scaling.files.durable import digest_file
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.ledger.results import RunResult


def read_weights(ledger: Ledger, result: RunResult) -> dict[str, Any]:
    """Read the tensors by name, on the CPU.

    Raises:
        IntegrityError: The file is not what was written, or not here.
        KeyError: The run kept no weights.
    """
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/{WEIGHTS_FILE}"
    return load_weights(ledger.folder, path, result.files[WEIGHTS_FILE])


def load_weights(folder: Path, path: str, digest: str) -> dict[str, Any]:
    """Read the tensors of the file folder/path and check its SHA-256.

    Raises:
        IntegrityError: The file is not what was written, or not here.
    """
    try:
        seen = digest_file(folder, path)
    except FileNotFoundError:
        raise IntegrityError(
            f"{path} is not here. Copy it from where the sweep was trained, or train it again with "
            "another --root."
        ) from None
    if seen != digest:
        raise IntegrityError(f"{path} was changed or torn")
    content = io.BytesIO((folder / path).read_bytes())
    weights: dict[str, Any] = torch.load(content, weights_only=True, map_location="cpu")
    return weights

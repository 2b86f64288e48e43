"""The kept weights of a finished run, checked against the digest in its result."""

from __future__ import annotations

import io
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
        IntegrityError: The file is not what was written.
        KeyError: The run kept no weights.
    """
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/{WEIGHTS_FILE}"
    try:
        seen = digest_file(ledger.folder, path)
    except FileNotFoundError:
        raise IntegrityError(
            f"{path} is not here. Copy it from where the sweep was trained, or train it again with "
            "another --root."
        ) from None
    if seen != result.files[WEIGHTS_FILE]:
        raise IntegrityError(f"{path} was changed or torn")
    content = io.BytesIO((ledger.folder / path).read_bytes())
    weights: dict[str, Any] = torch.load(content, weights_only=True, map_location="cpu")
    return weights

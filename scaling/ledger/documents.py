"""The bytes of a result: sealed with a digest when written, read without trusting them.

    {"schema_version": 1, "run_id": …, "run": {…}, "loss": …, …, "sha256": digest of all the rest}

A results folder may come from a stranger: every field is checked for its type before it is used,
the run_id is recomputed from the run, and file names cannot leave the attempt's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scaling.errors import IntegrityError
from scaling.files.sealed import build_value, open_document
from scaling.ledger.results import RunResult

RESULT_FILE = "result.json"
WEIGHTS_FILE = "weights.pt"
CURVE_SUFFIX = ".jsonl"
RESULT_LIMIT_BYTES = 10 * 2**20
CURVE_LIMIT_BYTES = 256 * 2**20  # a row of 100 bytes for each of two million steps

ATTEMPT_NAME = re.compile(r"[0-9]{1,9}-[0-9]{1,9}-[0-9a-f]{8}")
RUN_NAME = re.compile(r"[0-9a-f]{16}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_result(document: Mapping[str, Any], run_id: str) -> tuple[RunResult, str]:
    """The result in a document found in the folder of `run_id`, and its digest.

    Raises:
        IntegrityError: The document was changed, is malformed, has a number that is not finite, or
            is the result of another run.
    """
    body, digest = open_document(document)
    if body.pop("run_id", None) != run_id:
        raise IntegrityError("it names another run than its folder")
    result = build_value(RunResult, body, "result")
    if result.run.run_id != run_id:
        raise IntegrityError(f"its run has the run_id {result.run.run_id}, not that of its folder")
    _check_names(result)
    _check_numbers(result)
    return result, digest


def check_file_name(name: str) -> None:
    """Verify the name of a file that an attempt leaves: one plain name, no folders.

    Raises:
        IntegrityError: It has a separator, a leading dot or a control character, or is too long.
    """
    if not _FILE_NAME.fullmatch(name):
        raise IntegrityError(f"{name[:120]!r} is not a plain file name")


def _check_names(result: RunResult) -> None:
    if not ATTEMPT_NAME.fullmatch(result.attempt_id):
        raise IntegrityError(f"{result.attempt_id[:60]!r} is not the name of an attempt")
    for name, digest in result.files.items():
        check_file_name(name)
        if not _DIGEST.fullmatch(digest):
            raise IntegrityError(f"the digest of {name} is not a SHA-256")


def _check_numbers(result: RunResult) -> None:
    if result.status == "finished" and (result.loss is None or result.loss <= 0):
        raise IntegrityError(f"it is finished with the loss {result.loss}")
    if result.tokens <= 0 or result.flops <= 0:
        raise IntegrityError(f"it claims {result.tokens} tokens and {result.flops} FLOPs")

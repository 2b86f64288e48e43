"""The bytes that a results folder's table of runs rests on, in one digest.

    sweep.json · sweep.yaml · runs/<run_id>/result.json · the curves that each result names ·
    forecasts/*.json (which of the runs are validations)

Two folders with the same fingerprint give the same table, so what was once computed from it need
not be parsed, planned and judged again. Whatever is not plainly in order has no fingerprint.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import digest_file, read_document
from scaling.files.sealed import canonical_json
from scaling.ledger.documents import (
    ATTEMPT_NAME,
    CURVE_LIMIT_BYTES,
    CURVE_SUFFIX,
    RESULT_FILE,
    RESULT_LIMIT_BYTES,
    RUN_NAME,
)
from scaling.ledger.forecasts import FOLDER as FORECASTS


def fingerprint_folder(folder: Path) -> str | None:
    """SHA-256 over every file that the fit of a results folder depends on, and their names.

    Returns:
        None for what is no results folder, or where something in it is missing, a link, unreadable
        or misnamed: then only reading it in full can say what counts.
    """
    try:
        return hashlib.sha256(canonical_json(_list_digests(folder))).hexdigest()
    except (OSError, IntegrityError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _list_digests(folder: Path) -> list[list[str]]:
    names = ("sweep.json", "sweep.yaml")
    found = [[name, digest_file(folder, name, limit=RESULT_LIMIT_BYTES)] for name in names]
    runs = folder / "runs"
    if runs.is_symlink():
        raise IntegrityError("runs is a link")
    for entry in sorted(os.scandir(runs), key=lambda entry: entry.name):
        if entry.name.startswith("."):  # as Ledger.read_results passes them over
            continue
        if not (RUN_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)):
            raise IntegrityError(f"{entry.name} is not the folder of a run")
        result = f"runs/{entry.name}/{RESULT_FILE}"
        try:
            found.append([result, digest_file(folder, result, limit=RESULT_LIMIT_BYTES)])
        except FileNotFoundError:  # not trained yet
            continue
        found += _list_curves(folder, entry.name, result)
    return found + _list_forecasts(folder)


def _list_forecasts(folder: Path) -> list[list[str]]:
    home = folder / FORECASTS
    if not os.path.lexists(home):
        return []
    if home.is_symlink():
        raise IntegrityError(f"{FORECASTS} is a link")
    names = sorted(entry.name for entry in os.scandir(home) if entry.name.endswith(".json"))
    paths = [f"{FORECASTS}/{name}" for name in names]
    return [[path, digest_file(folder, path)] for path in paths]


def _list_curves(folder: Path, run_id: str, result: str) -> list[list[str]]:
    document = read_document(folder, result, limit=RESULT_LIMIT_BYTES)
    attempt = document["attempt_id"]
    if not ATTEMPT_NAME.fullmatch(attempt):
        raise IntegrityError(f"{result} names no attempt")
    paths = [
        f"runs/{run_id}/attempts/{attempt}/{name}"
        for name in sorted(document["files"])
        if name.endswith(CURVE_SUFFIX)
    ]
    return [[path, digest_file(folder, path, limit=CURVE_LIMIT_BYTES)] for path in paths]

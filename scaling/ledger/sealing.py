"""Preparation of a result for its commit: files on disk, digests, sealed bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import digest_file, sync_file, sync_folder
from scaling.files.sealed import seal_document
from scaling.ledger.documents import check_file_name, read_result
from scaling.ledger.results import Measurement, RunResult
from scaling.ledger.signs import name_now
from scaling.sweep.runspec import RunSpec


def flush_files(attempt: Path, names: Sequence[str]) -> dict[str, str]:
    """Flush each file that a result rests on to the disk, and return its digest.

    Raises:
        IntegrityError: A file is missing, or its name is not plain.
    """
    files: dict[str, str] = {}
    for name in sorted(names):
        check_file_name(name)
        try:
            sync_file(attempt / name)
            files[name] = digest_file(attempt, name)
        except FileNotFoundError as error:
            raise IntegrityError(
                f"{attempt / name}: the trainer's result names it, but it is not there."
            ) from error
    sync_folder(attempt)
    return files


def make_result(
    run: RunSpec, attempt_id: str, measured: Measurement, files: Mapping[str, str]
) -> RunResult:
    """Make the result to commit from a run, its measurements and the files it rests on."""
    from scaling.ledger.provenance import describe_versions  # not needed to read a folder

    taken = {field.name: getattr(measured, field.name) for field in dataclasses.fields(measured)}
    numerics = dict(measured.numerics)
    realised = {"tokens": measured.tokens or run.tokens, "flops": measured.flops or run.flops}
    return RunResult(
        run=run,
        attempt_id=attempt_id,
        finished_at=name_now(),
        versions=describe_versions(),
        **(taken | realised | {"files": files, "numerics": numerics}),
    )


def seal_result(result: RunResult) -> bytes:
    """The bytes to store, verified to be read back as intact."""
    try:
        sealed = seal_document(result.to_json())
    except ValueError as error:
        raise IntegrityError(f"the measurement is not finite ({error})") from error
    read_result(json.loads(sealed), result.run.run_id)
    return sealed

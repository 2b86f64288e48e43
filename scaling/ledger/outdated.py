"""Results of an older trainer version."""

from __future__ import annotations

from collections.abc import Sequence

from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger
from scaling.sweep.cells import Cell
from scaling.sweep.runspec import RunSpec


def find_outdated(ledger: Ledger, cells: Sequence[Cell]) -> list[str]:
    """Finished runs that differ from an unfinished planned one only in the trainer
    (NUMERICS_VERSION, or the files or version of a user's own trainer), which has changed since:
    running the plan would train them again."""
    results = ledger.read_results(check="result").results
    finished = {_key_without_version(result.run): run_id for run_id, result in results.items()}
    keys = (_key_without_version(cell.run) for cell in cells if cell.run.run_id not in results)
    return [finished[key] for key in dict.fromkeys(keys) if key in finished]


def _key_without_version(run: RunSpec) -> bytes:
    fields = run.to_json() | {"numerics_version": None}
    if run.own is not None:
        fields["own"] |= {"files": None, "version": None}
    return canonical_json(fields)

"""Existing run_ids stay: an absent new field is not in the canonical JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling.sweep.runspec import RunSpec

RUNS = sorted((Path(__file__).parents[2] / "results" / "code" / "runs").iterdir())


def read_run(folder: Path) -> RunSpec:
    return RunSpec.from_json(json.loads((folder / "result.json").read_bytes())["run"])


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_stored_runs_keep_their_names(folder: Path) -> None:
    assert read_run(folder).run_id == folder.name


def test_a_field_that_is_none_changes_no_run_id() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Later(RunSpec):
        parent: str | None = None

    run = read_run(RUNS[0])
    plain = {"shape": run.shape, "recipe": run.recipe, "data_digest": run.data_digest}
    later = Later(**plain, seed=run.seed, numerics_version=run.numerics_version)
    assert later.run_id == run.run_id
    child = Later(**plain, seed=run.seed, numerics_version=run.numerics_version, parent="0" * 16)
    assert child.run_id != run.run_id

"""The shipped results are complete, and each was made by a shipped sweep file."""

from pathlib import Path

import pytest

from scaling.workflow.keeping import verify_results

REPOSITORY = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in REPOSITORY.glob("results/*/sweep.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_shipped_results_pass_verification(folder: Path) -> None:
    assert verify_results(folder, repair=False) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_shipped_results_come_from_a_shipped_sweep(folder: Path) -> None:
    texts = [path.read_bytes() for path in (REPOSITORY / "sweeps").glob("*.yaml")]
    assert (folder / "sweep.yaml").read_bytes() in texts

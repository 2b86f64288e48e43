"""The results in the tree are whole, and the sweep files name those that made them."""

from pathlib import Path

import pytest

from scaling.workflow.keeping import verify_results

REPOSITORY = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in REPOSITORY.glob("results/*/sweep.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_stored_byte_is_as_it_was_written(folder: Path) -> None:
    assert verify_results(folder, repair=False) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_shipped_sweep_made_it(folder: Path) -> None:
    texts = [path.read_bytes() for path in (REPOSITORY / "sweeps").glob("*.yaml")]
    assert (folder / "sweep.yaml").read_bytes() in texts

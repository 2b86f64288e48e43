"""The results in the tree are whole, and the sweep files name those that made them."""

from pathlib import Path

import pytest

from scaling.sweep.plan import plan_sweep
from scaling.workflow.keeping import verify_results
from scaling.workflow.stored import open_results

REPOSITORY = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in REPOSITORY.glob("results/*/sweep.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_stored_byte_is_as_it_was_written(folder: Path) -> None:
    assert verify_results(folder, repair=False) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_shipped_sweep_made_it(folder: Path) -> None:
    texts = [path.read_bytes() for path in (REPOSITORY / "sweeps").glob("*.yaml")]
    assert (folder / "sweep.yaml").read_bytes() in texts


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_first_run_of_the_sweep_would_train_the_same_runs(folder: Path) -> None:
    # Replicates stay where a smaller grid had put them; a reader's own run must not differ by that.
    stored = open_results(folder)
    first = plan_sweep(stored.spec, stored.facts)
    trained = {cell.run.run_id for cell in stored.plan.cells if cell.role != "validation"}
    assert {cell.run.run_id for cell in first.cells} == trained

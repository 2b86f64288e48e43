"""The shipped results are complete, and each was made by a shipped sweep file."""

from pathlib import Path

import pytest

from scaling.sweep.plan import plan_sweep
from scaling.workflow.keeping import verify_results
from scaling.workflow.stored import open_results

REPOSITORY = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in REPOSITORY.glob("results/*/sweep.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_shipped_results_pass_verification(folder: Path) -> None:
    assert verify_results(folder, repair=False) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_shipped_results_come_from_a_shipped_sweep(folder: Path) -> None:
    texts = [path.read_bytes() for path in (REPOSITORY / "sweeps").glob("*.yaml")]
    assert (folder / "sweep.yaml").read_bytes() in texts


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_first_run_of_the_sweep_would_train_the_same_runs(folder: Path) -> None:
    # Replicates stay where a smaller grid had put them; a reader's own run must not differ by that.
    stored = open_results(folder)
    first = plan_sweep(stored.spec, stored.facts)
    trained = {cell.run.run_id for cell in stored.plan.cells if cell.role != "validation"}
    assert {cell.run.run_id for cell in first.cells} == trained

"""examples/ of somebody's own trainer: their N is right, and runs of each are trained."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from scaling.ledger.commit import Ledger
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.training import open_ledger, train_sweep

EXAMPLES = Path(__file__).parents[1] / "examples"
# The smallest and the largest N of each.
MODELS = {"plain_pytorch": (4784, 22976), "torchrun": (4872, 43392), "hf_trainer": (6704, 57536)}


@pytest.mark.parametrize(
    "name",
    ["plain_pytorch", "torchrun", pytest.param("hf_trainer", marks=pytest.mark.slow)],
)
def test_the_example_trains(tmp_path: Path, name: str) -> None:
    shutil.copytree(EXAMPLES / name, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "sweep.yaml"
    cells = ", ".join(f"{{params: {params}, tokens: 51200}}" for params in MODELS[name])
    grid = f"grid: {{cells: [{cells}]}}\n"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(grid if line.startswith("grid:") else line for line in lines))
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    outcome = train_sweep(sweep, ledger, executor="inline")
    # N must match exactly, D within the tolerance.
    assert len(outcome.finished) == 2, outcome.failed
    for result in Ledger.open(ledger.folder).read_results().results.values():
        assert result.loss is not None
        assert 1.0 < result.loss < 5.6  # below ln 256, the loss of guessing


@pytest.mark.parametrize("name", MODELS)
def test_the_whole_example_is_planned(tmp_path: Path, name: str) -> None:
    shutil.copytree(EXAMPLES / name, tmp_path, dirs_exist_ok=True)
    plan = prepare_sweep(tmp_path / "sweep.yaml", root=tmp_path).plan
    assert len({dataclasses.astuple(cell.run.shape) for cell in plan.cells}) == 5
    assert len(plan.cells) >= 10  # enough for a law with five coefficients
    assert not plan.rejected

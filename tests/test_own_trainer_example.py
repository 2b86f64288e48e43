"""examples/plain_pytorch: its numbers of parameters are right, and one run of it is trained."""

import dataclasses
import shutil
from pathlib import Path

from scaling.ledger.commit import Ledger
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.training import open_ledger, train_sweep

EXAMPLE = Path(__file__).parents[1] / "examples" / "plain_pytorch"
SHORT = "grid: {cells: [{params: 4784, tokens: 51200}, {params: 22976, tokens: 51200}]}\n"


def test_the_example_trains(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "sweep.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(SHORT if line.startswith("grid:") else line for line in lines))
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    outcome = train_sweep(sweep, ledger, executor="inline")
    assert len(outcome.finished) == 2  # N exactly, D within the tolerance
    for result in Ledger.open(ledger.folder).read_results().results.values():
        assert result.loss is not None
        assert 1.0 < result.loss < 5.6  # below ln 256, what guessing gets


def test_the_whole_example_is_planned(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    plan = prepare_sweep(tmp_path / "sweep.yaml", root=tmp_path).plan
    assert len({dataclasses.astuple(cell.run.shape) for cell in plan.cells}) == 5
    assert not plan.rejected

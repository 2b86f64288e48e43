"""Claims about trunks in a sweep: trained once, in a suitable order, without effect on results."""

import dataclasses
from pathlib import Path

from synthetic import SETTINGS, expected_loss, make_corpus, make_ledger, make_run, train_here

from scaling.ledger.integrity import verify
from scaling.ledger.trunk_cache import TrunkCache
from scaling.orchestration.trunk_schedule import TrunkSchedule
from scaling.sweep.cells import Cell
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import find_branch_step, name_prefix

SHARED = dataclasses.replace(SETTINGS, share_trunks=True)
SHORT, MIDDLE, LONG = (make_run(0, steps=steps) for steps in (10, 20, 30))  # leave at 8, 18, 28


def drive(folder: Path, runs: list[RunSpec], behaviour: dict | None = None, shared: bool = True):
    cells = [Cell(run=run, budget=1e6, role="grid") for run in runs]
    ledger = make_ledger(folder)
    make_corpus(folder, behaviour)
    train_here(cells, ledger, settings=SHARED if shared else SETTINGS)
    results = ledger.read_results().results
    assert {run_id: one.loss for run_id, one in results.items()} == {
        run.run_id: expected_loss(run) for run in runs
    }
    assert verify(ledger, cells) == ()
    return {one.run.recipe.steps: one.flops_spent / one.flops for one in results.values()}


def list_states(folder: Path, run: RunSpec) -> tuple[int, ...]:
    prefix = folder / "results" / "demo" / "trunks" / name_prefix(run)
    return TrunkCache(folder=prefix, save_at=()).list_steps()


def store(folder: Path, run: RunSpec, step: int) -> None:
    TrunkCache(folder=folder / "trunks" / name_prefix(run), save_at=()).store(step, b"state")


def test_a_shared_trunk_is_trained_once(tmp_path: Path) -> None:
    spent = drive(tmp_path, [SHORT, MIDDLE, LONG])
    assert spent == {30: 1.0, 20: 2 / 20, 10: 2 / 10}


def test_trunks_are_shared_only_on_request(tmp_path: Path) -> None:
    assert drive(tmp_path, [SHORT, LONG], shared=False) == {30: 1.0, 10: 1.0}
    assert not (tmp_path / "results" / "demo" / "trunks").exists()


def test_a_longer_horizon_continues_the_trunk_of_a_finished_one(tmp_path: Path) -> None:
    drive(tmp_path, [SHORT, MIDDLE])
    assert list_states(tmp_path, LONG) == (18,)  # only the last state stays once all are finished
    spent = drive(tmp_path, [SHORT, MIDDLE, LONG])
    assert spent[30] == 12 / 30


def test_damaged_trunks_only_cost_time(tmp_path: Path) -> None:
    drive(tmp_path, [SHORT, MIDDLE])
    for path in (tmp_path / "results" / "demo" / "trunks").glob("*/*"):
        path.write_bytes(b"torn")
    assert drive(tmp_path, [SHORT, MIDDLE, LONG])[30] == 1.0


def test_a_trunk_survives_an_exception_of_the_run_that_made_it(tmp_path: Path) -> None:
    spent = drive(tmp_path, [SHORT, LONG], {"0": {"raise_at": 15, "times": 1}})
    # The longer run resumed from its checkpoint, the shorter one from the state at its branch.
    assert spent[10] == 2 / 10
    assert spent[30] < 1.0


def test_a_run_waits_for_the_state_it_can_start_from(tmp_path: Path) -> None:
    schedule = TrunkSchedule([SHORT, MIDDLE, LONG], tmp_path)
    assert schedule.may_start(LONG)
    schedule.begin(LONG)
    assert not schedule.may_start(SHORT)
    assert not schedule.may_start(MIDDLE)
    store(tmp_path, LONG, find_branch_step(SHORT))
    assert schedule.may_start(SHORT)
    assert schedule.find_start(SHORT) == 8
    assert not schedule.may_start(MIDDLE)
    schedule.end(LONG)  # however it ended, waiting runs start from the states that exist
    assert schedule.may_start(MIDDLE)
    assert schedule.find_start(MIDDLE) == 8


def test_a_longer_run_waits_for_a_shorter_one_that_is_under_way(tmp_path: Path) -> None:
    schedule = TrunkSchedule([SHORT, LONG], tmp_path)
    schedule.begin(SHORT)
    assert not schedule.may_start(LONG)
    store(tmp_path, SHORT, find_branch_step(SHORT))
    assert schedule.may_start(LONG)
    assert schedule.find_start(LONG) == 8


def test_runs_of_other_trunks_never_wait(tmp_path: Path) -> None:
    other = make_run(1, steps=10)
    schedule = TrunkSchedule([SHORT, LONG, other], tmp_path)
    schedule.begin(LONG)
    assert schedule.may_start(other)
    assert schedule.find_cache(other) is None

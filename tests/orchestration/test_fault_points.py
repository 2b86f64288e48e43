"""Kill the driver at every named point, each time it is reached: every file is old or new."""

import ast
import dataclasses
import os
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from synthetic import SETTINGS, expected_loss, make_corpus, make_ledger, make_run, train_here

from scaling.data.shards import open_shards, prepare_corpus
from scaling.files import faults
from scaling.ledger.integrity import verify
from scaling.sweep.cells import Cell

SHARED = Path("/dev/shm")
PACKAGE = Path(faults.__file__).parent
# Two horizons of one model share a trunk; of the others one fails once, one always, one diverges.
RUNS = [make_run(0, steps=10), make_run(0, steps=16), *(make_run(seed) for seed in (1, 2, 3))]
CELLS = [Cell(run=run, budget=1e6, role="grid") for run in RUNS]
BEHAVIOUR = {
    "0": {"interrupt_at": 5},
    "1": {"raise_at": 5},
    "2": {"raise_at": 2, "times": 99},
    "3": {"diverge": True},
}
SHARING = dataclasses.replace(SETTINGS, share_trunks=True, backoff=0.0)
GIVEN_UP = make_run(2).run_id
# Reached at every small write, which has a point of its own too: the default suite kills only at
# the first and the last time.
OFTEN = (
    *("replace.written", "replace.replaced", "link.linked", "heartbeat.written"),
    *("checkpoint.written", "checkpoint.digested", "checkpoint.tidied"),
    *("attempt.created", "driver.submitted"),
)


def drive_sweep(folder: Path) -> None:
    """Interrupted, continued; then one result is set aside and trained again."""
    ledger = make_ledger(folder)
    for _ in range(2):
        train_here(CELLS, ledger, settings=SHARING)
    ledger.set_aside(make_run(1).run_id)
    train_here(CELLS, ledger, settings=SHARING)


def mend_ledger(folder: Path) -> None:
    """A result is lost and a stray file left; both are put right."""
    ledger = make_ledger(folder)
    train_here(CELLS[2:3], ledger)
    (ledger.folder / "runs" / make_run(1).run_id / "result.json").unlink(missing_ok=True)
    (ledger.folder / "some.tmp").touch()
    verify(ledger, CELLS, repair=True)


def prepare_text(folder: Path) -> None:
    prepare_corpus("text", paths=("text",), base=folder, cache=folder / "cache")


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    make_corpus(folder, BEHAVIOUR)
    (folder / "text").mkdir()
    for number in range(20):
        (folder / "text" / f"{number}.txt").write_text(f"{number} " * 3000)
    return folder


def run_in_child(
    work: Callable[[Path], None], folder: Path, listener: Callable[[str], None]
) -> int:
    """Wait status of a child that did the work with the listener at every point."""
    pid = os.fork()
    if pid == 0:
        try:
            with faults.listening(listener):
                work(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def count_points(work: Callable[[Path], None], folder: Path) -> Counter[str]:
    seen: Counter[str] = Counter()
    with faults.listening(lambda point: seen.update([point])):
        work(folder)
    return seen


def kill_at(point: str, nth: int) -> Callable[[str], None]:
    seen: list[str] = []

    def listen(reached: str) -> None:
        if reached == point:
            seen.append(reached)
            if len(seen) == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    return listen


def check_state(folder: Path, *, allowed: set[str]) -> dict[str, str]:
    """Check that every file is complete; returns the results that count."""
    if not (folder / "results" / "demo" / "sweep.json").exists():
        return {}
    ledger = make_ledger(folder)
    assert {finding.kind for finding in verify(ledger, CELLS)} <= allowed
    return dict(ledger.read_results(check="files").digests)


def check_sweep(folder: Path) -> None:
    kept = check_state(folder, allowed={"index", "stray"})
    for _ in range(2):  # the first call may be interrupted
        outcome = train_here(CELLS, make_ledger(folder), settings=SHARING)
    assert {failed.run_id for failed in outcome.failed} == {GIVEN_UP}
    ledger = make_ledger(folder)
    stored = ledger.read_results(check="files")
    assert kept.items() <= stored.digests.items()  # no finished run was lost or repeated
    losses = {run.run_id: stored.results[run.run_id].loss for run in RUNS if run.seed < 2}
    assert losses == {run.run_id: expected_loss(run) for run in RUNS if run.seed < 2}
    verify(ledger, CELLS, repair=True)
    assert verify(ledger, CELLS) == ()


def check_mended(folder: Path) -> None:
    check_state(folder, allowed={"index", "stray", "lost"})
    mend_ledger(folder)
    assert verify(make_ledger(folder), CELLS) == ()


def check_corpus(folder: Path) -> None:
    for manifest in (folder / "cache").glob("[!.]*/manifest.json"):
        open_shards(manifest.parent)
    prepare_text(folder)


WORK = {
    "sweep": (drive_sweep, check_sweep),
    "mend": (mend_ledger, check_mended),
    "corpus": (prepare_text, check_corpus),
}


def list_kills(often: bool) -> list[tuple[str, str, int]]:
    kills = []
    for name, (work, _) in WORK.items():
        with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as folder:
            for point, times in count_points(work, make_folder(Path(folder, "a"))).items():
                some = range(1, times + 1) if often or point not in OFTEN else {1, times}
                kills += [(name, point, nth) for nth in sorted(some)]
    return kills


def kill_and_continue(folder: Path, kills: list[tuple[str, str, int]]) -> None:
    for number, (name, point, nth) in enumerate(kills):
        work, check = WORK[name]
        place = make_folder(folder / str(number))
        status = run_in_child(work, place, kill_at(point, nth))
        # Heartbeats depend on the clock, so there may be fewer this time.
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert died or point == "heartbeat.written", (name, point, nth, status)
        try:
            check(place)
        except AssertionError as error:
            raise AssertionError(f"killed at {point}, time {nth}, of {name}") from error


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where flushing is free; it survives the kill of a process."""
    with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as folder:
        yield Path(folder)


def test_every_named_point_is_reached_and_killed_at(memory: Path) -> None:
    kills = list_kills(often=False)
    assert {point for _, point, _ in kills} == set(faults.POINTS)
    kill_and_continue(memory, kills)


@pytest.mark.slow
def test_every_point_is_killed_at_each_time_it_is_reached(memory: Path) -> None:
    kill_and_continue(memory, list_kills(often=True))


def test_every_rename_and_link_has_a_point() -> None:
    bare = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = {ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)}
                moves = calls & {"os.replace", "os.rename", "os.link"}
                if moves and "faults.reach" not in calls:
                    bare.append(f"{path.relative_to(PACKAGE)}: {function.name}")
    assert bare == []

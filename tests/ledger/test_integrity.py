"""Each invariant of `verify` is violated and reported; files are damaged at 300 places."""

import contextlib
import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from test_commit import FACTS, commit, make_cell, make_run, result_path

from scaling.errors import IntegrityError, ScalingError
from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import Finding, verify
from scaling.ledger.signs import Heartbeat
from scaling.ledger.sweep_table import write_index
from scaling.ledger.trunk_cache import TrunkCache
from scaling.training.checkpoint import read_newest_checkpoint, write_checkpoint

RUNS = [make_run(seed) for seed in range(3)]
CELLS = [make_cell(run) for run in RUNS]


def is_damage(finding: Finding) -> bool:
    """Whether stored bytes are wrong, as opposed to derived or leftover files."""
    damage = ("result", "duplicate", "lost", "curve", "forecast")
    return finding.kind in damage and not finding.repaired


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three finished runs, in order."""
    made = Ledger.create(tmp_path / "demo", name="demo", corpus=FACTS, sweep_yaml="name: demo\n")
    made.advance_term()
    for run in RUNS:
        commit(made, run)
    write_index(made, made.read_results(), CELLS)
    assert verify(made, CELLS) == ()
    return made


def find(ledger: Ledger, *, repair: bool = False) -> set[str]:
    return {finding.kind for finding in verify(ledger, CELLS, repair=repair)}


def find_attempt(ledger: Ledger, seed: int = 1) -> Path:
    (name,) = ledger.list_attempts(RUNS[seed].run_id)
    return ledger.attempt_folder(RUNS[seed].run_id, name)


# --- result: every one hashes clean -----------------------------------------------------------


@pytest.mark.parametrize("name", ["metrics.jsonl", "weights.bin"])
def test_a_changed_file_of_a_result_is_found(ledger: Ledger, name: str) -> None:
    (find_attempt(ledger) / name).write_text("other")
    (found,) = (one for one in verify(ledger, CELLS) if one.kind == "result")
    assert is_damage(found)
    assert name in found.what
    assert "result" in find(ledger, repair=True)  # a repair does not hide it
    assert "result" in find(ledger)


def test_a_result_in_another_runs_folder_is_found(ledger: Ledger) -> None:
    shutil.copyfile(result_path(ledger, RUNS[0]), tmp := result_path(ledger, RUNS[1]).parent / "x")
    os.replace(tmp, result_path(ledger, RUNS[1]))
    (found,) = (one for one in verify(ledger, CELLS) if one.kind == "result")
    assert "another run" in found.what


# --- duplicate: exactly one per run -----------------------------------------------------------


def test_a_second_result_beside_the_first_is_found(ledger: Ledger) -> None:
    path = result_path(ledger, RUNS[1])
    shutil.copyfile(path, path.with_name("result (conflicted copy).json"))
    (found,) = verify(ledger, CELLS)
    assert (found.kind, is_damage(found)) == ("duplicate", True)
    assert "conflicted copy" in found.path


def test_two_attempts_with_a_result_are_found(ledger: Ledger) -> None:
    result_path(ledger, RUNS[1]).unlink()
    commit(ledger, RUNS[1], 3.0)
    write_index(ledger, ledger.read_results(), CELLS)
    (found,) = verify(ledger, CELLS)
    assert found.kind == "duplicate"
    assert "won this run too" in found.what


def test_a_result_that_was_set_aside_is_not_a_duplicate(ledger: Ledger) -> None:
    ledger.set_aside(RUNS[1].run_id)
    assert find(ledger) == {"index"}  # a result set aside on purpose is not lost
    commit(ledger, RUNS[1], 3.0)
    write_index(ledger, ledger.read_results(), CELLS)
    assert find(ledger) == set()


# --- index: what the results give -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.replace("2.5", "2.4"),
        lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    ],
)
def test_an_index_that_differs_from_the_results_is_rebuilt(
    ledger: Ledger, change: Callable[[str], str]
) -> None:
    path = ledger.folder / "index" / "runs.csv"
    path.write_text(change(path.read_text()))
    (found,) = verify(ledger, CELLS, repair=True)
    assert (found.kind, is_damage(found), found.repaired) == ("index", False, True)
    assert find(ledger) == set()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"run_id\na\rb\n",
        b"run_id\n" + b"x" * 200_000 + b"\n",
        b'run_id\n"unclosed',
        b"\x00" * 50,
    ],
)
def test_an_index_that_is_not_a_table_is_rebuilt(ledger: Ledger, content: bytes) -> None:
    (ledger.folder / "index" / "runs.csv").write_bytes(content)
    assert "index" in find(ledger)
    assert all(
        found.repaired for found in verify(ledger, CELLS, repair=True) if found.kind == "index"
    )
    assert find(ledger) == set()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_a_link_or_folder_in_place_of_the_index_is_named(
    ledger: Ledger, make: Callable[[Path], None]
) -> None:
    path = ledger.folder / "index" / "runs.csv"
    path.unlink()
    make(path)
    (found,) = verify(ledger, CELLS, repair=True)
    assert found.kind == "index"
    assert found.repaired == (make is os.mkfifo)  # a rename replaces a pipe but not a folder
    with contextlib.suppress(IntegrityError):
        write_index(ledger, ledger.read_results(), CELLS)


def test_an_index_with_fewer_columns_is_accepted_until_a_cell_differs(ledger: Ledger) -> None:
    """As an older version wrote it; --repair writes the columns that it lacks."""
    path = ledger.folder / "index" / "runs.csv"
    text = path.read_text()
    rows = [line.split(",")[:-4] for line in text.splitlines()]
    older = "\n".join(map(",".join, rows)) + "\n"
    path.write_text(older)
    assert find(ledger) == set()
    path.write_text(older.replace("finished", "diverged", 1))
    assert find(ledger) == {"index"}
    path.write_text(older)
    (found,) = verify(ledger, CELLS, repair=True)
    assert (found.kind, found.repaired) == ("index", True)
    assert path.read_text() == text


def test_index_and_temporary_files_are_left_to_a_driver_at_work(
    ledger: Ledger,
) -> None:
    (ledger.folder / "index" / "runs.csv").unlink()
    (ledger.folder / "term.1234.tmp").touch()
    with ledger.lock():
        assert find(ledger) == set()
    assert find(ledger) == {"index", "stray"}


# --- lost: no result that ever existed --------------------------------------------------------


def test_a_lost_result_is_restored_from_its_attempt(ledger: Ledger) -> None:
    before = ledger.read_results().digests
    (ledger.folder / "index" / "runs.csv").unlink()  # nothing else names the run
    result_path(ledger, RUNS[1]).unlink()
    assert "lost" in find(ledger)
    (found,) = (one for one in verify(ledger, CELLS, repair=True) if one.kind == "lost")
    assert found.repaired
    assert ledger.read_results(check="files").digests == before
    assert find(ledger) == set()


def test_a_result_known_only_to_the_index_is_reported_lost(ledger: Ledger) -> None:
    shutil.rmtree(result_path(ledger, RUNS[1]).parent)
    found = verify(ledger, CELLS, repair=True)
    assert {one.kind for one in found} == {"lost", "index"}
    assert [one.path for one in found if is_damage(one)] == [f"runs/{RUNS[1].run_id}"]


# --- curve: steps increase without gaps -------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([2, 2, 3], "line 2: step 2 follows step 2"),
        ([1, 2, 3, 6, 7, 8], "a gap of 3 steps"),
        ([5, 6, 7, 8], "a gap of 5 steps"),
        ([1, 2, 3, 4], "ends at step 4 of 8"),
    ],
)
def test_a_curve_that_lacks_part_of_the_run_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int], says: str
) -> None:
    made = Ledger.create(tmp_path / "demo", name="demo", corpus=FACTS, sweep_yaml="")
    monkeypatch.setattr("test_commit.CURVE", "".join(f'{{"step": {one}}}\n' for one in steps))
    commit(made, RUNS[0])
    (found,) = (one for one in verify(made) if one.kind == "curve")
    assert says in found.what
    assert is_damage(found)


# --- stray, process ---------------------------------------------------------------------------


def test_an_unfinished_temporary_file_is_found(ledger: Ledger) -> None:
    strays = [ledger.folder / "term.12345678.tmp", find_attempt(ledger) / "result.json.tmp"]
    for path in strays:
        path.touch()
    found = verify(ledger, CELLS)
    assert {(one.kind, one.path) for one in found} == {
        ("stray", str(path.relative_to(ledger.folder))) for path in strays
    }
    assert find(ledger, repair=True) == {"stray"}
    assert find(ledger) == set()


def test_a_process_of_an_old_term_is_found(ledger: Ledger) -> None:
    parent = psutil.Process(os.getppid())
    beat = Heartbeat(
        host=socket.gethostname(),
        pid=parent.pid,
        started=parent.create_time(),
        tokens=5,
        loss=None,
        seconds=1.0,
    )
    attempt = find_attempt(ledger)
    ledger.beat(RUNS[1].run_id, attempt.name, beat)
    assert ledger.read_heartbeat(RUNS[1].run_id, attempt.name) == beat
    assert find(ledger) == set()
    ledger.advance_term()
    (found,) = verify(ledger, CELLS)
    assert found.kind == "process"
    assert str(parent.pid) in found.what
    ledger.stop_beating(RUNS[1].run_id, attempt.name)
    assert find(ledger) == set()


def test_another_process_with_the_same_pid_is_not_reported(ledger: Ledger) -> None:
    beat = Heartbeat(
        host=socket.gethostname(), pid=os.getppid(), started=1.0, tokens=5, loss=None, seconds=1.0
    )
    ledger.beat(RUNS[1].run_id, find_attempt(ledger).name, beat)
    ledger.advance_term()
    assert find(ledger) == set()


# --- 300 places -------------------------------------------------------------------------------


def list_damages(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """A file with one bit flipped, or with its end cut off."""
    rng = random.Random(0)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    for number in range(300):
        path = files[number % len(files)]
        content = bytearray(path.read_bytes())
        position = rng.randrange(len(content))
        if number // len(files) % 2:
            del content[position:]
        else:
            content[position] ^= 1 << rng.randrange(8)
        yield path, bytes(content)


def read_everything(ledger_folder: Path) -> tuple[object, ...]:
    ledger = Ledger.open(ledger_folder)
    stored = ledger.read_results(check="files")
    attempt = find_attempt(ledger, 0)
    trunk = TrunkCache(folder=ledger_folder / "trunks" / "ab", save_at=())
    failure = ledger.read_failure(RUNS[0].run_id, attempt.name)
    return (
        dict(stored.results),
        ledger.read_term(),
        read_newest_checkpoint([attempt]),
        trunk.find_newest(10),
        failure,
        ledger.read_sweep(),
    )


def test_a_file_damaged_at_any_of_300_places_is_noticed_or_reads_the_same(ledger: Ledger) -> None:
    attempt = find_attempt(ledger, 0)
    states = {step: b"state %d " % step * 40 for step in (4, 8)}
    for step, content in states.items():
        write_checkpoint(attempt, content, step=step)
    trunk = TrunkCache(folder=ledger.folder / "trunks" / "ab", save_at=())
    for step, content in states.items():
        trunk.store(step, content)
    ledger.fail(RUNS[0].run_id, attempt.name, ValueError("no"), "exception")
    good = read_everything(ledger.folder)
    places = 0
    for path, damaged in list_damages(ledger.folder):
        original = path.read_bytes()
        path.unlink()  # the attempt's copy is a hard link to the same bytes
        path.write_bytes(damaged)
        check_noticed(ledger.folder, path, good, states)
        path.write_bytes(original)
        places += 1
    assert places == 300
    assert read_everything(ledger.folder) == good


def check_noticed(
    folder: Path, path: Path, good: tuple[object, ...], states: dict[int, bytes]
) -> None:
    try:
        results, term, checkpoint, trunk, failure, _ = read_everything(folder)
        findings: tuple[Finding, ...] = verify(Ledger.open(folder), CELLS)
    except IntegrityError:
        return  # the file identifies the folder: reading it fails with an error
    assert isinstance(results, dict)
    assert isinstance(good[0], dict)
    assert all(result == good[0][run_id] for run_id, result in results.items())
    if len(results) < len(RUNS):
        assert any(is_damage(finding) for finding in findings)
    # An older state or none, but never a wrong one.
    assert checkpoint in (*states.values(), None)
    assert trunk in (*states.values(), None)
    if path.name == "term":
        assert isinstance(term, int)
    if path.name == "failed.json" and failure is not None:
        assert type(failure) is type(good[4])


def test_with_both_checkpoints_damaged_a_run_starts_anew(tmp_path: Path) -> None:
    for step in (4, 8):
        write_checkpoint(tmp_path, b"state", step=step)
    for path in tmp_path.glob("*.pt"):
        path.write_bytes(b"stale")
    assert read_newest_checkpoint([tmp_path]) is None


def test_a_pipe_or_device_named_like_a_checkpoint_is_not_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, b"good", step=4)
    makers: tuple[Callable[[Path], None], ...] = (
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
    )
    for step, make in enumerate(makers, start=5):
        make(tmp_path / f"checkpoint-{step:09d}.pt")
        (tmp_path / f"checkpoint-{step:09d}.sha256").write_text("0" * 64)
    (tmp_path / "checkpoint-000000008.pt").write_bytes(b"no digest is read from a pipe")
    os.mkfifo(tmp_path / "checkpoint-000000008.sha256")
    assert read_newest_checkpoint([tmp_path]) == b"good"
    os.mkfifo(tmp_path / f"step-000000009-{'0' * 64}.pt")
    assert TrunkCache(folder=tmp_path, save_at=()).find_newest(10) is None


def test_a_folder_that_cannot_identify_itself_is_refused(ledger: Ledger) -> None:
    path = ledger.folder / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "other"}))
    with pytest.raises(ScalingError, match="Restore it from a copy"):
        verify(Ledger.open(ledger.folder), CELLS)

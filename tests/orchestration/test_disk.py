"""A disk that is really full, or really read-only, at any write: exit 5, and the same command
continues."""

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import expected_loss, make_cells, make_corpus, make_ledger, make_run, train_here

from scaling.errors import EnvironmentFault
from scaling.files import faults
from scaling.ledger.integrity import verify
from scaling.orchestration.outcome import SweepOutcome

CELLS = make_cells(3)
BLOCK = 64 * 2**10


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A file system of 2 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def drive(folder: Path) -> SweepOutcome:
    return train_here(CELLS, make_ledger(folder))


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        size = BLOCK
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def check_continues(folder: Path) -> None:
    assert not make_ledger(folder).read_results(check="files").damaged
    make_corpus(folder)  # remove the other faults
    outcome = drive(folder)
    assert (len(outcome.finished), outcome.failed, outcome.left) == (3, (), ())
    results = make_ledger(folder).read_results(check="files").results
    assert {one.loss for one in results.values()} == {expected_loss(cell.run) for cell in CELLS}
    verify(make_ledger(folder), CELLS, repair=True)
    assert verify(make_ledger(folder), CELLS) == ()


# Points that a plain sweep reaches, in order; each is followed by another write.
POINTS = (
    "sweep.named",
    "sweep.stated",
    "lock.taken",
    "replace.written",
    "term.advanced",
    "attempt.created",
    "heartbeat.written",
    "driver.submitted",
    "checkpoint.written",
    "checkpoint.digested",
    "checkpoint.tidied",
    "attempt.trained",
    "commit.digested",
    "commit.written",
    "commit.linked",
    "commit.cleaned",
    "driver.recorded",
    "failure.written",
    "driver.retried",
    "driver.stopping",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_disk_that_fills_up_stops_the_sweep_and_leaves_no_half_file(
    disk: Path, point: str
) -> None:
    folder = Path(tempfile.mkdtemp(dir=disk))
    make_corpus(folder, {"1": {"raise_at": 5}, "2": {"interrupt_at": 3}})
    filled: list[str] = []

    def listen(reached: str) -> None:
        if reached == point and not filled:
            filled.append(point)
            fill(disk)

    try:
        with faults.listening(listen), pytest.raises(EnvironmentFault) as caught:
            drive(folder)
        assert filled
        said = str(caught.value)
        assert said.startswith(str(folder)), said
        assert "No space left on device. Free some space; the same command then continues." in said
        attempts = len(list(folder.glob("results/demo/runs/*/attempts/*")))
        assert attempts <= 4  # three runs, one of them retried before: no retry storm
    finally:
        (disk / "filler").unlink(missing_ok=True)
    check_continues(folder)


def test_a_file_system_that_became_read_only_is_named(disk: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=disk))
    make_corpus(folder)

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

    make_ledger(folder)
    remount("ro")
    try:
        with pytest.raises(EnvironmentFault, match=f"{folder}.*Read-only file system"):
            drive(folder)
    finally:
        remount("rw")
    check_continues(folder)


@pytest.mark.parametrize("point", ["attempt.created", "commit.digested", "commit.written"])
def test_a_simulated_full_disk_stops_the_sweep_and_it_continues(tmp_path: Path, point: str) -> None:
    make_corpus(tmp_path)

    def refuse(reached: str) -> None:
        if reached == point:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))

    with faults.listening(refuse), pytest.raises(EnvironmentFault, match="No space left"):
        drive(tmp_path)
    check_continues(tmp_path)


def test_results_on_a_full_disk_are_still_read(disk: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=disk))
    make_corpus(folder)
    drive(folder)
    try:
        fill(disk)
        ledger = make_ledger(folder)
        assert verify(ledger, CELLS) == ()
        assert ledger.find_result(make_run(0).run_id) is not None
    finally:
        (disk / "filler").unlink(missing_ok=True)

"""Claims about driving a sweep, on the inline executor with a trivial trainer."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic import (
    SETTINGS,
    expected_loss,
    make_cells,
    make_corpus,
    make_ledger,
    make_run,
    start_driver,
    train_here,
    wait_until,
)

from scaling.errors import EnvironmentFault, IntegrityError, LockedError
from scaling.ledger.cancelling import allow_run, cancel_run, cancel_sweep
from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import verify
from scaling.ledger.signs import Heartbeat
from scaling.orchestration.attempt import (
    AttemptOutcome,
    AttemptRequest,
    classify_failure,
    run_attempt,
)
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors import AttemptEnded
from scaling.orchestration.executors.inline import InlineExecutor
from scaling.orchestration.ground import Ground
from scaling.orchestration.outcome import DriverSettings, SweepOutcome
from scaling.sweep.cells import Cell
from scaling.sweep.execution import Execution


def drive(
    folder: Path,
    cells: Sequence[Cell],
    behaviour: dict[str, Any] | None = None,
    *,
    executor: Any = None,
    settings: DriverSettings = SETTINGS,
) -> SweepOutcome:
    corpus = make_corpus(folder, behaviour)
    executor = executor or InlineExecutor()
    return run_cells(cells, make_ledger(folder), executor, corpus=corpus, settings=settings)


def count_attempts(folder: Path, seed: int, **kwargs: int) -> int:
    return len(make_ledger(folder).list_attempts(make_run(seed, **kwargs).run_id))


class DyingExecutor(InlineExecutor):
    """Workers that die silently, `deaths` times, one per submitted attempt."""

    def __init__(self, deaths: int) -> None:
        super().__init__()
        self.deaths, self.submitted = deaths, 0

    def submit(self, request: AttemptRequest) -> None:
        self.submitted += 1
        super().submit(request)

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        if self.deaths and self._queue:
            self.deaths -= 1
            return (AttemptEnded(attempt_id=self._queue.popleft().attempt_id, outcome=None),)
        return super().wait(timeout, tick)


class UntouchableExecutor(InlineExecutor):
    def start(self) -> None:
        raise AssertionError("nothing was to be run")


# --- resuming ---------------------------------------------------------------------------------


def test_a_sweep_is_trained_and_the_second_call_does_nothing(tmp_path: Path) -> None:
    cells = make_cells(3)
    first = drive(tmp_path, cells)
    assert (len(first.finished), first.trained, first.left) == (3, 3, ())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = drive(tmp_path, cells, executor=UntouchableExecutor())
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert (len(second.finished), second.trained) == (3, 0)
    changed = {path.name for path in after if before.get(path) != after[path]}
    # Some versions of filelock truncate the file they lock.
    assert changed <= {".lock", "behaviour.json"}
    assert verify(make_ledger(tmp_path), cells) == ()


def test_added_cells_are_trained_and_finished_ones_are_not(tmp_path: Path) -> None:
    drive(tmp_path, make_cells(2))
    outcome = drive(tmp_path, make_cells(4))
    assert (len(outcome.finished), outcome.trained) == (4, 2)
    assert [count_attempts(tmp_path, seed) for seed in range(4)] == [1, 1, 1, 1]


def test_the_longest_run_is_submitted_first(tmp_path: Path) -> None:
    class Recorder(InlineExecutor):
        submitted: list[str] = []  # noqa: RUF012

        def submit(self, request: AttemptRequest) -> None:
            self.submitted.append(request.run_id)
            super().submit(request)

    cells = [cell for steps in (6, 20, 12) for cell in make_cells(1, steps=steps)]
    drive(tmp_path, cells, executor=Recorder())
    assert Recorder.submitted == [make_run(0, steps=steps).run_id for steps in (20, 12, 6)]


def test_a_run_named_twice_is_trained_once(tmp_path: Path) -> None:
    outcome = drive(tmp_path, make_cells(2) + make_cells(2))
    assert (len(outcome.finished), outcome.trained) == (2, 2)


def test_checkpoints_go_when_the_result_is_in(tmp_path: Path) -> None:
    drive(tmp_path, make_cells(1), {"0": {"raise_at": 6}})
    assert count_attempts(tmp_path, 0) == 2
    assert not list(tmp_path.rglob("checkpoint*"))


def test_weights_are_not_kept_if_so_set(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, execution=Execution(keep_weights=False))
    outcome = drive(tmp_path, make_cells(1), settings=settings)
    result = make_ledger(tmp_path).find_result(outcome.finished[0])
    assert set(result.files) == {"metrics.jsonl"}


# --- failures by cause ------------------------------------------------------------------------


def test_a_transient_exception_is_retried_from_the_checkpoint(tmp_path: Path) -> None:
    outcome = drive(tmp_path, make_cells(2), {"0": {"raise_at": 6}})
    assert len(outcome.finished) == 2
    result = make_ledger(tmp_path).find_result(make_run(0).run_id)
    assert result.loss == expected_loss(make_run(0))
    assert result.flops_spent == result.flops * 6 // 10  # steps 0-3 came from the checkpoint


def test_the_same_exception_twice_stops_that_run_alone(tmp_path: Path) -> None:
    outcome = drive(tmp_path, make_cells(3), {"1": {"raise_at": 2, "times": 9}})
    assert len(outcome.finished) == 2
    (failed,) = outcome.failed
    assert (failed.run_id, failed.cause) == (make_run(1).run_id, "exception")
    assert "seed 1 cannot be trained" in failed.message
    assert count_attempts(tmp_path, 1) == 2
    failure = make_ledger(tmp_path).read_failure(failed.run_id, failed.folder.name)
    assert "_misbehave" in failure.traceback


def test_a_diverged_run_counts_and_is_never_retried(tmp_path: Path) -> None:
    behaviour = {"1": {"diverge": True}}
    outcome = drive(tmp_path, make_cells(2), behaviour)
    assert outcome.diverged == (make_run(1).run_id,)
    again = drive(tmp_path, make_cells(2), behaviour, executor=UntouchableExecutor())
    assert (again.diverged, again.trained) == (outcome.diverged, 0)
    assert count_attempts(tmp_path, 1) == 1


def test_a_dead_worker_is_replaced_three_times_at_most(tmp_path: Path) -> None:
    assert len(drive(tmp_path, make_cells(1), executor=DyingExecutor(3)).finished) == 1
    executor = DyingExecutor(99)
    (failed,) = drive(tmp_path, make_cells(2)[1:], executor=executor).failed
    assert (failed.cause, executor.submitted) == ("crash", 4)


def test_five_dead_workers_in_a_row_stop_the_sweep(tmp_path: Path) -> None:
    executor = DyingExecutor(99)
    with pytest.raises(EnvironmentFault, match="5 workers died in a row"):
        drive(tmp_path, make_cells(9), executor=executor)
    assert executor.submitted <= 6
    assert len(drive(tmp_path, make_cells(9)).finished) == 9


def test_a_run_past_its_time_limit_is_given_up(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, execution=Execution(time_limit=0.3))
    outcome = drive(tmp_path, make_cells(2), {"0": {"step_seconds": 0.1}}, settings=settings)
    assert [failed.cause for failed in outcome.failed] == ["time_limit"]
    assert count_attempts(tmp_path, 0) == 1


def test_out_of_memory_is_retried_once_with_half_the_micro_batch(tmp_path: Path) -> None:
    # Its batches hold 2 sequences.
    (run_id,) = drive(tmp_path, make_cells(1), {"0": {"oom_above": 1}}).finished
    result = make_ledger(tmp_path).find_result(run_id)
    assert (result.loss, result.numerics["micro_batch"]) == (expected_loss(make_run(0)), "1")
    assert count_attempts(tmp_path, 0) == 2


def test_a_second_out_of_memory_gives_up_the_run(tmp_path: Path) -> None:
    (failed,) = drive(tmp_path, make_cells(2), {"0": {"oom_above": 0}}).failed
    assert failed.cause == "out_of_memory"
    assert count_attempts(tmp_path, 0) == 2


def test_torchs_message_of_a_failed_allocation_is_out_of_memory() -> None:
    said = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you"
    assert classify_failure(RuntimeError(said), "here")[0] == "out_of_memory"
    assert classify_failure(RuntimeError("can't add"), "here")[0] == "exception"


def test_a_worker_that_is_told_to_end_leaves_a_checkpoint_and_costs_its_run_nothing(
    tmp_path: Path,
) -> None:
    class OwnProcess(InlineExecutor):  # the worker handles SIGTERM itself, so there is no tick
        def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
            request = self._queue.popleft()
            outcome = run_attempt(request)
            return (AttemptEnded(attempt_id=request.attempt_id, outcome=outcome),)

    behaviour = {"0": {"preempt_at": 6, "times": 7, "step_seconds": 0.21}}
    assert len(drive(tmp_path, make_cells(1), behaviour, executor=OwnProcess()).finished) == 1
    assert count_attempts(tmp_path, 0) == 2  # the second attempt went beyond the step
    result = make_ledger(tmp_path).find_result(make_run(0).run_id)
    assert result.flops_spent == result.flops * 3 // 10  # from the checkpoint after step 6


class SilentExecutor(InlineExecutor):
    """Its first worker starts, writes one heartbeat, and then hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[str] = []
        self.hung: AttemptRequest | None = None

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        if self.hung is None:
            self.hung = self._queue.popleft()
            ledger = Ledger.open(Path(self.hung.ledger))
            ledger.create_attempt(self.hung.run_id, self.hung.attempt_id)
            ledger.beat(
                self.hung.run_id,
                self.hung.attempt_id,
                Heartbeat(host="h", pid=1, started=1.0, tokens=1, loss=None, seconds=0.0),
            )
        if self.killed:
            return super().wait(timeout, tick)
        tick()
        return ()

    def kill(self, attempt_id: str) -> None:
        if not self.killed:
            assert attempt_id == self.hung.attempt_id
            self.killed.append(attempt_id)
            self._queue.appendleft(self.hung)

    def submit(self, request: AttemptRequest) -> None:
        self._queue.append(request)


def test_a_hung_worker_is_killed_and_its_run_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hung(SilentExecutor):
        def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
            clock[0] += 2.0
            if self.killed and self.hung is not None and self._queue[0] is self.hung:
                return (AttemptEnded(attempt_id=self._queue.popleft().attempt_id, outcome=None),)
            return super().wait(timeout, tick)

    clock = [1000.0]
    monkeypatch.setattr("scaling.orchestration.driver.time", FakeTime(clock))
    settings = dataclasses.replace(SETTINGS, stall_limit=30.0)
    executor = Hung()
    outcome = drive(tmp_path, make_cells(1), executor=executor, settings=settings)
    assert len(outcome.finished) == 1
    assert len(executor.killed) == 1
    assert 1030.0 < clock[0] < 1045.0  # within 1.5 times the limit
    assert count_attempts(tmp_path, 0) == 2


class FakeTime:
    def __init__(self, clock: list[float]) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock[0]

    def sleep(self, seconds: float) -> None:
        self._clock[0] += seconds


def test_a_worker_that_cannot_be_reached_has_not_failed(tmp_path: Path) -> None:
    class Unreachable(InlineExecutor):
        def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
            raise EnvironmentFault("Ray is gone")

    cells = make_cells(2)
    with pytest.raises(EnvironmentFault, match="Ray is gone"):
        drive(tmp_path, cells, executor=Unreachable())
    assert not list(tmp_path.rglob("failed.json"))
    assert len(drive(tmp_path, cells).finished) == 2


def test_a_worker_that_claims_a_commit_it_did_not_make_is_not_believed(tmp_path: Path) -> None:
    class Boaster(InlineExecutor):
        def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
            attempt_id = self._queue.popleft().attempt_id
            return (AttemptEnded(attempt_id=attempt_id, outcome=AttemptOutcome(kind="finished")),)

    (failed,) = drive(tmp_path, make_cells(1), executor=Boaster()).failed
    assert "without a result" in failed.message


def test_a_full_disk_stops_the_sweep_at_once_and_the_next_call_continues(tmp_path: Path) -> None:
    cells = make_cells(5)
    with pytest.raises(EnvironmentFault, match=r"corpus: No space left .* same command"):
        drive(tmp_path, cells, {"2": {"full_at": 3}})
    total = sum(count_attempts(tmp_path, seed) for seed in range(5))
    assert total <= 5
    outcome = drive(tmp_path, cells)
    assert (len(outcome.finished), outcome.left) == (5, ())


def test_a_damaged_result_is_left_out_and_not_trained_again_unasked(tmp_path: Path) -> None:
    cells = make_cells(2)
    drive(tmp_path, cells)
    path = tmp_path / "results" / "demo" / "runs" / make_run(1).run_id / "result.json"
    path.write_text(path.read_text().replace('"loss": 1.', '"loss": 0.'))
    outcome = drive(tmp_path, cells, executor=UntouchableExecutor())
    assert outcome.finished == (make_run(0).run_id,)
    assert [damage.run_id for damage in outcome.damaged] == [make_run(1).run_id]
    make_ledger(tmp_path).set_aside(make_run(1).run_id)
    assert drive(tmp_path, cells).trained == 1


# --- two drivers, orphans ---------------------------------------------------------------------


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    with make_ledger(tmp_path).lock(), pytest.raises(LockedError, match=str(os.getpid())):
        drive(tmp_path, make_cells(1))


def test_a_driver_that_lost_its_term_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken(InlineExecutor):
        def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
            make_ledger(tmp_path).advance_term()
            return super().wait(timeout, tick)

    with pytest.raises(LockedError, match="another driver has taken over"):
        drive(tmp_path, make_cells(2), executor=Overtaken())


def test_an_orphan_of_an_older_term_stops_with_a_checkpoint(tmp_path: Path) -> None:
    ledger, corpus = make_ledger(tmp_path), make_corpus(tmp_path)
    request = _make_request(ledger, corpus, term=ledger.advance_term())
    calls: list[int] = []

    def overtake() -> None:  # called between two steps
        calls.append(1)
        if len(calls) == 2:
            ledger.advance_term()

    make_corpus(tmp_path, {"*": {"step_seconds": 0.25}})
    assert run_attempt(request, tick=overtake).kind == "interrupted"
    folder = ledger.attempt_folder(request.run_id, request.attempt_id)
    assert list(folder.glob("checkpoint-*.pt"))


def test_two_drivers_without_a_lock_train_every_run_once(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.01}})
    make_ledger(tmp_path)
    drivers = [start_driver(tmp_path, 12, SCALING_TEST_WITHOUT="lock") for _ in range(2)]
    said = [driver.communicate()[1] for driver in drivers]
    assert {driver.returncode for driver in drivers} <= {0, 6}, said
    assert any(driver.returncode == 0 for driver in drivers), said
    results = make_ledger(tmp_path).read_results(check="files").results
    assert {one.run.seed: one.loss for one in results.values()} == {
        seed: expected_loss(make_run(seed)) for seed in range(12)
    }
    verify(make_ledger(tmp_path), make_cells(12), repair=True)
    assert verify(make_ledger(tmp_path), make_cells(12)) == ()


def test_a_stopped_orphan_is_ended_by_the_next_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.02}})
    orphan = start_driver(tmp_path, 2, 200)
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint-*.sha256"))))
    orphan.send_signal(signal.SIGSTOP)
    cells = make_cells(2, steps=200)
    monkeypatch.setattr(Ledger, "lock", lambda self: contextlib.nullcontext())
    assert len(drive(tmp_path, cells).finished) == 2
    orphan.communicate()
    assert orphan.returncode == -signal.SIGKILL
    assert verify(make_ledger(tmp_path), cells, repair=True) is not None
    assert verify(make_ledger(tmp_path), cells) == ()


def test_a_lost_result_is_put_back_and_not_trained_again(tmp_path: Path) -> None:
    cells = make_cells(2)
    drive(tmp_path, cells)
    ledger = make_ledger(tmp_path)
    before = ledger.read_results().digests
    (ledger.folder / "runs" / make_run(1).run_id / "result.json").unlink()
    outcome = drive(tmp_path, cells, executor=UntouchableExecutor())
    assert (len(outcome.finished), outcome.trained) == (2, 0)
    assert ledger.read_results().digests == before


def test_a_late_orphan_changes_nothing(tmp_path: Path) -> None:
    drive(tmp_path, make_cells(1))
    ledger = make_ledger(tmp_path)
    before = ledger.read_results().digests
    request = _make_request(ledger, tmp_path / "corpus", term=ledger.read_term())
    assert run_attempt(request).kind == "finished"
    assert ledger.read_results().digests == before


def _make_request(ledger: Ledger, corpus: Path, *, term: int) -> AttemptRequest:
    run = make_run(0)
    return AttemptRequest(
        run_id=run.run_id,
        run=json.dumps(run.to_json()),
        ledger=str(ledger.folder),
        corpus=str(corpus),
        attempt_id=ledger.name_attempt(run.run_id, term=term),
        term=term,
        trainer=SETTINGS.trainer,
        resume=(),
        execution=Execution(),
    )


# --- signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_checkpoints_and_the_next_call_continues(
    tmp_path: Path, signum: signal.Signals
) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.02}})
    process = start_driver(tmp_path, 2, 1000)
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint-*.pt"))))
    process.send_signal(signum)
    _, said = process.communicate()
    assert process.returncode == 128 + signum, said
    assert "Traceback" not in said
    reached = max(json.loads(p.read_text())[0] for p in tmp_path.rglob("checkpoint-*.pt"))
    outcome = drive(tmp_path, make_cells(2, steps=1000))
    assert len(outcome.finished) == 2
    results = make_ledger(tmp_path).read_results().results.values()
    assert (
        sum(result.flops_spent for result in results)
        == sum(result.flops for result in results) * (2000 - reached) // 2000
    )
    assert all(result.loss == expected_loss(result.run) for result in results)


def test_the_second_signal_ends_it_in_the_middle_of_a_step(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"hang_at": 5}})
    process = start_driver(tmp_path, 2)
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint-*.pt"))))
    process.send_signal(signal.SIGINT)
    wait_until(lambda: make_ledger(tmp_path).read_term() == 2)  # the first signal was handled
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)  # the step would take 60 s
    assert process.returncode == 130


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_an_executor_that_is_still_starting(
    tmp_path: Path, signum: signal.Signals
) -> None:
    closed = []

    class Starting(InlineExecutor):
        def start(self) -> None:
            signal.raise_signal(signum)
            pytest.fail("the start goes on")

        def close(self, *, at_once: bool = False) -> None:
            closed.append(at_once)

    outcome = drive(tmp_path, make_cells(2), executor=Starting())
    assert (outcome.interrupted_by, len(outcome.left)) == (signum, 2)
    assert closed == [True]


def test_a_sigterm_caught_by_rays_own_handler_stops_the_sweep(tmp_path: Path) -> None:
    class Starting(InlineExecutor):
        def start(self) -> None:
            signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(signum))
            signal.raise_signal(signal.SIGTERM)

    outcome = drive(tmp_path, make_cells(2), executor=Starting())
    assert (outcome.interrupted_by, len(outcome.left)) == (signal.SIGTERM, 2)


def test_signal_handlers_are_restored(tmp_path: Path) -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    drive(tmp_path, make_cells(1))
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_ledger(tmp_path)
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).startswith(str(ledger.folder)) and flags & (os.O_CREAT | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EnvironmentFault, match=r"demo.*Read-only file system"):
        train_here(make_cells(1), ledger)


# --- cancelling from outside ------------------------------------------------------------------


def test_a_cancelled_sweep_ends_as_on_sigterm_and_the_next_call_continues(tmp_path: Path) -> None:
    make_corpus(tmp_path, {"*": {"step_seconds": 0.02}})
    process = start_driver(tmp_path, 2, 1000)
    wait_until(lambda: bool(list(tmp_path.rglob("checkpoint-*.pt"))))
    assert cancel_sweep(make_ledger(tmp_path))
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "cancelled from outside" in said
    assert len(drive(tmp_path, make_cells(2, steps=1000)).finished) == 2


def test_a_cancelled_run_stops_with_a_checkpoint_and_the_others_go_on(tmp_path: Path) -> None:
    ledger, run_id = make_ledger(tmp_path), make_run(0).run_id

    class Cancelling(InlineExecutor):
        def submit(self, request: AttemptRequest) -> None:
            super().submit(request)
            if request.run_id == run_id:
                cancel_run(ledger, run_id)

    behaviour = {"0": {"step_seconds": 0.05}}
    outcome = drive(tmp_path, make_cells(3), behaviour, executor=Cancelling())
    assert (len(outcome.finished), outcome.left, outcome.failed) == (2, (run_id,), ())
    assert outcome.cancelled == (run_id,)
    assert drive(tmp_path, make_cells(3), executor=UntouchableExecutor()).cancelled == (run_id,)
    assert allow_run(ledger, run_id)
    assert drive(tmp_path, make_cells(3)).trained == 1


# --- what a sweep stands on -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["renamed", "removed", "replaced"])
def test_a_missing_results_folder_stops_the_sweep_and_is_not_recreated(
    tmp_path: Path, how: str
) -> None:
    ledger = make_ledger(tmp_path)

    def strike(run_id: str) -> None:
        if how == "removed":
            shutil.rmtree(ledger.folder)
        elif ledger.folder.exists():
            ledger.folder.rename(tmp_path / "elsewhere")
        if how == "replaced":
            ledger.folder.mkdir()

    with pytest.raises(EnvironmentFault, match=r"demo: the folder is gone.* same command then"):
        train_here(make_cells(6), ledger, corpus=make_corpus(tmp_path), announce=strike)
    assert ledger.folder.exists() == (how == "replaced")
    if how == "replaced":
        assert list(ledger.folder.iterdir()) == []
    if how == "renamed":
        assert len(list(tmp_path.glob("elsewhere/runs/*/result.json"))) == 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("removed", r"train\.bin: this file of the corpus is gone"),
        ("truncated", r"train\.bin: this file of the corpus has 0 bytes, not 3"),
        ("edited", r"train\.bin changed since it was written"),
        ("folder", r"manifest\.json: this file of the corpus is gone"),
    ],
)
def test_a_changed_corpus_stops_the_sweep_at_the_first_run(
    tmp_path: Path, how: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.orchestration.driver._TICK_SECONDS", 0.0)
    corpus = make_corpus(tmp_path, {"*": {"step_seconds": 0.05}})
    (corpus / "train.bin").write_bytes(b"abc")
    (corpus / "manifest.json").write_text("{}")

    def refuse(folder: Path) -> None:
        raise IntegrityError("train.bin changed since it was written")

    if how == "edited":  # stands for a manifest that no longer matches
        monkeypatch.setattr("scaling.orchestration.ground.open_shards", refuse)

    def strike(run_id: str) -> None:
        shard = corpus / "train.bin"
        if how == "folder":
            (corpus / "manifest.json").unlink()
        elif how == "removed":
            shard.unlink()
        else:
            shard.write_bytes(b"" if how == "truncated" else b"abd")

    ledger = make_ledger(tmp_path)
    with pytest.raises(IntegrityError, match=says):
        train_here(make_cells(24), ledger, announce=strike)
    begun = sum(len(ledger.list_attempts(run.run_id)) for run in map(make_run, range(24)))
    assert begun <= 2


def test_a_corpus_with_only_new_times_is_verified_and_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr("scaling.orchestration.ground.open_shards", read.append)
    corpus = make_corpus(tmp_path)
    (corpus / "manifest.json").write_text("{}")
    ground = Ground(tmp_path, corpus)
    ground.check()
    os.utime(corpus / "manifest.json", (1, 1))
    ground.check()
    ground.check()
    assert read == [corpus]


# --- nodes that vanish ------------------------------------------------------------------------


class MuteExecutor(InlineExecutor):
    """A cluster that never reports on its first worker again; the others run inline.

    Attributes:
        cut_at: When its node is known to be gone, by `clock`; None: never.
        beats: It gave a sign of life, so that its node is known.
        commits: It commits before it falls silent.
    """

    runs_here = False

    def __init__(self, clock: list[float], *, beats: bool = True, commits: bool = False) -> None:
        super().__init__()
        self.clock, self.beats, self.commits = clock, beats, commits
        self.cut_at: float | None = None
        self.mute: str | None = None
        self.killed: list[str] = []

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        self.clock[0] += 0.25
        if self.mute is None:
            request = self._queue.popleft()
            self.mute = request.attempt_id
            if self.commits:
                run_attempt(request)
            elif self.beats:
                ledger = Ledger.open(Path(request.ledger))
                ledger.create_attempt(request.run_id, request.attempt_id)
                beat = Heartbeat(
                    host="h", pid=1, started=1.0, tokens=1, loss=None, seconds=0.0, node="n1"
                )
                ledger.beat(request.run_id, request.attempt_id, beat)
        return super().wait(timeout, tick)

    def kill(self, attempt_id: str) -> None:
        self.killed.append(attempt_id)
        super().kill(attempt_id)

    def list_lost(self) -> frozenset[str]:
        gone = self.cut_at is not None and self.clock[0] >= self.cut_at
        return frozenset({"n1"} if gone else ())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("scaling.orchestration.driver.time", FakeTime(now))
    return now


@pytest.mark.parametrize("beats", [True, False])
def test_attempts_on_a_lost_node_are_settled_without_the_executor(
    tmp_path: Path, clock: list[float], beats: bool
) -> None:
    executor = MuteExecutor(clock, beats=beats)
    executor.cut_at = 1010.0
    outcome = drive(tmp_path, make_cells(2), executor=executor)
    assert len(outcome.finished) == 2
    assert executor.mute in executor.killed
    assert clock[0] < 1010.0 + 5.0  # two polls of the nodes, and the run


def test_a_killed_worker_that_does_not_report_is_given_up_by_a_deadline(
    tmp_path: Path, clock: list[float]
) -> None:
    settings = dataclasses.replace(SETTINGS, stall_limit=15.0)
    executor = MuteExecutor(clock)
    outcome = drive(tmp_path, make_cells(1), executor=executor, settings=settings)
    assert len(outcome.finished) == 1
    assert clock[0] < 1000.0 + 15.0 + 10.0 + 8.0  # stall limit, deadline, and the polls between


def test_a_committed_result_settles_an_attempt_that_is_not_reported(
    tmp_path: Path, clock: list[float]
) -> None:
    executor = MuteExecutor(clock, commits=True)
    outcome = drive(tmp_path, make_cells(1), executor=executor)
    assert (len(outcome.finished), outcome.trained) == (1, 1)
    assert clock[0] < 1010.0
    assert count_attempts(tmp_path, 0) == 1


class BlindExecutor(InlineExecutor):
    """A cluster with a node that does not see the folders and gets the first attempts."""

    def __init__(self, blind: int, others: bool) -> None:
        super().__init__()
        self.blind, self.others, self.avoided = blind, others, []  # type: ignore[var-annotated]

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        if not self.blind or not self._queue:
            return super().wait(timeout, tick)
        self.blind -= 1
        request = self._queue.popleft()
        elsewhere = dataclasses.replace(request, ledger=request.ledger + "-not-mounted")
        outcome = run_attempt(elsewhere, node="n1")
        return (AttemptEnded(attempt_id=request.attempt_id, outcome=outcome),)

    def avoid(self, node: str) -> bool:
        self.avoided.append(node)
        return self.others


def test_a_node_that_lost_sight_of_the_folders_is_avoided_and_the_sweep_goes_on(
    tmp_path: Path,
) -> None:
    # More than the number of consecutive deaths that stops a sweep.
    executor = BlindExecutor(blind=8, others=True)
    outcome = drive(tmp_path, make_cells(4), executor=executor)
    assert len(outcome.finished) == 4
    assert set(executor.avoided) == {"n1"}
    assert not list(tmp_path.rglob("failed.json"))


def test_where_no_node_sees_the_folders_the_sweep_stops_and_names_the_host(tmp_path: Path) -> None:
    executor = BlindExecutor(blind=8, others=False)
    host = re.escape(socket.gethostname())
    with pytest.raises(
        EnvironmentFault, match=f"host {host} does not see the sweep's folders.*No other node"
    ):
        drive(tmp_path, make_cells(4), executor=executor)
    assert executor.blind >= 6  # one more is submitted than fits

"""One attempt, as a worker executes it: train, commit, and only then return.

    request ──► folder of its own ──► trainer ──► digests ──► exclusive commit ──► outcome

The outcome is a hint; the files are the truth. A worker that dies leaves its folder with the
checkpoints in it, one that fails leaves `failed.json` too, and a later process can read both.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import psutil

from scaling.errors import EnvironmentFault, ScalingError
from scaling.files import faults
from scaling.files.durable import explain_fault
from scaling.ledger.cancelling import is_cancelled
from scaling.ledger.commit import Ledger
from scaling.ledger.parents import find_weights
from scaling.ledger.provenance import describe_versions
from scaling.ledger.results import Measurement, RunInterrupted, RunResult, TrainerFault
from scaling.ledger.signs import FailureCause, Heartbeat
from scaling.ledger.trunk_cache import TrunkCache
from scaling.orchestration.probing import commit_reported, settle_probes
from scaling.sweep.execution import Execution
from scaling.sweep.probes import AskedProbe
from scaling.sweep.runspec import RunSpec

DEFAULT_TRAINER = "scaling.training.trainer:train_run"
# One thread per run: two single-threaded runs give 2.0 × the throughput of one, one run with two
# threads 1.5–1.8 ×, and under contention it is 20–40 × slower. Must be in the environment before
# torch is imported.
THREAD_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

_STOP_LOOK_SECONDS = 0.2
_HEARTBEAT_SECONDS = 0.5
_CHECKPOINT_PREFIX = "checkpoint"
_OWN_FOLDERS = ("work", "run")  # of the user's own trainer: a copy of its files, and its output
# torch raises a plain RuntimeError if the CPU's allocator fails.
_ALLOCATION_FAILED = "can't allocate memory"

_journal = logging.getLogger("scaling.journal")

OutcomeKind = Literal["finished", "diverged", "failed", "interrupted"]


class Trainer(Protocol):
    """A function that trains a run; the real one is scaling.training.trainer:train_run. `parent` is
    passed only for runs that have one."""

    def __call__(
        self,
        run: RunSpec,
        *,
        corpus: Path,
        attempt: Path,
        resume: Sequence[Path],
        execution: Execution,
        should_stop: Callable[[], bool],
        report: Callable[[int, float | None], None],
        trunk: TrunkCache | None,
        cache: Path,
        parent: Path | None = None,
    ) -> Measurement: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRequest:
    """Everything a worker needs, in a form that can be sent to it.

    Attributes:
        run_id, run: The run, as canonical JSON text.
        ledger, corpus: Folders; on a cluster, on a file system that every node sees.
        attempt_id: Name of the folder the attempt makes for itself.
        term: The driver's generation; the attempt stops when a newer one begins.
        trainer: `module:function`.
        resume: Names of earlier attempts of this run, newest first.
        execution: How the run is computed.
        trunk: States that runs with the same prefix share; None: nothing is shared.
        probes: Probes to measure once the run has its result.
        train: Whether to train it; if not, it has its result, and only probes are measured.
    """

    run_id: str
    run: str
    ledger: str
    corpus: str
    attempt_id: str
    term: int
    trainer: str
    resume: tuple[str, ...]
    execution: Execution
    trunk: TrunkCache | None = None
    probes: tuple[AskedProbe, ...] = ()
    train: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """How an attempt ended.

    Attributes:
        kind: `finished` and `diverged` say that the run has a result, possibly of another attempt.
        cause: Why it failed; None if it did not.
        message: One line for people; empty if there is nothing to say.
        signature: A text that is equal if the same exception is raised again.
        node: The node, if it is to blame.
        failed_probes: A line for each probe that failed; the run has its result nonetheless.
    """

    kind: OutcomeKind
    cause: FailureCause | None = None
    message: str = ""
    signature: str = ""
    node: str = ""
    failed_probes: tuple[str, ...] = ()


def run_attempt(
    request: AttemptRequest, *, tick: Callable[[], None] | None = None, node: str = ""
) -> AttemptOutcome:
    """Execute one attempt to its end and commit its measurement.

    Args:
        request: The attempt.
        tick: Called now and then between steps, if the caller has no thread of its own.
        node: Node of a cluster on which this process runs.

    Returns:
        How it ended. A failure of the run is an outcome, not an exception.
    """
    if blind := find_unseen(request, node):
        return blind
    watch = _Watch(request, tick or (lambda: None), node)
    try:
        attempt = watch.ledger.create_attempt(request.run_id, request.attempt_id)
        with _logging_into(attempt / "log.txt"), _hearing_sigterm(watch, heard=tick is None):
            return _train_and_commit(request, attempt, watch)
    except RunInterrupted as stop:
        faults.reach("attempt.stopped")
        if watch.is_overdue():
            message = f"stopped at its time limit of {request.execution.time_limit:g} s"
            watch.ledger.fail(request.run_id, request.attempt_id, stop, "time_limit")
            return AttemptOutcome(kind="failed", cause="time_limit", message=message)
        return AttemptOutcome(kind="interrupted", message=str(stop))
    except Exception as error:
        if blind := find_unseen(request, node):
            return blind
        cause, message = classify_failure(error, request.ledger)
        watch.ledger.fail(request.run_id, request.attempt_id, error, cause)
        signature = f"{type(error).__name__}: {error}"
        return AttemptOutcome(kind="failed", cause=cause, message=message, signature=signature)
    finally:
        watch.ledger.stop_beating(request.run_id, request.attempt_id)


def find_unseen(request: AttemptRequest, node: str) -> AttemptOutcome | None:
    """The outcome if this machine does not see the folders, not the run's fault; else None.

    Args:
        request: The attempt, which names the folders.
        node: Node of a cluster on which this process runs.
    """
    try:
        Ledger.open(Path(request.ledger))
        os.stat(request.corpus)
        return None
    except (OSError, ScalingError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        message = f"host {socket.gethostname()} does not see the sweep's folders: {why}"
        return AttemptOutcome(kind="failed", cause="unseen", message=message, node=node)


def classify_failure(error: Exception, where: str) -> tuple[FailureCause, str]:
    """Classify a failure as due to the run, the memory or the machine, with a line that says so."""
    if isinstance(error, EnvironmentFault):
        return "environment", str(error)
    if isinstance(error, TrainerFault):
        return error.cause, str(error)
    if isinstance(error, OSError) and (fault := explain_fault(error, where)) is not None:
        return "environment", str(fault)
    # Compare torch's class by name, because this module must not import torch.
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if known or (isinstance(error, RuntimeError) and _ALLOCATION_FAILED in str(error)):
        return "out_of_memory", f"out of memory: {error}"
    return "exception", f"{type(error).__name__}: {error}"


def _train_and_commit(request: AttemptRequest, attempt: Path, watch: _Watch) -> AttemptOutcome:
    run = RunSpec.from_json(json.loads(request.run))
    assert run.run_id == request.run_id, request.run_id
    describe_versions()  # cached now: a file edited later is not the code that runs
    _journal.info("on %s, process %d: %d tokens", watch.host, watch.pid, run.tokens)
    watch.report(0, None)
    if watch.should_stop():
        raise RunInterrupted(f"run {request.run_id} was stopped before its first step")
    result = _train(request, run, attempt, watch) if request.train else None
    result = result or watch.ledger.find_result(request.run_id)
    assert result is not None
    if run.own is not None:
        commit_reported(watch.ledger, result)
    failed = settle_probes(
        request.probes,
        watch.ledger,
        result,
        corpus=Path(request.corpus),
        look_up=lambda: watch.look_up(result),
        execution=request.execution,
    )
    return AttemptOutcome(kind=result.status, message=result.reason, failed_probes=failed)


def _train(request: AttemptRequest, run: RunSpec, attempt: Path, watch: _Watch) -> RunResult:
    resume = [watch.ledger.attempt_folder(request.run_id, name) for name in request.resume]
    parent = {}
    if run.parent is not None:
        parent["parent"] = find_weights(watch.ledger.folder, run.parent)
    measured = load_trainer(request.trainer)(
        run,
        corpus=Path(request.corpus),
        attempt=attempt,
        resume=resume,
        execution=request.execution,
        should_stop=watch.should_stop,
        report=watch.report,
        trunk=request.trunk,
        cache=Path(request.ledger).parent / ".cache",
        **parent,
    )
    faults.reach("attempt.trained")
    result = watch.ledger.commit(run, request.attempt_id, measured)
    _journal.info("committed as %s %s", result.status, result.reason)
    for folder in (attempt, *resume):
        _drop_checkpoints(folder, kept=measured.files if folder == attempt else ())
        if run.own is not None:
            keep = folder == attempt and request.execution.keep_weights
            for name in _OWN_FOLDERS[: 1 if keep else 2]:
                shutil.rmtree(folder / name, ignore_errors=True)
    return result


def load_trainer(name: str) -> Trainer:
    """Import the trainer called `module:function`.

    Raises:
        ImportError, AttributeError: No trainer has that name.
    """
    module, _, function = name.partition(":")
    trainer: Trainer = getattr(importlib.import_module(module), function)
    return trainer


class _Watch:
    """The attempt's link to its driver: heartbeats one way, stop requests the other."""

    def __init__(self, request: AttemptRequest, tick: Callable[[], None], node: str) -> None:
        folder = Path(request.ledger)
        self.ledger = Ledger.open(folder)
        self._request, self._tick, self._node = request, tick, node or None
        self.host, self.pid = socket.gethostname(), os.getpid()
        self._process_started = psutil.Process().create_time()
        self._begun = time.monotonic()
        self._looked = self._beaten = -math.inf
        self._first: tuple[float, int] | None = None  # time and tokens of the first reported step
        self._stop = False

    def is_overdue(self) -> bool:
        limit = self._request.execution.time_limit
        return limit is not None and time.monotonic() - self._begun > limit

    def should_stop(self) -> bool:
        now = time.monotonic()
        if not self._stop and now - self._looked >= _STOP_LOOK_SECONDS:
            self._looked = now
            self._tick()
            self._stop = (
                self.is_overdue()
                or self.ledger.read_term() > self._request.term
                or is_cancelled(self.ledger, self._request.run_id)
            )
        return self._stop

    def look_up(self, result: RunResult) -> None:
        """Between parts of a probe: write a heartbeat, and stop if asked to."""
        self.report(result.tokens, result.loss)
        if self.should_stop():
            raise RunInterrupted(f"probes of run {result.run.run_id} were stopped")

    def stop(self) -> None:
        self._stop = True

    def report(self, tokens: int, loss: float | None) -> None:
        if time.monotonic() - self._beaten < _HEARTBEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        self._first = self._first or ((self._beaten, tokens) if tokens else None)
        heartbeat = Heartbeat(
            host=self.host,
            pid=self.pid,
            started=self._process_started,
            tokens=int(tokens),
            loss=float(loss) if loss is not None and math.isfinite(loss) else None,
            seconds=self._beaten - self._begun,
            tokens_per_second=self._measure_rate(tokens),
            at=time.time(),
            node=self._node,
        )
        self.ledger.beat(self._request.run_id, self._request.attempt_id, heartbeat)

    def _measure_rate(self, tokens: int) -> float | None:
        """Tokens per second since the first report; a resumed run does not start at 0."""
        if self._first is None or tokens <= self._first[1]:
            return None
        return (tokens - self._first[1]) / (self._beaten - self._first[0])


def _drop_checkpoints(folder: Path, *, kept: Sequence[str]) -> None:
    """Remove the checkpoints of a committed run, now useless; a crash in between is harmless."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{_CHECKPOINT_PREFIX}*"):
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _logging_into(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _journal.setLevel(logging.INFO)
    _journal.propagate = False  # to the file only, not to a terminal
    loggers = (logging.getLogger("scaling"), _journal)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _hearing_sigterm(watch: _Watch, *, heard: bool) -> Iterator[None]:
    """Handle SIGTERM in a worker, whose machine is taken away: write a checkpoint and stop."""
    if not heard or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda signum, frame: watch.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

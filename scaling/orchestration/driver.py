"""run_cells: skip finished runs, submit the rest longest first, record each as it ends.

    attempt ended   result in the ledger?   yes ──► finished or diverged: never tried again
                                            no  ──► retries.py decides by cause
                                            asked to stop ──► left for the next call

Every decision is made from files, so the next driver can continue for one that was killed at any
point: it begins a new term, which makes workers of the old term stop, and adopts their results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scaling.errors import EnvironmentFault, IntegrityError, LockedError, ScalingError
from scaling.files import faults
from scaling.files.durable import explain_fault
from scaling.files.sealed import canonical_json
from scaling.ledger.cancelling import is_cancelled, is_sweep_cancelled
from scaling.ledger.commit import Ledger
from scaling.ledger.found import StoredResults
from scaling.ledger.results import RunResult
from scaling.ledger.signs import FailureCause
from scaling.ledger.sweep_table import write_index
from scaling.orchestration.attempt import AttemptOutcome, AttemptRequest
from scaling.orchestration.executors import AttemptEnded, Executor
from scaling.orchestration.ground import Ground
from scaling.orchestration.orphans import end_orphans
from scaling.orchestration.outcome import DriverSettings, FailedRun, SweepOutcome, summarize_sweep
from scaling.orchestration.probing import describe_measured, describe_work, list_obtainable
from scaling.orchestration.progress import Progress
from scaling.orchestration.retries import RetryPolicy
from scaling.orchestration.signals import KilledAtOnce, claim_signals, handling_signals
from scaling.orchestration.trunk_schedule import TrunkSchedule
from scaling.orchestration.under_way import Tally, UnderWay
from scaling.sweep.cells import Cell
from scaling.sweep.runspec import RunSpec
from scaling.units import format_seconds

_WAIT_SECONDS = 0.25
_TICK_SECONDS = 1.0
_LEAST_RETRIES = 20
_COMPARE_SECONDS = 2.0  # between two polls of the cluster's nodes; a call takes milliseconds


def run_cells(
    cells: Sequence[Cell],
    ledger: Ledger,
    executor: Executor,
    *,
    corpus: Path,
    settings: DriverSettings | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> SweepOutcome:
    """Train the runs that the ledger does not have yet.

    Args:
        cells: Cells of the plan; a run named twice is trained once.
        ledger: Ledger to read and write results; locked during the call.
        executor: Executor of attempts; started only if there is something to train, always closed.
        corpus: Folder of the prepared corpus.
        settings: Settings of the driver.
        progress: Where to show progress.
        announce: Called with the run_id of every existing result, and of each that is added.

    Raises:
        LockedError: Another driver is at work (at once), or took over.
        EnvironmentFault: Disk, Ray, or worker after worker has failed; what is finished is kept.
    """
    settings, progress = settings or DriverSettings(), progress or Progress()
    with ledger.lock():
        sweep = _Sweep(cells, ledger, executor, corpus, settings, progress)
        sweep.announce = announce or sweep.announce
        with handling_signals(sweep.interrupt):
            try:
                sweep.drive()
            except KilledAtOnce:
                pass
            finally:
                sweep.close()
        return sweep.summarize()


class _Sweep:
    def __init__(
        self,
        cells: Sequence[Cell],
        ledger: Ledger,
        executor: Executor,
        corpus: Path,
        settings: DriverSettings,
        progress: Progress,
    ) -> None:
        self.signal: int | None = None
        self.announce: Callable[[str], None] = lambda run_id: None
        self._at_once = self._breakable = self._starting = self._said_stopping = False
        self._fault: ScalingError | None = None
        self._cells, self._ledger, self._executor = cells, ledger, executor
        self._corpus, self._settings, self._progress = corpus, settings, progress
        self._planned = {cell.run.run_id: cell.run for cell in cells}
        self._term = 0
        self._queue: list[tuple[float, int, str]] = []
        self._unfinished: dict[str, RunSpec] = {}
        self._running: dict[str, UnderWay] = {}
        self._results: dict[str, RunResult] = {}
        self._failed: dict[str, FailedRun] = {}
        self._stored: StoredResults | None = None
        self._retries = RetryPolicy(
            crash_retries=settings.crash_retries,
            backoff=settings.backoff,
            crashes_in_a_row=settings.crashes_in_a_row,
            budget=settings.retry_budget or max(_LEAST_RETRIES, len(self._planned)),
        )
        self._micro_batch: dict[str, int] = {}
        shared = self._planned.values() if settings.share_trunks else ()
        self._trunks = TrunkSchedule(shared, ledger.folder)
        self._ground: Ground | None = None
        self._waiting: list[str] = []  # runs that wait for another to train their trunk
        self._spent: dict[str, int] = {}
        self._tally = Tally(total=len(self._planned))
        self._ticked = self._compared = -math.inf
        self._lost: frozenset[str] | None = None  # nodes that were gone at the last poll
        self._deadline: float | None = None

    # --- the loop -----------------------------------------------------------------------------

    def drive(self) -> None:
        """Everything between taking the lock and closing the executor."""
        self._adopt()
        if not self._queue:
            return
        self._ground = Ground(self._ledger.folder, self._corpus)
        self._term = self._ledger.advance_term()
        kept = f"{len(self._results)} of {len(self._planned)} runs are in the ledger"
        train = sum(run_id not in self._results for _, _, run_id in self._queue)
        self._progress.say(f"{kept}; {describe_work(train, len(self._queue) - train)}")
        self._breakable = self._starting = True
        if self._deadline is None:
            try:
                self._executor.start()
            except SystemExit:  # from Ray's SIGTERM handler, installed while it starts
                self.interrupt(signal.SIGTERM)
        self._starting = False
        if self._deadline is None and (said := self._executor.describe()):
            self._progress.say(said)
        self._breakable = self._executor.runs_here
        claim_signals(self.interrupt)  # Ray replaces the SIGTERM handler when it starts
        while not self._at_once and (self._running or (self._queue and self._deadline is None)):
            if self._deadline is not None and time.monotonic() > self._deadline:
                break
            with self._stopping_in_order():
                self._advance()
        if self._fault is not None:
            raise self._fault

    def _advance(self) -> None:
        if self._deadline is None:
            self._submit_due()
        for ended in self._executor.wait(_WAIT_SECONDS, self._tick):
            self._settle(ended)
        self._say_stopping()
        if not self._running and self._queue and self._deadline is None:
            pause = min(_WAIT_SECONDS, self._queue[0][0] - time.monotonic())
            if pause > 0:
                time.sleep(pause)
        self._tick()

    @contextlib.contextmanager
    def _stopping_in_order(self) -> Iterator[None]:
        """Let an unforeseen error of the system stop the sweep as a full disk does: running
        attempts may write a checkpoint or commit first."""
        try:
            yield
        except OSError as error:
            if not self._stands():
                return
            where = self._ledger.folder
            told = EnvironmentFault(f"{error.filename or where}: {error.strerror or error}.")
            self._wind_down(explain_fault(error, where) or told)
            time.sleep(_WAIT_SECONDS)  # the next call may fail again at once

    def interrupt(self, signum: int) -> None:
        """Called by the signal handler: the first signal asks to stop, the second ends at once.
        While the executor starts nothing can be asked, and the first signal ends it."""
        if self.signal is None:
            self.signal = signum
            self._wind_down()
            if not self._starting:
                return
        if not self._at_once:  # the second signal, or nothing has started that could be kept
            self._at_once = True
            if self._breakable:
                raise KilledAtOnce

    def close(self) -> None:
        """End the executor, then bring the index up to date."""
        self._breakable = False
        try:
            # Runs that are still going have used up their grace period.
            self._executor.close(at_once=self._at_once or bool(self._running))
        finally:
            self._progress.close()
        if self._ground is not None and not self._ground.has_results():
            return  # do not write where the results folder used to be
        if self._term and not isinstance(self._fault, LockedError):
            end_orphans(self._ledger)
        stored = self._stored
        if self._term or stored is None:  # otherwise nothing ran since they were read
            stored = self._read_ledger()
        write_index(self._ledger, stored, self._cells)

    def summarize(self) -> SweepOutcome:
        """Summarise the outcome of the call from the files."""
        assert self._stored is not None
        return summarize_sweep(
            self._planned, self._results, self._failed,
            ledger=self._ledger, damaged=self._stored.damaged, probes=self._settings.probes,
            trained=self._tally.trained, interrupted_by=self.signal,
        )  # fmt: skip

    # --- its parts ----------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Adopt every existing result; queue the other runs, longest first."""
        damaged = {damage.run_id for damage in self._read_ledger().damaged}
        kept = {one: self._ledger.find_kept(one) for one in self._planned.keys() - self._results}
        for run_id, attempt_id in kept.items():
            if attempt_id is not None:
                self._ledger.restore(run_id, attempt_id)
                self._progress.say(f"{run_id}: its result was gone, attempt {attempt_id} kept it")
        if any(kept.values()):
            self._read_ledger()
        for run_id in self._results:
            self.announce(run_id)
        for run_id, run in self._planned.items():
            if run_id not in self._results and run_id not in damaged:
                self._unfinished[run_id] = run
        self._spent = self._trunks.count_spent(self._unfinished.values())
        for run_id, result in self._results.items():  # queued last: probes are cheap
            if list_obtainable(self._settings.probes, self._ledger, result):
                self._unfinished[run_id], self._spent[run_id] = self._planned[run_id], 0
        for run_id in list(self._unfinished):
            if not self._drop_cancelled(run_id):
                heapq.heappush(self._queue, (0.0, -self._spent[run_id], run_id))

    def _drop_cancelled(self, run_id: str) -> bool:
        """Return whether the run was cancelled; it is then left for a call after `retry`."""
        if not is_cancelled(self._ledger, run_id):
            return False
        del self._unfinished[run_id]
        self._progress.say(f"{run_id}: cancelled; it keeps its checkpoints")
        return True

    def _read_ledger(self) -> StoredResults:
        self._stored = self._ledger.read_results()
        self._results = {k: v for k, v in self._stored.results.items() if k in self._planned}
        return self._stored

    def _wind_down(self, fault: ScalingError | None = None) -> None:
        """Submit nothing more; ask running attempts to write a checkpoint and stop."""
        self._fault = self._fault or fault
        self._deadline = self._deadline or time.monotonic() + self._settings.grace
        faults.reach("driver.stopping")
        if self._term and not isinstance(self._fault, LockedError):  # another driver holds the term
            gone = self._ground is not None and not self._ground.has_results()
            with contextlib.suppress(ScalingError, OSError):  # a full disk; the deadline ends them
                if not gone:
                    self._ledger.advance_term()

    def _submit_due(self) -> None:
        # One more than fits, so that a free worker need not wait for the next poll.
        room = self._executor.capacity() + 1 - len(self._running)
        while room > 0 and self._queue and self._queue[0][0] <= time.monotonic():
            _, _, run_id = heapq.heappop(self._queue)
            if self._drop_cancelled(run_id):
                continue
            run = self._unfinished[run_id]
            train = run_id not in self._results
            if train and not self._trunks.may_start(run):
                self._waiting.append(run_id)
                continue
            earlier = self._ledger.list_attempts(run_id)
            attempt_id = self._ledger.name_attempt(run_id, term=self._term)
            request = AttemptRequest(
                run_id=run_id,
                run=canonical_json(run.to_json()).decode(),
                ledger=str(self._ledger.folder.absolute()),
                corpus=str(self._corpus.absolute()),
                attempt_id=attempt_id,
                term=self._term,
                trainer=self._settings.trainer,
                resume=earlier,
                execution=dataclasses.replace(
                    self._settings.execution, micro_batch=self._micro_batch.get(run_id)
                ),
                trunk=self._trunks.find_cache(run),
                probes=self._settings.probes,
                train=train,
            )
            begun = self._begin(run, fresh=not earlier) if train else UnderWay(run, run.tokens)
            self._running[attempt_id] = begun
            self._executor.submit(request)
            faults.reach("driver.submitted")
            room -= 1

    def _begin(self, run: RunSpec, *, fresh: bool) -> UnderWay:
        self._trunks.begin(run)
        start = self._trunks.find_start(run) if fresh else 0
        at_start = run.tokens * start // run.recipe.steps if start else 0
        return UnderWay(run, tokens_at_start=at_start or None)

    def _requeue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for run_id in waiting:
            heapq.heappush(self._queue, (0.0, -self._spent[run_id], run_id))

    def _settle(self, ended: AttemptEnded) -> None:
        attempt = self._running.pop(ended.attempt_id, None)
        if attempt is None:  # settled before the executor reported its end
            return
        run_id = attempt.run.run_id
        told = ended.outcome or AttemptOutcome(kind="failed", message=ended.message)
        for line in told.failed_probes:
            self._progress.say(f"{run_id}: {line}")
        if run_id in self._results:  # only its probes were to be measured
            del self._unfinished[run_id]
            left = list_obtainable(self._settings.probes, self._ledger, self._results[run_id])
            self._progress.say(f"{run_id}: {describe_measured(left, told.message)}")
            if told.cause == "environment":
                self._wind_down(EnvironmentFault(told.message))
            return
        self._trunks.end(attempt.run)
        self._requeue_waiting()
        try:
            result = self._ledger.find_result(run_id)
        except IntegrityError as error:
            self._progress.say(f"{run_id}: its result is damaged and left out: {error}")
            del self._unfinished[run_id]
            return
        if result is not None:
            self._record(result, attempt)
            return
        outcome = attempt.explain_end(ended, self._ledger)
        if outcome.kind == "interrupted":
            if self._drop_cancelled(run_id) or self._deadline is not None:
                return  # it was asked to stop
            if self._ledger.read_term() > self._term:
                taken = f"{self._ledger.folder}: another driver has taken over. This one has ended."
                self._wind_down(LockedError(taken))
                return
            what = "its worker was told to end (SIGTERM)"
            outcome = AttemptOutcome(kind="failed", cause="preempted", message=what)
        self._weigh_failure(attempt.run, ended.attempt_id, outcome)

    def _record(self, result: RunResult, attempt: UnderWay) -> None:
        run = result.run
        self._results[run.run_id] = result
        self.announce(run.run_id)
        del self._unfinished[run.run_id]
        self._trunks.tidy(run, self._results)
        self._retries.note_result()
        self._tally.add(run, tokens_before=attempt.tokens_at_start or 0)
        loss = "no finite loss" if result.loss is None else f"loss {result.loss:.4f} nats/token"
        note = f" ({result.reason})" if result.reason else ""
        done = f"{len(self._results)} of {len(self._planned)}"
        took = format_seconds(result.seconds)
        self._progress.say(f"{run.run_id}: {result.status}, {loss}, {took}{note} · {done}")
        faults.reach("driver.recorded")

    def _weigh_failure(self, run: RunSpec, attempt_id: str, outcome: AttemptOutcome) -> None:
        run_id = run.run_id
        cause: FailureCause = outcome.cause or "crash"
        message = outcome.message or "its worker ended without a result"
        if cause in ("crash", "preempted") and self._deadline is not None:
            return  # it was asked to stop; the next `run` continues it
        if not self._stands():
            return  # not the run's fault; the next `run` continues it
        if cause == "unseen":
            self._leave_node(run_id, outcome)
            return
        verdict = self._retries.judge(run_id, cause, outcome.signature)
        if verdict.action == "give_up":
            self._give_up(run_id, attempt_id, cause, message)
        elif verdict.action == "again":
            if verdict.halve:
                self._micro_batch[run_id] = (run.recipe.batch_sequences + 1) // 2
            due = time.monotonic() + verdict.pause
            heapq.heappush(self._queue, (due, -self._spent[run_id], run_id))
            self._progress.say(f"{run_id}: {cause}, will continue from a checkpoint ({message})")
            faults.reach("driver.retried")
        elif not verdict.why:
            self._wind_down(EnvironmentFault(message))
        else:
            fault = (
                f"{verdict.why}, the last with run {run_id} ({message}). "
                "Look for a lack of memory; the same command then continues."
            )
            self._wind_down(EnvironmentFault(fault))

    def _leave_node(self, run_id: str, outcome: AttemptOutcome) -> None:
        """Leave a node that no longer sees the folders; its runs go on elsewhere, unblamed."""
        if not self._executor.avoid(outcome.node):
            self._wind_down(EnvironmentFault(f"{outcome.message}. No other node is left."))
            return
        heapq.heappush(self._queue, (0.0, -self._spent[run_id], run_id))
        self._progress.say(f"{run_id}: {outcome.message}; that node is given no more runs")

    def _give_up(self, run_id: str, attempt_id: str, cause: FailureCause, message: str) -> None:
        folder = self._ledger.attempt_folder(run_id, attempt_id)
        self._failed[run_id] = FailedRun(run_id=run_id, cause=cause, message=message, folder=folder)
        del self._unfinished[run_id]
        self._progress.say(f"{run_id}: failed, {message}; see {folder}")
        faults.reach("driver.gave_up")

    # --- watching -----------------------------------------------------------------------------

    def _tick(self) -> None:
        """About once a second: read heartbeats, end overdue attempts, show the state."""
        now = time.monotonic()
        if now - self._ticked < _TICK_SECONDS:
            return
        self._ticked = now
        with self._stopping_in_order():  # inline runs call this too: not their failure
            self._look_around(now)

    def _stands(self) -> bool:
        """Return whether results and corpus are unchanged; if not, stop the sweep."""
        try:
            if self._ground is not None:
                self._ground.check()
        except (EnvironmentFault, IntegrityError) as fault:
            if self._fault is None:
                self._wind_down(fault)
                # Nothing still running could be saved.
                self._deadline = time.monotonic()
            return False
        return True

    def _look_around(self, now: float) -> None:
        if self._deadline is None and not self._stands():
            return
        if self._deadline is None and is_sweep_cancelled(self._ledger, self._term):
            self._progress.say("cancelled from outside")
            self.interrupt(signal.SIGTERM)
        self._requeue_waiting()
        for attempt_id, attempt in self._running.items():
            self._look_at(attempt_id, attempt, now)
        if not self._executor.runs_here and now - self._compared >= _COMPARE_SECONDS:
            self._compared = now
            self._settle_unheard(now)
        self._progress.show(
            self._tally.take_snapshot(
                self._running.values(),
                finished=len(self._results),
                diverged=sum(r.status == "diverged" for r in self._results.values()),
                failed=len(self._failed),
                flops_left=sum(self._spent[one] for one in self._unfinished),
            )
        )

    def _look_at(self, attempt_id: str, attempt: UnderWay, now: float) -> None:
        heartbeat = self._ledger.read_heartbeat(attempt.run.run_id, attempt_id)
        if heartbeat is None:
            return
        attempt.note(heartbeat, attempt_id, now)
        time_limit, stall_limit = self._settings.execution.time_limit, self._settings.stall_limit
        if attempt.condemn(now, time_limit=time_limit, stall_limit=stall_limit):
            self._executor.kill(attempt_id)

    def _settle_unheard(self, now: float) -> None:
        """Settle attempts whose end the executor has not reported: on a lost node, killed without
        an answer, or with a result. If a link is cut before the processes behind it die, no
        connection is reset, and Ray may wait for minutes."""
        lost = self._executor.list_lost()
        before, self._lost = self._lost, lost
        for attempt_id, attempt in list(self._running.items()):
            if not self._settings.probes and self._ledger.has_result(attempt.run.run_id):
                attempt.ended_at = min(attempt.ended_at, now)
            just_lost = frozenset() if before is None else lost - before
            what = attempt.find_why_unheard(now, lost=lost, just_lost=just_lost)
            if what is not None:
                self._executor.kill(attempt_id)
                self._executor.forget(attempt_id)
                self._settle(AttemptEnded(attempt_id=attempt_id, cause="preempted", message=what))

    def _say_stopping(self) -> None:
        """Say that the sweep stops; not in the signal handler, which may interrupt another line."""
        if self.signal is not None and not self._said_stopping:
            self._said_stopping = True
            name = signal.Signals(self.signal).name
            self._progress.say(f"{name}: what runs writes a checkpoint; again to end at once")

"""Attempts under way: how far each is, whether it is overdue or hung, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Collection, Container
from dataclasses import dataclass

from scaling.ledger.commit import Ledger
from scaling.ledger.signs import FailureCause, Heartbeat
from scaling.orchestration.attempt import AttemptOutcome
from scaling.orchestration.executors import AttemptEnded
from scaling.orchestration.orphans import end_trainer
from scaling.orchestration.progress import Snapshot
from scaling.sweep.runspec import RunSpec

_OVERDUE = 1.2  # a worker this far past its time limit does not stop by itself: kill it
# A worker is hung when it gives no sign of life for this multiple of its longest silence so far
# (a step, an evaluation), and at least for the stated limit.
_HUNG = 20.0
_KILL_SECONDS = 10.0  # within which the end of a killed worker is reported
_REPORT_SECONDS = 4.0  # the same for one that has committed; it usually takes milliseconds


@dataclass(slots=True)
class UnderWay:
    """An attempt under way: how far it is, since when, and when it last gave a sign of life."""

    run: RunSpec
    tokens_at_start: int | None = None
    tokens: int = 0
    seen_at: float | None = None
    heard: Heartbeat | None = None
    heard_at: float = 0.0
    longest_silence: float = 0.0
    killed: FailureCause | None = None
    why_killed: str = ""
    killed_at: float = math.inf
    ended_at: float = math.inf

    @property
    def tokens_here(self) -> int:
        return max(0, self.tokens - (self.tokens_at_start or 0))

    def note(self, heartbeat: Heartbeat, attempt_id: str, now: float) -> None:
        """Take in the newest heartbeat; `now` is of `time.monotonic`."""
        if self.seen_at is None:  # its limit counts from its start, not from our first poll
            self.seen_at = now - max(0.0, heartbeat.seconds)
        if heartbeat != self.heard:
            if self.heard is not None:
                self.longest_silence = max(self.longest_silence, now - self.heard_at)
            self.heard, self.heard_at = heartbeat, now
        self.tokens = heartbeat.tokens
        if self.tokens_at_start is None and heartbeat.tokens:
            # A resumed run's first report includes tokens of earlier attempts.
            first = attempt_id.split("-")[1] == "1"
            self.tokens_at_start = 0 if first else heartbeat.tokens

    def condemn(self, now: float, *, time_limit: float | None, stall_limit: float) -> bool:
        """Whether the attempt is to be killed: past its time limit, or without a sign of life.

        Args:
            now: A value of `time.monotonic`.
            time_limit: Seconds for one attempt; None: no limit.
            stall_limit: Seconds without a sign of life after which a worker may be called hung.
        """
        assert self.seen_at is not None  # called after a heartbeat was noted
        silence = now - self.heard_at
        if time_limit is not None and now - self.seen_at > _OVERDUE * time_limit:
            self.killed = "time_limit"
            self.why_killed = f"killed: it ran past its time limit of {time_limit:g} s"
        elif silence > max(stall_limit, _HUNG * self.longest_silence):
            self.killed = "hang"
            self.why_killed = f"killed: no sign of life for {silence:.0f} s (resources.stall_limit)"
        if self.killed is None:
            return False
        self.killed_at = min(self.killed_at, now)
        return True

    def find_why_unheard(
        self, now: float, *, lost: Container[str | None], just_lost: Collection[str]
    ) -> str | None:
        """Why the executor will not report the end of the attempt; None where it still may.

        Args:
            now: A value of `time.monotonic`.
            lost: Nodes that are gone.
            just_lost: Those that went since the last look.
        """
        # An attempt that never reported may have been on any node, so also on one just lost.
        if just_lost if self.heard is None else self.heard.node in lost:
            return "its node is gone"
        if now - self.killed_at > _KILL_SECONDS or now - self.ended_at > _REPORT_SECONDS:
            return "its worker does not answer"
        return None

    def explain_end(self, ended: AttemptEnded, ledger: Ledger) -> AttemptOutcome:
        """How it ended: why it was killed, else what its worker said, or left on file."""
        if self.killed is not None:
            return AttemptOutcome(kind="failed", cause=self.killed, message=self.why_killed)
        if ended.outcome is not None:
            return ended.outcome
        end_trainer(ledger, self.run.run_id, ended.attempt_id)  # its worker no longer can
        failure = ledger.read_failure(self.run.run_id, ended.attempt_id)
        if failure is None:
            return AttemptOutcome(kind="failed", cause=ended.cause, message=ended.message)
        message = failure.message if failure.cause == "environment" else failure.signature
        return AttemptOutcome(
            kind="failed", cause=failure.cause, message=message, signature=failure.signature
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What this session has trained to an end.

    Attributes:
        total: Planned runs.
        trained: Runs that ended with a result.
        tokens, flops: That they took here; what a checkpoint or a trunk saved is not counted.
    """

    total: int
    trained: int = 0
    tokens: float = 0.0
    flops: float = 0.0

    def add(self, run: RunSpec, *, tokens_before: int) -> None:
        """A run ended that began here after `tokens_before` tokens."""
        self.trained += 1
        self.tokens += run.tokens - tokens_before
        self.flops += run.flops * (1 - tokens_before / run.tokens)

    def take_snapshot(
        self,
        running: Collection[UnderWay],
        *,
        finished: int,
        diverged: int,
        failed: int,
        flops_left: float,
    ) -> Snapshot:
        """The sweep at this moment, attempts under way included."""
        partly = sum(one.run.flops * one.tokens_here / one.run.tokens for one in running)
        return Snapshot(
            total=self.total,
            finished=finished,
            running=sum(one.seen_at is not None for one in running),
            diverged=diverged,
            failed=failed,
            tokens=self.tokens + sum(one.tokens_here for one in running),
            flops=self.flops + partly,
            flops_left=max(0.0, flops_left - partly),
        )

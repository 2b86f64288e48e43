"""An attempt under way: how far it is, and whether it is overdue or hung."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaling.ledger.signs import FailureCause, Heartbeat
from scaling.sweep.runspec import RunSpec

_OVERDUE = 1.2  # a worker past this multiple of its limit does not look at the clock: kill it
# A worker is hung when it gives no sign of life for this multiple of its longest silence so far
# (a step, an evaluation), and at least for the stated limit.
_HUNG = 20.0


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
        if self.seen_at is None:  # its limit counts from when it began, not from our first look
            self.seen_at = now - max(0.0, heartbeat.seconds)
        if heartbeat != self.heard:
            if self.heard is not None:
                self.longest_silence = max(self.longest_silence, now - self.heard_at)
            self.heard, self.heard_at = heartbeat, now
        self.tokens = heartbeat.tokens
        if self.tokens_at_start is None and heartbeat.tokens:
            # A resumed run reports where it stands; what it did before is not of this session.
            first = attempt_id.split("-")[1] == "1"
            self.tokens_at_start = 0 if first else heartbeat.tokens

    def condemn(self, now: float, *, time_limit: float | None, stall_limit: float) -> bool:
        """Whether the attempt is to be killed: past its time limit, or without a sign of life.

        Args:
            now: Of `time.monotonic`.
            time_limit: Seconds for one attempt; None: no limit.
            stall_limit: Seconds without a sign of life after which a worker may be called hung.
        """
        assert self.seen_at is not None  # a heartbeat was noted
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

"""The one retry policy: what is done about an attempt that ended without a result, by cause.

    exception        once more; the same exception again: given up
    crash            at most 3 times more, after 1, 2, 4 s; 5 in a row in the whole sweep: stop
    hang             once more; counts as a crash in a row
    out_of_memory    once more, with half the micro-batch: the same mathematics in less memory
    preempted        again at once: its machine was taken away, which says nothing of the run
    time_limit       given up
    environment      stop: a full disk does not get better by trying

"Once more" means from the run's last checkpoint. All retries of a sweep together have a budget;
when it is spent the sweep stops. A diverged run has a result and never comes here, and neither
does a run of which the driver cannot tell how it fares: unreachable is not failed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

from scaling.ledger.signs import FailureCause

Action = Literal["again", "give_up", "stop"]

_INFRASTRUCTURE: tuple[FailureCause, ...] = ("crash", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do: try the run again after `pause` seconds, give it up, or stop the sweep.

    Attributes:
        halve: Try again with half the micro-batch.
        why: Why the sweep stops; empty where the failure itself says it.
    """

    action: Action
    pause: float = 0.0
    halve: bool = False
    why: str = ""


class RetryPolicy:
    """Remembers what happened to each run in this call, and judges what happens next.

    Args:
        crash_retries: Times a run is tried again after its worker died.
        backoff: Pause before the first such retry [s]; doubles with each.
        crashes_in_a_row: Worker deaths, with no run ending well between, that stop the sweep.
        budget: Retries of all runs together; the next one stops the sweep.
    """

    def __init__(
        self, *, crash_retries: int, backoff: float, crashes_in_a_row: int, budget: int
    ) -> None:
        self._crash_retries, self._backoff = crash_retries, backoff
        self._limit_in_a_row, self._budget = crashes_in_a_row, budget
        self._seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._in_a_row = self._spent = 0

    def note_result(self) -> None:
        """A run ended with a result: the machine is not at fault."""
        self._in_a_row = 0

    def judge(self, run_id: str, cause: FailureCause, signature: str) -> Verdict:
        """What to do about an attempt that failed.

        Args:
            run_id: Its run.
            cause: Why it failed.
            signature: Equal for the same exception raised again.
        """
        if cause in _INFRASTRUCTURE:
            self._in_a_row += 1
        if cause == "environment":
            return Verdict(action="stop")
        if self._in_a_row >= self._limit_in_a_row:
            return Verdict(action="stop", why=f"{self._in_a_row} workers died in a row")
        verdict = self._weigh(self._seen[run_id], cause, signature)
        if verdict.action == "again":
            if self._spent == self._budget:
                return Verdict(action="stop", why=f"all {self._budget} retries are spent")
            self._spent += 1
        return verdict

    def _weigh(self, seen: Counter[str], cause: FailureCause, signature: str) -> Verdict:
        if cause == "preempted":
            return Verdict(action="again")
        key = cause + signature if cause == "exception" else cause
        seen[key] += 1
        # A mixture of causes gets no more retries than its most patient cause.
        if cause == "time_limit" or seen.total() > self._crash_retries + 1:
            return Verdict(action="give_up")
        times = seen[key]
        if cause == "crash" and times <= self._crash_retries:
            return Verdict(action="again", pause=self._backoff * 2 ** (times - 1))
        if cause == "crash" or times > 1:
            return Verdict(action="give_up")
        return Verdict(action="again", halve=cause == "out_of_memory")

"""The one retry policy: what is done about an attempt that ended without a result, by cause.

    exception        once more; the same exception again: given up
    crash            at most 3 times more, after 1, 2, 4 s; 5 in a row in the whole sweep: stop
    out_of_memory    once more
    time_limit       given up
    environment      stop: a full disk does not get better by trying

"Once more" means from the run's last checkpoint. A diverged run has a result and never comes here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

from scaling.ledger.signs import FailureCause

Action = Literal["again", "give_up", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do: try the run again after `pause` seconds, give it up, or stop the sweep."""

    action: Action
    pause: float = 0.0


class RetryPolicy:
    """Remembers what happened to each run in this call, and judges what happens next.

    Args:
        crash_retries: Times a run is tried again after its worker died.
        backoff: Pause before the first such retry [s]; doubles with each.
        crashes_in_a_row: Worker deaths, with no run ending well between, that stop the sweep.
    """

    def __init__(self, *, crash_retries: int, backoff: float, crashes_in_a_row: int) -> None:
        self._crash_retries, self._backoff = crash_retries, backoff
        self._limit_in_a_row = crashes_in_a_row
        self._seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._in_a_row = 0

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
        seen = self._seen[run_id]
        seen[cause + signature] += 1
        if cause == "crash":
            self._in_a_row += 1
        if cause == "environment" or self._in_a_row >= self._limit_in_a_row:
            return Verdict(action="stop")
        # No mixture of causes may go on for longer than the most patient of them.
        if cause == "time_limit" or seen.total() > self._crash_retries + 1:
            return Verdict(action="give_up")
        if cause == "crash":
            crashes = seen[cause + signature]
            if crashes > self._crash_retries:
                return Verdict(action="give_up")
            return Verdict(action="again", pause=self._backoff * 2 ** (crashes - 1))
        return Verdict(action="again" if seen[cause + signature] < 2 else "give_up")

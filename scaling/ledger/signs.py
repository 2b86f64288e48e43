"""Signs of life and death that an attempt leaves in its folder: heartbeat and failed.json."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

FAILURE_FILE = "failed.json"
HEARTBEAT_FILE = "heartbeat"

FailureCause = Literal[
    "exception",
    "environment",
    "out_of_memory",
    "crash",
    "hang",
    "preempted",
    "time_limit",
    "unseen",
]

# Short enough to be accepted when read back, long enough to name the line that failed.
_TRACEBACK_LINES = 20
_LINE_LIMIT, _TRACEBACK_LIMIT, _MESSAGE_LIMIT = 160, 1_900, 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as `failed.json` holds it."""

    attempt_id: str
    cause: FailureCause
    kind: str
    message: str
    traceback: str
    failed_at: str

    @property
    def signature(self) -> str:
        """Equal for the same exception raised again."""
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Last sign of life of an attempt; removed when the attempt ends, however it does.

    Attributes:
        host, pid, started: The process; `started` [s since the epoch] tells it from a later one
            with the same pid.
        tokens: Tokens trained on so far, those before a resumed checkpoint included.
        loss: Latest training loss [nats/token]; None before the first.
        seconds: Since the attempt began.
        tokens_per_second: Since its first step here; None before it is known.
        at: When it was written [s since the epoch, by the clock of that host].
        node: Node of the cluster, as its executor names it; None where there is none.
    """

    host: str
    pid: int
    started: float
    tokens: int
    loss: float | None
    seconds: float
    tokens_per_second: float | None = None
    at: float | None = None
    node: str | None = None


def describe_failure(error: BaseException, *, attempt_id: str, cause: FailureCause) -> Failure:
    """The failure with the end of its traceback."""
    lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]
    return Failure(
        attempt_id=attempt_id,
        cause=cause,
        kind=type(error).__name__,
        message=str(error)[:_MESSAGE_LIMIT],
        traceback="\n".join(line[:_LINE_LIMIT] for line in lines)[-_TRACEBACK_LIMIT:],
        failed_at=name_now(),
    )


def name_now() -> str:
    """The present moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

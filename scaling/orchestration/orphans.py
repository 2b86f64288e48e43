"""Orphans: processes that still work for an abandoned attempt, found by pid and start time.

A worker outlives its driver by seconds, and its raylet by hours. Its writes are harmless (it has
its own attempt, and its commit loses or is as good as any other), but it takes the machine from
current runs. It stops by itself when it sees that its term is over; a hung or stopped worker never
looks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import list_orphans
from scaling.ledger.locking import is_alive
from scaling.ledger.marked import end_marked, name_mark
from scaling.ledger.signs import Heartbeat
from scaling.ledger.trainer_code import holds_code


def end_attempt(ledger: Ledger, run_id: str, attempt_id: str) -> None:
    """Kill the process of an attempt, if it is on this machine and is not the current process."""
    heartbeat = ledger.read_heartbeat(run_id, attempt_id)
    end_trainer(ledger, run_id, attempt_id)
    if heartbeat is not None and heartbeat.host == socket.gethostname():
        _end_process(heartbeat)


def end_orphans(ledger: Ledger) -> None:
    """Kill processes left on this machine by older terms, and trainers whose worker is gone."""
    end_trainer(ledger)
    for _, heartbeat in list_orphans(ledger):
        _end_process(heartbeat)


def end_trainer(ledger: Ledger, run_id: str = "", attempt_id: str = "") -> None:
    """Kill, on this machine, what a user's trainer started for an attempt or the whole folder."""
    if holds_code(ledger.folder):
        end_marked(name_mark(ledger.folder, run_id, attempt_id))


def _end_process(heartbeat: Heartbeat) -> None:
    if heartbeat.pid != os.getpid() and is_alive(heartbeat.pid, heartbeat.started):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(heartbeat.pid, signal.SIGKILL)

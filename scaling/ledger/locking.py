"""One driver at a time: the lock of a results folder, and who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from scaling import faults
from scaling.durable import blaming_machine, read_document, write_durably
from scaling.errors import EnvironmentFault, IntegrityError, LockedError
from scaling.ledger.signs import name_now

_HOLDER_LIMIT_BYTES = 10_000


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold `folder` for one driver; the kernel gives it back when the process dies.

    Raises:
        LockedError: At once, naming who holds it.
        EnvironmentFault: The folder cannot be written or does not support locks.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    holder = folder / ".lock-holder"
    try:
        with blaming_machine(folder / ".lock"):
            lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{folder} is being driven by {_describe_holder(folder)}. "
            "Wait for it to end, or end it."
        ) from error
    except NotImplementedError as error:
        raise EnvironmentFault(f"{folder}: no file locks here ({error}).") from error
    try:
        # Beside the lock and not inside it: older filelock truncates the file it tries.
        document = {
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "host": socket.gethostname(),
            "since": name_now(),
        }
        write_durably(holder, json.dumps(document).encode(), sync=False)
        faults.reach("lock.taken")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def is_driven(folder: Path) -> bool:
    """Whether a driver is at work, as far as can be told without taking the lock: on another
    machine one counts as alive."""
    try:
        holder = read_document(folder, ".lock-holder", limit=_HOLDER_LIMIT_BYTES)
        elsewhere = holder["host"] != socket.gethostname()
        return elsewhere or is_alive(int(holder["pid"]), float(holder["started"]))
    except (OSError, IntegrityError, KeyError, TypeError, ValueError, OverflowError):
        return False


def is_alive(pid: int, started: float) -> bool:
    """The process that had this pid and start time [s since the epoch] is running here."""
    try:
        process = psutil.Process(pid)
        # Clock ticks round the start time to 10 ms.
        return abs(process.create_time() - started) < 0.05 and process.status() != "zombie"
    except (psutil.Error, ValueError, OverflowError):
        return False


def _describe_holder(folder: Path) -> str:
    try:
        holder = read_document(folder, ".lock-holder", limit=_HOLDER_LIMIT_BYTES)
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (OSError, IntegrityError, KeyError, TypeError, ValueError, OverflowError):
        return "another process (it has not yet said which)"

"""The lock of a results folder, which admits one driver at a time, and its holder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from scaling.errors import EnvironmentFault, IntegrityError, LockedError
from scaling.files import faults
from scaling.files.durable import blaming_machine, read_document, refuse_links, write_durably
from scaling.files.sealed import build_value
from scaling.ledger.signs import name_now
from scaling.units import clean_line

_HOLDER_FILE = ".lock-holder"
_HOLDER_LIMIT_BYTES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The driver of a sweep, as it described itself when it took the lock.

    Attributes:
        pid, started: The process; `started` [s since the epoch] tells it from a later one.
        host: Host it runs on.
        since: When it took the lock, ISO 8601 in UTC.
    """

    pid: int
    started: float
    host: str
    since: str


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock `folder` for one driver; the kernel releases the lock when the process dies.

    Raises:
        LockedError: At once, naming who holds it.
        EnvironmentFault: The folder cannot be written or does not support locks.
    """
    lock = _take_lock(folder)
    holder = folder / _HOLDER_FILE
    try:
        # Not inside the lock file: older filelock versions truncate it when they try to lock.
        me = Holder(
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            host=socket.gethostname(),
            since=name_now(),
        )
        write_durably(holder, json.dumps(dataclasses.asdict(me)).encode(), sync=False)
        faults.reach("lock.taken")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def refuse_driven(folder: Path) -> None:
    """Raise before any preparation if another driver holds `folder`, if that exists. This takes no
    lock: `hold_folder` does that.

    Raises:
        LockedError: Another driver holds it; the message names it.
        EnvironmentFault: The folder cannot be written or does not support locks.
    """
    if (folder / ".lock").exists():
        _take_lock(folder).release()


def _take_lock(folder: Path) -> FileLock:
    refuse_links(folder, ".lock")  # locking would open, and might truncate, the link's target
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with blaming_machine(folder / ".lock"):
            lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{folder} is in use by another `scaling run`: {_describe_holder(folder)}. "
            "Wait for it to end, or end it."
        ) from error
    except IsADirectoryError as error:
        raise IntegrityError(f"{folder / '.lock'} is a folder. Move it away.") from error
    except NotImplementedError as error:
        raise EnvironmentFault(f"{folder}: no file locks here ({error}).") from error
    return lock


def find_holder(folder: Path) -> Holder | None:
    """The driver of the sweep, as far as can be told without taking the lock; None if there is none
    or its process on this host is gone. On another host it counts as alive."""
    holder = _read_holder(folder)
    if holder is None:
        return None
    here = holder.host == socket.gethostname()
    return None if here and not is_alive(holder.pid, holder.started) else holder


def is_alive(pid: int, started: float) -> bool:
    """True if the process with this pid and start time [s since the epoch] is running here."""
    try:
        process = psutil.Process(pid)
        # Start times are rounded to clock ticks of 10 ms.
        return abs(process.create_time() - started) < 0.05 and process.status() != "zombie"
    except (psutil.Error, ValueError, OverflowError):
        return False


def _read_holder(folder: Path) -> Holder | None:
    try:
        document = read_document(folder, _HOLDER_FILE, limit=_HOLDER_LIMIT_BYTES)
        holder: Holder = build_value(Holder, document, "holder")
    except (OSError, IntegrityError):
        return None
    return holder


def _describe_holder(folder: Path) -> str:
    holder = _read_holder(folder)
    if holder is None:
        return "another process (not yet named)"
    return clean_line(f"process {holder.pid} on {holder.host[:100]}")

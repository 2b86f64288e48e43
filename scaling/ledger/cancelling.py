"""Asking a sweep or a run to end, by files alone: from another shell, or another node.

    cancelled                   holds the term that is asked to end; a later driver has a later one
    runs/<run_id>/cancelled     this run is not to be trained; `retry` takes it away again

The driver looks about once a second, an attempt between its steps. Both then do what they do on
Ctrl-C: a checkpoint is written, and the next call continues from it.
"""

from __future__ import annotations

import os

from scaling.errors import IntegrityError, LockedError
from scaling.files.durable import (
    blaming_machine,
    read_plain,
    refuse_links,
    sync_folder,
    write_durably,
)
from scaling.ledger.commit import Ledger

_NAME = "cancelled"
_LIMIT_BYTES = 100


def cancel_sweep(ledger: Ledger) -> bool:
    """Ask the driver of a sweep to end; where there is none, end what a dead one left running.

    Returns:
        Whether a driver is at work, and was asked.
    """
    try:
        with ledger.lock():
            ledger.advance_term()  # attempts of every older term stop at their next poll
            return False
    except LockedError:
        write_durably(ledger.folder / _NAME, f"{ledger.read_term()}\n".encode())
        return True


def is_sweep_cancelled(ledger: Ledger, term: int) -> bool:
    """Whether the driver of `term` was asked to end."""
    try:
        text = read_plain(ledger.folder, _NAME, limit=_LIMIT_BYTES)
    except (OSError, IntegrityError):
        return False
    return text == f"{term}\n".encode()


def cancel_run(ledger: Ledger, run_id: str) -> None:
    """Ask that a run is not trained, or no further, until `allow_run` is called.

    Raises:
        IntegrityError: Its folder is a link.
        EnvironmentFault: The folder cannot be written.
    """
    folder = ledger.folder / "runs" / run_id
    refuse_links(ledger.folder, f"runs/{run_id}")
    with blaming_machine(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / _NAME, b"")


def allow_run(ledger: Ledger, run_id: str) -> bool:
    """Take back `cancel_run`; returns whether there was anything to take back."""
    folder = ledger.folder / "runs" / run_id
    refuse_links(ledger.folder, f"runs/{run_id}")
    try:
        with blaming_machine(folder):
            (folder / _NAME).unlink()
            sync_folder(folder)
    except FileNotFoundError:
        return False
    return True


def is_cancelled(ledger: Ledger, run_id: str) -> bool:
    """Whether a run is not to be trained."""
    return os.path.lexists(ledger.folder / "runs" / run_id / _NAME)

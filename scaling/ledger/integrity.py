"""What must hold of a results folder, checked file by file; what can be derived is made anew.

    result      every result hashes clean, down to the weights it rests on, and is of its folder
    lost        no run that the index names is without a result
    index       the index is what the results give
    curve       steps of a training curve increase
    stray       no temporary file is left of a process that is gone
    process     no process of an older term is alive on this machine

The first, second and fourth are damage; the others are put right by the next run or by a repair.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from scaling.durable import TEMPORARY_SUFFIX, blaming_machine, read_plain
from scaling.errors import IntegrityError
from scaling.ledger.commit import Ledger, StoredResults
from scaling.ledger.documents import ATTEMPT_NAME, CURVE_SUFFIX
from scaling.ledger.signs import HEARTBEAT_FILE, Heartbeat
from scaling.ledger.sweep_table import INDEX_PATH, render_index, write_index
from scaling.sweep.plan import Cell

FindingKind = Literal["result", "lost", "index", "curve", "stray", "process"]

_INDEX_LIMIT_BYTES = 2**30
_CURVE_LIMIT_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not hold.

    Attributes:
        kind: Which rule it breaks.
        path: Relative to the results folder.
        what: What is wrong, one line.
        repaired: It was put right by this call.
    """

    kind: FindingKind
    path: str
    what: str
    repaired: bool = False

    @property
    def is_damage(self) -> bool:
        """Stored bytes are at fault, not something derived or left over."""
        return self.kind in ("result", "lost", "curve")


def verify(
    ledger: Ledger, cells: Sequence[Cell] = (), *, repair: bool = False
) -> tuple[Finding, ...]:
    """Check every rule above.

    Args:
        ledger: The folder to check.
        cells: The current plan's, for role and budget in the index.
        repair: Rebuild the index and remove stray files. Damaged results stay as they are:
            `Ledger.set_aside` takes one out so that it is trained again.

    Raises:
        LockedError: To repair, while a driver is at work.
        EnvironmentFault: To repair, on a full or read-only disk.
    """
    with ledger.lock() if repair else contextlib.nullcontext():
        stored = ledger.read_results(check="files")
        return (
            *(Finding(kind="result", path=d.path, what=d.what) for d in stored.damaged),
            *_check_curves(ledger, stored),
            *_check_index(ledger, stored, cells, repair),
            *_check_strays(ledger, repair),
            *_check_processes(ledger),
        )


def _check_curves(ledger: Ledger, stored: StoredResults) -> Iterator[Finding]:
    for run_id, result in stored.results.items():
        for name in result.files:
            if name.endswith(CURVE_SUFFIX):
                path = f"runs/{run_id}/attempts/{result.attempt_id}/{name}"
                what = _read_curve_fault(ledger.folder, path)
                if what is not None:
                    yield Finding(kind="curve", path=path, what=what)


def _read_curve_fault(root: Path, path: str) -> str | None:
    last = -1
    lines = read_plain(root, path, limit=_CURVE_LIMIT_BYTES).splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            step = json.loads(line).get("step")
        except (ValueError, AttributeError, RecursionError):
            return f"line {number} is not a JSON object"
        if not isinstance(step, int):
            continue  # a line that is not of the curve, such as an evaluation
        if step <= last:
            return f"line {number}: step {step} follows step {last}"
        last = step
    return None


def _check_index(
    ledger: Ledger, stored: StoredResults, cells: Sequence[Cell], repair: bool
) -> Iterator[Finding]:
    try:
        text = read_plain(ledger.folder, INDEX_PATH, limit=_INDEX_LIMIT_BYTES).decode("utf-8")
    except FileNotFoundError:
        text = ""
    except (IntegrityError, UnicodeDecodeError) as error:
        yield Finding(kind="index", path=INDEX_PATH, what=str(error))
        return
    named = [row[0] for row in csv.reader(io.StringIO(text)) if row][1:]
    damaged = {damage.run_id for damage in stored.damaged}
    for run_id in named:
        if run_id not in stored.results and run_id not in damaged:
            what = "the index names this run, but its result is gone; restore it from a copy"
            yield Finding(kind="lost", path=f"runs/{run_id[:40]}", what=what)
    wanted = render_index(stored, cells) if cells else None
    if wanted == text or (wanted is None and set(named) == set(stored.results)):
        return
    if repair:
        write_index(ledger, stored, cells)
    yield Finding(
        kind="index",
        path=INDEX_PATH,
        what=f"has {len(named)} rows, the results give {len(stored.results)} or other ones",
        repaired=repair,
    )


def _check_strays(ledger: Ledger, repair: bool) -> Iterator[Finding]:
    for folder, folders, files in os.walk(ledger.folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            if not name.endswith(TEMPORARY_SUFFIX) and not name.startswith(".probe-"):
                continue
            path = Path(folder, name)
            if repair:
                with blaming_machine(path):
                    path.unlink(missing_ok=True)
            relative = str(path.relative_to(ledger.folder))
            what = "left by a write that did not end"
            yield Finding(kind="stray", path=relative, what=what, repaired=repair)


def _check_processes(ledger: Ledger) -> Iterator[Finding]:
    for path, heartbeat in list_orphans(ledger):
        what = f"process {heartbeat.pid} of an older term is still alive"
        yield Finding(kind="process", path=path, what=what)


def list_orphans(ledger: Ledger) -> Iterator[tuple[str, Heartbeat]]:
    """Attempts of older terms whose process lives on this machine, and their sign of life."""
    term, host = ledger.read_term(), socket.gethostname()
    for path in sorted((ledger.folder / "runs").glob(f"*/attempts/*/{HEARTBEAT_FILE}")):
        attempt_id, run_id = path.parent.name, path.parent.parent.parent.name
        if not ATTEMPT_NAME.fullmatch(attempt_id) or int(attempt_id.split("-")[0]) >= term:
            continue
        heartbeat = ledger.read_heartbeat(run_id, attempt_id)
        if heartbeat is None or heartbeat.host != host or heartbeat.pid == os.getpid():
            continue
        if is_alive(heartbeat.pid, heartbeat.started):
            yield str(path.parent.relative_to(ledger.folder)), heartbeat


def is_alive(pid: int, started: float) -> bool:
    """The process that had this pid and start time [s since the epoch] is running here."""
    try:
        process = psutil.Process(pid)
        # Clock ticks round the start time to 10 ms.
        return abs(process.create_time() - started) < 0.05 and process.status() != "zombie"
    except psutil.Error:
        return False

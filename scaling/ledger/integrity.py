"""What must hold of a results folder, checked file by file; what can be derived is made anew.

    result      every result hashes clean, down to the weights it rests on (which a copy of the
                folder may leave out), and is of its folder
    duplicate   a run has one result: no other beside it, and none that differs from its winner's
    index       the index is what the results give
    lost        no run that the index names, or that an attempt once won, is without a result
    curve       steps of a training curve increase evenly, without gaps, to the last one
    forecast    every registered forecast hashes clean, and is named by date and digest
    probe       every value of a probe hashes clean, and is of its run's result
    stray       no temporary file is left of a process that is gone
    process     no process of an older term is alive on this machine

Results, duplicates, curves, forecasts and probes are damage, and so is what is lost unless its
attempt kept it. The rest is put right by the next run or by a repair. While a driver is at work the
index lags behind and temporary files are its own: both are looked at when it has ended.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaling.errors import IntegrityError
from scaling.files import faults
from scaling.files.durable import TEMPORARY_SUFFIX, blaming_machine, read_plain
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import CURVE_SUFFIX, RESULT_FILE
from scaling.ledger.forecasts import read_forecasts
from scaling.ledger.found import StoredResults
from scaling.ledger.locking import find_holder, is_alive
from scaling.ledger.probes import read_probes
from scaling.ledger.results import RunResult
from scaling.ledger.signs import Heartbeat
from scaling.ledger.sweep_table import INDEX_PATH, render_index, write_index
from scaling.sweep.cells import Cell

FindingKind = Literal[
    "result", "duplicate", "index", "lost", "curve", "forecast", "probe", "stray", "process"
]

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


def verify(
    ledger: Ledger, cells: Sequence[Cell] = (), *, repair: bool = False
) -> tuple[Finding, ...]:
    """Check every rule above.

    Args:
        ledger: The folder to check.
        cells: The current plan's, for role and budget in the index.
        repair: Put lost results back that their attempt kept, rebuild the index, remove stray
            files. Damaged results stay as they are: `Ledger.set_aside` takes one out so that it
            is trained again.

    Raises:
        LockedError: To repair, while a driver is at work.
        EnvironmentFault: To repair, on a full or read-only disk.
    """
    with ledger.lock() if repair else contextlib.nullcontext():
        lost = list(_check_kept(ledger, repair))
        stored = ledger.read_results(check="files")
        busy = not repair and find_holder(ledger.folder) is not None
        return (
            *(Finding(kind="result", path=d.path, what=d.what) for d in stored.damaged),
            *_check_duplicates(ledger, stored),
            *lost,
            *_check_curves(ledger, stored),
            *(
                Finding(kind="forecast", path=one.path, what=one.what)
                for one in read_forecasts(ledger.folder).damaged
            ),
            *_check_probes(ledger, stored, repair),
            *(() if busy else _check_index(ledger, stored, cells, repair, lost)),
            *(() if busy else _check_strays(ledger, repair)),
            *_check_processes(ledger),
        )


def _check_kept(ledger: Ledger, repair: bool) -> Iterator[Finding]:
    """Runs without a result, one of whose attempts won."""
    for run_id in ledger.list_runs():
        attempt_id = ledger.find_kept(run_id)
        if attempt_id is None:
            continue
        if repair:
            ledger.restore(run_id, attempt_id)
        what = f"attempt {attempt_id} won this run, but its result is gone"
        yield Finding(kind="lost", path=f"runs/{run_id}", what=what, repaired=repair)


def _check_duplicates(ledger: Ledger, stored: StoredResults) -> Iterator[Finding]:
    for run_id, digest in stored.digests.items():
        relative = f"runs/{run_id}"
        for entry in sorted(os.scandir(ledger.folder / relative), key=lambda entry: entry.name):
            if entry.name.startswith("result") and entry.name != RESULT_FILE:
                what = f"lies beside {RESULT_FILE}, which alone counts; move it away"
                yield Finding(kind="duplicate", path=f"{relative}/{entry.name[:100]}", what=what)
        for attempt_id in ledger.list_attempts(run_id):
            own = ledger.find_own_result(run_id, attempt_id)
            if own is not None and own != digest:
                path = f"{relative}/attempts/{attempt_id}/{RESULT_FILE}"
                what = "won this run too, and is another result than the one that counts"
                yield Finding(kind="duplicate", path=path, what=what)


def _check_curves(ledger: Ledger, stored: StoredResults) -> Iterator[Finding]:
    for run_id, result in stored.results.items():
        for name in result.files:
            if name.endswith(CURVE_SUFFIX):
                path = f"runs/{run_id}/attempts/{result.attempt_id}/{name}"
                what = _read_curve_fault(ledger.folder, path, result)
                if what is not None:
                    yield Finding(kind="curve", path=path, what=what)


def _read_curve_fault(root: Path, path: str, result: RunResult) -> str | None:
    last, shortest, longest = -1, math.inf, 0
    lines = read_plain(root, path, limit=_CURVE_LIMIT_BYTES).splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            step = json.loads(line).get("step")
        except (ValueError, AttributeError, RecursionError):
            return f"line {number} is not a JSON object"
        if not isinstance(step, int):
            continue  # not a point of the curve, e.g. an evaluation
        if step <= last:
            return f"line {number}: step {step} follows step {last}"
        if last >= 0:
            shortest = min(shortest, step - last)
        longest, last = max(longest, step - max(last, 0)), step
    if result.run.own is not None:
        return None  # its trainer writes rows whenever it likes
    # Rows are evenly spaced, so distances differ only by rounding.
    if longest > shortest + 1:
        return f"has a gap of {longest} steps where rows are {shortest:g} apart"
    if result.status == "finished" and last < result.run.recipe.steps - 1:
        return f"ends at step {last} of {result.run.recipe.steps}"
    return None


def _check_probes(ledger: Ledger, stored: StoredResults, repair: bool) -> Iterator[Finding]:
    """A repair takes a damaged value out of the way: the next run measures it again."""
    for one in read_probes(ledger, stored.results).damaged:
        path = ledger.folder / one.path
        repaired = repair and os.path.lexists(path)
        if repaired:
            with blaming_machine(path):
                os.rename(path, path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.aside"))
        yield Finding(kind="probe", path=one.path, what=one.what, repaired=repaired)


def _check_index(
    ledger: Ledger,
    stored: StoredResults,
    cells: Sequence[Cell],
    repair: bool,
    lost: Sequence[Finding],
) -> Iterator[Finding]:
    text: str | None = None
    named: list[str] = []
    try:
        text = read_plain(ledger.folder, INDEX_PATH, limit=_INDEX_LIMIT_BYTES).decode("utf-8")
        named = [row[0] for row in csv.reader(io.StringIO(text)) if row][1:]
        what = f"has {len(named)} rows, the results give {len(stored.results)} or other ones"
    except FileNotFoundError:
        text, what = "", "is missing"
    except (IntegrityError, UnicodeDecodeError, csv.Error) as error:
        text, what = None, f"cannot be read: {error}"
    known = {damage.run_id for damage in stored.damaged} | stored.results.keys()
    known |= {finding.path.removeprefix("runs/") for finding in lost}
    there = set(ledger.list_runs())
    for run_id in named:
        if run_id in known or (run_id in there and _was_put_aside(ledger, run_id)):
            continue
        gone = "the index names this run, but its result is gone; restore it from a copy"
        yield Finding(kind="lost", path=f"runs/{run_id[:40]}", what=gone)
    wanted = render_index(ledger, stored, cells) if cells else None
    same_runs = text is not None and set(named) == set(stored.results)
    if wanted == text or (wanted is None and same_runs):
        return
    if same_runs and wanted is not None and text is not None and _is_older(text, wanted):
        if not repair:
            return  # its values are right, and a fit of the folder does not read it
        what = "has fewer columns than this version writes"
    repaired = False
    if repair:
        with contextlib.suppress(IntegrityError):  # a link or a folder stands in its place
            write_index(ledger, stored, cells)
            repaired = True
    yield Finding(kind="index", path=INDEX_PATH, what=what, repaired=repaired)


def _is_older(text: str, wanted: str) -> bool:
    """Whether an index lacks columns that this version writes, and no cell of the others."""
    try:
        read, (all_names, *all_rows) = (
            list(csv.reader(io.StringIO(one))) for one in (text, wanted)
        )
    except csv.Error:
        return False
    names, rows = (read[0], read[1:]) if read else ([], [])
    if not names or not set(names) < set(all_names):
        return False
    where = [all_names.index(name) for name in names]
    return rows == [[row[at] for at in where] for row in all_rows]


def _was_put_aside(ledger: Ledger, run_id: str) -> bool:
    entries = os.scandir(ledger.folder / "runs" / run_id)
    return any(one.name.startswith("aside-") and one.name.endswith(".json") for one in entries)


def _check_strays(ledger: Ledger, repair: bool) -> Iterator[Finding]:
    for folder, folders, files in os.walk(ledger.folder, followlinks=False):
        folders.sort()
        # Below are files that the user's own trainer wrote.
        if Path(folder).parent.name == "attempts":
            folders.clear()
        for name in sorted(files):
            if not name.endswith(TEMPORARY_SUFFIX) and not name.startswith(".probe-"):
                continue
            path = Path(folder, name)
            if repair:
                with blaming_machine(path):
                    path.unlink(missing_ok=True)
                faults.reach("stray.removed")
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
    attempts = (
        (run, attempt) for run in ledger.list_runs() for attempt in ledger.list_attempts(run)
    )
    for run_id, attempt_id in attempts:
        if int(attempt_id.split("-")[0]) >= term:
            continue
        heartbeat = ledger.read_heartbeat(run_id, attempt_id)
        if heartbeat is None or heartbeat.host != host or heartbeat.pid == os.getpid():
            continue
        if is_alive(heartbeat.pid, heartbeat.started):
            yield f"runs/{run_id}/attempts/{attempt_id}", heartbeat

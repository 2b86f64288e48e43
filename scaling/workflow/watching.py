"""The present state of a sweep, read from its files alone, from any shell on any node.

    run        finished · diverged · failed · damaged · cancelled · running · missing
    running    an attempt of the present term that has not ended, on a process known to be alive,
               or, on another host, with a heartbeat of the last minutes

The driver is not involved, so this works while it is busy, and after it has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from scaling.errors import IntegrityError, UsageError
from scaling.files.durable import read_plain
from scaling.files.sealed import SCHEMA_VERSION
from scaling.ledger.cancelling import is_cancelled
from scaling.ledger.commit import Ledger
from scaling.ledger.locking import find_holder, is_alive
from scaling.ledger.signs import Failure, Heartbeat
from scaling.sweep.runspec import RunSpec
from scaling.units import format_count
from scaling.words.runs import name_run
from scaling.workflow.stored import StoredSweep, open_results
from scaling.workflow.timing import describe_time

STATES = ("finished", "diverged", "failed", "damaged", "cancelled", "running", "missing")

# No heartbeat is written during an evaluation; a host silent for longer counts as gone.
_SILENT_SECONDS = 300.0
_LOG_LIMIT_BYTES = 64 * 2**20
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """State of a run, its reason, and its attempt's heartbeat if it is running."""

    state: str
    why: str = ""
    attempt: str = ""
    heartbeat: Heartbeat | None = None


class SweepWatch:
    """Reads a sweep repeatedly; a result that was found intact is not read twice.

    Args:
        folder: The results folder.

    Raises:
        UsageError, IntegrityError: As for `workflow.open_results`.
    """

    def __init__(self, folder: Path) -> None:
        stored = open_results(folder)
        self._name, self._ledger, self._stored = stored.spec.name, stored.ledger, stored
        self._runs = {cell.run.run_id: cell.run for cell in stored.plan.cells}
        found = stored.results
        self._damaged, self._results = found.damaged, dict(found.results)
        self._settled = {
            run_id: _Seen(result.status, result.reason)
            for run_id, result in found.results.items()
            if run_id in self._runs
        }
        for damage in found.damaged:
            if damage.run_id in self._runs:
                self._settled[damage.run_id] = _Seen("damaged", damage.what)

    def describe(self) -> dict[str, Any]:
        """The JSON of `scaling status`."""
        now, term = time.time(), self._ledger.read_term()
        seen = {run_id: self._look_at(run_id, term, now) for run_id in self._runs}
        states = [one.state for one in seen.values()]
        rate, left = self._sum_flops(seen)
        holder = find_holder(self._ledger.folder)
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self._name,
            "counts": {state: states.count(state) for state in STATES if state in states},
            "driver": holder and {"pid": holder.pid, "host": holder.host, "since": holder.since},
            "tokens_per_second": sum(
                one.heartbeat.tokens_per_second or 0.0 for one in seen.values() if one.heartbeat
            ),
            "seconds_left": left / rate if rate and left else None,
            "runs": [
                {"run_id": run_id, "name": name_run(self._runs[run_id])}
                | {"state": one.state, "why": one.why}
                | {"live": self._describe_live(run_id, one, now)}
                for run_id, one in seen.items()
            ],
            "time": describe_time(self._stored, self._results),
            "damaged": [f"{damage.path}: {damage.what}" for damage in self._damaged],
        }

    def _look_at(self, run_id: str, term: int, now: float) -> _Seen:
        if run_id in self._settled:
            return self._settled[run_id]
        try:
            result = self._ledger.find_result(run_id, check="curves")
        except (IntegrityError, OSError) as error:
            return _Seen("damaged", str(error))
        if result is not None:
            self._results[run_id] = result
            self._settled[run_id] = _Seen(result.status, result.reason)
            return self._settled[run_id]
        if is_cancelled(self._ledger, run_id):
            return _Seen("cancelled")
        return self._look_at_attempts(run_id, term, now)

    def _look_at_attempts(self, run_id: str, term: int, now: float) -> _Seen:
        for attempt in self._ledger.list_attempts(run_id):  # newest first
            failure = self._ledger.read_failure(run_id, attempt)
            if failure is not None:
                return _Seen("failed", f"{failure.cause}: {failure.message}")
            heartbeat = self._ledger.read_heartbeat(run_id, attempt)
            of_term = attempt.partition("-")[0] == str(term)
            if heartbeat is not None and of_term and _is_running(heartbeat, now):
                return _Seen("running", "", attempt, heartbeat)
        return _Seen("missing")

    def _describe_live(self, run_id: str, one: _Seen, now: float) -> dict[str, Any] | None:
        beat = one.heartbeat
        if beat is None:
            return None
        rate, left = beat.tokens_per_second, self._runs[run_id].tokens - beat.tokens
        return {
            "attempt": one.attempt,
            "host": beat.host,
            "pid": beat.pid,
            "tokens": beat.tokens,
            "tokens_total": self._runs[run_id].tokens,
            "loss": beat.loss,
            "tokens_per_second": rate,
            "seconds_left": max(0.0, left / rate) if rate else None,
            "heartbeat_seconds_ago": None if beat.at is None else max(0.0, now - beat.at),
        }

    def _sum_flops(self, seen: dict[str, _Seen]) -> tuple[float, float]:
        """FLOP/s of the running attempts, and FLOPs of runs neither settled nor given up."""
        rate = left = 0.0
        for run_id, one in seen.items():
            if one.state not in ("running", "missing"):
                continue
            run = self._runs[run_id]
            left += run.flops
            if one.heartbeat is not None:
                per_token = run.flops / run.tokens
                rate += (one.heartbeat.tokens_per_second or 0.0) * per_token
                left -= one.heartbeat.tokens * per_token
        return rate, max(0.0, left)


def is_over(status: dict[str, Any]) -> bool:
    """Return True once a described sweep can no longer change by itself."""
    return status["driver"] is None and not status["counts"].get("running", 0)


def find_run(folder: Path, prefix: str) -> tuple[Ledger, RunSpec]:
    """The planned run whose run_id begins with `prefix`, and its ledger.

    Raises:
        UsageError: None does, or several do.
    """
    stored = open_results(folder)
    return stored.ledger, match_run(stored, prefix)


def match_run(stored: StoredSweep, prefix: str) -> RunSpec:
    """The planned run whose run_id begins with `prefix`.

    Raises:
        UsageError: None does, or several do.
    """
    runs = {cell.run.run_id: cell.run for cell in stored.plan.cells}
    matches = [run_id for run_id in runs if prefix and run_id.startswith(prefix)]
    if len(matches) == 1:
        return runs[matches[0]]
    what = f"{len(matches)} runs begin" if matches else "no planned run begins"
    near = get_close_matches(prefix, {run_id[: len(prefix)]: run_id for run_id in runs}, n=1)
    advice = f" Did you mean {near[0]}?" if near and not matches else ""
    raise UsageError(
        f'{stored.folder}: {what} with {prefix[:40]!r}.{advice} "scaling status {stored.folder} '
        '--json" lists them.'
    )


def find_newest_run(folder: Path) -> tuple[Ledger, RunSpec]:
    """The planned run whose attempt wrote most recently.

    Raises:
        UsageError: None has begun.
    """
    stored = open_results(folder)
    ledger, newest, found = stored.ledger, -1.0, None
    for run in {cell.run.run_id: cell.run for cell in stored.plan.cells}.values():
        for attempt in ledger.list_attempts(run.run_id)[:1]:
            # Renaming a heartbeat into place updates the folder's time.
            with contextlib.suppress(FileNotFoundError):
                written = ledger.attempt_folder(run.run_id, attempt).stat().st_mtime
                newest, found = max((newest, found), (written, run), key=lambda pair: pair[0])
    if found is None:
        raise UsageError(f"{folder}: no run has begun yet.")
    return ledger, found


def read_log(ledger: Ledger, run: RunSpec, *, follow: bool = False) -> Iterator[str]:
    """Read the newest attempt of a run: lines of its log and of its curve, and how it ended; with
    `follow`, continue with newer attempts until the run has a result or no driver is left.

    Yields:
        Lines as they were written; the caller cleans them for printing.
    """
    shown: str | None = None
    while True:
        attempts = ledger.list_attempts(run.run_id)
        if not attempts:
            yield f"run {run.run_id} has not begun"
        elif attempts[0] != shown:
            shown = attempts[0]
            yield from _read_attempt(ledger, run, shown, follow=follow)
        if not follow or _is_done(ledger, run):
            return
        while ledger.list_attempts(run.run_id)[:1] == attempts[:1]:
            if _is_done(ledger, run):
                return
            time.sleep(_POLL_SECONDS)


def _read_attempt(ledger: Ledger, run: RunSpec, attempt: str, *, follow: bool) -> Iterator[str]:
    yield f"attempt {attempt}"
    base = f"runs/{run.run_id}/attempts/{attempt}"
    folder = ledger.attempt_folder(run.run_id, attempt)
    files = dict.fromkeys(("log.txt", "metrics.jsonl"), 0)
    while True:
        beat = ledger.read_heartbeat(run.run_id, attempt)
        running = beat is not None and _is_running(beat, time.time())
        failure = ledger.read_failure(run.run_id, attempt)
        done = failure is not None or _is_done(ledger, run) or not running
        files |= {one.name: files.get(one.name, 0) for one in sorted(folder.glob("log-*.txt"))}
        for name in files:
            node = f"node {name[4:-4]}: " if name.startswith("log-") else ""
            text = _read_rest(ledger.folder, f"{base}/{name}", files[name], whole=done)
            files[name] += len(text)
            for line in text.decode("utf-8", errors="replace").splitlines():
                yield _describe_row(line) if name == "metrics.jsonl" else node + line
        if not follow or done:
            break
        time.sleep(_POLL_SECONDS)
    yield from _describe_end(ledger, run, attempt, failure, beat if running else None)


def _read_rest(root: Path, path: str, offset: int, *, whole: bool) -> bytes:
    """Read what was added to a file; the last line only once it is complete."""
    try:
        text = read_plain(root, path, limit=_LOG_LIMIT_BYTES)[offset:]
    except FileNotFoundError:
        return b""
    return text if whole else text[: text.rfind(b"\n") + 1]


def _describe_row(line: str) -> str:
    """A row of the curve in words; unchanged if it is not one."""
    try:
        row = json.loads(line)
        words = [f"{name} {value:.6g}" for name, value in row.items()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return line
    return "  ".join(words)


def _describe_end(
    ledger: Ledger, run: RunSpec, attempt: str, failure: Failure | None, beat: Heartbeat | None
) -> Iterator[str]:
    if failure is not None:
        yield f"failed ({failure.cause}) at {failure.failed_at}"
        yield from failure.traceback.splitlines()
        return
    result = ledger.find_result(run.run_id)
    if result is not None:
        loss = "" if result.loss is None else f", loss {result.loss:.4f} nats/token"
        yield f"{result.status} at {result.finished_at}{loss} {result.reason}".rstrip()
        if result.tokens_per_second is not None and result.mfu is not None:
            rate = f"{format_count(result.tokens_per_second)} tokens/s"
            clipped = "" if result.clipped is None else f", {result.clipped:.1%} of steps clipped"
            yield f"{rate}, MFU {result.mfu:.1%} of the measured matrix products{clipped}"
    elif is_cancelled(ledger, run.run_id):
        yield "cancelled"
    elif beat is not None:
        yield f"running on {beat.host}, process {beat.pid}: {beat.tokens} of {run.tokens} tokens"
    else:
        yield "ended without a result; the next call continues from its checkpoint"


def _is_done(ledger: Ledger, run: RunSpec) -> bool:
    if is_cancelled(ledger, run.run_id) or ledger.find_result(run.run_id) is not None:
        return True
    return find_holder(ledger.folder) is None


def _is_running(beat: Heartbeat, now: float) -> bool:
    if beat.host == socket.gethostname():
        return beat.pid == os.getpid() or is_alive(beat.pid, beat.started)
    return beat.at is not None and now - beat.at < _SILENT_SECONDS

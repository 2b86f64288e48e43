"""From the ledger to a tracker, each result once.

    results/<sweep>/trackers/<name>/sent      "run_id digest" of every result that arrived

A run is written down there after it arrived, so a crash between the two sends it again, and a
tracker replaces what it has of that run. A result that was set aside and trained again has another
digest, and is sent again.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import blaming_machine, read_plain, refuse_links
from scaling.ledger.commit import Ledger
from scaling.ledger.results import RunResult
from scaling.sweep.counting import COUNT_CONVENTIONS, count_params
from scaling.trackers.protocol import TrackedRun, Tracker, TrackerName

_CURVE = "metrics.jsonl"
_LIMIT_BYTES = 64 * 2**20
_SUMMARY = ("loss", "loss_se", "bits_per_byte", "train_loss", "seconds")


def find_folder(ledger: Ledger, name: TrackerName) -> Path:
    """The tracker's own folder beside the runs, made if there is none.

    Raises:
        IntegrityError: There is a link in its place.
        EnvironmentFault: It cannot be made.
    """
    folder = ledger.folder / "trackers" / name
    refuse_links(ledger.folder, f"trackers/{name}/sent")
    with blaming_machine(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def list_unsent(ledger: Ledger, name: TrackerName) -> list[str]:
    """run_ids of the intact results that have not arrived."""
    sent = _read_sent(ledger, name)
    digests = ledger.read_results().digests
    return [run_id for run_id, digest in digests.items() if sent.get(run_id) != digest]


def send_results(
    ledger: Ledger, name: TrackerName, tracker: Tracker, run_ids: Iterable[str]
) -> int:
    """Send the results of these runs that have not arrived; returns how many were sent.

    Raises:
        Exception: Whatever the tracker raises; what was sent before stays noted.
    """
    sent = _read_sent(ledger, name)
    path = find_folder(ledger, name) / "sent"
    count = 0
    for run_id in run_ids:
        try:
            found = ledger.find_sealed(run_id)
        except IntegrityError:  # the driver reports it
            continue
        if found is None or sent.get(run_id) == found[1]:
            continue
        tracker.send(_describe(ledger, *found))
        with blaming_machine(path), path.open("a", encoding="ascii") as file:
            file.write(f"{run_id} {found[1]}\n")
        sent[run_id] = found[1]
        count += 1
    return count


def _read_sent(ledger: Ledger, name: TrackerName) -> dict[str, str]:
    try:
        text = read_plain(ledger.folder, f"trackers/{name}/sent", limit=_LIMIT_BYTES)
    except FileNotFoundError:
        return {}
    lines = (line.split() for line in text.decode("ascii", errors="replace").splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}


def _describe(ledger: Ledger, result: RunResult, digest: str) -> TrackedRun:
    run = result.run
    counts = {name: count_params(run.shape, name) for name in COUNT_CONVENTIONS}
    config = {
        **{f"shape.{name}": value for name, value in dataclasses.asdict(run.shape).items()},
        **{f"recipe.{name}": value for name, value in dataclasses.asdict(run.recipe).items()},
        **{f"params.{name}": value for name, value in counts.items()},
        **{f"numerics.{name}": value for name, value in result.numerics.items()},
        "tokens": run.tokens,
        "flops": run.flops,
        "seed": run.seed,
        "data_digest": run.data_digest,
    }
    values = {f"final.{name}": getattr(result, name) for name in _SUMMARY}
    return TrackedRun(
        run_id=run.run_id,
        digest=digest,
        diverged=result.status == "diverged",
        config=config,
        curve=_read_curve(ledger, result),
        summary={name: float(value) for name, value in values.items() if value is not None},
    )


def _read_curve(ledger: Ledger, result: RunResult) -> tuple[tuple[int, dict[str, float]], ...]:
    if _CURVE not in result.files:
        return ()
    path = f"runs/{result.run.run_id}/attempts/{result.attempt_id}/{_CURVE}"
    curve = []
    for line in read_plain(ledger.folder, path, limit=_LIMIT_BYTES).splitlines():
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            values = {name: value for name, value in row.items() if _is_number(value)}
            curve.append((row["step"], {name: v for name, v in values.items() if name != "step"}))
    return tuple(curve)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]

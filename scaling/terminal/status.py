"""What `scaling status` prints: counts, what runs now, and every run that is not finished.

quickstart: 12 finished, 2 running, 15 missing
  driven by process 4242 on node-3 since 2026-01-01T00:00:00+00:00
  81.2k tokens/s · 1 min 40 s left
  48×3, 95.2k on 1.2M running: 45 % of 1.2M tokens, 40.1k tokens/s, 16 s left, heartbeat .4 s ago
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.units import clean_line, format_count, format_seconds

_MISSING_SHOWN = 20  # a sweep may lack thousands; --json lists them all


def format_status(status: Mapping[str, Any], *, verbose: bool = False) -> str:
    """The text at the head of this file, of a described status; `verbose`: with run_ids."""
    counts = ", ".join(f"{n} {state}" for state, n in status["counts"].items())
    lines = [f"{status['name']}: {counts}"]
    if (driver := status["driver"]) is not None:
        lines.append(
            f"  driven by process {driver['pid']} on {driver['host']} since {driver['since']}"
        )
    if status["tokens_per_second"]:
        left = status["seconds_left"]
        rate = f"{format_count(status['tokens_per_second'])} tokens/s"
        lines.append(f"  {rate}" + ("" if left is None else f" · {format_seconds(left)} left"))
    lines += _format_time(status["time"])
    missing = [run for run in status["runs"] if run["state"] == "missing"]
    listed = [run for run in status["runs"] if run["state"] not in ("finished", "missing")]
    names = {
        run["run_id"]: f"{run['run_id']} {run['name']}" if verbose else run["name"]
        for run in status["runs"]
    }
    lines += [f"  {names[run['run_id']]} {_describe_run(run)}" for run in listed]
    lines += [f"  {names[run['run_id']]} missing" for run in missing[:_MISSING_SHOWN]]
    if len(missing) > _MISSING_SHOWN:
        lines.append(f"  and {len(missing) - _MISSING_SHOWN} more missing")
    lines += [f"  damaged: {line}" for line in status["damaged"]]
    return "\n".join(clean_line(line) for line in lines)


def _format_time(time: Mapping[str, Any]) -> list[str]:
    if not time["compared_runs"]:
        return []
    line = (
        f"  {time['compared_runs']} runs took {format_seconds(time['measured_seconds'])} of a core"
    )
    if time["predicted_seconds"] is None:
        return [f"{line}; how long they should take, scaling plan measures"]
    return [
        f"{line}, {format_seconds(time['predicted_seconds'])} were predicted for this device "
        f"(ratio {time['ratio']:.2f})"
    ]


def _describe_run(run: Mapping[str, Any]) -> str:
    live = run["live"]
    if live is None:
        return f"{run['state']}: {run['why']}" if run["why"] else run["state"]
    share = live["tokens"] / live["tokens_total"]
    parts = [f"{share:.0%} of {format_count(live['tokens_total'])} tokens"]
    if live["tokens_per_second"] is not None:
        parts.append(f"{format_count(live['tokens_per_second'])} tokens/s")
        parts.append(f"{format_seconds(live['seconds_left'])} left")
    if live["heartbeat_seconds_ago"] is not None:
        parts.append(f"heartbeat {format_seconds(live['heartbeat_seconds_ago'])} ago")
    return f"running: {', '.join(parts)} ({live['host']}, process {live['pid']})"

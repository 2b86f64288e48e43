"""The contract's JSON of a plan, as plain mappings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.files.sealed import SCHEMA_VERSION
from scaling.ledger.results import RunResult
from scaling.sweep.cells import Cell
from scaling.sweep.cost import (
    PlanTime,
    estimate_disk,
    estimate_memory,
    estimate_time,
    sum_costs,
)
from scaling.sweep.counting import COUNT_CONVENTIONS, count_params
from scaling.sweep.families.registry import find_family
from scaling.sweep.makespan import Estimate
from scaling.sweep.target import DeviceMemory, Target, estimate_device_memory
from scaling.sweep.throughput import Throughput
from scaling.workflow.preparing import Sweep
from scaling.workflow.stored import read_results
from scaling.workflow.training import count_held_out

# Siblings are trained one after another, so these totals are their maximum, not their sum.
_AT_ONCE = {"peak_bytes", "slots", "device_memory_bytes", "sharded_memory_bytes"}


def describe_plan(
    sweep: Sweep,
    *,
    root: Path,
    slots: int,
    throughput: Throughput | None = None,
    target: Target | None = None,
    price_per_hour: float | None = None,
) -> dict[str, Any]:
    """The contract's JSON of `scaling plan`.

    Args:
        sweep: The planned sweep.
        root: Folder that contains or will contain results/.
        slots: Number of runs at the same time.
        throughput: Speed of this machine. None, without a target: time and price are unknown.
        target: Machines elsewhere, in place of a throughput.
        price_per_hour: Price per hour of the machine; of all devices of a target.
    """
    finished = read_results(root / "results" / sweep.spec.name)
    share = sweep.spec.schedule.trunk
    runs = [cell.run for cell in sweep.plan.cells]
    held_out = count_held_out(sweep.spec, sweep.corpus.facts)
    estimate = _choose_estimate(throughput, target, held_out=held_out)
    expected: dict[str, float] = {}
    time = None
    if estimate is not None:
        expected = {run.run_id: estimate(run, 0) for run in runs}
        time = estimate_time(
            (run for run in runs if run.run_id not in finished),
            estimate,
            slots=slots,
            share_trunks=share,
            price_per_hour=price_per_hour,
        )
    memory = {} if target is None else _estimate_memories(sweep, target)
    tokenizer = sweep.corpus.facts.tokenizer
    reference = find_family(sweep.spec.family).reference
    cells = [
        cell
        | {"sweep": sweep.spec.name, "tokenizer": tokenizer}
        | _describe_memory(memory.get(cell["run_id"]))
        for cell in _describe_cells(sweep.plan.cells, finished, expected)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "cells": cells,
        "totals": dataclasses.asdict(sum_costs(runs, share_trunks=share))
        | {
            "cached": sum(cell["cached"] and not cell["repeats"] for cell in cells),
            "seconds": sum(expected.values()) if expected else None,
            "disk_bytes": estimate_disk(runs, keep_weights=sweep.spec.keep_weights, slots=slots),
            "left": None if time is None else _describe_left(time, target),
        }
        | _describe_memory(max(memory.values(), key=lambda one: one.whole, default=None)),
        "target": None if target is None else dataclasses.asdict(target),
        "throughput": None
        if throughput is None
        else {
            "device": throughput.device,
            "measured_at": throughput.measured_at,
            "configurations": len(throughput.points),
        },
        "rejected": [dataclasses.asdict(cell) for cell in sweep.plan.rejected],
        "warnings": list(sweep.plan.warnings),
        "reference": (
            f"trained by {sweep.spec.trainer.python or (sweep.spec.trainer.command or ('',))[0]}"
            if sweep.spec.trainer is not None and not sweep.spec.asks_recipe
            else f"recipe reference point: width {reference.width}, depth {reference.depth}, "
            f"{reference.tokens:.3g} tokens, batch {reference.batch_tokens:g} tokens, "
            f"learning rate {reference.learning_rate:g}"
        ),
    }


def _choose_estimate(
    throughput: Throughput | None, target: Target | None, *, held_out: int
) -> Estimate | None:
    """Seconds of a run that starts from a step; None if no device is known."""
    if target is not None:
        return target.estimate_seconds
    if throughput is None:
        return None
    return lambda run, first_step: throughput.estimate_seconds(
        run, held_out=held_out, first_step=first_step
    )


def _estimate_memories(sweep: Sweep, target: Target) -> dict[str, DeviceMemory]:
    mixed = sweep.spec.resources.precision == "mixed"
    runs = {cell.run.run_id: cell.run for cell in sweep.plan.cells}
    return {
        run_id: estimate_device_memory(run, target, mixed=mixed) for run_id, run in runs.items()
    }


def _describe_memory(memory: DeviceMemory | None) -> dict[str, Any]:
    """Bytes on one device of a target; None without a target."""
    return {
        "device_memory_bytes": None if memory is None else memory.whole,
        "sharded_memory_bytes": None if memory is None else memory.sharded,
    }


def _describe_left(time: PlanTime, target: Target | None) -> dict[str, Any]:
    """The rest to train; for a target also its hours: those of training, and those until the last
    run ends."""
    used, held = None, None
    if target is not None:
        used = target.count_device_hours(time.flops)
        held = target.devices * time.makespan_seconds / 3600.0
    return dataclasses.asdict(time) | {"device_hours": used, "held_device_hours": held}


def join_plans(plans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the plans of one sweep file: cells name their sweep, totals cover all."""
    if len(plans) == 1:
        return plans[0]
    return plans[0] | {
        "cells": [cell for plan in plans for cell in plan["cells"]],
        "totals": _join_totals([plan["totals"] for plan in plans]),
        "rejected": [cell for plan in plans for cell in plan["rejected"]],
        "warnings": [line for plan in plans for line in plan["warnings"]],
    }


def _join_totals(totals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the totals of sweeps that run one after another: sums, or maxima for peak quantities;
    None if one of them is unknown."""
    joined: dict[str, Any] = {}
    for key in totals[0]:
        values = [one[key] for one in totals]
        if any(value is None for value in values):
            joined[key] = None
        elif isinstance(values[0], Mapping):
            joined[key] = _join_totals(values)
        else:
            joined[key] = max(values) if key in _AT_ONCE else sum(values)
    return joined


def _describe_cells(
    cells: Sequence[Cell], finished: Mapping[str, RunResult], expected: Mapping[str, float]
) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    seen: set[str] = set()
    for cell in cells:
        one = _describe_cell(cell, finished, expected)
        repeats = one["run_id"] in seen
        if repeats:
            one["why"] = "same run as the row above"
        described.append(one | {"repeats": repeats})
        seen.add(one["run_id"])
    return described


def _describe_cell(
    cell: Cell, finished: Mapping[str, RunResult], expected: Mapping[str, float]
) -> dict[str, Any]:
    run = cell.run
    predicted = expected.get(run.run_id)
    result = finished.get(run.run_id)
    return {
        "run_id": run.run_id,
        "role": cell.role,
        "budget": cell.budget,
        "shape": dataclasses.asdict(run.shape),
        "counts": {
            convention: count_params(run.shape, convention) for convention in COUNT_CONVENTIONS
        },
        "tokens": run.tokens,
        "flops": run.flops,
        "steps": run.recipe.steps,
        "batch_sequences": run.recipe.batch_sequences,
        "learning_rate": run.recipe.learning_rate,
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.seed,
        "memory_bytes": estimate_memory(run),
        # Times are given only if this device was measured.
        "seconds": predicted if result is None else result.seconds,
        "predicted_seconds": predicted,
        "cached": result is not None,
        "why": "to train" if result is None else f"{result.status} {result.finished_at}",
    }

"""What `plan` says, as plain mappings: the contract's JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.ledger.commit import Ledger
from scaling.ledger.results import RunResult
from scaling.sweep.cost import estimate_memory, sum_costs
from scaling.sweep.counting import COUNT_CONVENTIONS, count_params
from scaling.sweep.plan import Cell
from scaling.sweep.recipe import REFERENCE
from scaling.workflow import Sweep, holds_sweep


def describe_plan(sweep: Sweep, *, root: Path) -> dict[str, Any]:
    """The contract's JSON of `scaling plan`."""
    folder = root / "results" / sweep.spec.name
    stored = Ledger.open(folder).read_results(check="result") if holds_sweep(folder) else None
    finished = {} if stored is None else stored.results
    cells = _describe_cells(sweep.plan.cells, finished)
    share = sweep.spec.schedule.trunk
    totals = sum_costs((cell.run for cell in sweep.plan.cells), share_trunks=share)
    return {
        "schema_version": 1,
        "cells": cells,
        "totals": dataclasses.asdict(totals)
        | {"cached": sum(cell["cached"] and not cell["repeats"] for cell in cells)},
        "rejected": [dataclasses.asdict(cell) for cell in sweep.plan.rejected],
        "warnings": list(sweep.plan.warnings),
        "reference": (
            f"recipe reference point: width {REFERENCE.width}, depth {REFERENCE.depth}, "
            f"{REFERENCE.tokens:.3g} tokens, batch {REFERENCE.batch_tokens:g} tokens, "
            f"learning rate {REFERENCE.learning_rate:g}"
        ),
    }


def _describe_cells(
    cells: Sequence[Cell], finished: Mapping[str, RunResult]
) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    seen: set[str] = set()
    for cell in cells:
        one = _describe_cell(cell, finished)
        repeats = one["run_id"] in seen
        if repeats:
            one["why"] = "the row above again: two wishes come to one run"
        described.append(one | {"repeats": repeats})
        seen.add(one["run_id"])
    return described


def _describe_cell(cell: Cell, finished: Mapping[str, RunResult]) -> dict[str, Any]:
    run = cell.run
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
        "seed": run.seed,
        "memory_bytes": estimate_memory(run),
        # Time is promised only once a benchmark of this device has measured it.
        "seconds": None if result is None else result.seconds,
        "cached": result is not None,
        "why": "to train" if result is None else f"{result.status} {result.finished_at}",
    }

"""How long a sweep takes here: the throughput of the device, looked up or measured and kept.

A plan asks for the configurations that stand for its runs; what the cache lacks is measured in a
few seconds and added to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling.ledger.results import RunResult
from scaling.ledger.throughput_cache import (
    Device,
    find_device,
    join_points,
    read_throughput,
    write_throughput,
)
from scaling.sweep.plan import CorpusFacts, decide_seq_len
from scaling.sweep.runspec import RunSpec
from scaling.sweep.spec import SweepSpec
from scaling.sweep.throughput import Throughput, choose_pivots
from scaling.workflow import StoredSweep, Sweep


def obtain_throughput(sweep: Sweep, *, root: Path) -> tuple[Throughput, int]:
    """The throughput of this device for a sweep's runs, measured where it is not known.

    Returns:
        It, and how many configurations were measured now.

    Raises:
        EnvironmentFault: The cache cannot be written.
    """
    results = root / "results"
    device = _find_device(sweep.spec, sweep.corpus.facts)
    known = read_throughput(results, device)
    measured = {point.configuration for point in known.points} if known else set()
    missing = [
        run
        for run in choose_pivots(cell.run for cell in sweep.plan.cells)
        if (run.shape, run.recipe.batch_sequences) not in measured
    ]
    if known is not None and not missing:
        return known, 0
    from scaling.training.throughput import measure_throughput

    fresh = measure_throughput(missing, corpus=sweep.corpus.folder, device=device.sentence)
    joined = join_points(known, fresh)
    write_throughput(results, device, joined)
    return joined, len(missing)


def recall_throughput(spec: SweepSpec, facts: CorpusFacts, *, results: Path) -> Throughput | None:
    """What is known of this device for a sweep's runs; None if it was never measured."""
    return read_throughput(results, _find_device(spec, facts))


def predict_seconds(stored: StoredSweep, runs: Iterable[RunSpec]) -> dict[str, float]:
    """Seconds expected of each run of a results folder on this device, by run_id; empty where it
    was never measured."""
    facts = stored.ledger.corpus
    throughput = recall_throughput(stored.spec, facts, results=stored.ledger.folder.parent)
    if throughput is None:
        return {}
    held_out = facts.validation_tokens
    return {run.run_id: throughput.estimate_seconds(run, held_out=held_out) for run in runs}


def describe_time(stored: StoredSweep, results: Mapping[str, RunResult]) -> dict[str, Any]:
    """Seconds of the finished runs, measured and, where this device was measured, expected.

    A run that was resumed, or that left a trunk, states the time of a part: it is not compared.
    """
    runs = {cell.run.run_id: cell.run for cell in stored.plan.cells}
    whole = [
        results[run_id]
        for run_id in runs
        if run_id in results
        and results[run_id].status == "finished"
        and results[run_id].flops_spent == results[run_id].flops
    ]
    expected = predict_seconds(stored, (result.run for result in whole))
    measured = sum(result.seconds for result in whole)
    predicted = sum(expected.values()) if expected else None
    return {
        "compared_runs": len(whole),
        "measured_seconds": measured,
        "predicted_seconds": predicted,
        "ratio": measured / predicted if predicted else None,
    }


def count_slots(spec: SweepSpec, *, cpus: int | None = None) -> int:
    """Runs of a sweep at the same time, on `cpus` cores (None: those this process may use)."""
    return max(1, (cpus or len(os.sched_getaffinity(0))) // spec.resources.cpus_per_run)


def _find_device(spec: SweepSpec, facts: CorpusFacts) -> Device:
    return find_device(
        spec.model.family,
        vocab_size=facts.vocab_size,
        seq_len=decide_seq_len(spec, facts),
        head_size=spec.model.head_size,
    )

"""Duration of a sweep here: the throughput of the device, looked up or measured and kept.

A plan needs the configurations that represent its runs; missing ones are measured in a few seconds
and added to the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling.ledger.machine import join_points, read_throughput, write_throughput
from scaling.ledger.results import RunResult
from scaling.sweep.throughput import Throughput, choose_pivots
from scaling.units import Precision
from scaling.units.stages import stage
from scaling.workflow.devices import is_present, name_device
from scaling.workflow.preparing import Sweep
from scaling.workflow.stored import StoredSweep, read_results
from scaling.workflow.training import count_held_out, decide_execution, settle_precision


def obtain_throughput(
    sweep: Sweep, *, root: Path, precision: Precision
) -> tuple[Throughput | None, int]:
    """The throughput of this device for a sweep's runs, measured if it is not known.

    Args:
        sweep: The sweep.
        root: Folder that contains results/.
        precision: Precision of its runs.

    Returns:
        The throughput, None if the sweep's device is not here, and how many configurations were
        measured now.

    Raises:
        EnvironmentFault: The cache cannot be written.
    """
    if sweep.spec.trainer is not None or not is_present(sweep.spec.resources):
        return None, 0
    results = root / "results"
    device = name_device(sweep.spec, sweep.corpus.facts, precision=precision)
    known = read_throughput(results, device)
    measured = {point.configuration for point in known.points} if known else set()
    missing = [
        run
        for run in choose_pivots(cell.run for cell in sweep.plan.cells)
        if (run.shape, run.recipe.batch_sequences) not in measured
    ]
    if known is not None and not missing:
        return known, 0
    what = f"{len(missing)} configuration" + "s" * (len(missing) > 1)
    with stage(f"measuring the throughput of {what} on this device"):
        from scaling.training.throughput import measure_throughput

        fresh = measure_throughput(
            missing,
            corpus=sweep.corpus.folder,
            device=device.sentence,
            execution=decide_execution(sweep.spec, precision),
        )
    joined = join_points(known, fresh)
    write_throughput(results, device, joined)
    return joined, len(missing)


def settle_plan(sweep: Sweep, *, root: Path) -> Precision:
    """The precision in which the planned runs would be trained here."""
    known = read_results(root / "results" / sweep.spec.name)
    return settle_precision(
        sweep.spec,
        sweep.corpus.facts,
        [cell.run for cell in sweep.plan.cells],
        known.values(),
        folder=root / "results",
        measure=is_present(sweep.spec.resources),
    ).precision


def predict_seconds(stored: StoredSweep, results: Iterable[RunResult]) -> dict[str, float]:
    """Expected seconds on this device of runs that have a result, by run_id, in the precision of
    most of them; empty if that was never measured."""
    results = tuple(results)
    facts, folder = stored.ledger.corpus, stored.ledger.folder.parent
    if stored.spec.trainer is not None or not is_present(stored.spec.resources):
        return {}
    planned = [cell.run for cell in stored.plan.cells]
    chosen = settle_precision(
        stored.spec, facts, planned, results, folder=folder, measure=False
    ).precision
    throughput = read_throughput(folder, name_device(stored.spec, facts, precision=chosen))
    if throughput is None:
        return {}
    held_out = count_held_out(stored.spec, facts)
    return {
        run.run_id: throughput.estimate_seconds(run, held_out=held_out)
        for run in (result.run for result in results)
    }


def describe_time(stored: StoredSweep, results: Mapping[str, RunResult]) -> dict[str, Any]:
    """Seconds of the finished runs, measured and, if this device was measured, expected.

    A run that was resumed, or started from a trunk, states only part of its time: it is not
    compared.
    """
    runs = {cell.run.run_id: cell.run for cell in stored.plan.cells}
    whole = [
        results[run_id]
        for run_id in runs
        if run_id in results
        and results[run_id].status == "finished"
        and results[run_id].flops_spent == results[run_id].flops
    ]
    expected = predict_seconds(stored, whole)
    measured = sum(result.seconds for result in whole)
    predicted = sum(expected.values()) if expected else None
    return {
        "compared_runs": len(whole),
        "measured_seconds": measured,
        "predicted_seconds": predicted,
        "ratio": measured / predicted if predicted else None,
    }

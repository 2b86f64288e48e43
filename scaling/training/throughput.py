"""Throughput of this device: the trainer itself, stopped after a fraction of a second.

Each configuration runs through `train_run` (data, model, optimiser, schedule: everything in a
step), and its poll between steps whether to stop reads the clock; its evaluation is timed on the
first held-out windows. On the processor, steps and evaluation are timed by the processor time of
this process: a run has one thread there, so this is the time on a quiet machine, whatever
neighbours do meanwhile. On a GPU they are timed by the clock, over many steps without waits in
between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from scaling.data.shards import Shards, open_shards
from scaling.ledger.results import RunInterrupted
from scaling.ledger.signs import name_now
from scaling.sweep.execution import Execution
from scaling.sweep.runspec import RunSpec
from scaling.sweep.throughput import StepTime, Throughput
from scaling.training.device import choose_clock, claim_device
from scaling.training.engines import build_engine
from scaling.training.evaluate import evaluate_losses
from scaling.training.peak import find_peak
from scaling.training.trainer import train_run
from scaling.units import Precision

# The first steps allocate memory and choose kernels; timing then runs until both limits are met.
_WARM_STEPS = 8
_LEAST_STEPS = 24
_LEAST_SECONDS = 0.2
_HELD_OUT_TOKENS = 65_536  # eight evaluation batches


def measure_throughput(
    runs: Iterable[RunSpec],
    *,
    corpus: Path,
    device: str,
    execution: Execution,
) -> Throughput:
    """Time a few configurations.

    Args:
        runs: One run of each configuration; their data do not matter, but must be `corpus`.
        corpus: Folder of the prepared corpus.
        device: Name for this machine.
        execution: How the runs will be computed.
    """
    shards = open_shards(corpus)
    # Once per process, so that no run's start includes it.
    find_peak(claim_device(execution.gpus), execution.precision, cache=None)
    execution = dataclasses.replace(execution, keep_weights=False, halvings=0)
    points = tuple(
        # Weights to start from take no time.
        _time_configuration(dataclasses.replace(run, parent=None), corpus, shards, execution)
        for run in runs
    )
    return Throughput(device=device, measured_at=name_now(), points=points)


def _time_configuration(
    run: RunSpec, corpus: Path, shards: Shards, execution: Execution
) -> StepTime:
    device = claim_device(execution.gpus)
    clock, look = choose_clock(device), time.process_time if device == "cpu" else time.perf_counter
    begun = clock()
    polls: list[float] = []

    def should_stop() -> bool:
        # Synchronise only at the first and the last timed step.
        polls.append(clock() if len(polls) == _WARM_STEPS else look())
        enough = len(polls) >= _WARM_STEPS + _LEAST_STEPS
        enough = enough and polls[-1] - polls[_WARM_STEPS] >= _LEAST_SECONDS
        if enough:
            polls[-1] = clock()
        return enough

    with (
        tempfile.TemporaryDirectory(prefix="scaling-throughput-") as folder,
        contextlib.suppress(RunInterrupted),
    ):
        train_run(
            run,
            corpus=corpus,
            attempt=Path(folder),
            resume=(),
            execution=execution,
            should_stop=should_stop,
            report=lambda tokens, loss: None,
        )
    step_seconds = (polls[-1] - polls[_WARM_STEPS]) / (len(polls) - 1 - _WARM_STEPS)
    return StepTime(
        shape=run.shape,
        batch_sequences=run.recipe.batch_sequences,
        start_seconds=max(0.0, polls[0] - begun - step_seconds),
        step_seconds=step_seconds,
        evaluation_seconds=_time_evaluation(run, shards, execution.precision, device),
    )


def _time_evaluation(run: RunSpec, shards: Shards, precision: Precision, device: str) -> float:
    """Seconds per held-out token."""
    windows = max(1, min(_HELD_OUT_TOKENS, len(shards.validation) - 1) // run.shape.seq_len)
    tokens = windows * run.shape.seq_len
    part = dataclasses.replace(shards, validation=shards.validation[: tokens + 1])
    engine, clock = build_engine(run, precision=precision, device=device), choose_clock(device)
    begun = clock()
    evaluate_losses(engine.measure_losses, part, seq_len=run.shape.seq_len)
    return (clock() - begun) / tokens

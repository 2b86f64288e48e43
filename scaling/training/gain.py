"""What bfloat16 gains on this device: the real step of a run, timed in either precision.

Not of a matrix product alone: at small shapes what lies between the products decides, and on
processors without bfloat16 instructions `mixed` gains nothing at any.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaling.sweep.runspec import RunSpec
from scaling.training.device import choose_clock, claim_device
from scaling.training.engines import build_engine
from scaling.training.engines.protocol import Engine
from scaling.training.peak import find_peak
from scaling.units import IntArray

_ROUNDS, _FEW_ROUNDS = 5, 2
_LONG_STEP = 0.5  # seconds per step above which few rounds must suffice
_SECONDS = 0.08  # seconds per precision and round; at least one step


def measure_gains(
    runs: Sequence[RunSpec], *, gpus: float | None = None, cache: Path | None = None
) -> list[float]:
    """`measure_gain` of each; on a GPU also the peak of either precision, while it is idle.

    Args:
        runs, gpus: See `measure_gain`.
        cache: results/.cache, where peaks are kept.
    """
    device = claim_device(gpus)
    if device != "cpu":
        find_peak(device, "float32", cache=cache)
        find_peak(device, "mixed", cache=cache)
    return [measure_gain(run, gpus=gpus) for run in runs]


def measure_gain(run: RunSpec, *, gpus: float | None = None) -> float:
    """Seconds of a float32 step over seconds of a mixed one: above 1 where mixed is faster, and 0
    where the processor's compiled steps, which mixed needs, cannot be had.

    Precisions take turns, and the median of the rounds' ratios counts, so that a neighbour's work
    falls on both.

    Args:
        run: Gives the shape and the batch.
        gpus: See `train_run`.

    Raises:
        EnvironmentFault: There is no such device.
    """
    device = claim_device(gpus)
    engines = [build_engine(run, device=device)]
    if device == "cpu" and engines[0].name != "fused":
        return 0.0
    engines.append(build_engine(run, precision="mixed", device=device))
    size = (run.recipe.batch_sequences, run.shape.seq_len + 1)
    tokens = np.random.default_rng(0).integers(0, run.shape.vocab_size, size)
    for engine in engines:
        _take_steps(engine, tokens, 1)
    step = _time_step(engines[0], tokens, device, 1)
    count = max(1, round(_SECONDS / step))
    ratios = []
    for _ in range(_ROUNDS if step < _LONG_STEP else _FEW_ROUNDS):
        single, mixed = (_time_step(engine, tokens, device, count) for engine in engines)
        ratios.append(single / mixed)
    return statistics.median(ratios)


def _time_step(engine: Engine, tokens: IntArray, device: str, count: int) -> float:
    clock = choose_clock(device)
    begun = clock()
    _take_steps(engine, tokens, count)
    return max(1e-9, clock() - begun) / count


def _take_steps(engine: Engine, tokens: IntArray, count: int) -> None:
    for _ in range(count):
        engine.add_gradient(tokens, 1.0)
        engine.update(1e-6)

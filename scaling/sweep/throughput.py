"""Throughput: how long steps take on one device, measured at a few configurations.

    seconds(run) = start + steps · step + held-out tokens · evaluation
    step       = c0 + c1 · layers + c2 · layers · tokens + FLOPs / rate         c, rate ≥ 0
    evaluation = e0 + e1 · layers + FLOPs per token / rate

Operations cost time of their own (layers), memory traffic goes with tokens, the rest with FLOPs.
The coefficients are least squares of relative errors over what was measured: 19 configurations of
8 to 56 wide follow eight of them within 5 % (mean; at most 17 %). `training/throughput.py`
measures; nothing here knows a device.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.families.registry import AnyShape
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray

# Twice the coefficients of the step's model; each takes about half a second.
MAX_PIVOTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """What was measured of one configuration.

    Attributes:
        shape, batch_sequences: The configuration.
        start_seconds: From the call of the trainer to its first step [s].
        step_seconds: One optimiser step [s].
        evaluation_seconds: One held-out token [s].
    """

    shape: AnyShape
    batch_sequences: int
    start_seconds: float
    step_seconds: float
    evaluation_seconds: float

    @property
    def configuration(self) -> tuple[ModelShape, int]:
        """What it holds for."""
        return self.shape, self.batch_sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Measured configurations of one device.

    Attributes:
        device: What was measured, for people.
        measured_at: ISO 8601, UTC.
        points: At least one.
    """

    device: str
    measured_at: str
    points: tuple[StepTime, ...]

    def estimate_seconds(self, run: RunSpec, *, held_out: int, first_step: int = 0) -> float:
        """Seconds that a run takes, evaluation included.

        Args:
            held_out: Held-out tokens, all of which every run is evaluated on.
            first_step: Step from which it starts (a trunk's state); 0: from nothing.
        """
        step, token = self._fit()
        shape, batch = run.shape, run.recipe.batch_sequences
        return (
            statistics.median(point.start_seconds for point in self.points)
            + (run.recipe.steps - first_step) * float(_describe_step(shape, batch) @ step)
            + held_out * float(_describe_token(shape) @ token)
        )

    def _fit(self) -> tuple[FloatArray, FloatArray]:
        steps = [_describe_step(point.shape, point.batch_sequences) for point in self.points]
        tokens = [_describe_token(point.shape) for point in self.points]
        return (
            _fit_non_negative(np.stack(steps), [point.step_seconds for point in self.points]),
            _fit_non_negative(
                np.stack(tokens), [point.evaluation_seconds for point in self.points]
            ),
        )


def choose_pivots(runs: Iterable[RunSpec]) -> tuple[RunSpec, ...]:
    """Runs whose configurations stand for all: every one of them where they are few, else evenly
    from the cheapest step to the dearest."""
    distinct: dict[tuple[ModelShape, int], RunSpec] = {}
    for run in runs:
        distinct.setdefault((run.shape, run.recipe.batch_sequences), run)
    ordered = sorted(distinct.values(), key=lambda run: run.flops / run.recipe.steps)
    if len(ordered) <= MAX_PIVOTS:
        return tuple(ordered)
    places = (round(at * (len(ordered) - 1) / (MAX_PIVOTS - 1)) for at in range(MAX_PIVOTS))
    return tuple(ordered[place] for place in places)


def _describe_step(shape: ModelShape, batch_sequences: int) -> FloatArray:
    tokens = shape.seq_len * batch_sequences
    flops = tokens * count_flops_per_token(shape)
    return np.array([1.0, shape.n_layers, shape.n_layers * tokens, flops])


def _describe_token(shape: ModelShape) -> FloatArray:
    return np.array([1.0, shape.n_layers, count_flops_per_token(shape)])


def _fit_non_negative(features: FloatArray, seconds: Sequence[float]) -> FloatArray:
    """Least squares of relative errors; what would be negative is left out, the worst first."""
    design = features / np.array(seconds)[:, None]
    size = np.abs(design).max(axis=0)
    kept = list(range(size.size))
    while True:
        found = np.linalg.lstsq(design[:, kept] / size[kept], np.ones(len(design)), rcond=None)[0]
        if np.all(found >= 0):
            break
        del kept[int(np.argmin(found))]
    coefficients = np.zeros(size.size)
    coefficients[kept] = found / size[kept]
    return coefficients

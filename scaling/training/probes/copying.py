"""Gain of a model from having read exactly the same text `lag` tokens earlier.

    copy        s_1 … s_lag  s_1 … s_lag        loss on the second s
    control     r_1 … r_lag  s_1 … s_lag        loss on the same tokens after another text
    copy_gain   control − copy [nats/token]     0: nothing is carried over the lag

Segments are held-out text; r is the segment of another sample. Both losses are over the second
segment alone; the rest of a window is filled up. Source: induction and copying,
Olsson et al. 2022, arXiv:2209.11895.
"""

from __future__ import annotations

import numpy as np

from scaling.sweep.probes import Measured
from scaling.training.probing import TrainedRun, average, draw_curve
from scaling.units import FloatArray, IntArray


def measure_gain(trained: TrainedRun) -> Measured:
    """Loss that the repetition saves [nats/token], its standard error over segments, and both for
    lags from 8 tokens to half of the context."""
    lag, most = int(trained.options["lag"]), trained.run.shape.seq_len // 2
    lags = sorted({lag, *(2**power for power in range(3, most.bit_length()))})
    found = {one: _measure(trained, one) for one in lags}
    gains, errors = zip(*found.values(), strict=True)
    axes = "lag [tokens]", "loss saved [nats/token]"
    return *found[lag], draw_curve(axes, lags, gains, errors)


def _measure(trained: TrainedRun, lag: int) -> tuple[float, float]:
    count = int(trained.options["samples"])
    text = trained.shards.validation
    starts = np.linspace(0, len(text) - lag, count).astype(np.int64)
    segments = text[starts[:, None] + np.arange(lag)].astype(np.int64)
    copies, controls = make_windows(segments, trained.run.shape.seq_len + 1)
    both: list[FloatArray] = []
    for windows in (controls, copies):
        # Position lag - 1, the end of the first segment, predicts the second segment's first token.
        losses = trained.measure_losses(windows)[:, lag - 1 : 2 * lag - 1]
        both.append(losses.mean(axis=1))
        trained.look_up()
    gain = both[0] - both[1]
    return average(gain)


def make_windows(segments: IntArray, length: int) -> tuple[IntArray, IntArray]:
    """(copies, controls) of segments (n, lag), each of shape (n, length); the second segment is
    repeated if two do not fill a window."""
    second = np.tile(segments, (1, -(-length // segments.shape[1])))
    others = np.roll(segments, 1, axis=0)
    return second[:, :length], np.concatenate((others, second), axis=1)[:, :length]

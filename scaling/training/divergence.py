"""When a run counts as diverged, and not merely as short.

    not finite   at once
    exploded     from the start of the decay on: the last tenth of the steps has more than twice the
                 loss of the untrained model
    collapsed    at the end: the held-out loss is above the unigram entropy, and the training loss
                 rose on the way, between two tenths of the run, by more than 5 standard errors

A run that ends above the unigram entropy and never rose has learnt too little, which is no
failure: it is kept, so that the mean of a cell is that of all its seeds, and a check of the fit
names it. Half way, a window of training loss cannot tell the two apart. Sequences of 32 tokens
differ by .20 nats, so 25 of them are known to ±.04, while healthy runs of 250 steps pass the
unigram entropy about then: to know that to ±1 % at three standard errors takes 320 sequences, more
than the whole run has (DECISIONS.md, "Diverged or merely short").
"""

from __future__ import annotations

import numpy as np

from scaling.units import FloatArray

# Weights so far gone do not come back in a decay: 12 of 12 runs at 1000 times the rate ended above
# the unigram entropy. Merely above the untrained loss as the decay begins, 3 of 20 came back.
_FAR = 2.0
# A loss that stays where it is rises by so much between some two of its tenths in .1 % of runs of
# 250 steps or fewer; 60 healthy runs rose by 3.2 at most.
_SURE = 5.0
_WINDOWS = 10
# The spread of twenty steps is known to a sixth.
_LEAST_STEPS = 20


def has_exploded(losses: FloatArray) -> bool:
    """Whether the last tenth of the steps lies beyond twice the untrained loss.

    Args:
        losses: Training loss of every step so far [nats/token], shape (steps,), at least one.
    """
    recent = losses[-max(1, losses.size // _WINDOWS) :]
    return float(recent.mean()) > _FAR * float(losses[0])


def find_rise(losses: FloatArray) -> tuple[float, float] | None:
    """The losses (from, to) [nats/token] between which a run rose beyond its noise.

    Tenths of the run of at least twenty steps are compared with every earlier one and with the
    first step, which is the untrained model's. The standard error of a tenth comes from its own
    steps: each draws sequences of its own.

    Args:
        losses: Training loss of every step [nats/token], shape (steps,), finite.

    Returns:
        The pair that differs most in standard errors; None where none rose, or where the run has
        fewer than forty steps.
    """
    count = min(_WINDOWS, losses.size // _LEAST_STEPS)
    if count < 2:
        return None
    windows = np.array_split(losses.astype(np.float64), count)
    mean = np.array([losses[0], *(window.mean() for window in windows)])
    spread = [window.std(ddof=1) / np.sqrt(window.size) for window in windows]
    error = np.hypot.outer(*[np.array([0.0, *spread])] * 2)
    rise = np.triu(mean[None, :] - mean[:, None], k=1)  # from a row to a later column
    surest = np.unravel_index(np.argmax(rise / np.maximum(error, 1e-12)), rise.shape)
    if rise[surest] <= _SURE * error[surest]:
        return None
    return float(mean[surest[0]]), float(mean[surest[1]])

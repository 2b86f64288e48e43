"""When a run counts as diverged, and not merely as short.

    not finite   at once
    exploded     from the start of the decay on: some step had five times the loss of the untrained
                 model, and the last tenth of the steps is no better than that model
    collapsed    at the end: the held-out loss is above the unigram entropy, and on the way the
                 training loss rose between two tenths of the run by more than 4 standard errors,
                 or some step had five times the untrained loss

A run that ends above the unigram entropy and never rose has learnt too little, which is no
failure: it is kept, so that the mean of a cell is that of all its seeds, and a check of the fit
names it. Half way, a window of training loss cannot tell the two apart. Sequences of 32 tokens
differ by .20 nats, so 25 of them are known to ±.04, while healthy runs of 250 steps pass the
unigram entropy about then: to know that to ±1 % at three standard errors takes 320 sequences, more
than the whole run has (docs/decisions/0023-diverged-or-short.md).
"""

from __future__ import annotations

import numpy as np

from scaling.units import FloatArray

# A model that merely learns slowly never has a batch with five times the loss of guessing. Runs
# beyond it do not recover during the decay: 12 of 12 at 1000 times the learning rate ended above
# the unigram entropy. Of runs merely worse than the untrained model when the decay began, 1 of 14
# recovered.
_FAR = 5.0
_NO_BETTER = 0.99  # a dead model's loss is the untrained one's up to rounding and initialisation
# In standard errors. Between some two of its tenths a stationary loss rises by this much in 1 % of
# runs of 250 steps, a falling one more rarely. Of 12 runs at a hundred times the learning rate, the
# 11 that ended above the unigram entropy all rose by more.
_SURE = 4.0
_WINDOWS = 10
# Twenty steps give a standard deviation to a sixth.
_LEAST_STEPS = 20


def has_exploded(losses: FloatArray) -> bool:
    """Whether the loss went far beyond the untrained model's and has not come back below it.

    Args:
        losses: Training loss of every step so far [nats/token], shape (steps,), at least one.
    """
    recent = losses[-max(1, losses.size // _WINDOWS) :]
    untrained = float(losses[0])
    return bool(losses.max() > _FAR * untrained) and float(recent.mean()) >= _NO_BETTER * untrained


def find_rise(losses: FloatArray) -> tuple[float, float] | None:
    """The losses (from, to) [nats/token] between which a run rose beyond its noise.

    Tenths of the run of at least twenty steps are compared with every earlier one and with the
    first step, which is the untrained model's. The standard error of a tenth comes from its own
    steps: each draws sequences of its own.

    Args:
        losses: Training loss of every step [nats/token], shape (steps,), finite.

    Returns:
        The untrained loss and the highest where that is five times as much; else the pair of tenths
        that differs most in standard errors; None where none rose, or where the run has fewer than
        forty steps.
    """
    if losses.max() > _FAR * losses[0]:
        return float(losses[0]), float(losses.max())
    count = min(_WINDOWS, losses.size // _LEAST_STEPS)
    if count < 2:
        return None
    windows = np.array_split(losses.astype(np.float64), count)
    mean = np.array([losses[0], *(window.mean() for window in windows)])
    spread = [window.std(ddof=1) / np.sqrt(window.size) for window in windows]
    error = np.hypot.outer(*[np.array([0.0, *spread])] * 2)
    rise = np.triu(mean[None, :] - mean[:, None], k=1)  # from an earlier row to a later column
    surest = np.unravel_index(np.argmax(rise / np.maximum(error, 1e-12)), rise.shape)
    if rise[surest] <= _SURE * error[surest]:
        return None
    return float(mean[surest[0]]), float(mean[surest[1]])

"""Simulated arms: a loss law from scratch, and pre-training worth a known amount of text."""

import numpy as np

from scaling.fitting.transfer.arms import Arm

SIZES = (1e4, 3e4, 1e5, 3e5)
DATA = (3e4, 1e5, 3e5, 1e6, 3e6)
K, ALPHA, BETA = 40.0, 0.3, 0.6  # D_T from 2e5 to 7e6 tokens: on either side of what is measured
NOISE = 0.002


def scratch_loss(params, data):
    """Return the loss from scratch, which falls with both towards a floor."""
    return 0.9 + 8.0 / np.asarray(params) ** 0.3 + 60.0 / np.asarray(data) ** 0.4


def make_arm(name, worth, *, seeds=3, noise=NOISE, seed=0, data=DATA, sizes=SIZES, earlier=0.0):
    """Draw an arm with the loss of a run from scratch on `worth(N, D_F)` more tokens."""
    rng = np.random.default_rng(seed)
    rows = [(n, d, s) for n in sizes for d in data for s in range(seeds)]
    params, own, number = (np.array(column) for column in zip(*rows, strict=True))
    loss = scratch_loss(params, own + worth(params, own))
    return Arm(
        name=name,
        params=params,
        data=own,
        tokens=own,
        loss=loss * np.exp(noise * rng.standard_normal(loss.size)),
        learning_rate=np.full(loss.size, 0.01),
        seed=number.astype(np.int64),
        flops=6.0 * params * own,
        earlier_flops=earlier * params**2,
    )


def nothing(params, data):
    return 0.0 * params


def law(params, data):
    return K * data**ALPHA * params**BETA

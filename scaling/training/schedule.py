"""WSD: linear warmup, constant, decay as 1 − sqrt that ends at zero exactly after the last step.

    m(s) = (s + 1) / warmup                               s < warmup
    m(s) = 1                                              warmup ≤ s < steps − decay
    m(s) = 1 − sqrt((s − (steps − decay) + 1) / (decay + 1))   the last `decay` steps

The rate would reach zero at step `steps`, the first one not taken: the last step still learns.
Source: Hägele et al. 2024, arXiv:2405.18392, eq. 2 (1 − sqrt decay).
"""

from __future__ import annotations

import math

from scaling.sweep.runspec import Recipe


def learning_rate_multiplier(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate used at step `step` (0-based), in (0, 1]."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    into_decay = step - (recipe.steps - recipe.decay_steps)
    if into_decay < 0:
        return 1.0
    return 1.0 - math.sqrt((into_decay + 1) / (recipe.decay_steps + 1))

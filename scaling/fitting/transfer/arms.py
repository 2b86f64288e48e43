"""Arms: runs on the same text that start from different weights.

    run ──► variant (N, D_F, D, learning rate)   mean of ln L over seeds
        ──► cell (N, D_F)                        the variant with the lowest mean

A user would train the best of several epochs and rates, so the best counts. A minimum of noisy
means is biased low, equally in both arms if both try equally many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import TableError
from scaling.units import FloatArray, IntArray

# Fewer degrees of freedom leave σ̂ uncertain by more than a factor 2 (χ² at 90 %).
_MIN_FREEDOM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The finished runs of one start; each array has one entry per run.

    Attributes:
        name: The sweep's name.
        params: N.
        data: D_F, the tokens of training text that a run may see.
        tokens: D, the tokens trained on: D_F times the number of epochs.
        loss: Held-out loss [nats/token]; the lowest during training if that was measured.
        learning_rate: Peak rate at the base shape.
        seed: The seed.
        flops: C of the run itself [FLOPs].
        earlier_flops: C of its parent and of all earlier ancestors [FLOPs]; 0 from scratch.
        early_stop: Whether `loss` is the lowest during training.
    """

    name: str
    params: FloatArray
    data: FloatArray
    tokens: FloatArray
    loss: FloatArray
    learning_rate: FloatArray
    seed: IntArray
    flops: FloatArray
    earlier_flops: FloatArray
    early_stop: bool = False

    def __post_init__(self) -> None:
        """Raise TableError unless every value is finite and positive."""
        if not len(self.loss):
            raise TableError([f"{self.name}: no run is finished."])
        for name in ("params", "data", "tokens", "loss", "learning_rate", "flops"):
            values = getattr(self, name)
            if values.shape != self.loss.shape or not np.all(np.isfinite(values) & (values > 0)):
                raise TableError([f"{self.name}: {name} is not a positive number for every run."])


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Runs that differ only in the seed.

    Attributes:
        params, data, tokens, learning_rate, flops, earlier_flops: As in `Arm`.
        losses: Loss of each seed [nats/token].
    """

    params: float
    data: float
    tokens: float
    learning_rate: float
    flops: float
    earlier_flops: float
    losses: tuple[float, ...]

    @property
    def log_loss(self) -> float:
        """The mean of ln L over seeds."""
        return float(np.mean(np.log(self.losses)))

    @property
    def loss(self) -> float:
        """The geometric mean over seeds [nats/token]."""
        return math.exp(self.log_loss)


def list_variants(arm: Arm) -> list[Variant]:
    """List the variants of an arm, ascending in N, D_F, D and learning rate."""
    keys = np.stack((arm.params, arm.data, arm.tokens, arm.learning_rate), axis=1)
    distinct, member = np.unique(keys, axis=0, return_inverse=True)
    variants = []
    for at, (params, data, tokens, rate) in enumerate(distinct.tolist()):
        rows = np.flatnonzero(member.ravel() == at)
        variants.append(
            Variant(
                params=params,
                data=data,
                tokens=tokens,
                learning_rate=rate,
                flops=float(arm.flops[rows].mean()),
                earlier_flops=float(arm.earlier_flops[rows].mean()),
                losses=tuple(arm.loss[rows].tolist()),
            )
        )
    return variants


def choose_cells(variants: Sequence[Variant]) -> list[Variant]:
    """Choose the best variant of each (N, D_F) among those with the most seeds; ascending."""
    cells: dict[tuple[float, float], Variant] = {}
    for one in variants:
        held = cells.setdefault((one.params, one.data), one)
        if (-len(one.losses), one.log_loss) < (-len(held.losses), held.log_loss):
            cells[one.params, one.data] = one
    return [cells[key] for key in sorted(cells)]


def count_end_rates(variants: Sequence[Variant], cells: Sequence[Variant]) -> int:
    """Count the cells whose best learning rate is the lowest or highest tried."""
    rates: dict[tuple[float, float, float], set[float]] = {}
    for one in variants:
        rates.setdefault((one.params, one.data, one.tokens), set()).add(one.learning_rate)
    return sum(
        len(tried := rates[one.params, one.data, one.tokens]) > 1
        and one.learning_rate in (min(tried), max(tried))
        for one in cells
    )


def estimate_seed_noise(variants: Sequence[Variant]) -> tuple[float, int] | None:
    """Estimate the pooled standard deviation of ln L between seeds and its degrees of freedom; None
    with fewer than two degrees of freedom."""
    freedom = sum(len(one.losses) - 1 for one in variants)
    if freedom < _MIN_FREEDOM:
        return None
    squares = sum(float(np.sum((np.log(one.losses) - one.log_loss) ** 2)) for one in variants)
    return math.sqrt(squares / freedom), freedom

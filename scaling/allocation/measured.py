"""What was measured where a question asks: what is known beats what is forecast."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from scaling.fitting.fitted import Fit, MeasuredRun
from scaling.units.losses import NATS, LossScale

# Runs whose C differs by less share a budget (fitting/budgets.py); rounding to whole steps moves C
# by as much.
_SAME = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The best run at a question's budget, or at its (N, D).

    Attributes:
        params, tokens, flops: N, D and C of that run.
        loss: What it reached [nats/token]; the mean of the seeds of one (N, D).
        runs: How many runs there are at that budget, or (N, D).
    """

    params: float
    tokens: float
    flops: float
    loss: float
    runs: int

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """`measured` of an answer's JSON."""
        return asdict(self) | {"loss": scale.to(self.loss)}


def find_at_budget(fit: Fit, flops: float) -> Measurement | None:
    """The configuration with the lowest mean loss among the runs at a budget [FLOPs]."""
    return _choose([one for one in fit.measured if _is_same(one.flops, flops)])


def find_at_size(fit: Fit, *, params: float, tokens: float) -> Measurement | None:
    """The runs of one (N, D)."""
    return _choose(
        [
            one
            for one in fit.measured
            if _is_same(one.params, params) and _is_same(one.tokens, tokens)
        ]
    )


def _is_same(seen: float, asked: float) -> bool:
    return abs(seen / asked - 1.0) <= _SAME


def _choose(runs: list[MeasuredRun]) -> Measurement | None:
    if not runs:
        return None
    cells: dict[tuple[float, float], list[MeasuredRun]] = {}
    for one in runs:
        cells.setdefault((one.params, one.tokens), []).append(one)
    loss, first = min(
        (sum(one.loss for one in cell) / len(cell), at) for at, cell in enumerate(cells.values())
    )
    best = list(cells.values())[first][0]
    return Measurement(
        params=best.params, tokens=best.tokens, flops=best.flops, loss=loss, runs=len(runs)
    )

"""Answers as values: what a budget buys, what one (N, D) reaches, and their JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from scaling.fitting.result import Approach, Check, Interval, finite_or_none
from scaling.sweep.shapes import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildableShape:
    """The rung of the ladder nearest in loss to the optimum.

    Attributes:
        shape: Its integers.
        params: N under the fit's convention.
        tokens: C / flops_per_token(shape), exact.
        compute_penalty: Extra compute, as a fraction, that reaches the optimum's loss with this
            shape; None where the loss is not known.
    """

    shape: ModelShape
    params: float
    tokens: float
    compute_penalty: float | None

    def to_contract(self) -> dict[str, Any]:
        """The contract's JSON of a shape: its integers, and what they come to."""
        penalty = finite_or_none(self.compute_penalty)
        return {
            **dataclasses.asdict(self.shape),
            "params": self.params,
            "tokens": self.tokens,
            "compute_penalty": penalty,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The answer for one budget.

    Attributes:
        flops: The budget C.
        params, tokens: N*, D*.
        loss: Predicted loss at the optimum [nats/token]; None where the approach cannot say.
        level: Of the intervals.
        params_interval, tokens_interval, loss_interval: None without bootstrap (loss: or without
            a loss).
        flat_basin: Range of N that costs at most `compute_penalty` more compute for the same
            loss; None where it is not known.
        compute_penalty: What `flat_basin` was computed for (0.05).
        shape: None where the table names no ladder.
        extrapolation_decades: log10 of C above the largest fitted C, or of the smallest over C
            (0 inside).
        approach: Which approach answers.
        checks: Gates of this answer, the fit's failed ones among them.
    """

    flops: float
    params: float
    tokens: float
    loss: float | None
    level: float
    params_interval: Interval | None
    tokens_interval: Interval | None
    loss_interval: Interval | None
    flat_basin: tuple[float, float] | None
    compute_penalty: float
    shape: BuildableShape | None
    extrapolation_decades: float
    approach: Approach
    checks: tuple[Check, ...]

    @property
    def tokens_per_param(self) -> float:
        """D* / N* under the fit's convention."""
        return self.tokens / self.params

    def to_contract(self) -> dict[str, Any]:
        """One of `answers` in the JSON of `scaling allocate`."""
        basin = None
        if self.flat_basin is not None:
            ends = [finite_or_none(end) for end in self.flat_basin]
            basin = {"params": ends, "compute_penalty": self.compute_penalty}
        return {
            "flops": self.flops,
            "params": finite_or_none(self.params),
            "tokens": finite_or_none(self.tokens),
            "loss": finite_or_none(self.loss),
            "level": self.level,
            "intervals": {
                "params": _list_ends(self.params_interval),
                "tokens": _list_ends(self.tokens_interval),
                "loss": _list_ends(self.loss_interval),
            },
            "tokens_per_param": finite_or_none(self.tokens_per_param),
            "flat_basin": basin,
            "shape": None if self.shape is None else self.shape.to_contract(),
            "extrapolation_decades": self.extrapolation_decades,
            "approach": self.approach,
            "checks": [check.to_contract() for check in self.checks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The loss of one (N, D).

    Attributes:
        params, tokens: The question.
        loss: L(N, D) [nats/token].
        level: Of the intervals.
        mean_interval: Of the law's value; None without bootstrap.
        new_run_interval: Of one further run, seed noise included; None without bootstrap.
        checks: Gates of this answer, the fit's failed ones among them.
    """

    params: float
    tokens: float
    loss: float
    level: float
    mean_interval: Interval | None
    new_run_interval: Interval | None
    checks: tuple[Check, ...]

    def to_contract(self) -> dict[str, Any]:
        """One of `predictions` in the JSON of `scaling predict`."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "loss": finite_or_none(self.loss),
            "level": self.level,
            "intervals": {
                "mean": _list_ends(self.mean_interval),
                "new_run": _list_ends(self.new_run_interval),
            },
            "checks": [check.to_contract() for check in self.checks],
        }


def _list_ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else interval.to_contract()

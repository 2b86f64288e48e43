"""allocate(fit, flops): how many parameters and tokens to train for a budget, and how sure that is.

N*, D* = argmin L(N, D) subject to C = D · flops_per_token(N).
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.fitting.result import Approach, Check, Interval
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
        extrapolation_decades: log10 of C beyond the largest fitted C (0 inside).
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

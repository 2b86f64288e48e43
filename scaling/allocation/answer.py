"""Answers as values: what a budget buys, what one (N, D) reaches, and their JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from scaling.allocation.measured import Measurement
from scaling.allocation.question import Question
from scaling.files.contract import to_contract
from scaling.fitting.fitted import Approach, Check, Interval, finite_or_none
from scaling.sweep.shapes import ModelShape
from scaling.tables.metrics import MetricFacts
from scaling.units.losses import NATS, LossScale

# The flat basin: sizes whose loss 5 % more compute would make up for (decision 0076).
COMPUTE_PENALTY = 0.05


# A text interval is shown beside the interval of the held-out set if it is wider by this share:
# intervals from 1000 draws are themselves known to about as much.
_WIDER = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildableShape:
    """The rung of the ladder nearest in loss to the optimum.

    Attributes:
        shape: Its dimensions.
        params: N under the fit's convention.
        tokens: C / flops_per_token(shape), exact.
        compute_penalty: Extra compute, as a fraction, with which this shape reaches the lowest
            loss of any size, sizes between rungs included; None if the loss is not known.
    """

    shape: ModelShape
    params: float
    tokens: float
    compute_penalty: float | None

    def to_contract(self) -> dict[str, Any]:
        """The contract's JSON of a shape: its dimensions and the counts they imply."""
        penalty = finite_or_none(self.compute_penalty)
        return {
            **dataclasses.asdict(self.shape),
            "params": self.params,
            "tokens": self.tokens,
            "compute_penalty": penalty,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSize:
    """A model of another size that reaches the answer's loss.

    Attributes:
        factor: Its N over the answer's.
        params, tokens: N and D; D is None where no amount of data reaches the loss.
        extra_compute: What it costs beyond the answer, as a fraction; None if `tokens` is.
    """

    factor: float
    params: float
    tokens: float | None
    extra_compute: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoRow:
    """One choice between training cost and serving cost, all at the answer's loss.

    Attributes:
        params, tokens: N and D.
        flops: FLOPs to train it.
        serving_flops_per_token: FLOPs to process one token in service.
        lifetime_flops: FLOPs of training and of the inference tokens asked for; None without those.
        pays_from_tokens: Number of served tokens beyond which its total cost is below that of the
            model that is cheapest to train; 0 for that model.
        dollars: Price of training; None without a price.
        serving_bytes: Memory of its weights when served [bytes].
    """

    params: float
    tokens: float
    flops: float
    serving_flops_per_token: float
    lifetime_flops: float | None
    pays_from_tokens: float
    dollars: float | None
    serving_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOffs:
    """What the same loss costs at other sizes.

    Attributes:
        of: Which compute is compared: training alone, or training and service.
        extra_compute: What the answer costs beyond the cheapest model of its loss, as a fraction
            (0 if no condition holds N away from that model).
        cheapest_params: N of that cheapest model.
        other_sizes: Models of 1/4 to 4 times the answer's N.
        pareto: Models from the cheapest to train to ones that are cheaper to serve.
    """

    of: Literal["training", "lifetime"]
    extra_compute: float
    cheapest_params: float
    other_sizes: tuple[OtherSize, ...]
    pareto: tuple[ParetoRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the answer costs.

    Attributes:
        serving_flops_per_token: A forward pass: a third of training on a token (2N where C = 6ND).
        inference_flops, lifetime_flops: FLOPs of the inference tokens, alone and with training.
        device_hours, days, dollars: Cost of training; None without hardware, count or price.
        serving_bytes: Memory of the served weights, at the question's bytes per parameter.
    """

    serving_flops_per_token: float
    inference_flops: float | None
    lifetime_flops: float | None
    device_hours: float | None
    days: float | None
    dollars: float | None
    serving_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAnswer:
    """Answer of Chinchilla's law alone to the same question: N, D and loss [nats/token]."""

    params: float
    tokens: float
    loss: float | None

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return it as JSON, with numbers that are not finite as null."""
        found = {name: finite_or_none(one) for name, one in dataclasses.asdict(self).items()}
        return found | {"loss": scale.to_or_none(self.loss)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The answer to one question.

    Attributes:
        flops: Training compute C [FLOPs]: the budget, or what the other conditions require.
        params, tokens: N* in the fit's convention, and D*.
        loss: Predicted loss there [nats/token]; None if the approach cannot predict it.
        level: Probability with which each interval should hold the truth.
        params_interval, tokens_interval, loss_interval: Intervals of N*, D* and the loss on the
            held-out set of the runs; None without bootstrap.
        text_interval: Interval of the loss on other documents of the same text; None without
            bootstrap, or if the runs state no evaluation error.
        flat_basin: Range of N that costs at most `compute_penalty` more compute for the same
            loss; None where it is not known.
        compute_penalty: Extra compute of `flat_basin`, as a fraction.
        shape: The nearest model that can be built; None without a ladder.
        extrapolation_decades: log10 of C over the largest fitted C, or of the smallest over C; 0
            inside the data.
        approach: Approach that answers.
        checks: Checks of this answer, the fit's failed checks included.
        question: The question.
        binding: Conditions of the question that hold with equality, in the question's words.
        flops_interval: Interval of the compute for a target loss [FLOPs]; None where C is given.
        epochs: D over the unique tokens; None if their number is not given.
        spending: Cost of training and service; None where it was not computed.
        trade_offs: What the same loss costs at other sizes; None without a law that has a frontier.
        notes: Assumptions behind the answer, one sentence each.
        family: Name of the law that answers, `ensemble` for several; None if a line answers.
        chinchilla: Answer of Chinchilla's law alone; None if the fit has none or it cannot answer.
        measured: The best run at exactly this budget; None if there is none, or if the question
            sets more than a budget.
        metric: The metric that was fitted in place of the loss; None for the loss itself.
    """

    flops: float
    params: float
    tokens: float
    loss: float | None
    level: float
    params_interval: Interval | None = None
    tokens_interval: Interval | None = None
    loss_interval: Interval | None = None
    text_interval: Interval | None = None
    flat_basin: tuple[float, float] | None = None
    compute_penalty: float = COMPUTE_PENALTY
    shape: BuildableShape | None = None
    extrapolation_decades: float
    approach: Approach
    checks: tuple[Check, ...] = ()
    question: Question | None = None
    binding: tuple[str, ...] = ()
    flops_interval: Interval | None = None
    epochs: float | None = None
    spending: Spending | None = None
    trade_offs: TradeOffs | None = None
    notes: tuple[str, ...] = ()
    family: str | None = None
    chinchilla: PlainAnswer | None = None
    measured: Measurement | None = None
    metric: MetricFacts | None = None

    @property
    def wider_on_text(self) -> Interval | None:
        """`text_interval` if it is noticeably wider than that of the held-out set, else None."""
        return _keep_wider(self.text_interval, self.loss_interval)

    @property
    def tokens_per_param(self) -> float:
        """D* / N* under the fit's convention."""
        return self.tokens / self.params

    def reword(self, scale: LossScale) -> Allocation:
        """Return the answer with its sentences in a unit of losses; its numbers stay in nats."""
        return dataclasses.replace(
            self,
            checks=tuple(check.reword(scale) for check in self.checks),
            notes=tuple(scale.reword(note) for note in self.notes),
        )

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return an entry of `answers` in the JSON of `scaling allocate`."""
        basin = None
        if self.flat_basin is not None:
            ends = [finite_or_none(end) for end in self.flat_basin]
            basin = {"params": ends, "compute_penalty": self.compute_penalty}
        return {
            "flops": self.flops,
            "params": finite_or_none(self.params),
            "tokens": finite_or_none(self.tokens),
            "loss": scale.to_or_none(self.loss),
            "level": self.level,
            "intervals": {
                "params": to_contract(self.params_interval),
                "tokens": to_contract(self.tokens_interval),
                "loss": _list_losses(self.loss_interval, scale),
                "loss_on_text": _list_losses(self.text_interval, scale),
                "flops": to_contract(self.flops_interval),
            },
            "tokens_per_param": finite_or_none(self.tokens_per_param),
            "flat_basin": basin,
            "shape": to_contract(self.shape),
            "extrapolation_decades": self.extrapolation_decades,
            "approach": self.approach,
            "checks": [check.to_contract(scale) for check in self.checks],
            "question": None if self.question is None else self.question.to_contract(scale),
            "binding": list(self.binding),
            "epochs": finite_or_none(self.epochs),
            "spending": to_contract(self.spending),
            "trade_offs": to_contract(self.trade_offs),
            "notes": [scale.reword(note) for note in self.notes],
            "family": self.family,
            "chinchilla": None if self.chinchilla is None else self.chinchilla.to_contract(scale),
            "measured": None if self.measured is None else self.measured.to_contract(scale),
            **_describe_metric(self.metric, self.loss, value=self.loss_interval),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The predicted loss of one (N, D).

    Attributes:
        params, tokens: The N and D asked for.
        loss: L(N, D) [nats/token].
        level: Probability with which each interval should hold the truth.
        mean_interval: Interval of the law's value [nats/token]; None without bootstrap.
        new_run_interval: Interval of one further run, seed noise included; None without bootstrap.
        text_interval: The same on other documents of the same text; None without bootstrap, or if
            the runs state no evaluation error.
        checks: Checks of this answer, the fit's failed checks included.
        family: Name of the law that answers, `ensemble` for several.
        chinchilla: Prediction of Chinchilla's law; None if the fit has none.
        measured: Runs of exactly this (N, D); None if there are none.
        metric: The metric that was fitted in place of the loss; None for the loss itself.
    """

    params: float
    tokens: float
    loss: float
    level: float
    mean_interval: Interval | None
    new_run_interval: Interval | None
    text_interval: Interval | None
    checks: tuple[Check, ...]
    family: str
    chinchilla: PlainAnswer | None
    measured: Measurement | None
    metric: MetricFacts | None = None

    @property
    def wider_on_text(self) -> Interval | None:
        """`text_interval` if it is noticeably wider than that of the held-out set, else None."""
        return _keep_wider(self.text_interval, self.new_run_interval)

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return an entry of `predictions` in the JSON of `scaling predict`."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "loss": scale.to_or_none(self.loss),
            "level": self.level,
            "intervals": {
                "mean": _list_losses(self.mean_interval, scale),
                "new_run": _list_losses(self.new_run_interval, scale),
                "new_run_on_text": _list_losses(self.text_interval, scale),
            },
            "checks": [check.to_contract(scale) for check in self.checks],
            "family": self.family,
            "chinchilla": None if self.chinchilla is None else self.chinchilla.to_contract(scale),
            "measured": None if self.measured is None else self.measured.to_contract(scale),
            **_describe_metric(
                self.metric, self.loss, mean=self.mean_interval, new_run=self.new_run_interval
            ),
        }


def _keep_wider(text: Interval | None, own: Interval | None) -> Interval | None:
    if text is None or own is None:
        return None
    return text if text.high - text.low > (1.0 + _WIDER) * (own.high - own.low) else None


def _describe_metric(
    metric: MetricFacts | None, loss: float | None, **intervals: Interval | None
) -> dict[str, Any]:
    """Return `metric` of an answer: its description, and the law's L as its value and intervals."""
    if metric is None:
        return {}
    ends = {
        name: None if one is None else [*map(finite_or_none, metric.to_ends(one.low, one.high))]
        for name, one in intervals.items()
    }
    value = None if loss is None else finite_or_none(metric.to_metric(loss))
    return {"metric": metric.to_contract() | {"value": value, "intervals": ends}}


def _list_losses(interval: Interval | None, scale: LossScale) -> list[float | None] | None:
    return None if interval is None else interval.rewrite(scale).to_contract()

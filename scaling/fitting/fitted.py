"""Fit: a law with everything needed to judge it. Reading it needs neither scipy nor pandas.

A Fit is a value: `write_fit` and `read_fit` carry it through JSON unchanged, so that `allocate` on
a stored fit answers at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scaling.files.contract import to_contract
from scaling.files.sealed import SCHEMA_VERSION
from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import CountConvention
from scaling.tables.metrics import MetricFacts
from scaling.units.losses import NATS, LossScale

FitStatus = Literal["converged", "bound_hit", "not_identified", "not_converged", "failed"]
Approach = Literal["parametric", "projection", "isoflop", "akima", "cubic", "envelope"]
AskedApproach = Literal["all", "parametric", "isoflop", "envelope"]
Axis = Literal["C", "N", "D"]  # along which runs are held out
MAX_DECADES = 3.0  # no answer further from the data was ever tested (decision 0076)


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that should hold the truth with probability `level`."""

    low: float
    high: float
    level: float

    def rewrite(self, scale: LossScale) -> Interval:
        """Convert an interval of a loss to a unit."""
        return Interval(low=scale.to(self.low), high=scale.to(self.high), level=self.level)

    def to_contract(self) -> list[float | None]:
        """[low, high]."""
        return [finite_or_none(self.low), finite_or_none(self.high)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One validity check.

    Attributes:
        code: Machine-readable name, e.g. `interior_minimum`.
        passed: None if it could not be evaluated.
        seen: What was seen, with numbers.
        advice: What to do about it; empty if passed.
    """

    code: str
    passed: bool | None
    seen: str
    advice: str

    def reword(self, scale: LossScale) -> Check:
        """The check with its sentences in a unit of losses."""
        seen, advice = scale.reword(self.seen), scale.reword(self.advice)
        return dataclasses.replace(self, seen=seen, advice=advice)

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        seen, advice = scale.reword(self.seen), scale.reword(self.advice)
        return {"code": self.code, "passed": self.passed, "seen": seen, "advice": advice}


@dataclass(frozen=True, slots=True, kw_only=True)
class LawEstimate:
    """Coefficients of L(N, D) [nats/token] by name, and their intervals if there are any."""

    family: str
    params: Mapping[str, float]
    intervals: Mapping[str, Interval] | None

    def find_scale(self, scale: LossScale) -> LossScale:
        """The unit its parameters can be written in: that of losses, or nats if they do not scale
        with it (a perplexity; parameters that hold the loss inside a power)."""
        from scaling.laws.registry import find_law

        if scale.unit == "nats":
            return NATS
        follows = scale.factor is not None and find_law(self.family).loss_letters is not None
        return scale if follows else NATS

    def rewrite(self, scale: LossScale) -> LawEstimate:
        """The same law with its parameters in a unit of `find_scale`."""
        from scaling.laws.registry import find_law, rescale_name

        if scale.unit == "nats":
            return self
        letters = find_law(self.family).loss_letters or ()
        return LawEstimate(
            family=rescale_name(self.family, scale),
            params={
                name: scale.to(value) if name in letters else value
                for name, value in self.params.items()
            },
            intervals=self.intervals
            and {
                name: one.rewrite(scale) if name in letters else one
                for name, one in self.intervals.items()
            },
        )

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """The contract's JSON of a law; states the parameters' unit if losses are not in nats."""
        own = self.find_scale(scale)
        law = self.rewrite(own)
        return {
            "family": law.family,
            "params": to_contract(law.params),
            "intervals": to_contract(law.intervals),
            **({} if scale.unit == "nats" else {"loss_unit": own.unit}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The objective of the fit: sum over rows of the Huber loss of log residuals."""

    name: str
    delta: float
    sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """N*(C) = k_n · C^a and D*(C) = k_d · C^b, local over `range`.

    Attributes:
        approach: The approach it comes from.
        a, b, k_n, k_d: Log-log line over `range`.
        cost_model: The accounting of C.
        range: Budgets [FLOPs] over which the line holds.
        intervals: Intervals by name (a, b, k_n, k_d); None without bootstrap.
        optima: (C, N*, D*, loss) of each accepted IsoFLOP minimum or handover of the envelope;
            empty for parametric.
        rejected: One line for each IsoFLOP curve without a usable minimum, and for each change of
            the envelope that is not a handover.
        draws: Bootstrap draws of (a, log k_n, b, log k_d), one row each; empty if none.
    """

    approach: Approach
    a: float
    b: float
    k_n: float
    k_d: float
    cost_model: str
    range: tuple[float, float]
    intervals: Mapping[str, Interval] | None
    optima: tuple[tuple[float, float, float, float], ...]
    rejected: tuple[str, ...]
    draws: tuple[tuple[float, ...], ...]

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        keys = ("flops", "params", "tokens", "loss")
        numbers = {name: to_contract(getattr(self, name)) for name in ("a", "b", "k_n", "k_d")}
        return {
            **numbers,
            "cost_model": self.cost_model,
            "range": to_contract(self.range),
            "intervals": to_contract(self.intervals),
            "optima": [
                dict(zip(keys, (*place, scale.to(loss)), strict=True))
                for *place, loss in self.optima
            ],
            "rejected": list(self.rejected),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The ranges of the data behind a fit: (low, high) of N, D, C, loss and D/N; the last is None
    if a fit was stored without it."""

    params: tuple[float, float]
    tokens: tuple[float, float]
    flops: tuple[float, float]
    loss: tuple[float, float]
    ratio: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A finished run: N, D, C [FLOPs] and its loss [nats/token]."""

    params: float
    tokens: float
    flops: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backcast:
    """The largest budget's runs predicted by a fit of all smaller budgets.

    Attributes:
        trained_below: The fit used runs of budgets below this [FLOPs].
        run, predicted, measured: Names, predicted and measured losses [nats/token].
        mean_abs_relative_error, bias: Mean absolute and mean relative error over those runs.
    """

    trained_below: float
    run: tuple[str, ...]
    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    mean_abs_relative_error: float
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWindow:
    """One forecast of a table's larger runs by its smaller ones.

    Attributes:
        axis: Quantity by which runs were split.
        fitted_up_to: Its largest fitted value [FLOPs, parameters or tokens].
        fitted, held: Number of runs fitted, and forecast.
        decades: Mean decades of compute beyond the fitted ones (a decade of N or D counts twice).
        miss: Mean of ln measured - ln forecast.
        expected: Standard deviation of `miss` if the law were right.
    """

    axis: Axis
    fitted_up_to: float
    fitted: int
    held: int
    decades: float
    miss: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Model error beyond the data (fitting/discrepancy.py).

    Attributes:
        rates: Equally likely sizes of the error of ln L per root decade (its root mean square),
            ascending.
        below: Probability that the law over-predicts, so that the loss is below the law.
        windows: The forecasts behind the rates; empty if the rates are the prior's.
    """

    rates: tuple[float, ...]
    below: float
    windows: tuple[DriftWindow, ...]

    def to_contract(self) -> dict[str, Any]:
        """The JSON of model error: quantiles of its rate, and the forecasts behind them."""
        at = {name: int(q * len(self.rates)) for name, q in (("median", 0.5), ("q95", 0.95))}
        return {
            "loss_per_root_decade": {name: self.rates[place] for name, place in at.items()},
            "below": self.below,
            "windows": [dataclasses.asdict(window) for window in self.windows],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberScore:
    """A member of the ensemble: its weight, and how well it forecast held-out runs.

    Attributes:
        name: Name of the member.
        weight: Weight in the ensemble, 0 to 1.
        errors: Mean absolute error of ln L of each window's forecast; None if it could not be
            made.
        biases: Mean of ln forecast − ln measured of each window.
        budgets: Distinct C among each window's held-out runs.
        reach: C of each window's held-out runs over the largest fitted one.
        weight_interval: Interval of the weight over the draws; None without bootstrap.
        rows: Number of runs that it was fitted to; 0 if it takes no part.
        letters: Number of parameters that it fits.
        converged: Whether its optimum is proven; None if it takes no part.
    """

    name: str
    weight: float
    errors: tuple[float | None, ...]
    biases: tuple[float | None, ...]
    budgets: tuple[int, ...]
    reach: tuple[float, ...]
    weight_interval: Interval | None
    rows: int
    letters: int
    converged: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleEstimate:
    """The ensemble that answers if no law was asked for by name.

    Attributes:
        law: Its parameters: those of each member, and the weights.
        frontier: Frontier of the ensemble.
        members: Weights and scores.
        draws: Bootstrap draws, one row each, columns in the order of `law.params`.
        residual_sigma: Robust standard deviation of log residuals.
        converged: Whether the optimum of every member with a weight is proven.
    """

    law: LawEstimate
    frontier: Frontier
    members: tuple[MemberScore, ...]
    draws: tuple[tuple[float, ...], ...]
    residual_sigma: float
    converged: bool

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return `answer` in the JSON of `scaling fit`."""
        return {
            "family": self.law.family,
            "members": to_contract(self.members),
            "frontier": self.frontier.to_contract(scale),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A law, where it came from, and how far to trust it.

    Attributes:
        status: Verdict on the optimum that was found.
        reason: One sentence behind the status.
        n: Number of rows fitted.
        law: The law and its parameters; None if none could be fitted.
        level: Probability with which each interval should hold the truth.
        objective: The objective at its optimum; None if no law could be fitted.
        approaches: Frontier by approach; one that could not be found is missing.
        asked: Approach that answers (`parametric` if all were asked for).
        covered: Range of the fitted data.
        residual_sigma: Robust standard deviation of residuals of ln L.
        replicate_sigma: Standard deviation of ln L between seeds of one (N, D); None without
            replicates.
        draws: Bootstrap draws of the law's parameters with recipe error (fitting/bracket.py), one
            row each, columns in the order of `law.params`; empty without bootstrap.
        checks: Every check that was considered.
        backcast: The largest budget predicted by a fit of the others; None if there are too few.
        convention: How N was counted; None if a foreign table does not say.
        cost: FLOPs per token as a function of N.
        notes: What a reader should know about how the table was read and the fit was made (a loss
            per byte, C filled in, intervals that are not a bootstrap).
        table_digest: SHA-256 of the rows the fit rests on.
        source: Path of those rows, for messages.
        members: Members of a law that is an ensemble; empty for one law.
        answer: The ensemble that answers in place of the law; None if the law was asked for.
        measured: Finished runs, including those that no fit uses: if one has a question's budget or
            (N, D), the answer leads with it.
        discrepancy: Model error of what answers, beyond the data; None without bootstrap.
        evaluation_error: Standard deviation of ln loss that runs share because they were evaluated
            on the same documents; None if not stated.
        floor: Profile interval of E [nats/token]; None if the law fits no floor.
        metric: The metric that was fitted in place of the loss; None for the loss itself.
    """

    status: FitStatus
    reason: str
    n: int
    law: LawEstimate | None
    level: float
    objective: Objective | None
    approaches: Mapping[Approach, Frontier]
    asked: Approach
    covered: Coverage | None
    residual_sigma: float | None
    replicate_sigma: float | None
    draws: tuple[tuple[float, ...], ...]
    checks: tuple[Check, ...]
    backcast: Backcast | None
    convention: CountConvention | None
    cost: CostModel
    notes: tuple[str, ...]
    table_digest: str
    source: str
    members: tuple[MemberScore, ...] = ()
    answer: EnsembleEstimate | None = None
    measured: tuple[MeasuredRun, ...] = ()
    discrepancy: Discrepancy | None = None
    evaluation_error: float | None = None
    floor: Interval | None = None
    metric: MetricFacts | None = None

    @property
    def frontier(self) -> Frontier | None:
        """The frontier of the asked approach."""
        return self.approaches.get(self.asked)

    @property
    def answering(self) -> Fit:
        """This fit as it answers: with the ensemble in place of the law, if there is one."""
        if self.answer is None:
            return self
        one = self.answer
        return dataclasses.replace(
            self,
            law=one.law,
            draws=one.draws,
            approaches={**self.approaches, "parametric": one.frontier},
            residual_sigma=one.residual_sigma,
            members=one.members,
            answer=None,
        )

    def reword(self, scale: LossScale) -> Fit:
        """This fit with its sentences in a unit of losses; its numbers stay in nats."""
        return dataclasses.replace(
            self,
            reason=scale.reword(self.reason),
            checks=tuple(check.reword(scale) for check in self.checks),
            notes=tuple(scale.reword(note) for note in self.notes),
        )

    @property
    def plain(self) -> Fit:
        """This fit as its law alone answers, without intervals, since they would include the model
        error of the ensemble."""
        return dataclasses.replace(self, answer=None, draws=())

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return the JSON of `scaling fit`, without NaN or Infinity; losses in a unit."""
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "reason": scale.reword(self.reason),
            "n": self.n,
            "law": None if self.law is None else self.law.to_contract(scale),
            "level": self.level,
            "objective": to_contract(self.objective),
            "frontier": None if self.frontier is None else self.frontier.to_contract(scale),
            "approaches": {name: one.to_contract(scale) for name, one in self.approaches.items()},
            "checks": [check.to_contract(scale) for check in self.checks],
            "notes": [scale.reword(note) for note in self.notes],
            "discrepancy": to_contract(self.discrepancy),
            "evaluation_error": self.evaluation_error,
            "answer": None if self.answer is None else self.answer.to_contract(scale),
            **({"members": to_contract(self.members)} if self.members else {}),
            **({} if self.metric is None else {"metric": self.metric.to_contract()}),
        }


def finite_or_none(value: float | None) -> float | None:
    """The number, or None if JSON cannot express it."""
    return None if value is None or not math.isfinite(value) else float(value)


def pass_if(passed: bool | None, code: str, seen: str, advice: str) -> Check:
    """Make a Check; a check that passed gets no advice."""
    return Check(code=code, passed=passed, seen=seen, advice="" if passed else advice)

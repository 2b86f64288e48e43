"""allocate(fit, flops): how many parameters and tokens to train for a budget, and how sure that is.

    N*, D* = argmin L(N, D)   subject to   C = D · flops_per_token(N)

**Intervals** hold, drawn together:

- the coefficients' bootstrap draws, of clusters where rows share a trunk, a group or a run, moved
  by the recipe error that a bracket measured (fitting/bracket.py; without one none is in it);
- for one new run, noise with the larger of the residuals' and the replicates' standard deviation;
- for the loss, and for one new run, the error that all runs share because they were evaluated on
  the same documents (the interval of the mean is that of the loss on these very documents);
- model error, none inside the data, beyond it half a Gaussian of ln L of size τ·√decades, with τ
  drawn from its distribution (fitting/discrepancy.py: what forecasts within the table say of it),
  downwards with the probability that plain fits over-predict; and of ln N* a Gaussian four times as
  wide: over 18 backcasts of public tables the root mean square of what coefficients leave over of
  ln N* at one decade is .19, where τ is about .05.

Without bootstrap there are no draws and no interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.errors import NoFitError, QueryError
from scaling.fitting.result import (
    Approach,
    Check,
    Coverage,
    Fit,
    Frontier,
    Interval,
    finite_or_none,
)
from scaling.laws.family import Law
from scaling.laws.frontier import find_frontier
from scaling.laws.limited import Limited
from scaling.laws.registry import find_law
from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import count_flops_per_token, count_params
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray, format_flops

# The flat basin: what another 5 % of compute would make up for (SCIENCE.md, Intervals).
COMPUTE_PENALTY = 0.05
# Beyond this many decades nothing above was ever tested (SCIENCE.md).
MAX_DECADES = 3.0
# Model error of ln N* in units of that of ln L; see the module's docstring.
_PARAMS_DRIFT = 4.0
_BISECTIONS = 60
_ANY = 20220329  # a seed
# The basin is looked for up to a factor e^7 (1100) of N* either side.
_BASIN_REACH = 7.0
# Of an extrapolation, by whether anything asked lies above the data.
_ADVICE = {
    True: "Train a larger budget first, and see whether it is predicted.",
    False: "Train a smaller budget too: laws bend towards small models.",
}


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


def allocate(
    fit: Fit,
    flops: float,
    *,
    ladder: Sequence[ModelShape] | None = None,
    approach: Approach | None = None,
    unique_tokens: float | None = None,
    far: bool = False,
    anyway: bool = False,
) -> Allocation:
    """The compute-optimal model size and token count for a budget.

    Args:
        fit: A fit with a frontier of the approach.
        flops: Budget C [FLOPs].
        ladder: Shapes that can be built; needs a fit that knows how N is counted.
        approach: Which approach answers; None: the one the fit was asked for.
        unique_tokens: How many there are, for a law of repeated data; None: any number.
        far: Answer beyond three decades from the data.
        anyway: Answer from a fit that is not converged.

    Returns:
        The answer, the fit's failed checks among its checks. Under `isoflop` and `envelope` the
        loss is interpolated between the minima (handovers) in log C, and None beyond them; its
        basin is not known.

    Raises:
        QueryError: The budget is not positive and finite, or too far from the data.
        NoFitError: The fit has no such frontier, or did not converge.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 4 (there with C = 6ND).
    """
    if not (math.isfinite(flops) and flops > 0):
        raise QueryError(f"The budget is {flops} FLOPs; ask for a positive, finite number.")
    asked = approach if approach is not None else fit.asked
    frontier = _get_frontier(fit, asked, anyway)
    # Minima were found at fewer budgets than there are runs: lines reach from those.
    known = _get_coverage(fit).flops if asked == "parametric" else frontier.range
    distance = _check_distance({"C": (flops, known)}, far)
    decades = _count_decades(flops, known)
    law = _get_law(fit, unique_tokens) if asked == "parametric" else None
    if law is not None:
        answer = _answer_by_law(fit, law, flops, decades)
    else:
        answer = _answer_by_line(fit, frontier, flops, decades)
    shape = None
    if ladder and fit.convention is not None:
        shape = _find_shape(fit, law, flops, answer, ladder)
    return dataclasses.replace(
        answer, shape=shape, approach=asked, checks=(distance, *_list_failed(fit))
    )


def predict(
    fit: Fit,
    *,
    params: float,
    tokens: float,
    unique_tokens: float | None = None,
    far: bool = False,
    anyway: bool = False,
) -> Prediction:
    """The loss of a model of `params` parameters (the fit's convention) after `tokens` tokens, of
    which `unique_tokens` are new (None: all).

    Raises:
        QueryError: Params or tokens are not positive and finite, or too far from the data.
        NoFitError: The fit has no law, or did not converge.
    """
    for name, value in (("params", params), ("tokens", tokens)):
        if not (math.isfinite(value) and value > 0):
            raise QueryError(f"{name} is {value}; ask for a positive, finite number.")
    _verify_status(fit, anyway)
    family, coefficients = _get_law(fit, unique_tokens)
    covered = _get_coverage(fit)
    flops = tokens * float(fit.cost.flops_per_token(np.array([params]))[0])
    asked = {
        "C": (flops, covered.flops),
        "N": (params, covered.params),
        "D": (tokens, covered.tokens),
    }
    distance = _check_distance(asked, far)
    decades = max(_count_decades(*one) for one in asked.values())
    n_value, d_value = np.array(params), np.array(tokens)
    mean_interval = new_run_interval = None
    if fit.draws:
        draws = np.array(fit.draws)
        mean = family.loss(draws, n_value, d_value) * _draw_loss_drift(fit, len(draws), decades)
        expected = float(family.loss(coefficients, n_value, d_value))
        mean_interval = _find_interval(mean, fit.level, expected)
        noise = max(fit.residual_sigma or 0.0, fit.replicate_sigma or 0.0)
        new_run = mean * np.exp(noise * _draw_gaussians(len(draws), stream=1))
        new_run *= _draw_evaluation(fit, len(draws))
        new_run_interval = _find_interval(new_run, fit.level, expected)
    return Prediction(
        params=params,
        tokens=tokens,
        loss=float(family.loss(coefficients, n_value, d_value)),
        level=fit.level,
        mean_interval=mean_interval,
        new_run_interval=new_run_interval,
        checks=(distance, *_list_failed(fit)),
    )


# --- the two approaches ----------------------------------------------------------------------


def _answer_by_law(
    fit: Fit, law: tuple[Law, FloatArray], flops: float, decades: float
) -> Allocation:
    """N*, D* and loss of the law, minimised along the fit's cost model."""
    family, coefficients = law
    budget = np.array([flops])
    params, tokens = find_frontier(family, coefficients, flops=budget, cost=fit.cost)
    loss = float(family.loss(coefficients, params, tokens)[0])
    intervals: tuple[Interval | None, Interval | None, Interval | None] = (None, None, None)
    if fit.draws:
        draws = np.array(fit.draws)
        at, seen = find_frontier(family, draws, flops=budget, cost=fit.cost)
        drift = _draw_params_drift(fit, len(draws), decades)
        lowest = family.loss(draws, at, seen) * _draw_loss_drift(fit, len(draws), decades)
        lowest *= _draw_evaluation(fit, len(draws))
        drifted = at * drift
        spent = flops / fit.cost.flops_per_token(drifted)
        values = (drifted, spent, lowest)
        intervals = (
            _find_interval(values[0], fit.level, float(params[0])),
            _find_interval(values[1], fit.level, float(tokens[0])),
            _find_interval(values[2], fit.level, loss),
        )
    return Allocation(
        flops=flops,
        params=float(params[0]),
        tokens=float(tokens[0]),
        loss=loss,
        level=fit.level,
        params_interval=intervals[0],
        tokens_interval=intervals[1],
        loss_interval=intervals[2],
        flat_basin=_find_basin(family, coefficients, fit.cost, flops, float(params[0]), loss),
        compute_penalty=COMPUTE_PENALTY,
        shape=None,
        extrapolation_decades=decades,
        approach="parametric",
        checks=(),
    )


def _answer_by_line(fit: Fit, frontier: Frontier, flops: float, decades: float) -> Allocation:
    """N* and D* on the lines of Approach 1 or 2, loss between the points they go through."""
    log_c = math.log(flops)
    params = frontier.k_n * flops**frontier.a
    tokens = frontier.k_d * flops**frontier.b
    params_interval = tokens_interval = None
    if frontier.draws:
        a, log_k_n, b, log_k_d = np.array(frontier.draws).T
        drift = _draw_params_drift(fit, len(a), decades)
        params_interval = _find_interval(np.exp(log_k_n + a * log_c) * drift, fit.level, params)
        tokens_interval = _find_interval(np.exp(log_k_d + b * log_c) / drift, fit.level, tokens)
    loss = None
    if frontier.optima:
        budgets, losses = (np.array(frontier.optima)[:, at] for at in (0, 3))
        order = np.argsort(budgets)
        within = budgets.min() * (1 - 1e-9) <= flops <= budgets.max() * (1 + 1e-9)
        if within:
            logs = np.interp(log_c, np.log(budgets[order]), np.log(losses[order]))
            loss = float(np.exp(logs))
    return Allocation(
        flops=flops,
        params=params,
        tokens=tokens,
        loss=loss,
        level=fit.level,
        params_interval=params_interval,
        tokens_interval=tokens_interval,
        loss_interval=None,
        flat_basin=None,
        compute_penalty=COMPUTE_PENALTY,
        shape=None,
        extrapolation_decades=decades,
        approach="isoflop",
        checks=(),
    )


def _find_basin(
    family: Law,
    coefficients: FloatArray,
    cost: CostModel,
    flops: float,
    params: float,
    loss: float,
) -> tuple[float, float]:
    """N below and above N* at which `loss` costs COMPUTE_PENALTY more, by bisection in ln N."""

    def is_cheap(log_params: FloatArray) -> FloatArray:
        size = np.exp(log_params)
        needed = family.tokens_for_loss(coefficients, size, np.asarray(loss))
        spent = needed * cost.flops_per_token(size)
        return np.asarray(spent <= flops * (1.0 + COMPUTE_PENALTY))

    inner = np.full(2, math.log(params))
    outer = inner + np.array([-_BASIN_REACH, _BASIN_REACH])
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2.0
        cheap = is_cheap(middle)
        inner, outer = np.where(cheap, middle, inner), np.where(cheap, outer, middle)
    return float(np.exp(inner[0])), float(np.exp(inner[1]))


def _find_shape(
    fit: Fit,
    law: tuple[Law, FloatArray] | None,
    flops: float,
    answer: Allocation,
    ladder: Sequence[ModelShape],
) -> BuildableShape:
    """The rung with the lowest loss at this budget; nearest in ln N where there is no law."""
    assert fit.convention is not None
    params = np.array([count_params(rung, fit.convention) for rung in ladder], dtype=np.float64)
    per_token = np.array([count_flops_per_token(rung) for rung in ladder], dtype=np.float64)
    tokens = flops / per_token
    penalty = None
    if law is None:
        best = int(np.argmin(np.abs(np.log(params / answer.params))))
    else:
        family, coefficients = law
        best = int(np.argmin(family.loss(coefficients, params, tokens)))
        needed = family.tokens_for_loss(
            coefficients, params[best : best + 1], np.array(answer.loss)
        )
        penalty = finite_or_none(float(needed[0] * per_token[best] / flops - 1.0))
    return BuildableShape(
        shape=ladder[best],
        params=float(params[best]),
        tokens=float(tokens[best]),
        compute_penalty=penalty,
    )


# --- what a fit may be asked -----------------------------------------------------------------


def _verify_status(fit: Fit, anyway: bool) -> None:
    if fit.status == "not_converged" and not anyway:
        raise NoFitError(
            f'{fit.source}: the fit is not converged. {fit.reason} Insist with "--anyway".'
        )
    if fit.status == "failed":
        raise NoFitError(f"{fit.source}: there is no usable fit. {fit.reason}")


def _get_frontier(fit: Fit, approach: Approach, anyway: bool) -> Frontier:
    if approach == "parametric" or approach not in fit.approaches:
        _verify_status(fit, anyway)
    if approach not in fit.approaches:
        there = ", ".join(fit.approaches) or "none"
        raise NoFitError(
            f"{fit.source}: approach {approach} gave no frontier; there is {there}. "
            f"{_explain_no_frontier(fit, approach)}"
        )
    return fit.approaches[approach]


def _explain_no_frontier(fit: Fit, approach: Approach) -> str:
    if approach == "parametric" and fit.law is not None:
        if not find_law(fit.law.family).has_frontier:
            return f"The law {fit.law.family} does not say how to split a budget."
        return "A term of its law has vanished; the runs do not say how to split a budget."
    return "See the checks of the fit."


def _get_law(fit: Fit, unique_tokens: float | None) -> tuple[Law, FloatArray]:
    if fit.law is None:
        raise NoFitError(
            f"{fit.source}: no law was fitted, so no loss can be predicted. Ask for approach "
            f"parametric or all."
        )
    law = find_law(fit.law.family)
    coefficients = np.array([fit.law.params[name] for name in law.param_names])
    if unique_tokens is None:
        return law, coefficients
    if not (math.isfinite(unique_tokens) and unique_tokens > 0):
        raise QueryError(f"unique_tokens is {unique_tokens}; ask for a positive, finite number.")
    if not getattr(law, "needs_repeats", False):
        raise QueryError(
            f"The law {law.name} does not know what a repeated token is worth. Fit one that does: "
            "--family data_constrained, on a table with a column U."
        )
    return Limited(law, unique_tokens), coefficients


def _get_coverage(fit: Fit) -> Coverage:
    if fit.covered is None:
        raise NoFitError(f"{fit.source}: the fit rests on no runs.")
    return fit.covered


def _count_decades(value: float, covered: tuple[float, float]) -> float:
    """Decades beyond either end of the covered range; 0 inside."""
    return max(0.0, math.log10(value / covered[1]), math.log10(covered[0] / value))


def _check_distance(asked: dict[str, tuple[float, tuple[float, float]]], far: bool) -> Check:
    """How far beyond the data the question lies, measured by the span of the data.

    Raises:
        QueryError: Beyond MAX_DECADES without `far`.
    """
    seen, worst = [], 0.0
    for name, (value, covered) in asked.items():
        decades = _count_decades(value, covered)
        span = math.log10(covered[1] / covered[0])
        side = "above" if value > covered[1] else "below"
        what = f"{name} = {format_flops(value)}"
        ends = f"{format_flops(covered[0])} … {format_flops(covered[1])}"
        if decades > MAX_DECADES and not far:
            raise QueryError(
                f"{what} lies {decades:.1f} decades {side} the data ({ends}); beyond "
                f"{MAX_DECADES:g} no answer was ever tested. Add runs, or insist with --far."
            )
        # Rounded ends of a range are not an extrapolation.
        if decades > 0.005:
            share = decades / span if span > 0 else math.inf
            worst = max(worst, share)
            colour = "red: more than the span" if share > 1.0 else "amber: more than half the span"
            mark = f" ({colour})" if share > 0.5 else ""
            seen.append(
                f"{what} lies {decades:.2g} decades {side} the data ({ends}), "
                f"which span {span:.2g} decades{mark}."
            )
    passed = worst <= 0.5
    return Check(
        code="extrapolation_distance",
        passed=passed,
        seen=" ".join(seen) or "The question lies within the data.",
        advice="" if passed else _ADVICE[any(value > ends[1] for value, ends in asked.values())],
    )


def _list_failed(fit: Fit) -> tuple[Check, ...]:
    return tuple(check for check in fit.checks if check.passed is False)


# --- draws -----------------------------------------------------------------------------------


def _draw_loss_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """exp of the model error of ln L, so many decades beyond the data, shape (count,)."""
    size = np.abs(_draw_gaussians(count, stream=0))
    below = 1.0 if fit.discrepancy is None else fit.discrepancy.below
    sign = np.where(np.random.default_rng((_ANY, 0, 2)).random(count) < below, -1.0, 1.0)
    return _draw_drift(fit, sign * size, decades, stream=0)


def _draw_evaluation(fit: Fit, count: int) -> FloatArray:
    """exp of what other held-out documents would do to every loss, shape (count,)."""
    error: FloatArray = np.exp((fit.evaluation_error or 0.0) * _draw_gaussians(count, stream=3))
    return error


def _draw_params_drift(fit: Fit, count: int, decades: float) -> FloatArray:
    """The same of ln N*, to either side."""
    either = _PARAMS_DRIFT * _draw_gaussians(count, stream=2)
    return _draw_drift(fit, either, decades, stream=2)


def _draw_drift(fit: Fit, errors: FloatArray, decades: float, *, stream: int) -> FloatArray:
    """exp of errors in units of τ·√decades, τ drawn from its distribution."""
    rates = np.zeros(1) if fit.discrepancy is None else np.array(fit.discrepancy.rates)
    # Spread over the draws in a fixed order that has nothing to do with theirs.
    order = np.random.default_rng((_ANY, stream, 1)).permutation(errors.size)
    drift: FloatArray = np.exp(math.sqrt(decades) * rates[order % rates.size] * errors)
    return drift


def _draw_gaussians(count: int, *, stream: int) -> FloatArray:
    """The same at every call, for answers must not flicker; streams are independent."""
    return np.random.default_rng((_ANY, stream)).standard_normal(count)


def _find_interval(draws: FloatArray, level: float, answer: float) -> Interval:
    """Central percentile interval of draws, shape (b,), widened where it misses the answer: that
    of a mixture lies between its members, and may be nearer to one of little weight."""
    low, high = np.quantile(draws, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(low=min(float(low), answer), high=max(float(high), answer), level=level)


def _list_ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else interval.to_contract()

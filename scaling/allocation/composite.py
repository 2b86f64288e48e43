"""Answers to questions with conditions, by a law: N and D, their intervals and assumptions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.allocation.answer import Allocation
from scaling.allocation.asked_fit import get_coverage, get_frontier, get_law, verify_status
from scaling.allocation.distance import add_ratio, check_distance, count_decades
from scaling.allocation.problem import OTHER_WORTHS, PUBLISHED_WORTH, SERVING_SHARE, Problem
from scaling.allocation.question import Question
from scaling.allocation.serving import Serving, make_serving
from scaling.allocation.solving import Route, choose_route, follow_route
from scaling.allocation.trade_offs import choose_shape, count_spending, find_basin, weigh_sizes
from scaling.allocation.uncertainty import (
    draw_loss_error,
    draw_params_drift,
    find_text_interval,
)
from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import Check, Coverage, Fit, Interval
from scaling.fitting.intervals import find_interval
from scaling.laws.data_constrained import DataConstrained
from scaling.laws.family import Law
from scaling.laws.searching import find_crossing
from scaling.sweep.shapes import ModelShape
from scaling.units import BoolArray, FloatArray, format_count

# Beyond this many epochs only runs that repeat their data tell what repeats are worth
# (Muennighoff et al. 2023, arXiv:2305.16264: up to four are nearly as good as new data).
MAX_EPOCHS = 4.0
# Share of draws without an answer above which a check says so, beside the open interval.
_FEW_UNREACHED = 0.05
# Halvings of ln U over a ratio of at most e^20: three digits of U.
_HALVINGS = 16
_FREE = ("budget", "loss", "loss_within")


def answer_question(
    fit: Fit, question: Question, *, ladder: Sequence[ModelShape] | None, far: bool, anyway: bool
) -> Allocation:
    """Find N and D under the question's conditions.

    Raises:
        QueryError: Conditions contradict each other, leave N or D open, or lead too far from the
            data.
        NoFitError: The fit has no law, or none that splits a budget where N and D are free; or
            the answer repeats its data more often than a law of fresh tokens can judge.
    """
    _verify_fit(fit, question, anyway)
    posed = _pose(fit, question, ladder)
    problem = posed.problem
    route = choose_route(problem, question, ceiling=posed.ceiling, near=posed.near)
    target = np.array([question.target_loss or np.nan])
    params, tokens = follow_route(route, problem, loss=target, near=posed.near)
    flops = float(problem.find_training(params, tokens)[0])
    if not all(1.0 <= float(one) < math.inf for one in (params[0], tokens[0], flops)):
        raise QueryError(
            f"These conditions lead to N = {params[0]:.3g} and D = {tokens[0]:.3g}, which no model "
            f"has ({' and '.join(route.binding)})."
        )
    asked = _list_distances(posed, route, flops, float(params[0]), float(tokens[0]))
    ratio = posed.covered.ratio
    distance = check_distance(add_ratio(asked, float(params[0]), float(tokens[0]), ratio), far)
    if not anyway:
        _verify_epochs(posed, question, float(tokens[0]))
    answer = Allocation(
        flops=flops,
        params=float(params[0]),
        tokens=float(tokens[0]),
        loss=float(problem.find_loss(params, tokens)[0]),
        level=fit.level,
        extrapolation_decades=max(count_decades(*one) for one in asked.values()),
        approach="parametric",
        checks=(distance, *_check_repeats(problem, question, float(tokens[0]))),
        question=question,
        binding=route.binding,
        notes=tuple(_list_notes(problem, question, ladder)),
    )
    answer = _draw_intervals(fit, problem, route, answer, posed.near)
    return _describe_costs(fit, problem, route, answer, posed.serving, ladder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posed:
    """A question ready to be solved: the law, the range of the data and the limit of memory.

    Attributes:
        problem: The law itself, b = 1.
        covered: Range of the fitted data.
        serving: Bytes of a served model.
        ceiling: Largest N that the serving memory holds; None without.
    """

    problem: Problem
    covered: Coverage
    serving: Serving
    ceiling: float | None

    @property
    def near(self) -> float:
        """A budget within the data [FLOPs]."""
        return self.covered.flops[1]


def _verify_fit(fit: Fit, question: Question, anyway: bool) -> None:
    """Raise NoFitError if the fit cannot answer such a question."""
    conditions = (question.params, question.tokens, question.tokens_per_param)
    if all(one is None for one in conditions):
        get_frontier(fit, "parametric", anyway)
    verify_status(fit, anyway)


def _pose(fit: Fit, question: Question, ladder: Sequence[ModelShape] | None) -> _Posed:
    family, coefficients = get_law(fit)
    serving = make_serving(question.bytes_per_param, ladder, fit.convention)
    memory = question.serving_memory
    return _Posed(
        problem=Problem(
            law=family,
            coefficients=coefficients[None],
            cost=fit.cost,
            served=question.inference_tokens or 0.0,
            unique=question.unique_tokens,
            worth=np.array([PUBLISHED_WORTH]),
        ),
        covered=get_coverage(fit),
        serving=serving,
        ceiling=None if memory is None else serving.find_params(memory),
    )


def _list_distances(
    posed: _Posed, route: Route, flops: float, params: float, tokens: float
) -> dict[str, tuple[float, tuple[float, float]]]:
    """The answer's C, N and D, each beside the range that the data cover."""
    asked = {"C": (flops, posed.covered.flops)}
    # On the frontier N and D follow from C, as for a plain budget, so C alone measures distance.
    if route.kind not in ("budget", "loss") or posed.problem.served > 0.0:
        asked["N"] = (params, posed.covered.params)
        asked["D"] = (tokens, posed.covered.tokens)
    return asked


def describe_budget(
    fit: Fit, law: tuple[Law, FloatArray], answer: Allocation, ladder: Sequence[ModelShape] | None
) -> Allocation:
    """Return the answer to a plain budget with its cost and the cost of other sizes."""
    family, coefficients = law
    question = answer.question or Question()
    problem = Problem(law=family, coefficients=coefficients[None], cost=fit.cost)
    route = Route(kind="budget", binding=answer.binding, flops=answer.flops)
    serving = make_serving(question.bytes_per_param, ladder, fit.convention)
    return _describe_costs(fit, problem, route, answer, serving, ladder)


def _describe_costs(
    fit: Fit,
    problem: Problem,
    route: Route,
    answer: Allocation,
    serving: Serving,
    ladder: Sequence[ModelShape] | None,
) -> Allocation:
    """Return the answer with its cost, the cost of other sizes, its basin and its shape."""
    question = answer.question or Question()
    trade_offs, basin, shape = None, answer.flat_basin, answer.shape
    if "parametric" in fit.approaches and answer.loss is not None:
        is_free = route.kind in _FREE
        trade_offs = weigh_sizes(problem, question, answer, serving=serving, is_free=is_free)
        if basin is None and trade_offs is not None and np.isfinite(trade_offs.cheapest_params):
            cheapest, loss = trade_offs.cheapest_params, answer.loss
            least = float(problem.find_cost_of_loss(np.array([cheapest]), np.array([loss]))[0])
            basin = find_basin(problem, cheapest, loss, least)
    if shape is None and ladder and fit.convention is not None:
        shape = choose_shape(problem, route, question, answer, ladder, fit.convention)
    unique = question.unique_tokens
    return dataclasses.replace(
        answer,
        spending=count_spending(problem, question, answer, serving),
        trade_offs=trade_offs,
        flat_basin=basin,
        shape=shape,
        epochs=None if unique is None else answer.tokens / unique,
    )


def _draw_intervals(
    fit: Fit, problem: Problem, route: Route, answer: Allocation, near: float
) -> Allocation:
    """Put the question to every draw of the law; quantities that it fixes get no interval."""
    if not fit.draws or answer.loss is None or answer.question is None:
        return answer
    coefficients = np.array(fit.draws)
    count, decades = len(coefficients), answer.extrapolation_decades
    worths = np.array([PUBLISHED_WORTH, *OTHER_WORTHS])
    many = dataclasses.replace(
        problem, coefficients=coefficients, worth=worths[np.arange(count) % worths.size]
    )
    fresh = float(problem.discount(np.array([answer.tokens]))[0])
    drift = draw_loss_error(fit, coefficients, decades, params=answer.params, tokens=fresh)
    # If the true loss is `drift` times the law's, it reaches the target where the law predicts
    # target / drift.
    target = (answer.question.target_loss or np.nan) / drift
    params, tokens = follow_route(route, many, loss=target, near=near)
    flops = many.find_training(params, tokens)
    intervals: dict[str, Any] = {}
    checks = answer.checks
    if route.kind in ("stated", "budget"):
        reached = many.find_loss(params, tokens) * drift
        intervals["loss_interval"] = find_interval(reached, fit.level, answer=answer.loss)
        intervals["text_interval"] = find_text_interval(fit, reached, answer.loss)
    else:
        checks += _check_reached(flops, answer)
        if route.kind != "loss_within":  # training uses the whole cap under every draw
            intervals["flops_interval"] = _find_open_interval(flops, fit.level, answer.flops)
    if route.kind in _FREE:
        there = np.isfinite(flops)
        drifted = np.where(there, params, 1.0) * draw_params_drift(fit, count, decades)
        params = np.where(there, drifted, np.inf)
        tokens = np.where(there, flops / fit.cost.flops_per_token(drifted), np.inf)
    if route.kind in (*_FREE, "loss_at_tokens", "loss_at_ratio"):
        intervals["params_interval"] = _find_open_interval(params, fit.level, answer.params)
    if route.kind in (*_FREE, "loss_at_params", "loss_at_ratio"):
        intervals["tokens_interval"] = _find_open_interval(tokens, fit.level, answer.tokens)
    return dataclasses.replace(answer, checks=checks, **intervals)


def _find_open_interval(draws: FloatArray, level: float, answer: float) -> Interval:
    """The interval of draws as `find_interval` takes it; draws without an answer rank highest."""
    lost = ~np.isfinite(draws)
    some = bool(lost.any())  # infinite draws cannot be averaged
    return find_interval(np.where(lost, np.inf, draws), level, answer=answer, as_drawn=some)


def _check_reached(flops: FloatArray, answer: Allocation) -> tuple[Check, ...]:
    lost = float(np.mean(~np.isfinite(flops)))
    if lost <= _FEW_UNREACHED:
        return ()
    return (
        Check(
            code="target_out_of_reach",
            passed=False,
            seen=f"In {lost:.0%} of the draws no compute reaches {answer.loss:.4f} nats/token "
            "under these conditions: it lies within the uncertainty of the law's floor.",
            advice="Ask for a higher loss, or train larger budgets first.",
        ),
    )


def _verify_epochs(posed: _Posed, question: Question, tokens: float) -> None:
    """Refuse an answer that repeats its data too often for a law of fresh tokens.

    Raises:
        NoFitError: It repeats too often; the message says how many unique tokens are enough.
    """
    problem, unique = posed.problem, question.unique_tokens
    if unique is None or isinstance(problem.law, DataConstrained):
        return
    if tokens <= MAX_EPOCHS * unique * (1.0 + 1e-9):
        return

    def is_enough(log_unique: FloatArray) -> BoolArray:
        other = dataclasses.replace(problem, unique=float(np.exp(log_unique[0])))
        route = choose_route(other, question, ceiling=posed.ceiling, near=posed.near)
        target = np.array([question.target_loss or np.nan])
        _, seen = follow_route(route, other, loss=target, near=posed.near)
        return np.less_equal(seen, MAX_EPOCHS * np.exp(log_unique))

    ends = np.log([unique]), np.log([tokens])
    high = float(np.exp(find_crossing(is_enough, *ends, halvings=_HALVINGS)[0]))
    raise NoFitError(
        f"The answer would pass {tokens / unique:.3g} times over {format_count(unique)} unique "
        f"tokens; beyond {MAX_EPOCHS:g} epochs the law {problem.law.name} says nothing, for it was "
        f"fitted to fresh tokens.\nTrain runs that repeat their data (D > U) and fit --family "
        f"data_constrained, or ask with {format_count(high)} unique tokens or less compute, or "
        "insist with --anyway."
    )


def _check_repeats(problem: Problem, question: Question, tokens: float) -> list[Check]:
    unique = question.unique_tokens
    if unique is None or isinstance(problem.law, DataConstrained) or tokens <= unique:
        return []
    return [
        Check(
            code="repeats_not_measured",
            passed=False,
            seen=f"The answer passes {tokens / unique:.3g} times over {format_count(unique)} "
            "unique tokens; what repeats are worth is published (Muennighoff et al. 2023), not "
            "measured on these runs.",
            advice="Train runs that repeat their data (D > U) and fit --family data_constrained.",
        )
    ]


def _list_notes(
    problem: Problem, question: Question, ladder: Sequence[ModelShape] | None
) -> list[str]:
    notes = []
    if question.hardware is not None:
        notes += [cap.words for cap in question.list_caps() if cap.name != "flops"]
    if problem.served > 0.0:
        notes.append(
            f"serving a token is counted as {SERVING_SHARE:.3g} of training on it (2N FLOPs where "
            "C = 6ND), prompts and answers alike (Sardana et al. 2024, arXiv:2401.00448)"
        )
    if question.unique_tokens is not None and not isinstance(problem.law, DataConstrained):
        notes.append(
            f"repeated tokens lose their worth over R = {PUBLISHED_WORTH:.3g} epochs (Muennighoff "
            "et al. 2023, arXiv:2305.16264, eq. 5); intervals hold R = "
            f"{' and '.join(f'{one:g}' for one in sorted(OTHER_WORTHS))} as well"
        )
    if question.serving_memory is not None:
        counted = "every stored parameter" if ladder else "the N of the table"
        notes.append(
            f"memory holds the weights alone, {question.bytes_per_param:g} bytes for {counted}"
        )
    return notes

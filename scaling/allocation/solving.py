"""From conditions to N and D: which of them bind, and which two contradict each other.

    a budget, N and D free         min L(N, D)   subject to   C ≤ budget
    a target loss                  min C + S     subject to   L(N, D) = target, C ≤ budget
    a budget and inference tokens  the model that is cheapest for its loss, trained and served,
                                   of those whose training takes the budget
    N, D or D/N given              what is left decides: the budget is spent, or the target met
    two of N, D and D/N            nothing is left to decide; the conditions are checked

With inference tokens the second line is Sardana et al. 2024, arXiv:2401.00448, sec. 2; the third is
the same curve of models, entered by training compute instead of loss. At every point of it

    α·A·N^−α = β·B·D^−β · (1 + D_inf / (3·D))            (Chinchilla's law, C = 6ND).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.allocation.problem import (
    Problem,
    find_best_params,
    find_cheapest_params,
    find_edge,
    find_params_for_loss,
    find_params_for_training,
    find_params_within,
)
from scaling.allocation.question import Cap, Question
from scaling.errors import QueryError
from scaling.units import FloatArray, format_count, format_flops

# Two values for one quantity agree if they differ by no more than rounding to three digits.
_ROUNDING = 5e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the conditions of a question lead to N and D.

    Attributes:
        kind: `stated`: to numbers; `budget`: to the best N for `flops`; `loss`: to the cheapest
            way to the target; `loss_within`: to the cheapest whose training takes `flops`;
            `loss_at_params`, `loss_at_tokens`, `loss_at_ratio`: to the target with that given.
        binding: Conditions that hold with equality.
        params, tokens, ratio, flops: The numbers that `kind` speaks of.
    """

    kind: Literal[
        "stated",
        "budget",
        "loss",
        "loss_within",
        "loss_at_params",
        "loss_at_tokens",
        "loss_at_ratio",
    ]
    binding: tuple[str, ...]
    params: float | None = None
    tokens: float | None = None
    ratio: float | None = None
    flops: float | None = None


def choose_route(
    problem: Problem, question: Question, *, ceiling: float | None, near: float
) -> Route:
    """Which conditions decide.

    Args:
        problem: The law itself, b = 1.
        question: The conditions.
        ceiling: Largest N that its serving memory holds; None without.
        near: Some budget of the data's [FLOPs].

    Raises:
        QueryError: They contradict each other, or leave N or D open.
    """
    given = _find_given(question)
    if ceiling is not None and given.params is not None:
        _verify_memory(given, ceiling)
    if given.params is not None and given.tokens is not None:
        return _check_stated(problem, question, given)
    if question.target_loss is not None:
        return _route_to_loss(problem, question, given, ceiling, near)
    caps = question.list_caps()
    if not caps:
        raise QueryError(
            "The question leaves compute open: say a budget (--flops, or --dollars, or --device "
            "with --devices and --days), a target loss, or two of params, tokens and "
            "tokens-per-param."
        )
    return _route_to_budget(problem, given, caps[0], ceiling)


def follow_route(
    route: Route, problem: Problem, *, loss: FloatArray, near: float
) -> tuple[FloatArray, FloatArray]:
    """(N, D) of every law of the problem, each of shape (b,); inf where its loss is out of reach.

    Args:
        route: How the question is solved.
        problem: The laws.
        loss: Target of each [nats/token], shape (b,); not looked at where there is none.
        near: As in `choose_route`.
    """
    one = np.ones(len(problem.coefficients))
    match route.kind:
        case "stated":
            return _need(route.params) * one, _need(route.tokens) * one
        case "budget":
            flops = _need(route.flops) * one
            params = find_params_within(problem, flops)
            return params, flops / problem.cost.flops_per_token(params)
        case "loss_at_params":
            params = _need(route.params) * one
            return params, problem.find_tokens(params, loss)
        case "loss_at_tokens":
            tokens = _need(route.tokens) * one
            return find_params_for_loss(problem, loss, lambda _: tokens), tokens
        case "loss_at_ratio":
            ratio = _need(route.ratio)
            params = find_params_for_loss(problem, loss, lambda n: ratio * n)
            return params, ratio * params
        case "loss":
            params = find_cheapest_params(problem, loss, near * one)
        case "loss_within":
            params = _stay_within(problem, loss, _need(route.flops), near * one)
    reached = np.isfinite(params)
    tokens = problem.find_tokens(np.where(reached, params, 1.0), loss)
    return params, np.where(reached, tokens, np.inf)


# --- one case each ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """N, D and D/N as far as they are said or follow, and the conditions that say so."""

    params: float | None
    tokens: float | None
    ratio: float | None
    names: tuple[str, ...]


def _find_given(question: Question) -> _Given:
    params, tokens, ratio = question.params, question.tokens, question.tokens_per_param
    said = {"params": params, "tokens": tokens, "tokens_per_param": ratio}
    names = tuple(name for name, value in said.items() if value is not None)
    if params is not None and tokens is not None and ratio is not None:
        if abs(math.log(tokens / params / ratio)) > _ROUNDING:
            raise _contradict(
                "tokens_per_param",
                "params and tokens",
                f"{format_count(tokens)} tokens on {format_count(params)} parameters are "
                f"{tokens / params:.4g} tokens per parameter, not {ratio:.4g}",
                f"{format_count(ratio * params)} tokens for that ratio",
            )
    elif params is not None and ratio is not None:
        tokens = ratio * params
    elif tokens is not None and ratio is not None:
        params = tokens / ratio
    return _Given(params=params, tokens=tokens, ratio=ratio, names=names)


def _verify_memory(given: _Given, ceiling: float) -> None:
    if given.params is not None and given.params > ceiling * (1.0 + 1e-9):
        raise _contradict(
            "serving_memory",
            " and ".join(given.names),
            f"{format_count(given.params)} parameters do not fit where {format_count(ceiling)} do",
            f"{format_count(ceiling)} parameters",
        )


def _check_stated(problem: Problem, question: Question, given: _Given) -> Route:
    """N and D are both given: caps and target are verified."""
    params, tokens = _need(given.params), _need(given.tokens)
    n, d = np.array([params]), np.array([tokens])
    flops = float(problem.find_training(n, d)[0])
    names = " and ".join(given.names)
    for cap in question.list_caps():
        if flops > cap.flops * (1.0 + _ROUNDING):
            fewer = cap.flops / float(problem.cost.flops_per_token(n)[0])
            raise _contradict(
                cap.name,
                names,
                f"those take {format_flops(flops)} FLOPs, {_say(cap)}",
                f"{format_count(params)} parameters on {format_count(fewer)} tokens",
            )
    loss = float(problem.find_loss(n, d)[0])
    target = question.target_loss
    if target is not None and loss > target * (1.0 + 1e-9):
        needed = float(problem.find_tokens(n, np.array([target]))[0])
        nearest = (
            f"{format_count(needed)} tokens for that size"
            if math.isfinite(needed)
            else f"a loss of {loss:.4f} nats/token (no number of tokens brings that size to the "
            "target)"
        )
        raise _contradict(
            "target_loss",
            names,
            f"those reach {loss:.4f} nats/token, not {target:.6g} nats/token",
            nearest,
        )
    return Route(kind="stated", binding=given.names, params=params, tokens=tokens)


def _route_to_budget(problem: Problem, given: _Given, cap: Cap, ceiling: float | None) -> Route:
    """The budget is spent, unless memory holds a smaller model than D or D/N asks for."""
    flops = cap.flops
    if given.params is not None:
        tokens = flops / float(problem.cost.flops_per_token(np.array([given.params]))[0])
        return Route(
            kind="stated", binding=("params", cap.name), params=given.params, tokens=tokens
        )
    tokens_of = _get_tokens_of(given)
    if tokens_of is None:
        params = float(find_params_within(problem, np.array([flops]))[0])
        if ceiling is None or params <= ceiling:
            return Route(kind="budget", binding=(cap.name,), flops=flops)
        tokens = flops / float(problem.cost.flops_per_token(np.array([ceiling]))[0])
        held = ("serving_memory", cap.name)
        return Route(kind="stated", binding=held, params=ceiling, tokens=tokens)
    params = find_params_for_training(problem, flops, tokens_of)
    binding: tuple[str, ...] = (*given.names, cap.name)
    if ceiling is not None and params > ceiling:
        params, binding = ceiling, (*given.names, "serving_memory")
    tokens = float(tokens_of(np.array([params]))[0])
    return Route(kind="stated", binding=binding, params=params, tokens=tokens)


def _route_to_loss(
    problem: Problem, question: Question, given: _Given, ceiling: float | None, near: float
) -> Route:
    """The target is met at the least cost; caps and memory may move that, or forbid it."""
    target = _need(question.target_loss)
    loss = np.array([target])
    caps = question.list_caps()
    route = _route_by_given(given)
    params, tokens = follow_route(route, problem, loss=loss, near=near)
    if not math.isfinite(params[0]) or not math.isfinite(tokens[0]):
        raise _refuse_target(problem, given, target, near)
    if ceiling is not None and params[0] > ceiling * (1.0 + 1e-9):
        if (tokens_of := _get_tokens_of(given)) is not None:
            n = np.array([ceiling])
            raise _contradict(
                "serving_memory",
                "target_loss",
                f"with {' and '.join(given.names)} as given the target takes "
                f"{format_count(float(params[0]))} parameters, {format_count(ceiling)} fit",
                f"a loss of {float(problem.find_loss(n, tokens_of(n))[0]):.4f} nats/token",
            )
        route = Route(
            kind="loss_at_params", binding=("target_loss", "serving_memory"), params=ceiling
        )
        params, tokens = follow_route(route, problem, loss=loss, near=near)
        if not math.isfinite(tokens[0]):
            most = float(problem.find_loss(np.array([ceiling]), np.array([1e40]))[0])
            raise _contradict(
                "serving_memory",
                "target_loss",
                f"{format_count(ceiling)} parameters do not reach {target:.6g} nats/token on "
                "any number of tokens",
                f"a loss above {most:.4f} nats/token",
            )
    flops = float(problem.find_training(params, tokens)[0])
    if caps and flops > caps[0].flops * (1.0 + 1e-9):
        return _route_within(problem, question, given, route, caps[0], near)
    return route


def _route_by_given(given: _Given) -> Route:
    binding = ("target_loss", *given.names)
    if given.params is not None:
        return Route(kind="loss_at_params", binding=binding, params=given.params)
    if given.tokens is not None:
        return Route(kind="loss_at_tokens", binding=binding, tokens=given.tokens)
    if given.ratio is not None:
        return Route(kind="loss_at_ratio", binding=binding, ratio=given.ratio)
    return Route(kind="loss", binding=binding)


def _route_within(
    problem: Problem, question: Question, given: _Given, route: Route, cap: Cap, near: float
) -> Route:
    """The way to the target takes more training than a cap allows: another way, or none."""
    loss = np.array([_need(question.target_loss)])
    if route.kind == "loss" and problem.served > 0.0:
        params = find_cheapest_params(problem.ignore_service(), loss, np.array([near]))
        least = float(problem.ignore_service().find_cost_of_loss(params, loss)[0])
        if least <= cap.flops:
            return Route(kind="loss_within", binding=("target_loss", cap.name), flops=cap.flops)
        needed = least
    else:
        n, d = follow_route(route, problem, loss=loss, near=near)
        needed = float(problem.find_training(n, d)[0])
    best = _find_lowest_loss(problem, given, route, cap.flops)
    raise _contradict(
        cap.name,
        "target_loss",
        f"{loss[0]:.6g} nats/token takes {format_flops(needed)} FLOPs, {_say(cap)}",
        f"{best:.4f} nats/token with {format_flops(cap.flops)} FLOPs",
    )


def _find_lowest_loss(problem: Problem, given: _Given, route: Route, flops: float) -> float:
    """The lowest loss that training compute can buy under the other conditions."""
    tokens_of = _get_tokens_of(given)
    if route.params is not None:
        params = np.array([route.params])
    elif tokens_of is not None:
        params = np.array([find_params_for_training(problem, flops, tokens_of)])
    else:
        params = find_best_params(problem.ignore_service(), np.array([flops]))
    return float(problem.find_loss(params, flops / problem.cost.flops_per_token(params))[0])


def _refuse_target(problem: Problem, given: _Given, target: float, near: float) -> QueryError:
    """Nothing reaches the target."""
    far = 1e15 * near  # beyond every answer, and small enough to cube in double precision
    if given.names:
        what = " and ".join(given.names)
        if given.params is not None:
            most = problem.find_loss(np.array([given.params]), np.array([1e40]))
        else:
            most = problem.find_loss(np.array([1e40]), np.array([given.tokens or 1e40]))
        return _contradict(
            what,
            "target_loss",
            f"with {what} as given no model reaches {target:.6g} nats/token",
            f"above {float(most[0]):.4f} nats/token",
        )
    params = find_best_params(problem.ignore_service(), np.array([far]))
    most = problem.find_loss(params, far / problem.cost.flops_per_token(params))
    return QueryError(
        f"No compute reaches a loss of {target:.6g} nats/token by this law: with "
        f"{format_flops(far)} FLOPs it says {float(most[0]):.4f} nats/token.\n"
        "Ask for a higher loss."
    )


def _stay_within(problem: Problem, loss: FloatArray, flops: float, near: FloatArray) -> FloatArray:
    """N between the cheapest to serve and the cheapest to train, where training takes `flops`."""
    training = problem.ignore_service()
    large = find_cheapest_params(training, loss, near)
    small = find_cheapest_params(problem, loss, near)
    reached = np.isfinite(large) & np.isfinite(small)
    inside, outside = (np.where(reached, one, 1.0) for one in (large, small))
    total = np.full(loss.shape, flops)
    edge = find_edge(training, loss, total, inside, outside)
    return np.asarray(np.where(reached, edge, np.inf), dtype=np.float64)


def _get_tokens_of(given: _Given) -> Callable[[FloatArray], FloatArray] | None:
    """D as a function of N, where D or D/N is given."""
    if given.tokens is not None:
        tokens = given.tokens
        return lambda params: np.full(params.shape, tokens)
    if given.ratio is not None:
        ratio = given.ratio
        return lambda params: ratio * params
    return None


def _say(cap: Cap) -> str:
    words = "" if cap.name == "flops" else f" ({cap.words})"
    return f"{cap.name} allows {format_flops(cap.flops)}{words}"


def _contradict(first: str, second: str, seen: str, nearest: str) -> QueryError:
    return QueryError(
        f"{first} contradicts {second}: {seen}.\nNearest that is possible: {nearest}."
    )


def _need(value: float | None) -> float:
    assert value is not None  # the route's kind implies which values are set
    return value

"""What the same loss costs at other sizes: the flat basin, halves and doubles, cost of training
against cost of service, and the shapes that can be built.

Everything is compared at one loss ℓ, so that every penalty is compute:

    cost(N) = c(N) · (D(N, ℓ) + D_inf / 3),   D(N, ℓ) the tokens with which N parameters reach ℓ.

A model smaller than the cheapest to train costs more to train and less to serve; larger ones cost
more of both. So the Pareto table goes from the cheapest to train downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scaling.allocation.answer import (
    COMPUTE_PENALTY,
    Allocation,
    BuildableShape,
    OtherSize,
    ParetoRow,
    Spending,
    TradeOffs,
)
from scaling.allocation.problem import SERVING_SHARE, Problem, find_cheapest_params, find_edge
from scaling.allocation.question import HOURS_PER_DAY, SECONDS_PER_HOUR, Question
from scaling.allocation.serving import Serving
from scaling.allocation.solving import Route
from scaling.fitting.fitted import finite_or_none
from scaling.sweep.counting import (
    CountConvention,
    count_flops_per_token,
    count_params,
    count_total_params,
)
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray

# Points between neighbouring rungs; a tenth of a rung moves the loss by 0.1 % (assumed)
_STEPS_BETWEEN = 16
# The basin's ends are searched within a factor e^7 (1100) of N*.
_BASIN_REACH = 7.0
_OTHER_SIZES = (0.25, 0.5, 2.0, 4.0)
# Training compute of each row of the Pareto table, relative to the least.
_PARETO = (1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
_PARETO_REACH = 12.0


def find_basin(problem: Problem, params: float, loss: float, least: float) -> tuple[float, float]:
    """N below and above `params` at which `loss` costs COMPUTE_PENALTY more than there, where it
    costs `least` [FLOPs]."""
    centre, wanted = np.full(2, params), np.full(2, loss)
    most = np.full(2, (1.0 + COMPUTE_PENALTY) * least)
    edge = find_edge(problem, wanted, most, centre, centre * np.exp([-_BASIN_REACH, _BASIN_REACH]))
    return float(edge[0]), float(edge[1])


def weigh_sizes(
    problem: Problem, question: Question, answer: Allocation, *, serving: Serving, is_free: bool
) -> TradeOffs | None:
    """What the answer's loss costs at other sizes; None without a loss.

    Args:
        problem: The law itself, b = 1.
        question: What was asked.
        answer: N, D, C and loss.
        serving: Bytes of a served model.
        is_free: Whether nothing but budget or target led to the answer's N, so that it is the
            cheapest.
    """
    if answer.loss is None:
        return None
    loss, near = np.array([answer.loss]), np.array([answer.flops])
    own = float(problem.find_cost(np.array([answer.params]), np.array([answer.tokens]))[0])
    if is_free:
        cheapest, least = answer.params, own
    else:
        cheapest = float(find_cheapest_params(problem, loss, near)[0])
        least = float(problem.find_cost_of_loss(np.array([cheapest]), loss)[0])
    sizes = answer.params * np.array(_OTHER_SIZES)
    tokens = problem.find_tokens(sizes, np.full(sizes.size, answer.loss))
    costs = problem.find_cost(sizes, tokens)
    others = tuple(
        OtherSize(
            factor=factor,
            params=float(size),
            tokens=finite_or_none(float(seen)),
            extra_compute=finite_or_none(float(cost) / own - 1.0),
        )
        for factor, size, seen, cost in zip(_OTHER_SIZES, sizes, tokens, costs, strict=True)
    )
    training, trains_cheapest, trains_least = problem.ignore_service(), cheapest, least
    if problem.served > 0.0 or not math.isfinite(cheapest):
        trains_cheapest = float(find_cheapest_params(training, loss, near)[0])
        trains_least = float(training.find_cost_of_loss(np.array([trains_cheapest]), loss)[0])
    return TradeOffs(
        of="lifetime" if problem.served > 0.0 else "training",
        extra_compute=max(0.0, own / least - 1.0),
        cheapest_params=cheapest,
        other_sizes=others,
        pareto=_list_pareto(
            training, question, answer.loss, trains_cheapest, trains_least, serving
        ),
    )


def count_spending(
    problem: Problem, question: Question, answer: Allocation, serving: Serving
) -> Spending:
    """What the answer costs in the question's own units."""
    per_token = SERVING_SHARE * _count_per_token(problem, answer.params)
    served = None if question.inference_tokens is None else question.inference_tokens * per_token
    hours = days = dollars = None
    hardware = question.hardware
    if hardware is not None:
        hours = answer.flops / hardware.flops_per_second / SECONDS_PER_HOUR
        if hardware.count is not None:
            days = hours / hardware.count / HOURS_PER_DAY
        if hardware.price_per_hour is not None:
            dollars = hours * hardware.price_per_hour
    return Spending(
        serving_flops_per_token=per_token,
        inference_flops=served,
        lifetime_flops=None if served is None else answer.flops + served,
        device_hours=hours,
        days=days,
        dollars=dollars,
        serving_bytes=float(serving.find_bytes(np.array([answer.params]))[0]),
    )


def choose_shape(
    problem: Problem,
    route: Route,
    question: Question,
    answer: Allocation,
    ladder: Sequence[ModelShape],
    convention: CountConvention,
) -> BuildableShape | None:
    """The rung that reaches the answer's loss at the least cost, of those that memory holds; where
    the question says N, D or D/N, the one nearest to the answer's N (within the budget where D is
    given). None where none fits."""
    rungs = [rung for rung in ladder if _fits(rung, question, answer)]
    if not rungs or answer.loss is None:
        return None
    params = np.array([count_params(rung, convention) for rung in rungs], dtype=np.float64)
    per_token = np.array([count_flops_per_token(rung) for rung in rungs], dtype=np.float64)
    needed = problem.find_tokens(params, np.full(params.shape, answer.loss))
    costs = per_token * (needed + SERVING_SHARE * problem.served)
    if route.kind in ("budget", "loss", "loss_within"):
        best = int(np.argmin(costs))
    else:
        best = int(np.argmin(np.abs(np.log(params / answer.params))))
    sizes, between = fill_ladder(params, per_token)
    if route.kind not in ("budget", "loss", "loss_within"):
        at = np.clip(np.array([answer.params]), params[0], params[-1])
        sizes, between = at, np.exp(np.interp(np.log(at), np.log(params), np.log(per_token)))
    fine = problem.find_tokens(sizes, np.full(sizes.shape, answer.loss))
    own = float(np.nanmin(between * (fine + SERVING_SHARE * problem.served)))
    if route.kind == "budget" or (route.kind == "stated" and question.tokens is None):
        tokens = answer.flops / float(per_token[best])
    else:
        tokens = float(needed[best])
    if question.tokens is not None:
        tokens = question.tokens
    elif question.tokens_per_param is not None:
        tokens = question.tokens_per_param * float(params[best])
    return BuildableShape(
        shape=rungs[best],
        params=float(params[best]),
        tokens=tokens,
        compute_penalty=finite_or_none(float(costs[best]) / own - 1.0),
    )


def fill_ladder(params: FloatArray, per_token: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sizes between the rungs, and what a token costs there [FLOP] if the rungs' own costs are
    joined by straight lines in the logarithms; the rungs themselves are among them.

    What a shape is compared with: the cost model's smooth course differs from a shape's own cost by
    several per cent, either way.

    Args:
        params, per_token: N and FLOPs per token of the rungs, N ascending, shape (n,).
    """
    order = np.argsort(params, kind="stable")
    x, y = np.log(params[order]), np.log(per_token[order])
    between = np.linspace(x[:-1], x[1:], _STEPS_BETWEEN, endpoint=False).T.ravel()
    whole = np.append(between, x[-1])
    return np.exp(whole), np.exp(np.interp(whole, x, y))


def _list_pareto(
    training: Problem,
    question: Question,
    loss: float,
    cheapest: float,
    least: float,
    serving: Serving,
) -> tuple[ParetoRow, ...]:
    """Rows from N `cheapest`, whose training reaches the loss for `least` FLOPs, downwards."""
    if not math.isfinite(cheapest):
        return ()
    flops, wanted = least * np.array(_PARETO), np.full(len(_PARETO), loss)
    largest = np.full(len(_PARETO), cheapest)
    params = find_edge(training, wanted, flops, largest, largest * math.exp(-_PARETO_REACH))
    params[0] = cheapest
    per_token = training.cost.flops_per_token(params)
    tokens, service = flops / per_token, SERVING_SHARE * per_token
    weights = serving.find_bytes(params)
    rows = []
    for at in range(len(_PARETO)):
        saved = float(service[0] - service[at])
        dollars = None
        if question.hardware is not None and question.hardware.price_per_hour is not None:
            hours = float(flops[at]) / question.hardware.flops_per_second / SECONDS_PER_HOUR
            dollars = hours * question.hardware.price_per_hour
        lifetime = None
        if question.inference_tokens is not None:
            lifetime = float(flops[at] + question.inference_tokens * service[at])
        rows.append(
            ParetoRow(
                params=float(params[at]),
                tokens=float(tokens[at]),
                flops=float(flops[at]),
                serving_flops_per_token=float(service[at]),
                lifetime_flops=lifetime,
                pays_from_tokens=float(flops[at] - flops[0]) / saved if saved > 0 else 0.0,
                dollars=dollars,
                serving_bytes=float(weights[at]),
            )
        )
    return tuple(rows)


def _fits(rung: ModelShape, question: Question, answer: Allocation) -> bool:
    """Whether memory holds the rung, and the budget its training where D is given."""
    memory, caps = question.serving_memory, question.list_caps()
    if memory is not None and count_total_params(rung) * question.bytes_per_param > memory:
        return False
    if not caps or question.tokens is None:
        return True
    return answer.tokens * count_flops_per_token(rung) <= caps[0].flops


def _count_per_token(problem: Problem, params: float) -> float:
    return float(problem.cost.flops_per_token(np.array([params]))[0])

"""The best N and D for a budget, by a law or by the line of Approach 1 or 2.

N*, D* = argmin L(N, D)   subject to   C = D · flops_per_token(N)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scaling.allocation.answer import Allocation, BuildableShape
from scaling.allocation.problem import Problem
from scaling.allocation.trade_offs import fill_ladder, find_basin
from scaling.allocation.uncertainty import (
    draw_loss_error,
    draw_params_drift,
    find_text_interval,
)
from scaling.fitting.fitted import Fit, Frontier, finite_or_none
from scaling.fitting.intervals import find_interval
from scaling.laws.family import Law
from scaling.laws.frontier import find_frontier
from scaling.sweep.counting import CountConvention, count_flops_per_token, count_params
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray

_RUNGS_ABOVE = 1000.0  # times N*: such a model has next to no tokens left to learn from


def answer_by_law(
    fit: Fit, law: tuple[Law, FloatArray], flops: float, decades: float, *, with_basin: bool = True
) -> Allocation:
    """N*, D* and loss of the law, minimised along the fit's cost model; the flat basin only on
    request, since it takes most of the time."""
    family, coefficients = law
    budget = np.array([flops])
    params, tokens = find_frontier(family, coefficients, flops=budget, cost=fit.cost)
    loss = float(family.loss(coefficients, params, tokens)[0])
    basin = None
    if with_basin:
        problem = Problem(law=family, coefficients=coefficients[None], cost=fit.cost)
        basin = find_basin(problem, float(params[0]), loss, flops)
    intervals: dict[str, Any] = {}
    if fit.draws:
        draws = np.array(fit.draws)
        at, seen = find_frontier(family, draws, flops=budget, cost=fit.cost)
        error = draw_loss_error(
            fit, draws, decades, params=float(params[0]), tokens=float(tokens[0])
        )
        lowest = family.loss(draws, at, seen) * error
        drifted = at * draw_params_drift(fit, len(draws), decades)
        spent = flops / fit.cost.flops_per_token(drifted)
        for name, values, point in (
            ("params", drifted, float(params[0])),
            ("tokens", spent, float(tokens[0])),
            ("loss", lowest, loss),
        ):
            intervals[f"{name}_interval"] = find_interval(values, fit.level, answer=point)
        intervals["text_interval"] = find_text_interval(fit, lowest, loss)
    return Allocation(
        flops=flops,
        params=float(params[0]),
        tokens=float(tokens[0]),
        loss=loss,
        level=fit.level,
        **intervals,
        flat_basin=basin,
        extrapolation_decades=decades,
        approach="parametric",
    )


def answer_by_line(fit: Fit, frontier: Frontier, flops: float, decades: float) -> Allocation:
    """N* and D* on the lines of Approach 1 or 2, loss between the points they go through."""
    log_c = math.log(flops)
    params = frontier.k_n * flops**frontier.a
    tokens = frontier.k_d * flops**frontier.b
    params_interval = tokens_interval = None
    if frontier.draws:
        a, log_k_n, b, log_k_d = np.array(frontier.draws).T
        drift = draw_params_drift(fit, len(a), decades)
        best, seen = np.exp(log_k_n + a * log_c) * drift, np.exp(log_k_d + b * log_c) / drift
        params_interval = find_interval(best, fit.level, answer=params)
        tokens_interval = find_interval(seen, fit.level, answer=tokens)
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
        extrapolation_decades=decades,
        approach="isoflop",
    )


def cut_ladder(
    ladder: Iterable[ModelShape] | None, params: float, convention: CountConvention | None
) -> list[ModelShape] | None:
    """The ladder without the thousands of rungs far above the optimum; None where there is none."""
    if ladder is None:
        return None
    # Without a convention a sweep file lists the models, which count the same under every
    # convention.
    counted = convention or "matmul"
    rungs = []
    for rung in ladder:
        rungs.append(rung)
        if count_params(rung, counted) > _RUNGS_ABOVE * params:
            break
    return rungs


def find_shape(
    fit: Fit,
    law: tuple[Law, FloatArray] | None,
    flops: float,
    answer: Allocation,
    ladder: Sequence[ModelShape],
) -> BuildableShape:
    """The rung with the lowest loss at this budget, by its own cost; without a law, the nearest
    in ln N."""
    counted = fit.convention or "matmul"
    params = np.array([count_params(rung, counted) for rung in ladder], dtype=np.float64)
    per_token = np.array([count_flops_per_token(rung) for rung in ladder], dtype=np.float64)
    tokens = flops / per_token
    penalty = None
    if law is None:
        best = int(np.argmin(np.abs(np.log(params / answer.params))))
    else:
        family, coefficients = law
        best = int(np.argmin(family.loss(coefficients, params, tokens)))
        sizes, costs = fill_ladder(params, per_token)
        lowest = np.min(family.loss(coefficients, sizes, flops / costs))
        needed = family.tokens_for_loss(coefficients, params[best : best + 1], np.array(lowest))
        penalty = finite_or_none(float(needed[0] * per_token[best] / flops - 1.0))
    return BuildableShape(
        shape=ladder[best],
        params=float(params[best]),
        tokens=float(tokens[best]),
        compute_penalty=penalty,
    )

"""The calculator's other questions: tokens to be served, and unique tokens to train on.

For every pair of stops of their sliders a curve of answers against the training budget. A curve is
walked along what training and service cost together: its points need no search for a budget, and
page.js looks up budgets between them. As in the table of budgets, gaps are halved until the answer
in their middle is met.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.allocation.composite import MAX_EPOCHS
from scaling.allocation.problem import PUBLISHED_WORTH, SERVING_SHARE, Problem, find_best_params
from scaling.fitting.fitted import Fit
from scaling.laws.registry import read_law
from scaling.units import FloatArray
from scaling.units.losses import NATS, LossScale

ACCURACY = 2e-3  # relative: three digits, off by one in the last

_FIRST = 25
_LEAST_GAP = 4e-3
_SERVED_BEYOND = 300.0  # times the tokens of the largest trained budget
_DIGITS = 5
_FRESH = 1e40  # more unique tokens than any run sees


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionCurve:
    """Answers for one pair of conditions, ascending in C; each of shape (k,).

    Attributes:
        served: Tokens to be served; 0 for none.
        unique: Unique tokens; None: every token is fresh.
        flops, params, tokens, loss: C [FLOP], N, D, L in the unit of losses.
    """

    served: float
    unique: float | None
    flops: FloatArray
    params: FloatArray
    tokens: FloatArray
    loss: FloatArray

    def to_json(self) -> dict[str, Any]:
        """What page.js reads."""
        return {
            name: [float(f"{value:.{_DIGITS}g}") for value in getattr(self, name).tolist()]
            for name in ("flops", "params", "tokens", "loss")
        }


def trace_conditions(
    fit: Fit, *, low: float, high: float, scale: LossScale = NATS
) -> tuple[ConditionCurve, ...]:
    """A curve for every pair of stops but (none, none), from `low` to `high` FLOPs.

    Empty where no law answers.
    """
    if fit.asked != "parametric" or fit.law is None or fit.covered is None or not fit.approaches:
        return ()
    family, letters = read_law(fit.law.family, fit.law.params)
    ends = Problem(law=family, coefficients=np.tile(letters, (3, 1)), cost=fit.cost)
    budgets = np.array([low, fit.covered.flops[1], high])
    tokens = budgets / fit.cost.flops_per_token(find_best_params(ends, budgets))
    served = [0.0, *list_stops(tokens[0], _SERVED_BEYOND * tokens[1])]
    unique = [*list_stops(tokens[0], tokens[2]), _FRESH]
    pairs = [(t, u) for t in served for u in unique if (t, u) != (0.0, _FRESH)]
    shares = SERVING_SHARE * fit.cost.flops_per_token(find_best_params(ends, budgets))[2]
    # ln of what training and service cost together, curve by curve.
    starts = np.full(len(pairs), math.log(low))
    stops = np.log([high + t * shares for t, _ in pairs])
    at = np.linspace(starts, stops, _FIRST).ravel()
    which = np.tile(np.arange(len(pairs)), _FIRST)
    conditions = np.array(pairs)

    def answer(log_total: FloatArray, which: np.ndarray[Any, Any]) -> FloatArray:
        t, u = conditions[which].T
        problem = Problem(
            law=family,
            coefficients=np.tile(letters, (which.size, 1)),
            cost=fit.cost,
            served=t,
            unique=u,
            worth=np.full(which.size, PUBLISHED_WORTH),
        )
        params = find_best_params(problem, np.exp(log_total))
        per_token = fit.cost.flops_per_token(params)
        tokens = np.exp(log_total) / per_token - SERVING_SHARE * t
        loss = scale.to(problem.find_loss(params, tokens))
        return np.log([tokens * per_token, params, tokens, loss])

    points = answer(at, which)
    order = np.lexsort((at, which))
    at, which, points = at[order], which[order], points[:, order]
    fresh = np.ones(at.size - 1, dtype=bool)
    while True:
        left = np.flatnonzero(fresh & (which[1:] == which[:-1]) & _is_asked(points, low, high))
        left = left[at[left + 1] - at[left] > 2 * _LEAST_GAP]
        if left.size == 0:
            break
        middle = (at[left] + at[left + 1]) / 2.0
        truth = answer(middle, which[left])
        share = (truth[0] - points[0, left]) / (points[0, left + 1] - points[0, left])
        between = points[1:, left] + share * (points[1:, left + 1] - points[1:, left])
        missed = np.abs(truth[1:] - between).max(axis=0) > ACCURACY
        places = left + np.arange(left.size) + 1
        at = np.insert(at, left + 1, middle)
        which = np.insert(which, left + 1, which[left])
        points = np.insert(points, left + 1, truth, axis=1)
        fresh = np.zeros(at.size - 1, dtype=bool)
        fresh[places - 1] = fresh[places] = missed
    return tuple(
        _cut(np.exp(points[:, which == index]), t, u, low, high)
        for index, (t, u) in enumerate(pairs)
    )


def list_stops(low: float, high: float) -> list[float]:
    """1 and 3 times powers of ten from low to high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{m}e{power}") for power in powers for m in (1, 3)]
    return [one for one in every if low <= one <= high]


def _is_asked(points: FloatArray, low: float, high: float) -> np.ndarray[Any, Any]:
    """Which gaps between neighbours hold a budget that can be asked for."""
    found: np.ndarray[Any, Any] = (points[0, 1:] > math.log(low)) & (
        points[0, :-1] < math.log(high)
    )
    return found


def _cut(
    points: FloatArray, served: float, unique: float, low: float, high: float
) -> ConditionCurve:
    """The part from low to high, with one point beyond each end, of at most MAX_EPOCHS."""
    flops, _, tokens, _ = points
    kept = np.flatnonzero((flops >= low) & (flops <= high) & (tokens <= MAX_EPOCHS * unique))
    if kept.size:  # up to the first budget that repeats too often: beyond, N* may jump back
        last = kept[np.argmax(np.append(np.diff(kept) > 1, True))]
        kept = np.arange(max(0, kept[0] - 1), min(flops.size, last + 2))
    flops, params, tokens, loss = points[:, kept]
    return ConditionCurve(
        served=served,
        unique=None if unique == _FRESH else unique,
        flops=flops,
        params=params,
        tokens=tokens,
        loss=loss,
    )

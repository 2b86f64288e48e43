"""Data for the page's calculator: the law that answers, its draws, and the data's range.

solver.js asks the law the same questions as `scaling allocate`, with the same bootstrap draws: it
implements one form of law (`JOINED` of laws/family.py) and the searches of allocation/, without
constants of its own. Parameters are rounded so that three digits of every answer and interval stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.allocation import Allocation, allocate
from scaling.allocation.asked_fit import get_law
from scaling.allocation.composite import MAX_EPOCHS
from scaling.allocation.distance import count_decades
from scaling.allocation.optimum import answer_by_law
from scaling.allocation.problem import OTHER_WORTHS, PUBLISHED_WORTH, SERVING_SHARE
from scaling.allocation.uncertainty import SHARE, draw_loss_drift, draw_params_drift
from scaling.fitting.fitted import MAX_DECADES, Fit
from scaling.laws.ensemble import Ensemble
from scaling.laws.family import Law
from scaling.laws.frontier import find_frontier
from scaling.report.answers import Marker, mark_distance
from scaling.sweep.counting import FLOPS_PER_PARAM_TOKEN
from scaling.units import FloatArray, format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.plain import format_interval, format_loss

# Significant digits; exponents are multiplied by ln D, up to 35.
_POINT, _DRAW, _DRIFT, _END = 10, 7, 4, 4
_BELOW = 0.5  # budgets and sliders begin this many decades below the data
# The slider of served tokens ends at this many times the largest run's tokens.
_SERVED_BEYOND = 300.0

Parts = list[list[float]]


def describe_calculator(
    fit: Fit, allocations: tuple[Allocation, ...], command: str, scale: LossScale = NATS
) -> dict[str, Any] | None:
    """The data for solver.js and calculator.js; None without an answer, or if the law that answers
    has another form than theirs.

    Args:
        fit: The report's fit.
        allocations: Its answers; the calculator begins at the first.
        command: Command line for the same question, without the conditions.
        scale: The unit of losses.
    """
    fit = fit.answering
    found = _find_span(fit, allocations)
    if found is None or fit.covered is None or fit.asked != "parametric":
        return None
    law = _list_law(fit)
    if law is None:
        return None
    covered, known = fit.covered, found[0]
    knots = fit.cost.log_params
    return {
        **law,
        "cost": {
            "ends": [knots[0], knots[-1]] if knots else [0.0, 0.0],
            "kappa": round_to(fit.cost.log_kappa or (math.log(FLOPS_PER_PARAM_TOKEN),), _POINT),
        },
        "covered": {
            "C": list(known),
            "N": list(covered.params),
            "D": list(covered.tokens),
            "D/N": covered.ratio and list(covered.ratio),
        },
        "share": SERVING_SHARE,
        "worths": [PUBLISHED_WORTH, *OTHER_WORTHS],
        "epochs": MAX_EPOCHS,
        "decades": MAX_DECADES,
        "level": fit.level,
        "unit": scale.label,
        "factor": scale.factor,
        "command": command,
        "fields": _list_fields(fit, allocations[0], found, scale),
    }


def _list_law(fit: Fit) -> dict[str, Any] | None:
    """The law and each draw as parts: a weight and the parameters of JOINED."""
    law, letters = get_law(fit)
    point = _list_parts(law, letters[None], _POINT)
    if point is None:
        return None
    draws = _list_parts(law, np.array(fit.draws), _DRAW) if fit.draws else []
    count = len(fit.draws)
    # At one decade; it grows with the square root of the decades (allocation/uncertainty.py).
    drift = {
        "loss": np.log(draw_loss_drift(fit, count, 1.0)),
        "params": np.log(draw_params_drift(fit, count, 1.0)),
    }
    return {
        "law": point[0],
        "draws": draws,
        "drift": {name: round_to(each, _DRIFT) for name, each in drift.items()},
        **_list_picks(law, letters, fit),
    }


def _list_picks(law: Law, letters: FloatArray, fit: Fit) -> dict[str, Any]:
    """Which part of the law each draw has, and how far its loss moves towards the law's own."""
    if not isinstance(law, Ensemble) or not fit.draws:
        return {}
    members = len(law.members)
    part = np.cumsum(letters[-members:] > 0.0) - 1
    picks = part[law.find_members(np.array(fit.draws))]
    return {"picks": picks.tolist(), "pull": 1.0 - SHARE}


def _list_parts(law: Law, letters: FloatArray, digits: int) -> list[Parts] | None:
    """Turn rows of parameters into [weight, parameters of JOINED] of every member with a weight."""
    if not isinstance(law, Ensemble):
        joined = law.join_powers(letters)
        return None if joined is None else [[_list_part(1.0, row, digits)] for row in joined]
    rows: list[Parts] = [[] for _ in letters]
    weights = letters[:, -len(law.members) :]
    for at, (member, part) in enumerate(zip(law.members, law.slices, strict=True)):
        there = np.flatnonzero(weights[:, at] > 0.0)
        joined = member.family.join_powers(letters[there, part])
        if joined is None:
            return None
        for row, own in zip(there.tolist(), joined, strict=True):
            rows[row].append(_list_part(float(weights[row, at]), own, digits))
    return rows


def _list_part(weight: float, joined: FloatArray, digits: int) -> list[float]:
    """One part, without infinite parameters (R_D and R_N if nothing saturates)."""
    return round_to([weight, *joined[np.isfinite(joined)].tolist()], digits)


def _list_fields(
    fit: Fit,
    first: Allocation,
    span: tuple[tuple[float, float], float, float],
    scale: LossScale,
) -> dict[str, dict[str, float]]:
    """Ends and initial value of each slider; `served` and `unique` begin unset."""
    covered = fit.covered
    assert covered is not None  # a fit with a span has a coverage
    known, low, high = span
    reach = high / known[1]
    ends: dict[str, list[float]] = {
        "flops": [low, high, first.flops],
        "params": [covered.params[0] / 10.0**_BELOW, covered.params[1] * reach, first.params],
        "tokens": [covered.tokens[0] / 10.0**_BELOW, covered.tokens[1] * reach, first.tokens],
        "served": [covered.tokens[0], _SERVED_BEYOND * covered.tokens[1]],
        "unique": [covered.tokens[0], covered.tokens[1] * reach],
    }
    if first.loss is not None:
        law, letters = get_law(fit)
        n, d = find_frontier(law, letters, flops=np.array([high]), cost=fit.cost)
        lowest = float(law.loss(letters, n, d)[0])
        ends["loss"] = [scale.to(one) for one in (lowest, covered.loss[1], first.loss)]
    names = ("low", "high", "start")
    return {
        name: dict(zip(names, round_to(values, _END), strict=False))
        for name, values in ends.items()
    }


def list_answers(
    fit: Fit, allocations: tuple[Allocation, ...], scale: LossScale = NATS
) -> list[tuple[tuple[str, ...], Marker]]:
    """Rows (budget, N*, D*, D*/N*, loss) with intervals, and their distance, at two budgets per
    decade, for readers without scripts; losses in a unit."""
    fit = fit.answering
    found = _find_span(fit, allocations)
    if found is None:
        return []
    known, _, high = found
    shown = [_find_range(fit, one, known) for one in list_stops(known[0], high)]
    return [
        (
            (
                format_flops(one.flops),
                _join(format_count(one.params), format_interval(one.params_interval, format_count)),
                _join(format_count(one.tokens), format_interval(one.tokens_interval, format_count)),
                format_count(one.tokens_per_param),
                _join(
                    format_loss(scale.to_or_none(one.loss)),
                    format_interval(
                        one.loss_interval and one.loss_interval.rewrite(scale), format_loss
                    ),
                ),
            ),
            _mark_row(one, fit, known),
        )
        for one in shown
    ]


def _mark_row(one: Allocation, fit: Fit, known: tuple[float, float]) -> Marker:
    """Marker of a row's distance beyond the data, short enough for a cell."""
    tone = mark_distance(one, fit).tone
    if not one.extrapolation_decades:
        return Marker(tone, "inside")
    largest = one.flops > known[1]
    times = one.flops / known[1] if largest else known[0] / one.flops
    return Marker(tone, f"{times:.3g}× {'above' if largest else 'below'}")


def list_stops(low: float, high: float) -> list[float]:
    """1 and 3 times powers of ten from low to high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{m}e{power}") for power in powers for m in (1, 3)]
    return [one for one in every if low <= one <= high]


def _join(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _find_span(
    fit: Fit, allocations: tuple[Allocation, ...]
) -> tuple[tuple[float, float], float, float] | None:
    """Budgets [FLOP] that the data cover, and the lowest and highest that are answered; None if
    there is no answer at all."""
    frontier = fit.frontier
    if not allocations or frontier is None or fit.covered is None:
        return None
    known = fit.covered.flops if fit.asked == "parametric" else frontier.range
    asked = [one.flops for one in allocations]
    low = min([known[0] * 10.0**-_BELOW, *asked])
    return known, low, max([known[1] * 10.0**MAX_DECADES, *asked])


def _find_range(fit: Fit, flops: float, known: tuple[float, float]) -> Allocation:
    """The answer to a budget with its intervals."""
    if fit.asked == "parametric":
        return answer_by_law(
            fit, get_law(fit), flops, count_decades(flops, known), with_basin=False
        )
    return allocate(fit, flops, far=True)


def round_to(values: FloatArray | Sequence[float], digits: int) -> list[float]:
    """Round to significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values).tolist()]

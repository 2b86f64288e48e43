"""The table of answers behind the page's calculator.

page.js interpolates linearly in logarithms between neighbouring budgets; nothing else of the law is
known to it. Nodes are placed where that needs them: every gap is halved until the answer in its
middle is met to ACCURACY, so that three digits agree with `scaling allocate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.allocation import Allocation, allocate
from scaling.allocation.asked_fit import get_law
from scaling.allocation.distance import count_decades
from scaling.allocation.optimum import answer_by_law
from scaling.allocation.problem import SERVING_SHARE
from scaling.fitting.fitted import Fit
from scaling.laws.frontier import find_frontier
from scaling.laws.registry import read_law
from scaling.report.sliders import ConditionCurve, list_stops, trace_conditions
from scaling.units import FloatArray, format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.plain import format_interval, format_loss

# Relative; half a unit of the third digit is 5e-4 to 5e-3.
ACCURACY = 4e-4

_FIRST = 49  # nodes before any gap is halved
_LEAST_GAP = 2e-3  # in ln C: where N* jumps from one dip of the ladder's cost to another
_RANGES = 97  # intervals are smoother than answers, and cost a thousand refits each
_DIGITS = 6
# Decades below and above the data; further, `allocate` refuses without --far.
_BELOW, _ABOVE = 0.5, 3.0 - 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTable:
    """Answers over a range of budgets.

    Attributes:
        flops: Budgets [FLOP], ascending, shape (k,).
        params, tokens, loss: N*, D*, loss [in `scale`] at each; loss is None where the approach
            does not know it everywhere.
        ranges: Answers with their intervals over the same budgets; empty without a bootstrap.
        covered: Budgets of the data behind the answers [FLOP].
        level: Probability of each interval.
        curves: Answers under service and repeated text; empty where the approach knows neither.
        scale: The unit of losses.
    """

    flops: FloatArray
    params: FloatArray
    tokens: FloatArray
    loss: FloatArray | None
    ranges: tuple[Allocation, ...]
    covered: tuple[float, float]
    level: float
    curves: tuple[ConditionCurve, ...]
    scale: LossScale = NATS

    def describe_budgets(self) -> dict[str, float]:
        """Lowest and highest budget, and the one to start from [FLOP], to three digits inwards."""
        low, high = (float(f"{end:.3g}") for end in (self.flops[0], self.flops[-1]))
        return {
            "low": low if low >= self.flops[0] else float(f"{1.006 * low:.3g}"),
            "high": high if high <= self.flops[-1] else float(f"{high / 1.006:.3g}"),
        }

    def to_json(self, command: str) -> dict[str, Any]:
        """What page.js reads; `command` asks the same on a command line but for the budget."""
        best = {"flops": self.flops, "params": self.params, "tokens": self.tokens}
        if self.loss is not None:
            best["loss"] = self.loss
        ranges: dict[str, Any] = {}
        if self.ranges:
            ranges["flops"] = _round([one.flops for one in self.ranges])
            for name in ("params", "tokens", "loss"):
                ends = [getattr(one, f"{name}_interval") for one in self.ranges]
                if name == "loss":
                    ends = [end and end.rewrite(self.scale) for end in ends]
                if all(end is not None and end.low > 0 and np.isfinite(end.high) for end in ends):
                    ranges[name] = [_round([e.low for e in ends]), _round([e.high for e in ends])]
        return {
            "best": {name: _round(values) for name, values in best.items()},
            "ranges": ranges or None,
            "covered": list(self.covered),
            "unit": self.scale.label,
            "command": command,
            "conditions": self._list_conditions(),
        }

    def _list_conditions(self) -> dict[str, Any] | None:
        """Stops of the sliders, and the curve of each pair of them: by served, then by unique."""
        if not self.curves:
            return None
        found = {(one.served, one.unique): one.to_json() for one in self.curves}
        served = sorted({one.served for one in self.curves})
        unique = sorted({one.unique for one in self.curves if one.unique is not None})
        return {
            "served": served,
            "unique": [*unique, None],
            "share": SERVING_SHARE,
            "curves": [[found.get((t, u)) for u in (*unique, None)] for t in served],
        }


def tabulate_answers(
    fit: Fit, allocations: tuple[Allocation, ...], scale: LossScale = NATS
) -> AnswerTable | None:
    """Answers from half a decade below the data to three above, losses in a unit (page.js
    interpolates in it); None where none can be had, or where the report has no answer."""
    fit = fit.answering
    found = _find_span(fit, allocations)
    if found is None:
        return None
    known, low, high = found
    nodes, answers = _place_nodes(fit, np.log(low), np.log(high), scale)
    columns = np.exp(answers)
    ranges: tuple[Allocation, ...] = ()
    if allocations[0].params_interval is not None:
        budgets = np.geomspace(low, high, _RANGES)
        ranges = tuple(_find_range(fit, float(one), known) for one in budgets)
    return AnswerTable(
        flops=np.exp(nodes),
        params=columns[0],
        tokens=columns[1],
        loss=columns[2] if np.isfinite(columns[2]).all() else None,
        ranges=ranges,
        covered=known,
        level=fit.level,
        curves=trace_conditions(fit, low=float(low), high=float(high), scale=scale),
        scale=scale,
    )


def _find_span(
    fit: Fit, allocations: tuple[Allocation, ...]
) -> tuple[tuple[float, float], float, float] | None:
    """Budgets [FLOP] that the data cover, and the lowest and highest that are answered; None where
    there is no answer at all."""
    frontier = fit.frontier
    if not allocations or frontier is None or fit.covered is None:
        return None
    known = fit.covered.flops if fit.asked == "parametric" else frontier.range
    asked = [one.flops for one in allocations]
    low = min([known[0] * 10.0**-_BELOW, *asked])
    return known, low, max([known[1] * 10.0**_ABOVE, *asked])


def list_answers(
    fit: Fit, allocations: tuple[Allocation, ...], scale: LossScale = NATS
) -> list[tuple[str, str, str, str, str]]:
    """(budget, N*, D*, D*/N*, loss), with intervals, of two budgets a decade, for readers without
    scripts; `fit` and `allocations` as for `tabulate_answers`, losses in a unit."""
    fit = fit.answering
    found = _find_span(fit, allocations)
    if found is None:
        return []
    known, _, high = found
    shown = [_find_range(fit, one, known) for one in list_stops(known[0], high)]
    return [
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
        )
        for one in shown
    ]


def _join(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _place_nodes(
    fit: Fit, low: float, high: float, scale: LossScale
) -> tuple[FloatArray, FloatArray]:
    """ln C, shape (k,), and (ln N*, ln D*, ln loss) there, shape (3, k)."""
    nodes = np.linspace(low, high, _FIRST)
    answers = _answer(fit, nodes, scale)
    halved = np.ones(nodes.size - 1, dtype=bool)
    while halved.any():
        left = np.flatnonzero(halved)
        middles = (nodes[left] + nodes[left + 1]) / 2.0
        truth = _answer(fit, middles, scale)
        between = (answers[:, left] + answers[:, left + 1]) / 2.0
        missed = np.nan_to_num(np.abs(truth - between)).max(axis=0) > ACCURACY
        again = missed & (nodes[left + 1] - nodes[left] > 2 * _LEAST_GAP)
        nodes = np.insert(nodes, left + 1, middles)
        answers = np.insert(answers, left + 1, truth, axis=1)
        places = left + np.arange(left.size)  # of the left halves after inserting
        halved = np.zeros(nodes.size - 1, dtype=bool)
        halved[places] = halved[places + 1] = again
    return nodes, answers


def _find_range(fit: Fit, flops: float, known: tuple[float, float]) -> Allocation:
    """The answer to a budget for its intervals' sake."""
    if fit.asked == "parametric":
        return answer_by_law(
            fit, get_law(fit), flops, count_decades(flops, known), with_basin=False
        )
    return allocate(fit, flops, far=True)


def _answer(fit: Fit, log_flops: FloatArray, scale: LossScale) -> FloatArray:
    """(ln N*, ln D*, ln of the loss as it is written) of many budgets at once, as `allocate` finds
    each; NaN: no loss."""
    frontier = fit.frontier
    assert frontier is not None
    if fit.asked == "parametric" and fit.law is not None:
        family, letters = read_law(fit.law.family, fit.law.params)
        params, tokens = find_frontier(family, letters, flops=np.exp(log_flops), cost=fit.cost)
        return np.log([params, tokens, scale.to(family.loss(letters, params, tokens))])
    log_n = math.log(frontier.k_n) + frontier.a * log_flops
    log_d = math.log(frontier.k_d) + frontier.b * log_flops
    return np.stack((log_n, log_d, np.full(log_flops.size, np.nan)))


def _round(values: FloatArray | list[float]) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in np.asarray(values).tolist()]

"""Criteria of whether a metric supports a law: those of abilities, with noise in place of chance.

    monotone    as for abilities, for B − metric or metric falling
    span        means of cells differ by at least twice the noise of a run; of a share with a bound
                the criterion is that of abilities, by chance
    unimodal    seeds do not gather at both ends; of a share with a bound a size needs six seeds, as
                for abilities, of anything else two outcomes refuse only where they are seen
    identified  the interval of every exponent ends inside the range that is searched
    fits        the checks lack_of_fit and residual_trend of the law do not fail
    held_out    the largest runs, forecast from the others, are missed by at most a tenth of the
                range; of a metric without a bound in logarithms, as the law is fitted

Source: as for `abilities.predictability`; the criteria are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from scaling.fitting.abilities.predictability import (
    FEWEST_SEEDS,
    MAX_ALARM,
    MAX_CHANCE,
    MOST_ERROR,
    Criterion,
    count_ends,
    find_chance_of_ends,
    judge_modes,
    judge_rise,
    judge_span,
)
from scaling.fitting.abilities.scores import Cells, sort_cells
from scaling.fitting.checks.residuals import check_lack_of_fit, check_trend
from scaling.fitting.fitted import Interval
from scaling.fitting.parametric import ParametricFit
from scaling.laws.power_sum import MAX_EXPONENT, MIN_EXPONENT
from scaling.tables.metrics import Metric
from scaling.tables.run_table import RunTable, select_rows

# A rise of less than twice the noise of one run has no shape that a law could describe.
LEAST_OVER_NOISE = 2.0
# Exponents are searched from .01 to 3; an interval that ends within a hundredth of either is cut.
_EDGE = 1.01


def find_value_problem(metric: Metric, higher: bool, bound: float | None) -> str:
    """Say why no law can be of a metric's values; empty if one can."""
    values = metric.values[np.isfinite(metric.values)]
    if metric.higher_is_better is None and not higher:
        return "which of two values is better is not known: say --higher-is-better, or register it"
    if not metric.higher_is_better and not higher:
        off = int((values <= 0).sum())
        return f"{off} of {values.size} values are not above 0, and a law is of ln {metric.name}" \
            if off else ""  # fmt: skip
    top = metric.bound if bound is None else bound
    if top is None:
        return "higher is better and no bound is known, so there is no distance to it that falls"
    off = int((values >= top).sum())
    if off:
        return (
            f"{off} of {values.size} values reach the bound {top:g}, and a law is of "
            f"ln({top:g} − {metric.name})"
        )
    return ""


def find_two_outcomes(table: RunTable, metric: Metric, chance: float) -> str:
    """Say which seeds of a share with a bound lie at both ends, of values that no law can be of;
    empty if none do."""
    stated = np.flatnonzero(np.isfinite(metric.values))
    if metric.bound is None or not stated.size:
        return ""
    pairs, cell = sort_cells(select_rows(table, stated))
    cells = Cells(
        score=metric.values[stated], chance=chance, ceiling=metric.bound, cell=cell,
        params=pairs[:, 0], tokens=pairs[:, 1],
    )  # fmt: skip
    modes = judge_modes(cells)
    return f"seeds: {modes.seen}" if modes.passed is False else ""


def make_cells(table: RunTable, *, chance: float) -> Cells:
    """The runs of a metric in place of the loss, higher better: of a share with a bound itself from
    chance to the bound, else its negative from its worst to its best value."""
    facts = table.metric_facts
    bound = None if facts is None else facts.bound
    pairs, cell = sort_cells(table)
    score = -table.loss if bound is None else bound - table.loss
    low, high = (float(score.min()), float(score.max())) if bound is None else (chance, bound)
    return Cells(
        score=score, chance=low, ceiling=high, cell=cell, params=pairs[:, 0], tokens=pairs[:, 1]
    )


def judge_runs(table: RunTable, cells: Cells) -> tuple[Criterion, ...]:
    """The criteria monotone, span and unimodal; monotone alone if every run has the same value."""
    rise = judge_rise(cells)
    if np.ptp(cells.score) == 0.0:
        return (dataclasses.replace(rise, passed=False, seen="every run has the same value"),)
    if rise.value is not None and rise.value > 1.0 - MAX_CHANCE:
        rise = dataclasses.replace(rise, seen=f"it gets worse with size ({rise.seen})")
    facts = table.metric_facts
    if facts is not None and facts.bound is not None:
        return rise, judge_span(cells), judge_modes(cells)
    return rise, _judge_noise(table, cells), _judge_seen_modes(cells)


def judge_identified(
    fit: ParametricFit, intervals: Mapping[str, Interval], letters: Sequence[str]
) -> Criterion:
    """The criterion identified, by the intervals of the exponents."""
    cut = [
        f"{name} {intervals[name].low:.3g} to {intervals[name].high:.3g}"
        for name in letters
        if intervals[name].low <= MIN_EXPONENT * _EDGE
        or intervals[name].high >= MAX_EXPONENT / _EDGE
    ]
    seen = "the interval of every exponent ends inside the range that is searched"
    if cut:
        seen = f"the runs do not determine {' and '.join(cut)}"
    if fit.vanished:
        seen = "a term of the law vanishes"
    if not fit.converged:
        seen = "the optimum is not proven"
    return Criterion(
        code="identified",
        passed=fit.converged and not fit.vanished and not cut,
        value=float(len(cut)),
        limit=0.0,
        seen=seen,
        reason=f"exponents are searched from {MIN_EXPONENT:g} to {MAX_EXPONENT:g}",
    )


def judge_fit(table: RunTable, fit: ParametricFit) -> Criterion:
    """The criterion fits, by two of the checks that `scaling fit` prints."""
    checks = (check_lack_of_fit(table, fit), check_trend(table, fit))
    failed = [one for one in checks if one.passed is False]
    seen = failed[0].seen.partition(" (threshold")[0].rstrip(".") if failed else ""
    return Criterion(
        code="fits",
        passed=not failed,
        value=float(len(failed)),
        limit=0.0,
        seen=f"{seen[:1].lower()}{seen[1:]}" or "neither lack of fit nor a trend is seen",
        reason="a law that its own runs leave forecasts no others",
    )


def judge_forecast(error: float | None, seen: str) -> Criterion:
    """The criterion held_out, by the mean |error| as a share of the range; None: no forecast."""
    return Criterion(
        code="held_out",
        passed=None if error is None else error <= MOST_ERROR,
        value=error,
        limit=MOST_ERROR,
        seen=seen,
        reason="a tenth of the range, as for abilities",
    )


def _judge_noise(table: RunTable, cells: Cells) -> Criterion:
    means = cells.average(cells.score)
    span = float(np.ptp(means))
    noise, source = _estimate_noise(table, cells)
    reason = "less than twice the noise of a run has no shape that a law could describe"
    if noise is None:
        return Criterion(
            code="span", passed=None, value=None, limit=LEAST_OVER_NOISE, reason=reason,
            seen="noise is not known: one seed, and no standard errors",
        )  # fmt: skip
    ratio = span / noise if noise > 0.0 else math.inf
    return Criterion(
        code="span",
        passed=ratio >= LEAST_OVER_NOISE,
        value=ratio,
        limit=LEAST_OVER_NOISE,
        seen=f"means of cells span {span:.3g}, {source} {noise:.2g}",
        reason=reason,
    )


def _estimate_noise(table: RunTable, cells: Cells) -> tuple[float | None, str]:
    """Standard deviation of a run's value: between seeds, or of its evaluation if that is more."""
    found: list[tuple[float, str]] = []
    count, mean = cells.count(), cells.average(cells.score)
    freedom = int((count - 1).sum())
    if freedom > 0:
        rest = cells.score - mean[cells.cell]
        found.append((math.sqrt(float(rest @ rest) / freedom), "seeds scatter by"))
    if table.loss_se is not None and np.isfinite(table.loss_se).any():
        found.append((math.sqrt(float(np.nanmean(table.loss_se**2))), "values are known to"))
    return max(found, default=(None, ""), key=lambda one: one[0] or 0.0)


def _judge_seen_modes(cells: Cells) -> Criterion:
    """Two outcomes of seeds, where they are seen."""
    ends, fewest = count_ends(cells), int(cells.count().min())
    chance = find_chance_of_ends(ends.rarer, ends.middle)
    split = cells.size[ends.rarer > 0]
    seen = f"seeds of {split.size} sizes lie at both ends" if split.size else "no two outcomes"
    few = f"; {fewest} seed{'s' if fewest != 1 else ''} a size would hardly show them"
    return Criterion(
        code="unimodal",
        passed=chance >= MAX_ALARM,
        value=chance,
        limit=MAX_ALARM,
        seen=f"{seen} (p = {chance:.2g}{few if fewest < FEWEST_SEEDS else ''})",
        reason="of a quantity without a bound, two outcomes refuse only where they are seen",
    )

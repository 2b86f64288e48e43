"""Bias amplification across model sizes: the part that is arithmetic, and the part that is not.

    predictor that knows only the group    argmax answers add 1 − S, sampled answers 0
    predictor that knows every person      both add 0; atypical people are answered correctly

The lag is the ratio of two numbers of exposures: those from which most atypical people are answered
correctly, and those from which most typical people are. A model that knows no individual takes
everyone for typical, so the lag measures what must be learnt about individuals. Exposures are
interpolated in their logarithm; the interval of a lag is Student's t over runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.contract import to_contract
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.names import AbilityNames
from scaling.fitting.abilities.scores import gather_scores
from scaling.fitting.abilities.success import SuccessLaw, fit_success
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_mean_interval
from scaling.tables.metrics import Metric
from scaling.tables.run_table import RunTable

LEVEL = 0.9
HALF = 0.5  # share answered wrongly
NAMES = ("argmax", "argmax_group", "sampled", "counter_error", "typical_error")

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedRun:
    """The measured values of one run.

    Attributes:
        params, tokens: N and D.
        values, errors: Values and standard errors by the probe's name without `bias_`; probes
            without a value are missing.
        skews: (skew, amplification by argmax answers).
        counter, typical: (exposures, error) of atypical and of typical people.
    """

    params: float
    tokens: float
    values: Mapping[str, float]
    errors: Mapping[str, float]
    skews: Curve
    counter: Curve
    typical: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How many times the exposures of typical people atypical people need.

    Attributes:
        runs: Number of runs whose error for atypical people falls below one half.
        counter, typical: Exposures at which the errors of atypical and of typical people fall below
            one half, geometric means over runs.
        ratio: Geometric mean of counter / typical.
        interval: Interval of the ratio; None for a single run.
        at_least: Whether the error of typical people is below one half at the fewest exposures
            measured, so that `typical` is an upper bound and `ratio` a lower bound.
    """

    runs: int
    counter: float
    typical: float
    ratio: float
    interval: Interval | None
    at_least: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedCell:
    """Means over the runs of one N and D; None if no run has a value.

    Attributes:
        params, tokens, runs: N, D, and number of runs.
        values: By name (see `BiasedRun`).
        skews: (skew, amplification by argmax answers).
        lag: None if no run answers most atypical people correctly at any number of exposures.
    """

    params: float
    tokens: float
    runs: int
    values: Mapping[str, float | None]
    skews: Curve
    lag: Lag | None

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            **{name: self.values.get(name) for name in NAMES},
            "skews": [{"skew": skew, "argmax": added} for skew, added in self.skews],
            "lag": to_contract(self.lag),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """All findings about a sweep on biased people.

    Attributes:
        cells: Ascending in D, then N.
        counter, typical: P(a run answers most such people correctly); None without the probe.
    """

    cells: tuple[BiasedCell, ...]
    counter: SuccessLaw | None
    typical: SuccessLaw | None

    def to_contract(self, source: str) -> dict[str, Any]:
        """Return the JSON of `scaling bias`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "level": LEVEL,
            "cells": to_contract(self.cells),
            "counter": to_contract(self.counter),
            "typical": to_contract(self.typical),
        }


def judge_bias(runs: Sequence[BiasedRun], table: RunTable) -> Bias:
    """Analyse the runs of a sweep on biased people.

    Args:
        runs: Finished runs, at least one.
        table: The table of the same runs, with their metrics.
    """
    cells = []
    for tokens, params in sorted({(one.tokens, one.params) for one in runs}):
        own = [one for one in runs if (one.tokens, one.params) == (tokens, params)]
        cells.append(
            BiasedCell(
                params=params,
                tokens=tokens,
                runs=len(own),
                values={name: _average(own, name) for name in NAMES},
                skews=_average_skews(own),
                lag=find_lag(own),
            )
        )
    return Bias(
        cells=tuple(cells),
        counter=_fit_half(table, "bias_counter_error"),
        typical=_fit_half(table, "bias_typical_error"),
    )


def find_lag(runs: Sequence[BiasedRun], *, level: float = LEVEL) -> Lag | None:
    """Find the lag over runs of one N and D; None if no run's errors cross one half."""
    found = []
    for one in runs:
        counter, typical = find_half(one.counter), find_half(one.typical)
        if counter is not None and typical is not None and one.counter[0][1] > HALF:
            found.append((math.log(counter), math.log(typical), one.typical[0][1] <= HALF))
    if not found:
        return None
    counters, typicals = (np.array([row[at] for row in found]) for at in (0, 1))
    ratio = counters - typicals
    spread = find_mean_interval(ratio, level)
    interval = None
    if spread is not None:
        interval = Interval(low=math.exp(spread.low), high=math.exp(spread.high), level=level)
    return Lag(
        runs=len(found),
        counter=math.exp(float(counters.mean())),
        typical=math.exp(float(typicals.mean())),
        ratio=math.exp(float(ratio.mean())),
        interval=interval,
        at_least=any(row[2] for row in found),
    )


def find_half(curve: Curve) -> float | None:
    """Exposures from which errors stay at or below one half.

    The fewest measured if they always do, None if the error at the most exposures is above.
    """
    if not curve or curve[-1][1] > HALF:
        return None
    above = [at for at, (_, error) in enumerate(curve) if error > HALF]
    if not above:
        return curve[0][0]
    (x, y), (next_x, next_y) = curve[above[-1]], curve[above[-1] + 1]
    share = (y - HALF) / (y - next_y)
    return math.exp(math.log(x) + share * (math.log(next_x) - math.log(x)))


def _fit_half(table: RunTable, name: str) -> SuccessLaw | None:
    """Fit P(error ≤ ½) over runs."""
    errors = next((one for one in table.metrics if one.name == name), None)
    if errors is None or not np.isfinite(errors.values).any():
        return None
    right = Metric(name=name, values=1.0 - errors.values, higher_is_better=True, bound=1.0)
    scores = gather_scores(
        dataclasses.replace(table, metrics=(right,)), AbilityNames(name), threshold=HALF
    )
    return fit_success(scores, level=LEVEL)


def _average(runs: Sequence[BiasedRun], name: str) -> float | None:
    found = [one.values[name] for one in runs if name in one.values]
    return float(np.mean(found)) if found else None


def _average_skews(runs: Sequence[BiasedRun]) -> Curve:
    by: dict[float, list[float]] = {}
    for one in runs:
        for skew, added in one.skews:
            by.setdefault(skew, []).append(added)
    return tuple((skew, float(np.mean(by[skew]))) for skew in sorted(by))

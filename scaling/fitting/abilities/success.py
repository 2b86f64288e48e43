"""Probability that a run succeeds: a logistic over seeds in ln N, and in ln D if that varies.

    P(success) = 1 / (1 + e^{−η}),   η = k · [ ln (N / N½) + t · ln (D / D₀) ]

A run succeeds if its sharp score reaches a threshold. Maximum likelihood with binomial counts of
seeds; intervals of N½ and k are those of their profile likelihoods,

    { N½ : 2 (ℓ_max − ℓ_profile(N½)) ≤ χ²₁ },   k ≥ 0,

an end is infinite if the profile does not fall that far. If at most one size has both outcomes, the
slope has no upper end ("at least"), and N½ lies anywhere in the gap between failures and successes:
its middle is reported, and the interval covers the gap. χ² does not apply then: the likelihood
relative to a step is the chance of outcomes this tidy, and the ends are where it is (1 − level)/2
(with χ² the slope's bound held in 69 % of simulated sweeps at a nominal 90 %). Seeds count as
independent.

Source: Zhao et al. 2025, arXiv:2502.17356, who find that scale moves P(success) if outcomes over
seeds are bimodal; Venzon and Moolgavkar 1988, Applied Statistics 37:87, profile intervals; Albert
and Anderson 1984, Biometrika 71:1, separation; Clopper and Pearson 1934, Biometrika 26:404, the
interval of one size's share.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import betaincinv, chdtrc, chdtri

from scaling.files.contract import to_contract, write_fields
from scaling.fitting.abilities.logistic import Trials, find_end, maximise, raise_log
from scaling.fitting.abilities.scores import Scores
from scaling.fitting.fitted import Interval
from scaling.units import FloatArray

Variables = Literal["N", "D", "N and D"]

# Seeds at sizes where both outcomes occur, and at the others. At P = 1/10, 8 seeds show no success
# in 43 % of sweeps and 24 seeds in 8 %; at P = 1/2 the 90 % interval is .19 … .81 with 8 and
# .32 … .68 with 24 (Clopper and Pearson).
WANTED_SEEDS, OTHER_SEEDS = 24, 8
# A size is in transition if both outcomes occur, or if the law gives each at least this chance.
_RARE = 0.05
# Change in ln odds between neighbouring sizes above which a logistic is a step.
_STEP = 40.0
_STEEP = 1e6  # slope that stands for a step [ln odds per e-fold]
# Difference in ℓ below which a finite slope is as likely as an infinite one.
_EQUAL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCount:
    """Seeds of one cell.

    Attributes:
        params, tokens: N and D.
        runs, successes: Number of runs, and of those that succeed.
        interval: Interval of P(success) from this cell alone.
        in_transition: Whether both outcomes occur, or are likely to.
    """

    params: float
    tokens: float
    runs: int
    successes: int
    interval: Interval
    in_transition: bool

    @property
    def wanted(self) -> int:
        """Number of seeds that the cell should have."""
        return WANTED_SEEDS if self.in_transition else OTHER_SEEDS

    def to_contract(self) -> dict[str, Any]:
        return {**write_fields(self), "runs_wanted": self.wanted}


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessLaw:
    """P(success) against size.

    Attributes:
        threshold: Score from which a run succeeds.
        variables: Quantities that it depends on.
        midpoint: N½ at D₀ [parameters], or D½ [tokens] for a law of D; None if there is none.
        interval: Interval of the midpoint; an end may be infinite. None without a midpoint.
        at_tokens: D₀; None unless the law depends on both N and D.
        slope: k, ln odds per e-fold; inf if outcomes are separated. None without a midpoint.
        slope_interval: Interval of k; the upper end is infinite if outcomes are, or may be,
            separated.
        trade: t, e-folds of N that an e-fold of D is worth; None unless it depends on both.
        chance_flat: p of a success that does not depend on size (likelihood ratio).
        cells: Seeds of each cell, ascending in N, then D.
        reason: Why there is no midpoint; empty if there is.
    """

    threshold: float
    variables: Variables
    midpoint: float | None = None
    interval: Interval | None = None
    at_tokens: float | None
    slope: float | None = None
    slope_interval: Interval | None = None
    trade: float | None = None
    chance_flat: float | None = None
    cells: tuple[CellCount, ...] = ()
    reason: str = ""

    @property
    def separated(self) -> bool:
        """True if a step fits as well as any slope."""
        return self.slope == math.inf

    @property
    def enough_seeds(self) -> bool:
        """True if each cell has as many seeds as it should have."""
        return all(one.runs >= one.wanted for one in self.cells)

    @property
    def width(self) -> float | None:
        """Factor of size between P = .1 and P = .9, 81^(1/k); 1 for a step."""
        if not self.slope:
            return None
        return math.exp(min(2.0 * math.log(9.0) / self.slope, 700.0))

    def predict(self, size: FloatArray, tokens: FloatArray | None = None) -> FloatArray:
        """P(success) at N (or at D, for a law of D), at D₀ unless tokens are given; NaN without a
        midpoint."""
        if self.midpoint is None or self.slope is None:
            return np.full(np.shape(size), np.nan)
        beyond = np.log(size) - math.log(self.midpoint)
        if tokens is not None and self.at_tokens is not None and self.trade is not None:
            beyond = beyond + self.trade * np.log(tokens / self.at_tokens)
        return np.asarray(np.exp(-np.logaddexp(0.0, -min(self.slope, _STEEP) * beyond)))

    def to_contract(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "variables": self.variables,
            "midpoint": self.midpoint,
            "interval": to_contract(self.interval),
            "at_tokens": self.at_tokens,
            "slope": to_contract(self.slope),
            "slope_interval": to_contract(self.slope_interval),
            "trade": self.trade,
            "separated": self.separated,
            "width": self.width,
            "p_flat": self.chance_flat,
            "enough_seeds": self.enough_seeds,
            "cells": to_contract(self.cells),
            "reason": self.reason,
        }


def fit_success(scores: Scores, *, level: float = 0.9) -> SuccessLaw:
    """Fit P(success) to the runs of an ability, with intervals of that level."""
    count, threshold = scores.count(), scores.threshold
    success = (scores.score >= threshold).astype(np.float64)
    wins = np.bincount(scores.cell, success, minlength=count.size).astype(np.float64)
    design = _Design.of(scores)
    trials = Trials(wins, count.astype(np.float64))
    reason = _find_problem(trials, threshold, design.variables)
    fitted = None if reason else _Profile(design, trials, level)
    if fitted is not None and not fitted.rises:
        reason = f"success does not become likelier with {design.letter}"
        fitted = None
    if (
        fitted is not None
        and not 0.0 < raise_log(design.centre + fitted.find_midpoint()[0]) < math.inf
    ):
        reason = f"success follows D, and no {design.letter} that a number can hold moves it"
        fitted = None
    law = _describe(design, fitted, threshold, level)
    expected = law.predict(scores.size, scores.tokens)
    cells = _count_cells(scores, trials, expected, law.midpoint, level)
    return dataclasses.replace(law, cells=cells, reason=reason)


def find_share_interval(wins: int, count: int, level: float) -> Interval:
    """Clopper and Pearson's interval of a share."""
    tail = 0.5 * (1.0 - level)
    low = 0.0 if wins == 0 else float(betaincinv(wins, count - wins + 1, tail))
    high = 1.0 if wins == count else float(betaincinv(wins + 1, count - wins, 1.0 - tail))
    return Interval(low=low, high=high, level=level)


def _find_problem(trials: Trials, threshold: float, variables: Variables) -> str:
    total, wins = int(trials.count.sum()), int(trials.wins.sum())
    if trials.count.size < 2:
        return f"all {total} runs are of one size: nothing says where success begins"
    if wins in (0, total):
        which = "none" if wins == 0 else "each"
        side = "above" if wins == 0 else "below"
        return f"{which} of {total} runs reaches {threshold:g}: the midpoint lies {side} every size"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """ln size and ln D of each cell, centred."""

    variables: Variables
    x: FloatArray
    beside: FloatArray  # (k, 0) or (k, 1)
    centre: float
    at_tokens: float | None

    @property
    def letter(self) -> str:
        return "D" if self.variables == "D" else "N"

    @classmethod
    def of(cls, scores: Scores) -> _Design:
        log_n, log_d = np.log(scores.params), np.log(scores.tokens)
        several = np.unique(scores.params).size > 1
        varied = scores.params.size > np.unique(scores.params).size  # D varies at one N
        x = log_n if several else log_d
        centre = float(x.mean())
        beside, at = np.empty((x.size, 0)), None
        if several and varied:
            middle = float(np.unique(log_d).mean())
            beside, at = (log_d - middle)[:, None], math.exp(middle)
        name: Variables = "N and D" if at is not None else "N" if several else "D"
        return cls(variables=name, x=x - centre, beside=beside, centre=centre, at_tokens=at)


class _Profile:
    """The maximum, and the profile likelihoods of midpoint and slope, both in centred ln size.

    `is_step`: outcomes are separated (ℓ = 0), possibly except at one size.
    """

    def __init__(self, design: _Design, trials: Trials, level: float) -> None:
        self.x, self.beside, self.trials = design.x, design.beside, trials
        ones = np.ones((self.x.size, 1))
        self.flat_design = np.concatenate((ones, self.beside), axis=1)
        whole = np.concatenate((self.x[:, None], self.flat_design), axis=1)
        beta, self.best = maximise(whole, trials)
        self.slope, self.rest = float(beta[0]), beta[1:]
        _, self.flat = maximise(self.flat_design, trials)
        self.rises = self.slope > 0.0 and self.best - self.flat > _EQUAL
        self.chance = float(chdtrc(1.0, 2.0 * max(0.0, self.best - self.flat)))
        self.steepest = _STEP / float(np.diff(np.unique(self.x)).min())
        self.is_step = self.rises and (
            self.best > -_EQUAL or self.best - self.at_slope(self.steepest) < _EQUAL
        )
        half = 0.5 * float(chdtri(1.0, 1.0 - level))
        self.cut = self.best + (math.log(0.5 * (1.0 - level)) if self.is_step else -half)

    def at_midpoint(self, middle: float) -> float:
        """ℓ at a midpoint, over slopes of at least 0."""
        design = np.concatenate(((self.x - middle)[:, None], self.beside), axis=1)
        beta, value = maximise(design, self.trials)
        return value if beta[0] >= 0.0 else self._flat_half()

    def at_slope(self, slope: float) -> float:
        """ℓ at a slope, maximised over the rest, starting from the same midpoint."""
        start = slope / self.slope * self.rest
        return maximise(self.flat_design, self.trials, slope * self.x, start)[1]

    def find_midpoint(self) -> tuple[float, float, float]:
        """(estimate, low, high); the estimate is mid-gap if outcomes are separated."""
        start = -float(self.rest[0]) / self.slope
        low, high = (self._find_end(start, side, self.cut) for side in (-1.0, 1.0))
        if self.is_step:
            ends = [self._find_end(start, side, self.best - _EQUAL) for side in (-1.0, 1.0)]
            start = 0.5 * (ends[0] + ends[1])
        return start, low, high

    def find_slope(self) -> tuple[float, float, float]:
        """(estimate, low, high), searched in ln k; infinite if a step is as likely."""
        start = math.log(min(self.slope, self.steepest))
        ends = [
            find_end(
                lambda log: self.at_slope(math.exp(log)),
                start=start,
                step=side,
                limit=self.flat if side < 0.0 else self.at_slope(self.steepest),
                cut=self.cut,
            )
            for side in (-0.5, 0.5)
        ]
        return math.inf if self.is_step else self.slope, raise_log(ends[0]), raise_log(ends[1])

    def _find_end(self, start: float, side: float, cut: float) -> float:
        """One end of the midpoint's interval. Far away a logistic is flat, and at least (to the
        left) or at most one half."""
        beta, value = maximise(self.flat_design, self.trials)
        limit = value if beta[0] * side <= 0.0 else self._flat_half()
        return find_end(self.at_midpoint, start=start, step=side * 0.25, limit=limit, cut=cut)

    def _flat_half(self) -> float:
        return maximise(self.beside, self.trials)[1]


def _describe(
    design: _Design, fitted: _Profile | None, threshold: float, level: float
) -> SuccessLaw:
    """The law without its cells."""
    nothing = SuccessLaw(
        threshold=threshold, variables=design.variables, at_tokens=design.at_tokens
    )
    if fitted is None:
        return nothing
    middle, low, high = (raise_log(design.centre + one) for one in fitted.find_midpoint())
    low = low or -math.inf  # a midpoint of 0 is an open end
    slope, least, most = fitted.find_slope()
    return dataclasses.replace(
        nothing,
        midpoint=middle,
        interval=Interval(low=low, high=high, level=level),
        slope=slope,
        slope_interval=Interval(low=least, high=most, level=level),
        trade=float(fitted.rest[1]) / fitted.slope if design.at_tokens else None,
        chance_flat=fitted.chance,
    )


def _count_cells(
    scores: Scores, trials: Trials, expected: FloatArray, midpoint: float | None, level: float
) -> tuple[CellCount, ...]:
    """The cells; if no cell has both outcomes, those on both sides of the midpoint are the
    transition."""
    wins, count = trials.wins.astype(int), trials.count.astype(int)
    mixed = (wins > 0) & (wins < count)
    near = mixed | ((expected > _RARE) & (expected < 1.0 - _RARE))
    if midpoint is not None and not near.any():
        below, above = scores.size < midpoint, scores.size >= midpoint
        near = below & (scores.size == scores.size[below].max(initial=0.0))
        near |= above & (scores.size == scores.size[above].min(initial=math.inf))
    rows = zip(scores.params, scores.tokens, count, wins, near, strict=True)
    return tuple(
        CellCount(
            params=float(n),
            tokens=float(d),
            runs=int(runs),
            successes=int(won),
            interval=find_share_interval(int(won), int(runs), level),
            in_transition=bool(flag),
        )
        for n, d, runs, won, flag in rows
    )

"""The verdict on an ability: success over seeds, onset, two steps, predictability, null model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling.files.contract import to_contract
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.names import AbilityNames
from scaling.fitting.abilities.null_model import NullComparison, compare_null, measure_progress
from scaling.fitting.abilities.onset import Onset, find_onsets
from scaling.fitting.abilities.parts import Parts, find_parts
from scaling.fitting.abilities.predictability import (
    LEAST_SPAN,
    Predictability,
    count_ends,
    judge_held_out,
    judge_sizes,
)
from scaling.fitting.abilities.scores import Axis, Scores
from scaling.fitting.abilities.success import SuccessLaw, fit_success
from scaling.fitting.abilities.two_steps import (
    DRAWS,
    TwoSteps,
    forecast_largest,
    split_sizes,
)
from scaling.sweep.probes import ProbeCurve
from scaling.units import FloatArray

Verdict = Literal["no_rise", "metric", "both", "model", "unclear"]

LEVEL = 0.9
# Share of its improvement that the smooth score makes by the last size at chance; above it, the
# smooth score moved while the sharp one stood still. One that jumps along makes a few percent.
EARLY = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCell:
    """Scores of the runs of one (N, D): means over seeds (`successful`: over those that succeed),
    and the number of runs in the lowest quarter, the middle half and the highest quarter between
    chance and ceiling."""

    params: float
    tokens: float
    runs: int
    sharp: float
    smooth: float | None
    null: float | None
    successful: float | None
    low: int
    middle: int
    high: int

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            "sharp": self.sharp,
            "smooth": self.smooth,
            "null": self.null,
            "sharp_of_successful": self.successful,
            "quarters": {"low": self.low, "middle": self.middle, "high": self.high},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """One run: N, D and its scores; a score that it does not state is None."""

    params: float
    tokens: float
    sharp: float
    smooth: float | None
    null: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """All results about an ability.

    Attributes:
        names: Names of its scores.
        unit: Unit of the smooth score.
        axis: Quantity along which sizes are held out: N, or D if all runs have one N.
        chance, ceiling: Chance level and ceiling of the sharp score.
        cells, runs: Measured scores, cells ascending in N, then D.
        success: P(success) over seeds.
        onsets: Sizes at which most seeds begin to succeed.
        two_steps: Forecasts of the two largest sizes; None if refused.
        refused: Why the forecasts are refused; empty otherwise.
        predictability: The flag and its criteria.
        null: The sharp score against p^L.
        progress: Share of the smooth score's improvement made while the sharp one is at chance.
        parts: Which part is learnt first, e.g. which digit of a sum; None: no parts are known.
    """

    names: AbilityNames
    unit: str
    axis: Axis
    chance: float
    ceiling: float
    cells: tuple[ScoredCell, ...]
    runs: tuple[ScoredRun, ...]
    success: SuccessLaw
    onsets: tuple[Onset, ...]
    two_steps: TwoSteps | None
    refused: str
    predictability: Predictability
    null: NullComparison
    progress: float | None
    parts: Parts | None

    @property
    def fitted(self) -> bool:
        """True if anything could be fitted: P(success), or both steps of a forecast."""
        return self.success.midpoint is not None or self.two_steps is not None

    @property
    def rises(self) -> bool:
        """True if the score of some size has left chance."""
        left = self.chance + LEAST_SPAN * (self.ceiling - self.chance)
        return any(one.sharp >= left for one in self.cells)

    @property
    def bimodal(self) -> bool:
        """True if the scores of seeds gather at both ends."""
        return any(
            one.code == "unimodal" and one.passed is False for one in self.predictability.criteria
        )

    @property
    def verdict(self) -> Verdict:
        """Source of the apparent emergence.

        `metric`: the sharp score equals p^L, and the smooth score improves while it is at chance.
        `both`: it equals p^L, but the smooth score jumps too. `model`: it differs from p^L.
        `unclear`: too noisy, or no null. `no_rise`: no size leaves chance.
        """
        if not self.rises:
            return "no_rise"
        if self.null.agreement in ("exceeds", "lags", "mixed"):
            return "model"
        if self.null.agreement != "agrees" or self.progress is None:
            return "unclear"
        return "metric" if self.progress >= EARLY else "both"

    def to_contract(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "sharp": self.names.sharp,
            "smooth": self.names.smooth,
            "null": self.names.null,
            "unit": self.unit or None,
            "axis": self.axis,
            "chance": self.chance,
            "ceiling": self.ceiling,
            "n": len(self.runs),
            "level": LEVEL,
            "cells": to_contract(self.cells),
            "success": to_contract(self.success),
            "onsets": to_contract(self.onsets),
            "two_steps": to_contract(self.two_steps),
            "refused": self.refused,
            "predictability": to_contract(self.predictability),
            "null_comparison": to_contract(self.null),
            "progress_at_chance": to_contract(self.progress),
            "parts": to_contract(self.parts),
            "bimodal": self.bimodal,
            "verdict": self.verdict,
        }


def judge_ability(
    scores: Scores,
    *,
    curves: Mapping[str, Mapping[str, ProbeCurve]] | None = None,
    seed: int = 0,
    count: int = DRAWS,
) -> Ability:
    """Judge an ability from the scores of its runs.

    Args:
        scores: Its runs.
        curves: Curves behind the values of probes, by probe and run.
        seed, count: Seed and number of the draws behind the intervals of forecasts.
    """
    fitted, held = split_sizes(scores)
    first = judge_sizes(scores.take_cells(fitted) if held.size else scores)
    failed = [one for one in first if one.passed is not True]
    refused = "; ".join(f"{one.code}: {one.seen}" for one in failed)
    steps: TwoSteps | None = None
    if not failed:
        steps, refused = forecast_largest(scores, level=LEVEL, seed=seed, count=count)
    last = judge_held_out(None if steps is None else steps.error, scores, "nothing was forecast")
    return Ability(
        names=scores.names,
        unit=scores.unit,
        axis=scores.axis,
        chance=scores.chance,
        ceiling=scores.ceiling,
        cells=_list_cells(scores),
        runs=_list_runs(scores),
        success=fit_success(scores, level=LEVEL),
        onsets=find_onsets(scores),
        two_steps=steps,
        refused=refused,
        predictability=Predictability((*first, last)),
        null=compare_null(scores, level=LEVEL),
        progress=measure_progress(scores),
        parts=find_parts(scores, curves or {}),
    )


def write_contract(abilities: tuple[Ability, ...], source: str, reason: str = "") -> dict[str, Any]:
    """Return the JSON of `scaling abilities`; `reason` says why there is none, or is empty."""
    return {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "reason": reason,
        "abilities": to_contract(abilities),
    }


def _list_cells(scores: Scores) -> tuple[ScoredCell, ...]:
    ends, count = count_ends(scores), scores.count()
    won = np.where(scores.score >= scores.threshold, scores.score, np.nan)
    columns = zip(
        scores.params.tolist(),
        scores.tokens.tolist(),
        count.tolist(),
        scores.average(scores.score).tolist(),
        _average(scores, scores.smooth),
        _average(scores, scores.null),
        _average(scores, won),
        ends.low.tolist(),
        ends.middle.tolist(),
        ends.high.tolist(),
        strict=True,
    )
    means = ("sharp", "smooth", "null", "successful")
    names = ("params", "tokens", "runs", *means, "low", "middle", "high")
    return tuple(ScoredCell(**dict(zip(names, row, strict=True))) for row in columns)


def _list_runs(scores: Scores) -> tuple[ScoredRun, ...]:
    params, tokens = scores.params[scores.cell], scores.tokens[scores.cell]
    rows = zip(
        params.tolist(),
        tokens.tolist(),
        scores.score.tolist(),
        _hide(scores.smooth, scores.score.size),
        _hide(scores.null, scores.score.size),
        strict=True,
    )
    return tuple(
        ScoredRun(params=n, tokens=d, sharp=sharp, smooth=smooth, null=null)
        for n, d, sharp, smooth, null in rows
    )


def _average(scores: Scores, values: FloatArray | None) -> list[float | None]:
    size = scores.params.size
    return _hide(None if values is None else scores.average(values), size)


def _hide(values: FloatArray | None, size: int) -> list[float | None]:
    """The values with None for NaN; `size` times None if there are no values."""
    if values is None:
        return [None] * size
    return [float(one) if math.isfinite(one) else None for one in np.asarray(values)]

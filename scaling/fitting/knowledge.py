"""Knowledge of a closed world across model sizes: error, capacity and the hallucination floor.

    error = c / (1 + (x / x½)^−k),    x = H / (N · E^κ)        c = 1 − 1/C, the error of guessing

H is the number of bits in the world, N the parameters of a run, E its exposures to the facts of a
bin. At κ = 1, x is bits per (parameter × exposure). If one such curve fits the bins of every N as
well as a separate curve for each N does, the error follows from x alone. Fitted by maximum
quasi-likelihood (`abilities/logistic.py`) with equal weights; the interval of κ comes from refits
to runs resampled with replacement.

Sources: capacity against exposures, Allen-Zhu and Li 2024, arXiv:2404.05405; hallucination against
the share of facts seen once, Kalai and Vempala 2024, arXiv:2311.14648.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.contract import to_contract, write_fields
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.logistic import Trials, maximise
from scaling.fitting.fitted import Interval
from scaling.units import FloatArray

LEVEL = 0.9
FULL = 0.95  # share of a world's bits beyond which the world, not the model, is the limit
_DRAWS = 400
_LEAST_SPAN = 0.1  # range of errors, the same as for abilities: any curve fits a smaller one
_NAMES = ("error", "confidence", "hallucination", "seen_once", "miscalibration", "bound")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A closed world: its number of facts, values per fact, and bits in total."""

    facts: int
    values: int
    bits: float

    @property
    def chance(self) -> float:
        """The error of guessing."""
        return 1.0 - 1.0 / self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowingRun:
    """The measured values of one run.

    Attributes:
        params, tokens: N and D.
        exposures: Mean exposures per fact.
        values: By the probe's name without `closed_world_`; probes without a value are missing.
        errors: Standard errors of the values, by the same names.
        curve: (exposures, error) for each bin of facts that were read.
    """

    params: float
    tokens: float
    exposures: float
    values: Mapping[str, float]
    errors: Mapping[str, float]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowingCell:
    """Means over the runs of one N and D; None if no run has a value.

    Attributes:
        params, tokens, exposures, runs: N, D, mean exposures per fact, and number of runs.
        values: By name (see `KnowingRun`).
        error: Standard error of the hallucination, over runs if there are several.
        bits, capacity: Bits saved over guessing, below 0 if the model is worse than guessing; the
            same divided by all stored parameters.
        capacity_error: Standard error of the capacity, over runs if there are several.
        full: Whether nearly all bits are known, so that the world is the limit.
    """

    params: float
    tokens: float
    exposures: float
    runs: int
    values: Mapping[str, float | None]
    error: float | None
    bits: float | None
    capacity: float | None
    capacity_error: float | None
    full: bool

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.tokens,
            "exposures": self.exposures,
            "runs": self.runs,
            **{name: self.values.get(name) for name in _NAMES},
            "hallucination_error": self.error,
            "bits": self.bits,
            "bits_per_parameter": self.capacity,
            "bits_per_parameter_error": self.capacity_error,
            "full": self.full,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """How well one curve fits the errors of every N.

    Attributes:
        bins: Number of points fitted.
        half: x½ at κ = 1 [bits per parameter and exposure].
        slope: k at κ = 1.
        kappa, interval: Fitted κ and its interval; inf if errors do not fall with N.
        plain, free, apart: Root mean square residuals with κ = 1, with fitted κ, and of a separate
            curve for each N.
        spread: Standard deviation of the errors.
    """

    bins: int
    half: float
    slope: float
    kappa: float
    interval: Interval
    plain: float
    free: float
    apart: float
    spread: float

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, plain="residual", free="residual_free", apart="residual_apart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Change of the hallucination between the two largest N at one D, and the bound.

    Attributes:
        tokens: D.
        params: The two largest N.
        rates: Hallucination at each.
        change, error: Hallucination at the larger N less that at the smaller, and its standard
            error.
        seen_once, bound: Means at the larger N.
    """

    tokens: float
    params: tuple[float, float]
    rates: tuple[float, float]
    change: float
    error: float | None
    seen_once: float | None
    bound: float | None

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, rates="hallucination", error="change_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """All findings about a sweep on a closed world.

    Attributes:
        world: The world.
        cells: Ascending in D, then N.
        collapse: None if it cannot be fitted.
        refused: The reason for that; empty otherwise.
        floors: One for each D at which several N have a hallucination.
        above: Runs whose hallucination is at least the bound, within two standard errors.
        bounded: Runs that have both values.
    """

    world: World
    cells: tuple[KnowingCell, ...]
    collapse: Collapse | None
    refused: str
    floors: tuple[Floor, ...]
    above: int
    bounded: int

    def to_contract(self, source: str) -> dict[str, Any]:
        """Return the JSON of `scaling knowledge`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "world": to_contract(self.world),
            "level": LEVEL,
            "cells": to_contract(self.cells),
            "collapse": to_contract(self.collapse),
            "refused": self.refused,
            "floors": to_contract(self.floors),
            "bound": {"runs": self.bounded, "at_least": self.above},
        }


def judge_knowledge(world: World, runs: Sequence[KnowingRun], *, seed: int = 0) -> Knowledge:
    """Analyse the runs of a closed world.

    Args:
        world: The world.
        runs: Finished runs, at least one.
        seed: Seed of the resampling behind intervals.
    """
    cells = _list_cells(world, runs)
    refused = _find_problem(runs)
    collapse = None if refused else fit_collapse(world, runs, seed=seed)
    if collapse is not None and collapse.slope <= 0.0:
        collapse, refused = None, "errors do not fall with N and exposures"
    bounded = [one for one in runs if {"hallucination", "bound"} <= one.values.keys()]
    above = [
        one
        for one in bounded
        if one.values["hallucination"] + 2.0 * one.errors.get("hallucination", 0.0)
        >= one.values["bound"]
    ]
    return Knowledge(
        world=world,
        cells=cells,
        collapse=collapse,
        refused=refused,
        floors=_find_floors(cells),
        above=len(above),
        bounded=len(bounded),
    )


def fit_collapse(world: World, runs: Sequence[KnowingRun], *, seed: int = 0) -> Collapse:
    """Fit one curve to the bins of all runs; needs two N with at least two bins each."""
    points = np.array(
        [
            (at, math.log(run.params), math.log(exposures), error)
            for at, run in enumerate(runs)
            for exposures, error in run.curve
        ]
    )
    run, log_n, log_e, error = points.T
    share = np.clip(error / world.chance, 0.0, 1.0)
    weight = np.ones(len(share))
    log_x = math.log(world.bits) - log_n - log_e
    plain = np.stack((log_x, np.ones(len(share))), axis=1)
    free = np.stack((math.log(world.bits) - log_n, -log_e, np.ones(len(share))), axis=1)
    sizes = log_n[:, None] == np.unique(log_n)
    apart = np.concatenate((sizes * -log_e[:, None], sizes), axis=1)
    slope, shift = _fit(plain, share, weight)
    over_n, over_e, _ = _fit(free, share, weight)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    drawn = []
    for _ in range(_DRAWS):
        often = np.bincount(rng.integers(len(runs), size=len(runs)), minlength=len(runs))
        n, e, _ = _fit(free, share, often[run.astype(np.int64)].astype(np.float64))
        drawn.append(e / n if n > 0.0 else math.inf)
    tails = np.quantile(drawn, (0.5 * (1.0 - LEVEL), 0.5 * (1.0 + LEVEL)), method="nearest")
    return Collapse(
        bins=len(share),
        half=math.exp(-shift / slope),
        slope=slope,
        kappa=over_e / over_n if over_n > 0.0 else math.inf,
        interval=Interval(low=float(tails[0]), high=float(tails[1]), level=LEVEL),
        plain=_measure_residual(plain, share, world),
        free=_measure_residual(free, share, world),
        apart=_measure_residual(apart, share, world),
        spread=float(error.std()),
    )


def _fit(design: FloatArray, share: FloatArray, weight: FloatArray) -> list[float]:
    beta, _ = maximise(design, Trials(share * weight, weight))
    return [float(one) for one in beta]


def _measure_residual(design: FloatArray, share: FloatArray, world: World) -> float:
    """Root mean square of the errors less the fitted curve."""
    beta, _ = maximise(design, Trials(share, np.ones(len(share))))
    expected = np.exp(-np.logaddexp(0.0, -(design @ beta)))
    return world.chance * float(np.sqrt(np.mean((share - expected) ** 2)))


def _find_problem(runs: Sequence[KnowingRun]) -> str:
    """Say why no curve can be fitted; empty if one can."""
    bins: dict[float, int] = {}
    for one in runs:
        bins[one.params] = bins.get(one.params, 0) + len(one.curve)
    if sum(count > 1 for count in bins.values()) < 2:
        return (
            "fewer than two model sizes have errors at two numbers of exposures. Evaluate "
            "closed_world_error at several D, or with corpus.exponent above 0"
        )
    errors = [error for run in runs for _, error in run.curve]
    if max(errors) - min(errors) < _LEAST_SPAN:
        return (
            f"errors lie between {min(errors):.3g} and {max(errors):.3g}: the facts are all "
            "unknown, or all known"
        )
    return ""


def _list_cells(world: World, runs: Sequence[KnowingRun]) -> tuple[KnowingCell, ...]:
    cells = []
    for tokens, params in sorted({(one.tokens, one.params) for one in runs}):
        own = [one for one in runs if (one.tokens, one.params) == (tokens, params)]
        bits = _average(own, "bits")
        cells.append(
            KnowingCell(
                params=params,
                tokens=tokens,
                exposures=float(np.mean([one.exposures for one in own])),
                runs=len(own),
                values={name: _average(own, name) for name in _NAMES},
                error=_find_error(own, "hallucination"),
                bits=bits,
                capacity=_average(own, "capacity"),
                capacity_error=_find_error(own, "capacity"),
                full=bits is not None and bits >= FULL * world.bits,
            )
        )
    return tuple(cells)


def _average(runs: Sequence[KnowingRun], name: str) -> float | None:
    found = [one.values[name] for one in runs if name in one.values]
    return float(np.mean(found)) if found else None


def _find_error(runs: Sequence[KnowingRun], name: str) -> float | None:
    """Standard error of the mean over runs; for a single run, its own."""
    found = [one.values[name] for one in runs if name in one.values]
    if len(found) > 1:
        return float(np.std(found, ddof=1)) / math.sqrt(len(found))
    return next((one.errors[name] for one in runs if name in one.errors), None)


def _find_floors(cells: Sequence[KnowingCell]) -> tuple[Floor, ...]:
    floors = []
    for tokens in sorted({one.tokens for one in cells}):
        own = [one for one in cells if one.tokens == tokens]
        own = [one for one in own if one.values["hallucination"] is not None]
        if len(own) < 2:
            continue
        smaller, larger = own[-2:]
        first, second = (one.values["hallucination"] or 0.0 for one in (smaller, larger))
        errors = [one.error for one in (smaller, larger) if one.error is not None]
        floors.append(
            Floor(
                tokens=tokens,
                params=(smaller.params, larger.params),
                rates=(first, second),
                change=second - first,
                error=math.hypot(*errors) if len(errors) == 2 else None,
                seen_once=larger.values["seen_once"],
                bound=larger.values["bound"],
            )
        )
    return tuple(floors)

"""Sentences and table rows about few-shot learning, for the terminal and the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.plain import ABSENT, format_interval

if TYPE_CHECKING:
    from scaling.fitting.few_shot.boundary import Boundary
    from scaling.fitting.few_shot.shots import ShotCell, Trend

CELL_COLUMNS = ("N", "D", "runs", "infer", "excess", "e", "a", "c", "interval", "c of best", "k₀")


def say_phase(cells: tuple[ShotCell, ...]) -> str:
    """Say how many runs learn from examples, that is, are nearest to the best predictor."""
    infer, every = sum(one.inferring for one in cells), sum(one.runs for one in cells)
    remember = sum(one.remembering for one in cells)
    rest = f"; {remember} remember their training sources instead" if remember else ""
    if not infer:
        return f"None of {every} runs learns from examples like the best predictor{rest}."
    whole = [one for one in cells if one.inferring == one.runs]
    said = f"{infer} of {every} runs learn from examples: they are nearest to the best predictor"
    if whole and infer < every:
        first = min(whole, key=lambda one: (one.params, one.tokens))
        said += (
            f"; the smallest model with all seeds doing so has N = {format_count(first.params)}, "
            f"D = {format_count(first.tokens)}"
        )
    return f"{said}{rest}."


def say_largest(cells: tuple[ShotCell, ...]) -> str:
    """Give the law in examples of the largest model on the most tokens; empty if it has none."""
    one = max(cells, key=lambda cell: (cell.params, cell.tokens))
    if one.exponent is None:
        return ""
    return (
        f"For the largest model (N = {format_count(one.params)}), the excess loss over a predictor "
        f"that knows the source falls to {_write(one.floor)} nats/token as (1 + k/k₀)^−c in k "
        f"examples, with c = {_write(one.exponent)}; for the best predictor it falls to 0 with c = "
        f"{_write(one.bound_exponent)}."
    )


def list_cells(cells: tuple[ShotCell, ...]) -> list[tuple[str, ...]]:
    """List one row per (N, D)."""
    return [
        (
            format_count(one.params),
            format_count(one.tokens),
            str(one.runs),
            str(one.inferring),
            _write(one.excess),
            _write(one.floor),
            _write(one.scale),
            _write(one.exponent),
            format_interval(one.interval, lambda end: f"{end:.2f}") or ABSENT,
            _write(one.bound_exponent),
            _write(one.start),
        )
        for one in cells
    ]


def say_trend(trend: Trend) -> str:
    """Say how c or ln a changes with N and D, and whether its forecasts hold."""
    if trend.reason or not trend.slopes:
        return f"{trend.quantity}: {trend.reason}"
    moves = ", ".join(
        f"{value:+.3f} ({format_interval(interval, lambda end: f'{end:+.3f}')}) per e-fold of "
        f"{name}"
        for name, (value, interval) in trend.slopes.items()
    )
    said = f"{trend.quantity} changes by {moves}; fitted to {trend.runs} runs that infer"
    if trend.refused:
        return f"{said}; no forecast: {trend.refused}"
    inside = sum(one.inside for one in trend.forecasts)
    return (
        f"{said}; {inside} of {len(trend.forecasts)} forecasts of the largest N from the smaller "
        "ones hold"
    )


def say_boundary(boundary: Boundary) -> str:
    """Give the boundary between remembering and inferring, or the reason there is none."""
    if boundary.exponent is None or boundary.threshold is None or boundary.at_params is None:
        return f"no boundary between remembering and inferring: {boundary.reason}"
    return (
        f"models infer from M* = {_count(boundary.threshold)} chains on "
        f"({format_interval(boundary.threshold_interval, _count)}) at "
        f"N = {format_count(boundary.at_params)}, M* ∝ N^{boundary.exponent:.2f} "
        f"({format_interval(boundary.interval, lambda end: f'{end:.2f}')})"
    )


def say_crossings(boundary: Boundary) -> list[str]:
    """List the range of M* at each N."""
    return [
        f"N = {format_count(one.params)}: M* "
        + (f"more than {one.below}" if one.below else "without a lower end in the grid")
        + (f", at most {one.above}" if one.above else ", without an upper end in the grid")
        for one in boundary.crossings
    ]


def say_boundary_forecast(boundary: Boundary) -> str:
    """Say whether the forecast of the largest N holds."""
    one = boundary.forecast
    if one is None:
        return f"the largest N is not forecast: {boundary.refused}"
    hit = "holds" if one.inside else f"misses by a factor of {math.exp(abs(one.error)):.3g}"
    return (
        f"for N = {format_count(one.crossing.params)} the smaller sizes forecast M* = "
        f"{_count(one.threshold)} ({format_interval(one.interval, _count)}): it {hit}"
    )


def _count(value: float) -> str:
    return "∞" if value == math.inf else f"{value:.3g}" if value < 1e4 else format_count(value)


def _write(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"

"""Recipes compared by their exponents, in words and rows, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.plain import ABSENT, format_loss

if TYPE_CHECKING:
    from scaling.compare.exponents import Exponent, ExponentChange, RecipeComparison, Step


def list_recipes(compared: RecipeComparison | None) -> list[tuple[str, ...]]:
    """One row for each recipe: what it sets, its exponents, N* and the lowest loss."""
    return [
        (
            point.recipe,
            say_settings(point.sets),
            format_exponent(point.law),
            format_exponent(point.minima),
            format_exponent(point.headless),
            format_exponent(point.headless_minima),
            format_count(point.params),
            ABSENT if point.measured is None else format_loss(point.measured),
        )
        for point in (compared.points if compared is not None else ())
    ]


def say_step(step: Step) -> str:
    """One step in words: from which recipe to which, and the change of a by either method."""
    said = f"{step.after} in place of {step.before}: {_say_change(step.law)} by the law"
    if step.minima is not None:
        said += f", {_say_change(step.minima)} by the minima"
    return said


def _say_change(change: ExponentChange) -> str:
    said = f"{change.value:+.3f}"
    if change.interval is not None:
        said += f" [{change.interval.low:+.3f}, {change.interval.high:+.3f}]"
    return said if change.sure is not False else f"{said} (not told from nothing)"


def say_settings(sets: Mapping[str, float]) -> str:
    """The settings of a recipe, written as in the sweep file."""
    listed = [f"{name}: {value:g}" for name, value in sets.items()]
    return ", ".join(listed) or "nothing: every hyperparameter is by rule"


def format_exponent(exponent: Exponent | None) -> str:
    """An exponent as '0.497 [0.491, 0.505]'; a dash if there is none."""
    if exponent is None:
        return ABSENT
    said = f"{exponent.value:.3f}"
    if exponent.interval is not None:
        said += f" [{exponent.interval.low:.3f}, {exponent.interval.high:.3f}]"
    return said

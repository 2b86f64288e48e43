"""Recipes compared by their exponents, as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, format_flops
from scaling.words.recipes import list_recipes, say_step

if TYPE_CHECKING:
    from scaling.compare.exponents import RecipeComparison

_HEADINGS = (
    "recipe", "a (law)", "a (minima)", "without the head (law)", "(minima)", "N*", "lowest loss",
)  # fmt: skip
_SETS = 1  # column with the recipe's settings, too wide for a text table


def format_exponents(compared: RecipeComparison) -> str:
    """A table of recipes, what each step from one to the next did, and which checks failed."""
    rows = list_recipes(compared)
    lines = [
        f"The exponent a of N* ∝ C^a under each recipe, with {compared.level:.0%} intervals;",
        "without the head: N and C of the same runs counted as Kaplan et al. did.",
    ]
    if compared.flops is not None:
        lines.append(
            f"N* and the lowest measured loss are at {format_flops(compared.flops)} FLOPs."
        )
    lines += align_columns([_HEADINGS, *(row[:_SETS] + row[_SETS + 1 :] for row in rows)])
    lines += ["", "What each step does to a:", *(f"  {say_step(s)}" for s in compared.steps)]
    lines += ["", *(f"{row[0]} sets {row[_SETS]}" for row in rows)]
    for point in compared.points:
        if point.failed:
            lines.append(f"{point.recipe}: checks that failed: {', '.join(point.failed)}")
    lines += [f"left out: {name}: {why}" for name, why in compared.left_out.items()]
    return "\n".join(lines)

"""Findings about a closed world in sentences, for the page and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.plain import format_interval, format_plain

if TYPE_CHECKING:
    from scaling.fitting.knowledge import Floor, Knowledge

_EQUAL = 1.25  # largest ratio of residuals at which one curve fits as well as separate ones
_NEGLIGIBLE = 0.01  # residuals below this are less than bins of eight facts can resolve


def list_sentences(knowledge: Knowledge) -> list[str]:
    """List all findings, in a sentence or two each."""
    floors = [say_floor(one) for one in knowledge.floors[-1:]]
    bound = [say_bound(knowledge)] if knowledge.bounded else []
    return [say_collapse(knowledge), *say_capacity(knowledge), *floors, *bound]


def say_collapse(knowledge: Knowledge) -> str:
    """Say whether one curve of bits per (parameter × exposure) fits every N."""
    found = knowledge.collapse
    if found is None:
        return f"No curve is fitted: {knowledge.refused}."
    one = found.free <= max(_EQUAL * found.apart, _NEGLIGIBLE)
    said = (
        f"Error against bits per (parameter × exposure): one curve has a residual of "
        f"{found.plain:.3f}, where errors spread by {found.spread:.3f} (root mean square), and "
        f"half the error of guessing at {format_plain(found.half)}. "
    )
    power = (
        f"With exposures to the power {found.kappa:.2f} "
        f"({format_interval(found.interval, lambda end: f'{end:.2f}')})"
        if math.isfinite(found.kappa)
        else "With exposures alone (errors do not fall with N)"
    )
    which = "one curve fits" if one else "no single curve fits"
    left = f"{found.free:.3f}, and with a curve for each N {found.apart:.3f}"
    return f"{said}{power} the residual is {left}: {which} every N."


def say_capacity(knowledge: Knowledge) -> list[str]:
    """Say the most bits per parameter at each D, and what limits them."""
    known = [(one.capacity, one) for one in knowledge.cells if one.capacity is not None]
    said = []
    for tokens in sorted({one.tokens for _, one in known}):
        most, best = max(
            (pair for pair in known if pair[1].tokens == tokens), key=lambda pair: pair[0]
        )
        error = "" if best.capacity_error is None else f" ± {best.capacity_error:.3f}"
        limit = ""
        if most < 0.0:
            limit = "; below 0: over all facts together, every size does worse than guessing"
        elif best.full:
            limit = "; nearly every bit is known, so the world is the limit"
        said.append(
            f"After {format_plain(round(best.exposures, 1))} exposures: at most {most:.3f}{error} "
            f"bits per stored parameter, at {format_count(best.params)} parameters{limit}."
        )
    if said:
        said.append(
            "Larger language models hold about 1 bit per parameter after 100 exposures and 2 "
            "after 1000 (Allen-Zhu and Li 2024)."
        )
    return said


def say_floor(floor: Floor) -> str:
    """Say how the hallucination changes with N, and the share of facts seen once."""
    small, large = map(format_count, floor.params)
    error = "" if floor.error is None else f" ± {floor.error:.3f}"
    said = (
        f"On {format_count(floor.tokens)} tokens hallucination is {floor.rates[0]:.3f} at {small} "
        f"and {floor.rates[1]:.3f} at {large} parameters (change {floor.change:+.3f}{error})"
    )
    if floor.seen_once is not None:
        said += f"; {floor.seen_once:.3f} of the draws read state a fact seen once, at every N"
    return said + "."


def say_bound(knowledge: Knowledge) -> str:
    """Say in how many runs the bound holds."""
    return (
        f"{knowledge.above} of {knowledge.bounded} runs hallucinate at least as often as the "
        "bound, the share seen once less the miscalibration (within two standard errors)."
    )

"""What models know of a closed world, in sentences: for the page and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.plain import format_interval, format_plain

if TYPE_CHECKING:
    from scaling.fitting.knowledge import Floor, Knowledge

_EQUAL = 1.25  # residuals: one curve that leaves at most this much more describes as well
_NEGLIGIBLE = 0.01  # of errors: less than bins of eight facts tell, however exact other curves are


def list_sentences(knowledge: Knowledge) -> list[str]:
    """Everything that is said, a sentence or two each."""
    floors = [say_floor(one) for one in knowledge.floors[-1:]]
    bound = [say_bound(knowledge)] if knowledge.bounded else []
    return [say_collapse(knowledge), *say_capacity(knowledge), *floors, *bound]


def say_collapse(knowledge: Knowledge) -> str:
    """Whether one curve of bits per parameter and exposure describes every N."""
    found = knowledge.collapse
    if found is None:
        return f"No curve is fitted: {knowledge.refused}."
    one = found.free <= max(_EQUAL * found.apart, _NEGLIGIBLE)
    said = (
        f"Error against bits per (parameter × exposure): one curve leaves {found.plain:.3f} of a "
        f"spread of {found.spread:.3f} (root mean square); half of what guessing gets wrong at "
        f"{format_plain(found.half)}. "
    )
    power = (
        f"With exposures to the power {found.kappa:.2f} "
        f"({format_interval(found.interval, lambda end: f'{end:.2f}')})"
        if math.isfinite(found.kappa)
        else "With exposures alone (errors do not fall with N)"
    )
    which = "one curve describes" if one else "no one curve describes"
    left = f"{found.free:.3f}, a curve for each N {found.apart:.3f}"
    return f"{said}{power} it leaves {left}: {which} every N."


def say_capacity(knowledge: Knowledge) -> list[str]:
    """Most bits per parameter at each D, and what limits them."""
    known = [(one.capacity, one) for one in knowledge.cells if one.capacity is not None]
    said = []
    for tokens in sorted({one.tokens for _, one in known}):
        most, best = max(
            (pair for pair in known if pair[1].tokens == tokens), key=lambda pair: pair[0]
        )
        error = "" if best.capacity_error is None else f" ± {best.capacity_error:.2f}"
        limit = ""
        if most < 0.0:
            limit = "; below 0: over all facts together, every size does worse than guessing"
        elif best.full:
            limit = "; it knows nearly every bit, so the world is the limit"
        said.append(
            f"{format_plain(round(best.exposures, 1))} exposures: at most {most:.2f}{error} bits "
            f"per stored parameter, at {format_count(best.params)}{limit}."
        )
    if said:
        said.append(
            "Larger models of language hold about 1 bit per parameter after 100 exposures and 2 "
            "after 1000 (Allen-Zhu and Li 2024)."
        )
    return said


def say_floor(floor: Floor) -> str:
    """What N changes of the hallucination, beside what was seen once."""
    small, large = map(format_count, floor.params)
    error = "" if floor.error is None else f" ± {floor.error:.3f}"
    said = (
        f"On {format_count(floor.tokens)} tokens hallucination is {floor.rates[0]:.3f} at {small} "
        f"and {floor.rates[1]:.3f} at {large} parameters (change {floor.change:+.3f}{error})"
    )
    if floor.seen_once is not None:
        said += f"; {floor.seen_once:.3f} of what was read was read once, whatever N is"
    return said + "."


def say_bound(knowledge: Knowledge) -> str:
    """How many runs keep the bound."""
    return (
        f"{knowledge.above} of {knowledge.bounded} runs hallucinate at least as often as what they "
        "read once, less their miscalibration (to two standard errors)."
    )

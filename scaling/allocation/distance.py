"""How far beyond the data a question lies, measured by the span of the data."""

from __future__ import annotations

import math

from scaling.errors import QueryError
from scaling.fitting.result import Check
from scaling.units import format_flops

# Beyond this many decades nothing above was ever tested (SCIENCE.md).
MAX_DECADES = 3.0
# From a sweep of minutes on a laptop (1e11 FLOPs) to the largest trainings there have been (5e26,
# Epoch AI's list of notable models) are 16 decades: beyond, not even --far asks for a number.
FARTHEST_DECADES = 16.0
# Of an extrapolation, by whether anything asked lies above the data.
_ADVICE = {
    True: "Train a larger budget first, and see whether it is predicted.",
    False: "Train a smaller budget too: laws bend towards small models.",
}


def count_decades(value: float, covered: tuple[float, float]) -> float:
    """Decades beyond either end of the covered range; 0 inside."""
    return max(0.0, math.log10(value / covered[1]), math.log10(covered[0] / value))


def check_distance(asked: dict[str, tuple[float, tuple[float, float]]], far: bool) -> Check:
    """How far beyond the data the question lies, measured by the span of the data.

    Raises:
        QueryError: Beyond MAX_DECADES without `far`, or beyond FARTHEST_DECADES.
    """
    seen, worst = [], 0.0
    for name, (value, covered) in asked.items():
        decades = count_decades(value, covered)
        span = math.log10(covered[1] / covered[0])
        side = "above" if value > covered[1] else "below"
        what = f"{name} = {format_flops(value)}"
        ends = f"{format_flops(covered[0])} … {format_flops(covered[1])}"
        if decades > FARTHEST_DECADES:
            raise QueryError(
                f"{what} lies {decades:.1f} decades {side} the data ({ends}), outside any sane "
                f"range: beyond {FARTHEST_DECADES:g} there is no answer, not even with --far."
            )
        if decades > MAX_DECADES and not far:
            raise QueryError(
                f"{what} lies {decades:.1f} decades {side} the data ({ends}); beyond "
                f"{MAX_DECADES:g} no answer was ever tested. Add runs, or insist with --far."
            )
        # Rounded ends of a range are not an extrapolation.
        if decades > 0.005:
            share = decades / span if span > 0 else math.inf
            worst = max(worst, share)
            colour = "red: more than the span" if share > 1.0 else "amber: more than half the span"
            mark = f" ({colour})" if share > 0.5 else ""
            seen.append(
                f"{what} lies {decades:.2g} decades {side} the data ({ends}), "
                f"which span {span:.2g} decades{mark}."
            )
    passed = worst <= 0.5
    return Check(
        code="extrapolation_distance",
        passed=passed,
        seen=" ".join(seen) or "The question lies within the data.",
        advice="" if passed else _ADVICE[any(value > ends[1] for value, ends in asked.values())],
    )

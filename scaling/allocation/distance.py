"""How far beyond the data a question lies, measured by the span of the data."""

from __future__ import annotations

import math

from scaling.errors import QueryError
from scaling.fitting.fitted import MAX_DECADES, Check, pass_if
from scaling.units import format_count, format_flops

# From a sweep of minutes on a laptop (1e11 FLOPs) to the largest training run so far (5e26, Epoch
# AI's list of notable models) is 16 decades; beyond that, --far is refused too.
FARTHEST_DECADES = 16.0
# Tokens per parameter is not a budget, so no distance in it is refused. A difference of a quarter
# is rounding: whether N counts the head and the embeddings moves the ratio by as much.
RATIO = "D/N"
_RATIO_ROUNDING = 0.1
# A value this close to an end of the range [decades] is rounded, not extrapolated.
_ROUNDING = 0.005
# Advice on an extrapolation; the key says whether anything asked lies above the data.
_ADVICE = {
    True: "Train a larger budget first, and see whether it is predicted.",
    False: "Train a smaller budget too: laws bend towards small models.",
}


def count_decades(value: float, covered: tuple[float, float]) -> float:
    """Decades beyond either end of the covered range; 0 inside."""
    return max(0.0, math.log10(value / covered[1]), math.log10(covered[0] / value))


def check_distance(asked: dict[str, tuple[float, tuple[float, float]]], far: bool) -> Check:
    """Check how far beyond the data the question lies, measured by the span of the data.

    Raises:
        QueryError: Beyond MAX_DECADES without `far`, or beyond FARTHEST_DECADES.
    """
    seen, worst = [], 0.0
    for name, (value, covered) in asked.items():
        decades = count_decades(value, covered)
        span = math.log10(covered[1] / covered[0])
        side = "above" if value > covered[1] else "below"
        show = format_count if name == RATIO else format_flops
        what = f"{name} = {show(value)}"
        ends = f"{show(covered[0])} … {show(covered[1])}"
        is_ratio = name == RATIO
        if decades > FARTHEST_DECADES and not is_ratio:
            raise QueryError(
                f"{what} lies {decades:.1f} decades {side} the data ({ends}), outside any sane "
                f"range: beyond {FARTHEST_DECADES:g} there is no answer, not even with --far."
            )
        if decades > MAX_DECADES and not (far or is_ratio):
            raise QueryError(
                f"{what} lies {decades:.1f} decades {side} the data ({ends}); beyond "
                f"{MAX_DECADES:g} no answer was ever tested. Add runs, or insist with --far."
            )
        if decades > (_RATIO_ROUNDING if is_ratio else _ROUNDING):
            least = max(span, _RATIO_ROUNDING) if is_ratio else span
            share = decades / least if least > 0 else math.inf
            worst = max(worst, share)
            seen.append(_describe(what, decades, side, ends, span, share))
    said = " ".join(seen) or "The question lies within the data."
    return pass_if(worst <= 0.5, "extrapolation_distance", said, _advise(asked))


def add_ratio(
    asked: dict[str, tuple[float, tuple[float, float]]],
    params: float,
    tokens: float,
    covered: tuple[float, float] | None,
) -> dict[str, tuple[float, tuple[float, float]]]:
    """Add tokens per parameter to what is asked, if the data's range of them is known."""
    return asked if covered is None else asked | {RATIO: (tokens / params, covered)}


def _describe(what: str, decades: float, side: str, ends: str, span: float, share: float) -> str:
    colour = "red: more than the span" if share > 1.0 else "amber: more than half the span"
    mark = f" ({colour})" if share > 0.5 else ""
    return (
        f"{what} lies {decades:.2g} decades {side} the data ({ends}), "
        f"which span {span:.2g} decades{mark}."
    )


def _advise(asked: dict[str, tuple[float, tuple[float, float]]]) -> str:
    beyond = {name for name, (value, ends) in asked.items() if count_decades(value, ends) > 0}
    if beyond == {RATIO}:
        return "Train runs at that many tokens per parameter: the law was fitted at others."
    return _ADVICE[any(asked[name][0] > asked[name][1][1] for name in beyond - {RATIO})]

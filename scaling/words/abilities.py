"""Abilities in words and rows, for the page and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaling.units import format_count
from scaling.words.plain import ABSENT, format_interval

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability
    from scaling.fitting.abilities.onset import Onset
    from scaling.fitting.abilities.success import CellCount, SuccessLaw

FORECAST_COLUMNS = ("N", "D", "runs", "forecast", "interval", "measured", "outcome")
_CELLS_NAMED = 3
_ONSETS_NAMED = 4
_PARTS_NAMED = 8


def say_verdict(ability: Ability) -> str:
    """Say in a sentence or two whether apparent emergence is an effect of the metric."""
    sharp, smooth = ability.names.sharp, ability.names.smooth
    early = say_progress(ability)
    if ability.verdict == "no_rise":
        said = f"No size leaves chance: nothing emerges in {sharp} here."
    elif ability.verdict == "metric":
        said = (
            f"What looks like emergence is the metric's: {sharp} is what independent token errors "
            f"give (p^L), and {early} of the improvement of {smooth} comes while {sharp} is at "
            "chance."
        )
    elif ability.verdict == "both":
        said = (
            f"{sharp} is what independent token errors give (p^L), but {smooth} jumps with it: "
            f"{early} of its improvement comes while {sharp} is at chance. The jump is the "
            "model's, not the metric's alone."
        )
    elif ability.verdict == "model":
        said = (
            f"What looks like emergence is not the metric's alone: {sharp} {_say_side(ability)} "
            "what independent token errors give (p^L)."
        )
    else:
        said = f"Whether the jump is the metric's is not known: {_say_doubt(ability)}."
        if ability.progress is not None:
            said += f" {early} of the improvement of {smooth} comes while {sharp} is at chance."
    if ability.bimodal:
        said += (
            " Seeds of one size either succeed or fail: the mean jumps because success becomes "
            "likelier."
        )
    return said


def say_progress(ability: Ability) -> str:
    """Share of the smooth score's improvement made at chance, in whole percent; or a dash."""
    if ability.progress is None:
        return ABSENT
    # No break between a number and its unit.
    return f"{100.0 * min(1.0, ability.progress):.0f}\u00a0%"


def say_null(ability: Ability) -> str:
    """The sharp score against its null, with numbers; empty without a null."""
    null = ability.null
    if ability.names.null is None:
        return ""
    if null.difference is None:
        return f"{ability.names.null}: no size lies between chance and bound: nothing to compare"
    ends = format_interval(null.interval, lambda one: f"{one:+.3f}")
    return (
        f"{ability.names.sharp} − {ability.names.null}: {null.difference:+.3f} on average"
        f"{f' ({ends})' if ends else ''} in {len(null.cells)} cells between chance and bound; "
        f"within ±{null.margin:g} counts as equal"
    )


def say_success(law: SuccessLaw) -> str:
    """Say where success becomes likely, how fast and how sure that is, or why this is unknown."""
    if law.midpoint is None or law.interval is None or law.slope_interval is None:
        return f"P(score ≥ {law.threshold:g}): {law.reason}"
    letter = "D" if law.variables == "D" else "N"
    said = (
        f"P(score ≥ {law.threshold:g}) is one half at {letter} = {format_count(law.midpoint)} "
        f"({format_interval(law.interval, format_count)})"
    )
    if law.at_tokens is not None:
        said += f", at D = {format_count(law.at_tokens)}"
    if law.separated:
        return (
            f"{said}; no size has both outcomes, so the slope is at least "
            f"{law.slope_interval.low:.2g} (ln odds per e-fold)"
        )
    width = law.width or math.nan
    return f"{said}; from 10 to 90 % {letter} grows {width:.3g}-fold"


def say_seeds(law: SuccessLaw) -> str:
    """Say how many seeds there are, and where more are needed."""
    counts = [one.runs for one in law.cells]
    low, high = min(counts), max(counts)
    said = f"{low if low == high else f'{low} to {high}'} seeds per size"
    short = [one for one in law.cells if one.runs < one.wanted]
    if not short:
        return f"{said}: enough"
    named = ", ".join(
        f"{_name_cell(law, one)} has {one.runs} of {one.wanted}" for one in short[:_CELLS_NAMED]
    )
    more = f" and {len(short) - _CELLS_NAMED} more" if len(short) > _CELLS_NAMED else ""
    return f"{said}; too few where success begins (24) or beside it (8): {named}{more}"


def say_onsets(onsets: tuple[Onset, ...]) -> str:
    """Say between which sizes most seeds begin to succeed; empty if unknown."""
    known = [one for one in onsets if one.below is not None and one.above is not None]
    said = [
        f"{one.variable} {format_count(one.below or 0.0)} … {format_count(one.above or 0.0)}"
        + (f" at {_other(one)} = {format_count(one.held)}" if one.held is not None else "")
        for one in known[:_ONSETS_NAMED]
    ]
    more = len(known) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def say_parts(ability: Ability) -> str:
    """Say from which size most seeds learn each part, at the largest D or N if there are several;
    empty without parts."""
    if ability.parts is None:
        return ""
    said = [
        f"{one.at:g} from {_say_onset(one.onsets[-1]) if one.onsets else ABSENT}"
        for one in ability.parts.parts[:_PARTS_NAMED]
    ]
    more, last = len(ability.parts.parts) - len(said), ability.parts.parts[0].onsets[-1:]
    ends = f", and {more} more" if more else ""
    if len(ability.onsets) > 1 and last and last[0].held is not None:
        ends += f" (at {_other(last[0])} = {format_count(last[0].held)})"
    threshold = f"{ability.success.threshold:g}"
    name, label = ability.parts.name, ability.parts.label
    return f"most seeds reach {threshold} in {name} by {label}: {', '.join(said)}{ends}"


def list_parts(ability: Ability) -> list[tuple[str, ...]]:
    """Headings, then a row for each cell: N, D, runs and the mean share of each part; empty without
    parts."""
    if ability.parts is None:
        return []
    parts = ability.parts.parts
    heads = ("N", "D", "runs", *(f"{one.at:g}" for one in parts))
    rows = [
        (
            format_count(cell.params),
            format_count(cell.tokens),
            str(cell.runs),
            *(f"{one.means[at]:.3f}" for one in parts),
        )
        for at, cell in enumerate(ability.cells)
    ]
    return [heads, *rows]


def list_forecasts(ability: Ability) -> list[tuple[str, ...]]:
    """A row for each cell of the two largest sizes; empty if nothing was forecast."""
    if ability.two_steps is None:
        return []
    return [
        (
            format_count(one.params),
            format_count(one.tokens),
            str(one.runs),
            f"{one.forecast:.3f}",
            format_interval(one.interval, lambda end: f"{end:.3f}"),
            f"{one.measured:.3f}",
            "inside" if one.inside else f"outside by {abs(one.error):.3f}",
        )
        for one in ability.two_steps.outcomes
    ]


def say_flag(ability: Ability) -> str:
    """Say whether the ability can be forecast from smaller sizes, and if not, why."""
    if ability.predictability.passed:
        return "predictable: every criterion holds"
    if ability.two_steps is None:
        return f"not predictable, so nothing is forecast: {ability.refused}"
    failed = (f"{one.code}: {one.seen}" for one in ability.predictability.failed)
    return f"not predictable: {'; '.join(failed)}"


def say_flag_briefly(ability: Ability) -> str:
    """The flag in brief, for a place with the table of criteria below it."""
    flag = ability.predictability
    if flag.passed:
        return "predictable: every criterion holds"
    names = " and ".join(
        one.code.replace("_", " ")
        for one in flag.failed
        if one.code != "held_out" or len(flag.failed) == 1
    )
    said = f"not predictable ({names})"
    if ability.two_steps is not None:
        return said
    why = f": {ability.refused}" if names == "held out" else ""
    return f"{said}, so nothing is forecast{why}"


def list_criteria(ability: Ability) -> list[tuple[str, str, str, str]]:
    """A row for each criterion: its name, outcome, limit, what was seen and the limit's reason."""
    outcomes = {True: "holds", False: "fails", None: "not judged"}
    return [
        (
            one.code.replace("_", " "),
            outcomes[one.passed],
            f"{_LIMITS[one.code]} {one.limit:.3g}",
            f"{upper_first(one.seen)}. The limit: {one.reason}.",
        )
        for one in ability.predictability.criteria
    ]


_LIMITS = {
    "monotone": "p below", "span": "at least", "unimodal": "p at least", "held_out": "at most",
}  # fmt: skip


def upper_first(text: str) -> str:
    """Capitalise the first character and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def _say_side(ability: Ability) -> str:
    side = {"exceeds": "exceeds", "lags": "lags behind", "mixed": "partly exceeds, partly lags"}
    return side.get(ability.null.agreement, "differs from")


def _say_doubt(ability: Ability) -> str:
    if ability.null.agreement == "no_null":
        return f"{ability.names.sharp} has no null (p^L) here"
    if ability.null.agreement == "agrees":
        unstated = all(one.smooth is None for one in ability.cells)
        return f"no run states {ability.names.smooth}" if unstated else "no size is at chance"
    return "noise, or too few sizes between chance and bound, hide the difference from p^L"


def _name_cell(law: SuccessLaw, one: CellCount) -> str:
    name = format_count(one.params if law.variables != "D" else one.tokens)
    return f"{name} on {format_count(one.tokens)}" if law.variables == "N and D" else name


def _say_onset(one: Onset) -> str:
    """Range of the onset in words; an unknown end is left open."""
    if one.above is None:
        return "nowhere"
    if one.below is None:
        return f"{one.variable} ≤ {format_count(one.above)}"
    return f"{one.variable} {format_count(one.below)} … {format_count(one.above)}"


def _other(one: Onset) -> str:
    return "D" if one.variable == "N" else "N"

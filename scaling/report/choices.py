"""Choices before and during the fit, in words: runs left out by declared rules, the members of
the ensemble, how laws forecast held-out runs, the result of each approach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaling.fitting.fitted import Fit, Frontier
from scaling.laws.registry import find_family
from scaling.tables.filters import FilterEffect
from scaling.units import format_count, format_flops
from scaling.words.letters import spell_letter
from scaling.words.plain import (
    ABSENT,
    APPROACH_WORDS,
    format_interval,
    format_plain,
    format_range,
    format_share,
)
from scaling.words.statuses import STATUSES

if TYPE_CHECKING:
    from scaling.fitting.backtest import Backtest

_FILTER_WORDS: Mapping[str, str] = {
    "flops_range": "Only budgets in a declared range",
    "first_epoch": "Only runs that saw no text twice",
    "min_ratio": "Only runs with enough tokens per parameter",
    "best_recipe": "Only the best recipe of each cell",
}


def list_filters(effects: tuple[FilterEffect, ...]) -> list[tuple[str, str, str]]:
    """(rule in words, what is kept, number of runs left out) for each rule, in order."""
    return [
        (
            _FILTER_WORDS.get(one.name, one.name),
            one.rule.replace(">=", "≥").replace("<=", "≤").replace("e+", "e"),
            f"{one.left_out} of {one.seen} runs",
        )
        for one in effects
    ]


def compare_unfiltered(fit: Fit, whole: Fit | None) -> list[tuple[str, ...]]:
    """Rows (quantity, with the filters, without them); empty if there is nothing to compare."""
    if whole is None:
        return []
    both = (fit, whole)
    rows: list[tuple[str, ...]] = [
        ("Runs fitted", str(fit.n), str(whole.n)),
        ("The fit", *(STATUSES[one.status].short for one in both)),
    ]
    letters = dict.fromkeys(name for one in both if one.law for name in one.law.params)
    for name in letters if not fit.members else ():
        values = [one.law.params.get(name) if one.law else None for one in both]
        rows.append((spell_letter(name), *map(format_plain, values)))
    ends = [one.frontier.range[1] for one in both if one.frontier is not None]
    if ends:
        at = ends[0]
        rows += [
            ("a  (N* ∝ Cᵃ)", *(_show(one.frontier, "a") for one in both)),
            (f"N* at {format_flops(at)} FLOPs", *(_show(one.frontier, "n", at) for one in both)),
            (f"D* at {format_flops(at)} FLOPs", *(_show(one.frontier, "d", at) for one in both)),
        ]
    return rows


def list_members(fit: Fit) -> list[tuple[str, str, str, str]]:
    """(law, which runs, weight, errors of its forecasts) for each member of the ensemble."""
    members = fit.answering.members
    if not members:
        return []
    from scaling.laws.ensemble import ENSEMBLE

    ratios = {one.name: one.min_ratio for one in ENSEMBLE.members}
    rows = []
    for one in members:
        ratio = ratios.get(one.name, 0.0)
        known = [format_share(error) for error in one.errors if error is not None]
        rows.append(
            (
                find_family(one.name.split("/")[0]).words.title or one.name,
                f"at least {ratio:g} tokens per parameter" if ratio else "all",
                format_share(one.weight),
                ", ".join(known) or "not scored",
            )
        )
    return rows


def describe_windows(fit: Fit) -> str:
    """How the members of the ensemble were scored, in a sentence; empty without members."""
    if not fit.answering.members:
        return ""
    from scaling.fitting.ensemble.weights import WINDOWS

    windows = " and ".join(
        f"the most expensive {format_share(1.0 - held)} from the cheapest {format_share(below)}"
        for below, held in WINDOWS
    )
    return f"Each forecast runs that it had not seen: {windows} (by compute)."


def list_backtest(scored: Backtest | None) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings, and a row per law: parameters, errors by window, score; empty if not backtested."""
    if scored is None or not scored.scores:
        return [], []
    heads = [f"{one.axis} {format_share(one.fitted_up_to)}" for one in scored.scores[0].forecasts]
    rows = [
        (
            f"{one.family} (chosen)" if one.family == scored.chosen else one.family,
            str(one.letters),
            format_share(one.score),
            *(format_share(forecast.error) for forecast in one.forecasts),
        )
        for one in scored.scores
    ]
    return ["law", "parameters", "score", *heads], rows


def describe_backtest(scored: Backtest | None) -> str:
    """Describe the table of laws and the law to forecast with; empty without a table."""
    if scored is None:
        return ""
    from scaling.fitting.backtest import HELD_FROM

    best = "No law could be scored on these runs."
    if scored.chosen is not None:
        best = (
            f"Of the laws within 5\u00a0% of the best score, {scored.chosen} has the fewest "
            "parameters."
        )
    if scored.margin is not None:
        rival, ratio = scored.margin
        best += f" {rival}, the best of the others, misses by ×{ratio:.2f} as much."
    if scored.over_parent is not None:
        parent, ratio = scored.over_parent
        best += f" {parent}, the simpler law that it extends, by ×{ratio:.2f}."
    return (
        f"The {format_share(1.0 - HELD_FROM)} of runs with the most compute (C), parameters (N) or "
        f"data (D) are held out; each law is fitted to the share of runs that heads the column, "
        f"the lowest in that quantity, and forecasts them. The score is the mean miss over C. "
        f"{best}"
    )


def list_frontiers(fit: Fit) -> list[tuple[str, str, str, str, str]]:
    """(approach, a, its interval, N* at the largest budget fitted, range of C) for each approach,
    if there is an envelope."""
    if "envelope" not in fit.approaches:
        return []
    at = fit.covered.flops[1] if fit.covered else fit.approaches["envelope"].range[1]
    return [
        (
            APPROACH_WORDS.get(name, name),
            format_plain(one.a),
            format_interval((one.intervals or {}).get("a"), format_plain) or ABSENT,
            f"{_show(one, 'n', at)} at {format_flops(at)}",
            format_range(*one.range, format_flops),
        )
        for name, one in fit.approaches.items()
    ]


def _show(frontier: Frontier | None, what: str, flops: float = 1.0) -> str:
    if frontier is None:
        return ABSENT
    if what == "a":
        return format_plain(frontier.a)
    if what == "n":
        return format_count(frontier.k_n * flops**frontier.a)
    return format_count(frontier.k_d * flops**frontier.b)

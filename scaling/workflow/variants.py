"""How far an answer moves under other methods, other laws and other choices of runs."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from scaling.allocation import Allocation, allocate
from scaling.errors import ScalingError
from scaling.fitting.fitted import Fit
from scaling.laws.registry import FAMILIES
from scaling.report.sensitivity import Group, Variant
from scaling.tables.filters import Filters
from scaling.tables.run_table import RunTable
from scaling.units.stages import stage
from scaling.words.plain import APPROACH_WORDS
from scaling.workflow.fits import FitOptions, fit_filtered
from scaling.workflow.stored import StoredSweep

_CROSS_CHECKS = ("akima", "cubic", "projection")  # which the command line does not offer


@stage("fitting other laws and fewer runs, for the page")
def compare_variants(
    table: RunTable,
    stored: StoredSweep | None,
    fit: Fit,
    allocations: Sequence[Allocation],
    filters: Filters,
    asked: Sequence[str],
    *,
    source: str = "",
) -> tuple[Variant, ...]:
    """The first answer by each approach, and by point fits of other laws and of fewer runs.

    Args:
        table: Every run.
        stored: The sweep; None for a table.
        fit: The report's fit.
        allocations: Its answers; if empty, there is nothing to compare.
        filters, asked: The requested filters, and the words of the command line.
        source: Path of a table.
    """
    if not allocations or fit.law is None:
        return ()
    flops = allocations[0].flops
    place = source if stored is None else str(stored.folder)
    ask = ["scaling", "allocate", place, "--flops", _write(flops)]
    variants = _list_methods(fit, flops, [*ask, *asked])
    for other in _list_others(table, stored, fit, filters):
        kept = _drop_family(asked) if other.group == "law" else asked
        answer, reason, runs = _answer_otherwise(table, stored, other, flops)
        if runs == fit.n and other.group == "runs":
            continue  # the filter leaves nothing out
        variants.append(
            Variant(
                group=other.group,
                words=other.words,
                command=shlex.join([*ask, *kept, *other.more, "--no-bootstrap"]),
                runs=runs,
                answer=answer,
                reason=reason,
            )
        )
    return tuple(variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    """Another law or choice of runs, in words and as words of a command line."""

    group: Group
    words: str
    options: FitOptions
    filters: Filters
    more: tuple[str, ...]


def _list_methods(fit: Fit, flops: float, ask: Sequence[str]) -> list[Variant]:
    """Variants by the fit's own approaches."""
    variants = []
    for approach in fit.approaches:
        if approach in _CROSS_CHECKS:
            continue
        answer, reason = None, ""
        try:
            answer = allocate(fit, flops, approach=approach)
        except ScalingError as error:
            reason = str(error).splitlines()[0]
        variants.append(
            Variant(
                group="method",
                words=APPROACH_WORDS[approach],
                command=shlex.join([*ask, "--approach", approach]),
                runs=fit.n,
                answer=answer,
                reason=reason,
            )
        )
    return variants


def _list_others(
    table: RunTable, stored: StoredSweep | None, fit: Fit, filters: Filters
) -> list[_Other]:
    assert fit.law is not None
    others = {name: one.words.beside for name, one in FAMILIES.items() if one.words.beside}
    laws = [
        _Other(
            group="law",
            words=words,
            options=FitOptions(family=family),
            filters=filters,
            more=("--family", family),
        )
        for family, words in others.items()
        if fit.answer is not None or family != fit.law.family
    ]
    own = FitOptions(family=None if fit.answer is not None else fit.law.family)
    choices = [
        _Other(group="runs", words=words, options=own, filters=chosen, more=more)
        for words, chosen, more in _list_choices(_list_budgets(table, stored), filters)
    ]
    return laws + choices


def _answer_otherwise(
    table: RunTable, stored: StoredSweep | None, other: _Other, flops: float
) -> tuple[Allocation | None, str, int | None]:
    """The answer of a point fit, or why there is none, and the number of fitted runs."""
    runs = None
    try:
        options = dataclasses.replace(other.options, bootstrap=None)
        found = fit_filtered(table, stored, options, other.filters).fit
        runs = found.n
        return allocate(found, flops), "", runs
    except ScalingError as error:
        return None, str(error).splitlines()[0], runs


def _write(flops: float) -> str:
    """Write FLOPs as a person would, as 2e11, with all digits."""
    return f"{flops:.17g}" if float(f"{flops:g}") != flops else f"{flops:g}".replace("e+", "e")


def _drop_family(asked: Sequence[str]) -> list[str]:
    """The words without --family and its value."""
    kept = list(asked)
    if "--family" in kept:
        at = kept.index("--family")
        del kept[at : at + 2]
    return kept


def _list_budgets(table: RunTable, stored: StoredSweep | None) -> list[float]:
    """Declared budgets of a sweep, or those that rows of a table share, ascending."""
    if stored is None:
        from scaling.fitting.budgets import group_budgets

        return sorted(one.flops for one in group_budgets(table))
    return sorted({cell.budget for cell in stored.plan.cells if cell.budget is not None})


def _list_choices(
    budgets: Sequence[float], filters: Filters
) -> list[tuple[str, Filters, tuple[str, ...]]]:
    """(words, filters, their words on a command line) of other choices of runs."""
    choices: list[tuple[str, Filters, tuple[str, ...]]] = []
    if len(budgets) > 3 and filters.flops_range is None:
        low = float(f"{math.sqrt(budgets[0] * budgets[1]):.3g}")
        high = float(f"{math.sqrt(budgets[-2] * budgets[-1]):.3g}")
        for words, ends, text in (
            ("without the smallest budget", (low, None), f"{_write(low)}:"),
            ("without the largest budget", (None, high), f":{_write(high)}"),
        ):
            chosen = dataclasses.replace(filters, flops_range=ends)
            choices.append((words, chosen, ("--flops-range", text)))
    if filters.min_ratio is None:
        for ratio in (4.0, 20.0):
            chosen = dataclasses.replace(filters, min_ratio=ratio)
            words = f"only runs with at least {ratio:g} tokens per parameter"
            choices.append((words, chosen, ("--min-ratio", f"{ratio:g}")))
    if not filters.best_recipe:
        chosen = dataclasses.replace(filters, best_recipe=True)
        choices.append(("only the best run of each cell", chosen, ("--best-recipe",)))
    return choices

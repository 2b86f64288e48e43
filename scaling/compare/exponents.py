"""How a recipe moves the exponent: sweeps of one grid compared by a in N* ∝ C^a.

Kaplan et al. (2001.08361) found a = .73, Hoffmann et al. (2203.15556) .50. Porian et al.
(2406.19146) bridged the two in steps: .835 as Kaplan counted and trained, .706 with the
head's FLOPs, .602 with a short warmup, .571 with a decay that ends where the run does, .497 tuned.
Here each recipe is a sweep of its own over the same cells, so only the recipe can move a. The first
step, the head, is a matter of counting: the same runs, with the head in N and C and without it.

    a(C_low, C_high) = ln(N*(C_high) / N*(C_low)) / ln(C_high / C_low)    of each law's frontier
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.compare.recounting import CountedExponent
from scaling.errors import UsageError
from scaling.files.contract import to_contract, write_fields
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.fitted import Approach, Fit, Frontier, Interval
from scaling.fitting.intervals import find_interval
from scaling.units import FloatArray

COUNTED_AS_KAPLAN = "N and C without the head"
_METHODS: tuple[Approach, ...] = ("parametric", "isoflop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One recipe's sweep.

    Attributes:
        recipe: Its name.
        sets: Settings that it fixes instead of leaving them to the rules: key -> value.
        fit: Fit of its runs.
        headless: The same runs fitted with N without embeddings and head, C without the head's
            FLOPs, as Kaplan et al. did.
        counted: Exponents by minima at equal C under both counts, the full count first; None if
            the runs have too few minima.
        lowest: Declared budget [FLOPs] -> lowest measured loss there [nats/token].
    """

    recipe: str
    sets: Mapping[str, float]
    fit: Fit
    headless: Fit
    counted: tuple[CountedExponent, CountedExponent] | None
    lowest: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Exponent:
    """a and its interval; None without bootstrap."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipePoint:
    """Results of one recipe's runs.

    Attributes:
        recipe, sets: Its name and the settings it fixes.
        law: a of the law's frontier (Approach 3).
        minima: a of the line through the IsoFLOP minima (Approach 2); None if there are too few.
        headless: a of the law's frontier with N and C counted without the head; None without one.
        headless_minima: The same by minima at equal C; None if there are too few.
        params: N* of the law at the largest budget all recipes share.
        measured: Lowest measured loss of that budget [nats/token]; None if no run has it.
        failed: Codes of the checks that failed.
    """

    recipe: str
    sets: Mapping[str, float]
    law: Exponent
    minima: Exponent | None
    headless: Exponent | None
    headless_minima: Exponent | None
    params: float
    measured: float | None
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExponentChange(Exponent):
    """Change of a by one method: a after the step minus a before it, and its interval."""

    @property
    def sure(self) -> bool | None:
        """True if the interval excludes zero; None without an interval."""
        return None if self.interval is None else self.interval.low * self.interval.high > 0.0

    def to_contract(self) -> dict[str, Any]:
        return {**write_fields(self), "sure": self.sure}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step from one recipe, or way of counting, to the next.

    Attributes:
        before, after: Names of recipes; for the first step, of ways of counting.
        law: Change of a by the laws.
        minima: Change of a by the IsoFLOP minima, which can follow an error that is not a power
            of N or D, as a law cannot; None if one of the two recipes has none.
    """

    before: str
    after: str
    law: ExponentChange
    minima: ExponentChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeComparison:
    """Recipes compared, in the order of the sweep file.

    Attributes:
        points: One for each recipe with a law.
        steps: Counting the head for the first of them, then each recipe in place of the one before.
        flops: Largest budget that all share; None if they declare none.
        level: Probability of each interval.
        left_out: Recipes without a frontier, and why.
    """

    points: tuple[RecipePoint, ...]
    steps: tuple[Step, ...]
    flops: float | None
    level: float
    left_out: Mapping[str, str]

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling recipes`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "level": self.level,
            "flops": self.flops,
            "left_out": dict(self.left_out),
            "recipes": [
                {
                    "recipe": point.recipe,
                    "sets": dict(point.sets),
                    "a": {
                        "parametric": to_contract(point.law),
                        "isoflop": to_contract(point.minima),
                        "parametric_without_head": to_contract(point.headless),
                        "isoflop_without_head": to_contract(point.headless_minima),
                    },
                    "params": point.params,
                    "lowest_loss": point.measured,
                    "failed_checks": list(point.failed),
                }
                for point in self.points
            ],
            "steps": [
                {
                    "before": step.before,
                    "after": step.after,
                    "change": {
                        "parametric": to_contract(step.law),
                        "isoflop": to_contract(step.minima),
                    },
                }
                for step in self.steps
            ],
        }


def compare_exponents(trained: Sequence[Trained], *, seed: int = 0) -> RecipeComparison:
    """Compare recipes by the exponent of their frontiers.

    Args:
        trained: Sweeps of the same cells and corpus, in the order of the steps.
        seed: Seeds the pairing of draws.

    Raises:
        UsageError: Fewer than two have a law with a frontier.
    """
    usable = [one for one in trained if "parametric" in one.fit.approaches]
    left_out = {
        one.recipe: one.fit.reason or one.fit.status for one in trained if one not in usable
    }
    if len(usable) < 2:
        raise UsageError(
            f"{len(usable)} of {len(trained)} recipes have a frontier; two are needed to compare."
        )
    shared = set.intersection(*(set(one.lowest) for one in usable))
    flops = max(shared, default=None)
    return RecipeComparison(
        points=tuple(_describe(one, flops) for one in usable),
        steps=_list_steps(usable, seed),
        flops=flops,
        level=usable[0].fit.level,
        left_out=left_out,
    )


def _describe(one: Trained, flops: float | None) -> RecipePoint:
    line = one.fit.approaches["parametric"]
    at = flops if flops is not None else line.range[1]
    return RecipePoint(
        recipe=one.recipe,
        sets=one.sets,
        law=Exponent(line.a, (line.intervals or {}).get("a")),
        minima=_read_exponent(one.fit.approaches.get("isoflop")),
        headless=_read_exponent(one.headless.approaches.get("parametric")),
        headless_minima=_read_counted(one),
        params=line.k_n * at**line.a,
        measured=None if flops is None else one.lowest[flops],
        failed=tuple(check.code for check in one.fit.checks if check.passed is False),
    )


def _list_steps(usable: Sequence[Trained], seed: int) -> tuple[Step, ...]:
    steps = []
    first = usable[0]
    plain = first.fit.approaches["parametric"]
    headless = first.headless.approaches.get("parametric")
    if headless is not None:
        # Both fits resample the same runs with the same weights: pair the draws if none is missing.
        paired = len(plain.draws) == len(headless.draws)
        steps.append(
            Step(
                before=f"{first.recipe}, {COUNTED_AS_KAPLAN}",
                after=first.recipe,
                law=_compare(headless, plain, None if paired else seed),
                minima=_compare_counts(first),
            )
        )
    for at, (one, other) in enumerate(itertools.pairwise(usable), start=1):
        # Different runs resampled with the same weights: paired draws would share noise that the
        # runs do not, so they are shuffled.
        changes = {
            name: _compare(one.fit.approaches[name], other.fit.approaches[name], seed + at)
            for name in _METHODS
            if name in one.fit.approaches and name in other.fit.approaches
        }
        steps.append(
            Step(
                before=one.recipe,
                after=other.recipe,
                law=changes["parametric"],
                minima=changes.get("isoflop"),
            )
        )
    return tuple(steps)


def _compare_counts(one: Trained) -> ExponentChange | None:
    """Change of a that counting the head makes, by minima at equal C, with the same noise."""
    if one.counted is None:
        return None
    whole, headless = one.counted
    differences = whole.draws - headless.draws
    return ExponentChange(whole.a - headless.a, _find_interval(differences, one.fit.level))


def _compare(line: Frontier, other: Frontier, shuffle: int | None) -> ExponentChange:
    """Change from one line to another; draws are paired in order, or shuffled by the seed."""
    value = other.a - line.a
    count = min(len(line.draws), len(other.draws))
    if count < 2 or line.intervals is None:
        return ExponentChange(value, None)
    first, second = (np.array(one.draws, dtype=np.float64)[:count, 0] for one in (line, other))
    if shuffle is not None:
        second = np.random.default_rng(shuffle).permutation(second)
    return ExponentChange(value, _find_interval(second - first, line.intervals["a"].level))


def _find_interval(draws: FloatArray, level: float) -> Interval | None:
    finite = draws[np.isfinite(draws)]
    if finite.size < 2:
        return None
    return find_interval(finite, level)


def _read_counted(one: Trained) -> Exponent | None:
    if one.counted is None:
        return None
    _, headless = one.counted
    return Exponent(headless.a, _find_interval(headless.draws, one.fit.level))


def _read_exponent(line: Frontier | None) -> Exponent | None:
    return None if line is None else Exponent(line.a, (line.intervals or {}).get("a"))

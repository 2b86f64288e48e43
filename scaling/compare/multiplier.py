"""Which of two recipes needs less compute, by how much, and how sure that is.

Both tables are fitted together with shared exponents (laws/two_recipes.py). Where the exponents are
not shared (the separate fits are significantly better) each keeps its own law, and the answer
holds at the asked budget only.

    multiplier m(C) = C_B / C,   L*_B(C_B) = L*_A(C)

is the compute that B needs for the loss that A reaches with C, as a share of C; below 1, B is the
better recipe. L* is the lowest loss along each table's own cost model.

Where the tables share cells (the same N and D, or a group), a bootstrap draw takes a cell in both
or in neither, so that noise which both runs of it have (initialisation, order of the data) cancels
in m. At a correlation of .9 the interval is less than half as wide (benchmarks/pairs.py).

Whether the exponents are shared is a likelihood-ratio test in the Huber objective's units
(identification.py): 2·ΔF/τ is χ² with two degrees of freedom, whose tail is e^(−ΔF/τ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.errors import NoFitError, QueryError, UsageError
from scaling.files.contract import to_contract
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.bootstrap import MAX_CLUSTERS, draw_laws, draw_together
from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.fits import check_bounds
from scaling.fitting.checks.points import find_design_problem
from scaling.fitting.fitted import MAX_DECADES, Check, Interval, pass_if
from scaling.fitting.identification import measure_scale
from scaling.fitting.intervals import find_interval
from scaling.fitting.noise import estimate_replicate_sigma, join_clusters
from scaling.fitting.parametric import ParametricFit, choose_delta, fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.laws.searching import find_crossing
from scaling.laws.two_recipes import SHARED
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable, make_table, sort_rows
from scaling.units import FloatArray, IntArray, format_flops
from scaling.units.losses import NATS, LossScale

# Level of the test that both recipes share their exponents.
_SIGNIFICANCE = 0.01
_HALVINGS = 40  # bisections of the range of ln C: to 1e-11
_REACH = math.log(1e6)  # largest multiplier that is searched, as a logarithm
_BUDGETS = 25  # grid on which a crossing is searched
_BEYOND = 10.0  # factor in C by which that grid reaches beyond the data
_EQUAL = 1e-9  # difference in ln L that is rounding
_MOST_RUNS = 1000.0  # times the runs at hand; if more were needed, the recipes cannot be told apart
_SURE = 0.95  # share of draws in which the curves must keep their order


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two recipes at one budget.

    Attributes:
        names: Names of the tables, A and B.
        families: Families of their models; None if a table does not state it.
        flops: Budget C given to A [FLOPs].
        loss: Lowest loss of each with C [nats/token].
        multiplier: m(C); inf if B never reaches A's loss, 0 if any compute of B is enough.
        level: Probability with which each interval should hold the truth.
        multiplier_interval: Interval of the multiplier; None without bootstrap.
        shared: Whether both were fitted with shared exponents.
        exponents: α and β of A and B.
        crossing: Budget at which the better recipe changes, within the data and a decade beyond
            [FLOPs]; None if it does not.
        order_kept: Share of the draws in which no such change happens; None without bootstrap.
        more_runs: Factor by which the number of runs must grow to resolve the difference; 1 if it
            is resolved, None without bootstrap or if nothing differs.
        more_flops: Cost of training the missing runs, at the mean cost of the existing ones
            [FLOPs]; None likewise.
        checks: Checks of the comparison.
    """

    names: tuple[str, str]
    families: tuple[str | None, str | None]
    flops: float
    loss: tuple[float, float]
    multiplier: float
    level: float
    multiplier_interval: Interval | None
    shared: bool
    exponents: tuple[tuple[float, float], tuple[float, float]]
    crossing: float | None
    order_kept: float | None
    more_runs: float | None
    more_flops: float | None
    checks: tuple[Check, ...]

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return the JSON of `scaling compare`, with losses in the unit of `scale`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "tables": list(self.names),
            "families": list(self.families),
            "flops": self.flops,
            "loss": [scale.to_or_none(value) for value in self.loss],
            "multiplier": to_contract(self.multiplier),
            "level": self.level,
            "intervals": {"multiplier": to_contract(self.multiplier_interval)},
            "shared_exponents": self.shared,
            "exponents": [dict(zip(("alpha", "beta"), one, strict=True)) for one in self.exponents],
            "crossing": self.crossing,
            "order_kept": self.order_kept,
            "more_runs": to_contract(self.more_runs),
            "more_flops": to_contract(self.more_flops),
            "checks": [check.to_contract(scale) for check in self.checks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """One table's law: parameters (E, A, B, α, β), shape (5,), and draws of them, (b, 5)."""

    letters: FloatArray
    draws: FloatArray
    cost: CostModel


def compare_tables(
    first: RunTable,
    second: RunTable,
    *,
    flops: float | None = None,
    far: bool = False,
    huber_delta: float | None = None,
    bootstrap: int | None = 1000,
    level: float = 0.9,
    seed: int = 0,
    same_text: bool | None = None,
) -> Comparison:
    """How much of A's compute B needs for the same loss.

    Args:
        first, second: A and B; losses must be of the same text under the same tokenizer.
        flops: Budget C of A [FLOPs]; None: the smaller of the two largest budgets.
        far: Answer even beyond three decades from the data.
        huber_delta: Threshold on log residuals; None: as `fit_runs` chooses it.
        bootstrap: Number of draws; None: no intervals.
        level: Probability with which each interval should hold the truth.
        seed: Seed of the draws.
        same_text: Whether both were evaluated on the same tokens; None if unknown.

    Returns:
        The multiplier of compute with its interval, and whether it holds at other budgets.

    Raises:
        NoFitError: A table cannot carry a law, or a fit is not proven.
        QueryError: The budget is no positive number, or too far from the data.
        UsageError: Fewer than two draws are asked for.
    """
    tables = sort_rows(first), sort_rows(second)
    for table in tables:
        problem = find_design_problem(table)
        if problem is not None:
            raise NoFitError(f"{table.source}: {problem}")
    ranges = [list_flops(table) for table in tables]
    if flops is None:
        flops = float(min(one.max() for one in ranges))
    if not (math.isfinite(flops) and flops > 0):
        raise QueryError(f"flops is {flops}; ask for a positive, finite number.")
    distance = max(
        max(math.log10(flops / float(one.max())), math.log10(float(one.min()) / flops))
        for one in ranges
    )
    if distance > MAX_DECADES and not far:
        raise QueryError(
            f"C = {format_flops(flops)} lies {distance:.1f} decades from a table's runs; beyond "
            f"{MAX_DECADES:g} no answer was ever tested. Add runs, or insist with --far."
        )
    if bootstrap is not None and bootstrap < 2:
        raise UsageError(f"bootstrap is {bootstrap}; draw at least 2, or ask for none.")
    sigmas = [estimate_replicate_sigma(table) for table in tables]
    delta = max(choose_delta(sigma, huber_delta) for sigma in sigmas)
    alone = [fit_parametric(table, CHINCHILLA, delta=delta) for table in tables]
    both, group = _join_tables(tables)
    joint = fit_parametric(both, SHARED, delta=delta, group=group)
    for fit, name in zip((*alone, joint), (*(t.source for t in tables), "both"), strict=True):
        if not fit.converged:
            raise NoFitError(f"{name}: the fit is not converged, so nothing can be compared.")
        if fit.vanished:
            raise NoFitError(
                f"{name}: a term of its law has vanished ({', '.join(fit.at_bound)}), so it says "
                "nothing of the best split of a budget, and nothing can be compared."
            )
    bounds = [check for check in map(check_bounds, alone) if check.passed is False]
    shared_check = _check_shared(joint, alone)
    shared = bool(shared_check.passed)
    if shared:
        recipes = _split_joint(joint, both, tables, bootstrap, seed)
    else:
        recipes = _keep_apart(alone, tables, bootstrap, seed)
    checks = (_check_text(same_text), *bounds, shared_check)
    return _answer(tables, recipes, ranges, flops, shared, checks, level)


def _answer(
    tables: tuple[RunTable, RunTable],
    recipes: tuple[_Recipe, ...],
    ranges: list[FloatArray],
    flops: float,
    shared: bool,
    checks: tuple[Check, ...],
    level: float,
) -> Comparison:
    point = [recipe.letters[None] for recipe in recipes]
    multiplier = float(_find_multiplier(point, recipes, flops)[0])
    low = max(float(one.min()) for one in ranges)
    high = max(float(one.max()) for one in ranges) * _BEYOND
    budgets = np.geomspace(min(low, flops), max(high, flops), _BUDGETS)
    gap = _find_gap(point, recipes, budgets)[0]
    signs = np.where(np.abs(gap) < _EQUAL, 0.0, np.sign(gap))
    changes = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    crossing = None
    if changes.size:
        at = int(changes[0])
        share = gap[at] / (gap[at] - gap[at + 1])
        crossing = float(budgets[at] * (budgets[at + 1] / budgets[at]) ** share)
    interval, kept, more = None, None, None
    draws = [recipe.draws for recipe in recipes]
    count = min(len(one) for one in draws)
    if count >= 2:
        some = [one[:count] for one in draws]
        drawn = _find_multiplier(some, recipes, flops)
        # Quantiles are draws themselves, not interpolated: some draws may be 0 or infinite.
        interval = find_interval(drawn, level, as_drawn=True)
        signs = np.sign(_find_gap(some, recipes, budgets))
        kept = float(np.mean(np.all(signs == signs[:, :1], axis=1)))
        more = _count_more_runs(multiplier, interval)
    losses = [
        float(_lowest_loss(p, r, np.array([flops]))[0, 0])
        for p, r in zip(point, recipes, strict=True)
    ]
    return Comparison(
        names=(tables[0].source, tables[1].source),
        families=(tables[0].family, tables[1].family),
        flops=flops,
        loss=(losses[0], losses[1]),
        multiplier=multiplier,
        level=level,
        multiplier_interval=interval,
        shared=shared,
        exponents=tuple((float(r.letters[3]), float(r.letters[4])) for r in recipes),  # type: ignore[arg-type]
        crossing=crossing,
        order_kept=kept,
        more_runs=more,
        more_flops=None if more is None else (more - 1.0) * sum(float(c.sum()) for c in ranges),
        checks=(
            *checks,
            _check_distance(flops, multiplier, ranges),
            _check_reach(multiplier, interval),
            _check_order(kept, crossing),
        ),
    )


def _join_tables(tables: tuple[RunTable, RunTable]) -> tuple[RunTable, IntArray]:
    """Both tables as one, and the recipe of each row; cells they share are one cluster."""
    recipe = np.repeat(np.arange(2), [len(table) for table in tables])
    params, tokens, loss = (
        np.concatenate([getattr(table, name) for table in tables])
        for name in ("params", "tokens", "loss")
    )
    group = [str(name) for name in join_clusters(*tables)]
    return make_table(params, tokens, loss=loss, group=group), recipe


def _split_joint(
    joint: ParametricFit,
    both: RunTable,
    tables: tuple[RunTable, RunTable],
    bootstrap: int | None,
    seed: int,
) -> tuple[_Recipe, ...]:
    draws = np.empty((0, joint.coefficients.size))
    if bootstrap is not None:
        draws = draw_laws(both, joint, count=bootstrap, seed=seed).coefficients
    letters = list(SHARED.param_names)
    recipes = []
    for at, table in enumerate(tables, start=1):
        wanted = [f"E_{at}", f"A_{at}", f"B_{at}", "alpha", "beta"]
        columns = [letters.index(name) for name in wanted]
        recipes.append(
            _Recipe(letters=joint.coefficients[columns], draws=draws[:, columns], cost=table.cost)
        )
    return tuple(recipes)


def _keep_apart(
    fits: list[ParametricFit], tables: tuple[RunTable, RunTable], bootstrap: int | None, seed: int
) -> tuple[_Recipe, ...]:
    """Each table's own law. Draws take a shared cell in both tables or in neither; without shared
    cells each table is drawn by itself."""
    draws = [np.empty((0, fit.coefficients.size)) for fit in fits]
    if bootstrap is not None:
        cluster = join_clusters(*tables)
        first, second = (set(part.tolist()) for part in np.split(cluster, [len(tables[0])]))
        if first & second and len(first | second) <= MAX_CLUSTERS:
            draws = draw_together(fits, cluster, count=bootstrap, seed=seed)
        else:
            draws = [
                draw_laws(table, fit, count=bootstrap, seed=seed + at).coefficients
                for at, (fit, table) in enumerate(zip(fits, tables, strict=True))
            ]
    return tuple(
        _Recipe(letters=fit.coefficients, draws=drawn, cost=table.cost)
        for fit, drawn, table in zip(fits, draws, tables, strict=True)
    )


def _lowest_loss(letters: FloatArray, recipe: _Recipe, flops: FloatArray) -> FloatArray:
    """L*(C), shape (draws, budgets), for parameters (draws, 5) and C (budgets,) or (draws, 1)."""
    wide = letters[:, None, :]
    budgets = flops if flops.ndim == 2 else flops[None, :]
    params, tokens = find_frontier(CHINCHILLA, wide, flops=budgets, cost=recipe.cost)
    return CHINCHILLA.loss(wide, params, tokens)


def _find_multiplier(
    letters: list[FloatArray], recipes: tuple[_Recipe, ...], flops: float
) -> FloatArray:
    """m of each draw, by a search in ln C_B, since L* falls with C."""
    target = _lowest_loss(letters[0], recipes[0], np.array([flops]))
    centre = math.log(flops)
    low = np.full(target.shape, centre - _REACH)
    high = np.full(target.shape, centre + _REACH)
    reached = _lowest_loss(letters[1], recipes[1], np.exp(high)) <= target
    always = _lowest_loss(letters[1], recipes[1], np.exp(low)) <= target
    beyond = find_crossing(
        lambda log_c: _lowest_loss(letters[1], recipes[1], np.exp(log_c)) <= target,
        low,
        high,
        halvings=_HALVINGS,
    )
    found = np.where(reached, np.exp(beyond - centre), np.inf)
    return np.asarray(np.where(always, 0.0, found)[:, 0], dtype=np.float64)


def _find_gap(
    letters: list[FloatArray], recipes: tuple[_Recipe, ...], budgets: FloatArray
) -> FloatArray:
    """ln L*_A − ln L*_B, shape (draws, budgets)."""
    first, second = (
        _lowest_loss(one, recipe, budgets) for one, recipe in zip(letters, recipes, strict=True)
    )
    return np.asarray(np.log(first) - np.log(second), dtype=np.float64)


def _count_more_runs(multiplier: float, interval: Interval) -> float | None:
    """Factor of runs needed, (half width / |ln m|)²: intervals shrink as 1/√runs."""
    if not (math.isfinite(multiplier) and 0 < interval.low < math.inf):
        return None
    if not math.isfinite(interval.high):
        return None
    if interval.low > 1.0 or interval.high < 1.0:
        return 1.0
    distance = abs(math.log(multiplier))
    half = 0.5 * math.log(interval.high / interval.low)
    more = (half / distance) ** 2 if distance > 0 else math.inf
    return more if more <= _MOST_RUNS else None


def _check_text(same: bool | None) -> Check:
    seen = {
        True: "Both were evaluated on the same tokens.",
        False: "The tables were evaluated on different tokens: their losses are of two tasks.",
        None: "The tables do not say whether their losses are of the same tokens.",
    }[same]
    advice = "Evaluate both on one text with one tokenizer before comparing them."
    return pass_if(same, "same_text", seen, advice)


def _check_shared(joint: ParametricFit, alone: list[ParametricFit]) -> Check:
    psi_square, slope = measure_scale(joint)
    rise = joint.objective - sum(fit.objective for fit in alone)
    chance = math.exp(-max(0.0, rise) * slope / psi_square) if psi_square > 0 else 1.0
    values = [f"alpha {fit.coefficients[3]:.3g}, beta {fit.coefficients[4]:.3g}" for fit in alone]
    seen = (
        f"Fitted apart: {values[0]}; {values[1]}. Equal exponents would fit as badly with a "
        f"chance of {chance:.2g}."
    )
    advice = "Each table keeps its own law; the multiplier holds at this budget only."
    return pass_if(chance >= _SIGNIFICANCE, "exponents_shared", seen, advice)


def _check_reach(multiplier: float, interval: Interval | None) -> Check:
    ends = [] if interval is None else [interval.low, interval.high]
    lost = [value for value in (multiplier, *ends) if not 0.0 < value < math.inf]
    seen = "B reaches A's loss within a millionfold of its compute, in all that was drawn."
    if lost:
        seen = "B never reaches A's loss, or does with any compute: here or at an interval's end."
    advice = "The tables' losses hardly overlap: compare them at another budget."
    return pass_if(not lost, "within_reach", seen, advice)


def _check_distance(flops: float, multiplier: float, ranges: list[FloatArray]) -> Check:
    low, high = max(float(r.min()) for r in ranges), min(float(r.max()) for r in ranges)
    inside = low <= flops <= high * (1 + 1e-9)
    needed = flops * multiplier
    inside &= float(ranges[1].min()) <= needed * (1 + 1e-9)
    inside &= needed <= float(ranges[1].max()) * (1 + 1e-9)
    known = f"Both tables cover {format_flops(low)} … {format_flops(high)} FLOPs"
    if low > high:
        known = "No budget lies within both tables"
    takes = format_flops(needed) if 0.0 < needed < math.inf else "no amount that its law knows"
    seen = f"{known}; asked: {format_flops(flops)}, for which B needs {takes}."
    advice = "Compare where both were trained, or add runs there."
    return pass_if(inside, "extrapolation_distance", seen, advice)


def _check_order(kept: float | None, crossing: float | None) -> Check:
    where = "The curves do not cross"
    if crossing is not None:
        where = f"The curves cross near {format_flops(crossing)} FLOPs"
    if kept is None:
        return pass_if(None, "order_kept", f"{where}; without draws nothing says how surely.", "")
    seen = f"{where}; in {kept:.0%} of the draws one recipe is better throughout."
    advice = "Which recipe is better depends on the budget, or is not known: quote the budget."
    return pass_if(crossing is None and kept >= _SURE, "order_kept", seen, advice)

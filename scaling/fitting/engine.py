"""fit_runs(table): every approach, its uncertainty and its checks, in one call.

The rows are put in an order that depends on their values only, so the order of a file never
changes a digit of the fit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.errors import UsageError
from scaling.fitting import akima, cubic, fit_checks, residual_checks
from scaling.fitting.backtest import MAX_ROWS, MIN_BLOCKS, backcast_largest, leave_out, list_blocks
from scaling.fitting.bootstrap import Draws, draw_laws, draw_minima, find_interval
from scaling.fitting.bracket import check_recipe, draw_recipe_error
from scaling.fitting.budgets import group_budgets, list_flops
from scaling.fitting.checks import (
    check_curves,
    check_points,
    check_trajectories,
    find_law_problem,
)
from scaling.fitting.discrepancy import DriftMember, assume_discrepancy, measure_discrepancy
from scaling.fitting.ensemble import EnsembleFit, fit_ensemble
from scaling.fitting.envelope import fit_envelope
from scaling.fitting.identification import Identification, identify, weigh_letters
from scaling.fitting.isoflop import (
    MIN_OPTIMA,
    Curve,
    Optima,
    fit_curves,
    fit_power_line,
    locate_optima,
)
from scaling.fitting.noise import (
    estimate_evaluation_error,
    estimate_replicate_sigma,
    estimate_residual_sigma,
    find_shared,
    list_clusters,
)
from scaling.fitting.parametric import (
    ParametricFit,
    choose_delta,
    estimate_exponent,
    fit_parametric,
)
from scaling.fitting.recipe_checks import check_training
from scaling.fitting.regime import check_regime
from scaling.fitting.result import (
    Approach,
    Backcast,
    Check,
    Coverage,
    Discrepancy,
    EnsembleEstimate,
    Fit,
    FitStatus,
    Frontier,
    Interval,
    LawEstimate,
    MeasuredRun,
    Objective,
)
from scaling.fitting.spread_checks import check_seed_spread
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.ensemble import ALIAS, ENSEMBLE
from scaling.laws.family import LawFamily
from scaling.laws.registry import find_family
from scaling.ledger.tables import RunTable, sort_rows
from scaling.ledger.trajectories import read_schedule
from scaling.units import FloatArray, IntArray, format_flops

AskedApproach = Literal["all", "parametric", "isoflop", "envelope"]
# The gates speak of 90 % (decision 0041), whatever level the answer's intervals have.
GATE_LEVEL = 0.9
# Beside the parabola of Approach 2.
_OTHER_CURVES: Mapping[Approach, Callable[..., tuple[Optima, FloatArray]]] = {
    "akima": akima.find_minima,
    "cubic": cubic.find_minima,
}
_LINE_NAMES = ("a", "k_n", "b", "k_d")


def fit_runs(
    table: RunTable,
    *,
    approach: AskedApproach = "all",
    family: str | None = None,
    huber_delta: float | None = None,
    bootstrap: int | None = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> Fit:
    """Fit the law and the frontier of a table of runs, with intervals and checks.

    Args:
        table: Runs, one row each.
        approach: Which approaches to try; under `all` the answers come from the parametric one.
        family: Name of the law that answers, one of `laws.registry`, or `ensemble`; None:
            Chinchilla's law is the fit's, and the ensemble answers (laws/ensemble.py).
        huber_delta: Threshold on log residuals; None: see `choose_delta`.
        bootstrap: Draws; None: no intervals.
        level: Of every interval.
        seed: Of the draws.

    Returns:
        The Fit; where the design cannot carry one, with status `failed`, no law and the reason.

    Raises:
        UsageError: An option is out of its range.
    """
    _verify_options(approach, bootstrap, level)
    table = sort_rows(table)
    asked: Approach = "parametric" if approach == "all" else approach
    if approach == "envelope":
        _verify_points(table)
    joined = family in (None, ENSEMBLE.name, ALIAS)
    work = _Work(
        table=table,
        family=CHINCHILLA if family is None or joined else find_family(family),
        level=level,
        bootstrap=bootstrap,
        seed=seed,
    )
    sigma = estimate_replicate_sigma(table)
    delta = choose_delta(sigma, huber_delta)
    law = _fit_law(work, delta) if approach in ("all", "parametric") else _LawPart()
    ensemble = _join_laws(work, law) if joined else None
    curves = _fit_minima(work, law, sigma) if approach in ("all", "isoflop") else _MinimaPart()
    hull = _follow_envelope(work) if approach in ("all", "envelope") else _MinimaPart()
    checks = [
        *check_points(table, len(work.family.param_names)),
        *check_trajectories(table),
        *check_training(table),
        *check_recipe(table, sigma),
        check_seed_spread(table),
    ]
    checks += [*law.checks, *curves.checks]
    if approach == "all":
        agree = fit_checks.check_agreement(law.frontier, curves.frontier, hull.frontier)
        checks.append(agree)
    status, reason = _find_status(asked, law, hull if asked == "envelope" else curves)
    found = (law.frontier, law.projection, curves.frontier, *curves.others, hull.frontier)
    fit = Fit(
        status=status,
        reason=reason,
        n=len(table),
        law=law.estimate,
        level=level,
        objective=law.objective,
        approaches={one.approach: one for one in found if one is not None},
        asked=asked,
        covered=_measure_coverage(table),
        residual_sigma=law.residual_sigma,
        replicate_sigma=sigma,
        draws=_to_rows(law.draws),
        checks=tuple(checks),
        backcast=law.backcast,
        convention=table.convention,
        cost=table.cost,
        notes=(*table.notes, *work.notes),
        table_digest=table.digest,
        source=table.source,
        answer=None if ensemble is None else _estimate_ensemble(work, ensemble, family),
        measured=_list_measured(table),
        discrepancy=_measure_discrepancy(work, law.fit, ensemble, delta) if bootstrap else None,
        evaluation_error=estimate_evaluation_error(table, law.residual_sigma),
        floor=law.floor,
    )
    return fit if family is None or fit.answer is None else _stand_alone(fit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What both approaches need; `notes` grows."""

    table: RunTable
    family: LawFamily
    level: float
    bootstrap: int | None
    seed: int
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LawPart:
    """Approach 3; everything None or empty where `problem` says why."""

    problem: str = ""
    fit: ParametricFit | None = None
    estimate: LawEstimate | None = None
    objective: Objective | None = None
    residual_sigma: float | None = None
    frontier: Frontier | None = None
    projection: Frontier | None = None
    backcast: Backcast | None = None
    draws: FloatArray = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    checks: tuple[Check, ...] = ()
    floor: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _MinimaPart:
    """Approach 2, by parabolas and by the curves beside them (Akima's, cubics), or Approach 1; no
    frontier where `problem` says why."""

    problem: str = ""
    frontier: Frontier | None = None
    others: tuple[Frontier, ...] = ()
    checks: tuple[Check, ...] = ()


def _fit_law(work: _Work, delta: float) -> _LawPart:
    table, family = work.table, work.family
    problem = find_law_problem(table, family)
    if problem is not None:
        return _LawPart(problem=problem)
    fit = fit_parametric(table, family, delta=delta)
    flops = list_flops(table)
    span = (float(flops.min()), float(flops.max()))
    _note_parent(work, fit)
    shared = None if find_shared(table) is None else list_clusters(table)
    known = identify(fit, cost=table.cost, flops=span, level=GATE_LEVEL, shared=shared)
    has_frontier = family.has_frontier and not fit.vanished
    blocks = list_blocks(table, group_budgets(table))
    draws, intervals, lines = np.empty((0, fit.theta.size)), None, np.empty((0, 4))
    if work.bootstrap is not None:
        drawn = draw_laws(table, fit, count=work.bootstrap, seed=work.seed)
        _note_draws(work, drawn)
        alike, draws = draw_recipe_error(table, fit, drawn, seed=work.seed)
        if len(draws) >= 2:
            intervals = {
                name: find_interval(alike[:, at], work.level)
                for at, name in enumerate(family.param_names)
            }
            if has_frontier:
                lines = estimate_exponent(family, alike, table.cost, span)
    frontier, projection, slope = None, None, math.nan
    if has_frontier:
        line = estimate_exponent(family, fit.coefficients, table.cost, span)
        slope = float(line[0])
        frontier = _make_frontier("parametric", line, lines, table, span, work.level)
        other = estimate_exponent(family, fit.projected, table.cost, span)
        projection = _make_frontier("projection", other, np.empty((0, 4)), table, span, work.level)
    params = dict(zip(family.param_names, fit.coefficients.tolist(), strict=True))
    return _LawPart(
        fit=fit,
        estimate=LawEstimate(family=family.name, params=params, intervals=intervals),
        objective=Objective(name="huber_log", delta=delta, sum=fit.objective),
        residual_sigma=estimate_residual_sigma(fit.residuals, fit.theta.size),
        frontier=frontier,
        projection=projection,
        backcast=backcast_largest(table, blocks, family, delta=delta),
        draws=draws,
        checks=_check_law(table, fit, known, slope, blocks, span),
        floor=None if known.floor is None else Interval(*known.floor, GATE_LEVEL),
    )


def _join_laws(work: _Work, law: _LawPart) -> EnsembleFit | None:
    """The ensemble; None where Chinchilla's law, its first member, says nothing of a budget."""
    if law.fit is None or law.fit.vanished:
        return None
    return fit_ensemble(
        work.table, law.fit, bootstrap=work.bootstrap, level=work.level, seed=work.seed
    )


def _stand_alone(fit: Fit) -> Fit:
    """The ensemble that was asked for by name, without what Chinchilla's law alone has."""
    approaches = dict(fit.answering.approaches)
    approaches.pop("projection", None)
    note = "checks of the law are those of Chinchilla's law on all runs"
    return dataclasses.replace(
        fit.answering,
        approaches=approaches,
        objective=None,
        backcast=None,
        floor=None,
        notes=(*fit.notes, note),
    )


def _estimate_ensemble(work: _Work, ensemble: EnsembleFit, asked: str | None) -> EnsembleEstimate:
    table, flops = work.table, list_flops(work.table)
    span = (float(flops.min()), float(flops.max()))
    line = estimate_exponent(ENSEMBLE, ensemble.coefficients, table.cost, span)
    lines = np.empty((0, 4))
    if len(ensemble.draws) >= 2:
        lines = estimate_exponent(ENSEMBLE, ensemble.draws, table.cost, span)
    predicted = ENSEMBLE.loss(ensemble.coefficients, table.params, table.tokens)
    residuals = np.log(predicted / table.loss)
    letters = dict(zip(ENSEMBLE.param_names, ensemble.coefficients.tolist(), strict=True))
    return EnsembleEstimate(
        law=LawEstimate(family=asked or ENSEMBLE.name, params=letters, intervals=None),
        frontier=_make_frontier("parametric", line, lines, table, span, work.level),
        members=ensemble.members,
        draws=_to_rows(ensemble.draws),
        residual_sigma=estimate_residual_sigma(residuals, len(CHINCHILLA.param_names)),
        converged=ensemble.converged,
    )


def _check_law(
    table: RunTable,
    fit: ParametricFit,
    known: Identification,
    slope: float,
    blocks: tuple[IntArray, ...],
    span: tuple[float, float],
) -> tuple[Check, ...]:
    floors, slopes = None, None
    flops = list_flops(table)
    if len(blocks) >= MIN_BLOCKS and len(table) <= MAX_ROWS:
        without = leave_out(fit, blocks)
        family = fit.task.family
        if family.floor is not None:
            floors = np.array([fit.coefficients[family.floor], without[0, family.floor]])
        if math.isfinite(slope):
            slopes = estimate_exponent(family, without, table.cost, span)[:, 0]
    names = tuple(
        f"the {rows.size} runs around {format_flops(float(np.median(flops[rows])))} FLOPs"
        for rows in blocks
    )
    return (
        fit_checks.check_convergence(fit),
        fit_checks.check_bounds(fit),
        fit_checks.check_identification(known, floors, float(table.loss.min())),
        fit_checks.check_precision(known, slope),
        fit_checks.check_influence(slope, slopes, names),
        residual_checks.check_lack_of_fit(table, fit),
        residual_checks.check_outliers(table, fit),
        residual_checks.check_trend(table, fit),
        residual_checks.check_evaluation(table, fit, slope_width=known.slope_width),
    )


def _fit_minima(work: _Work, law: _LawPart, sigma: float | None) -> _MinimaPart:
    table = work.table
    budgets = group_budgets(table) if len(table) else ()
    curves = fit_curves(table, budgets)
    regime = check_regime(curves, shared_noise=table.trajectory is not None)
    checks = (*check_curves(budgets, curves), regime)
    optima = locate_optima(curves, table.cost)
    if optima.flops.size < MIN_OPTIMA:
        rejected = " ".join(curve.sentence for curve in curves if curve.rejection)
        problem = (
            f"{optima.flops.size} of {len(budgets)} budgets with three or more model sizes have a "
            f"usable minimum; Approach 2 needs {MIN_OPTIMA}. {rejected}"
        ).strip()
        return _MinimaPart(problem=problem, frontier=None, checks=checks)
    lines, noise, freedom = np.empty((0, 4)), None, None
    if work.bootstrap is not None:
        noise, freedom = _find_curve_noise(curves, law, sigma)
        if noise is not None:
            lines = draw_minima(
                curves,
                table.cost,
                sigma=noise,
                freedom=freedom,
                count=work.bootstrap,
                seed=work.seed,
            )
    frontier = _join_minima("isoflop", optima, lines, work)
    sentences = tuple(curve.sentence for curve in curves if curve.rejection)
    count = 0 if noise is None or work.bootstrap is None else work.bootstrap
    others = []
    for name, find in _OTHER_CURVES.items():
        crossed, lines = find(table, budgets, table.cost, sigma=noise, count=count, seed=work.seed)
        if crossed.flops.size >= MIN_OPTIMA:
            others.append(_join_minima(name, crossed, lines, work))
    return _MinimaPart(
        frontier=dataclasses.replace(frontier, rejected=sentences),
        others=tuple(others),
        checks=checks,
    )


def _follow_envelope(work: _Work) -> _MinimaPart:
    """Approach 1, where points along runs compare."""
    table = work.table
    if read_schedule(table)[0] is None:
        return _MinimaPart()
    found = fit_envelope(table, count=work.bootstrap or 0, seed=work.seed)
    if found.problem:
        work.notes.append(f"envelope: {found.problem}")
        return _MinimaPart(problem=found.problem)
    if work.bootstrap is not None and len(found.lines) < work.bootstrap:
        work.notes.append(
            f"envelope: {len(found.lines)} of {work.bootstrap} resamplings of the runs keep enough "
            f"handovers; its intervals are theirs"
        )
    frontier = _join_minima("envelope", found.optima, found.lines, work)
    return _MinimaPart(frontier=dataclasses.replace(frontier, rejected=found.rejected))


def _join_minima(approach: Approach, optima: Optima, lines: FloatArray, work: _Work) -> Frontier:
    """The lines through the minima of budgets, or through handovers."""
    log_c = np.log(optima.flops)
    a, log_k_n = fit_power_line(log_c, np.log(optima.params))
    b, log_k_d = fit_power_line(log_c, np.log(optima.tokens))
    line = np.array([a, log_k_n, b, log_k_d])
    span = (float(optima.flops.min()), float(optima.flops.max()))
    frontier = _make_frontier(approach, line, lines, work.table, span, work.level)
    columns = (optima.flops, optima.params, optima.tokens, optima.loss)
    each = zip(*(column.tolist() for column in columns), strict=True)
    return dataclasses.replace(frontier, optima=tuple(each))


def _measure_discrepancy(
    work: _Work, fit: ParametricFit | None, ensemble: EnsembleFit | None, delta: float
) -> Discrepancy:
    """Model error of what answers; where only minima were asked for, of the law they stand
    beside."""
    if ensemble is not None:
        members = zip(ensemble.fitted, ensemble.weights.tolist(), strict=True)
        return measure_discrepancy(
            work.table,
            tuple(
                DriftMember(fit=one.fit, rows=one.rows, weight=weight)
                for one, weight in members
                if one is not None and weight > 0.0
            ),
        )
    if fit is None and find_law_problem(work.table, work.family) is None:
        fit = fit_parametric(work.table, work.family, delta=delta)
    if fit is None:
        return assume_discrepancy()
    rows = np.arange(len(work.table), dtype=np.int64)
    return measure_discrepancy(work.table, (DriftMember(fit=fit, rows=rows, weight=1.0),))


def _find_curve_noise(
    curves: tuple[Curve, ...], law: _LawPart, sigma: float | None
) -> tuple[float | None, int | None]:
    """σ of ln loss and its degrees of freedom: around the parabolas where they leave three, else
    (without those) of the replicates, else around the law."""
    freedom, total = 0, 0.0
    for curve in curves:
        if curve.rejection:
            continue
        design = np.stack((np.ones_like(curve.x), curve.x, curve.x**2), axis=1)
        fitted = design @ np.linalg.lstsq(design, curve.loss, rcond=None)[0]
        total += float(np.sum((curve.loss / fitted - 1.0) ** 2))
        freedom += curve.x.size - 3
    if freedom >= 3:
        return math.sqrt(total / freedom), freedom
    return (sigma if sigma is not None else law.residual_sigma), None


def _make_frontier(
    approach: Approach,
    line: FloatArray,
    lines: FloatArray,
    table: RunTable,
    span: tuple[float, float],
    level: float,
) -> Frontier:
    intervals: Mapping[str, Interval] | None = None
    if len(lines) >= 2:
        by_name = {}
        for at, name in enumerate(_LINE_NAMES):
            values = _exp_finite(lines[:, at]) if name.startswith("k") else lines[:, at]
            by_name[name] = find_interval(values, level)
        intervals = by_name
    a, log_k_n, b, log_k_d = (float(value) for value in line)
    return Frontier(
        approach=approach,
        a=a,
        b=b,
        k_n=float(_exp_finite(log_k_n)),
        k_d=float(_exp_finite(log_k_d)),
        cost_model=table.cost.name,
        range=span,
        intervals=intervals,
        optima=(),
        rejected=(),
        draws=_to_rows(lines),
    )


def _find_status(asked: Approach, law: _LawPart, curves: _MinimaPart) -> tuple[FitStatus, str]:
    if asked != "parametric":
        if curves.frontier is None:
            return "failed", curves.problem
        count = len(curves.frontier.optima)
        what = "handovers of the envelope" if asked == "envelope" else "IsoFLOP minima"
        return "converged", f"{count} {what} carry the frontier."
    if law.fit is None:
        return "failed", law.problem
    by_code = {check.code: check for check in law.checks}
    order: tuple[tuple[str, FitStatus], ...] = (
        ("not_converged", "not_converged"),
        ("parameter_at_bound", "bound_hit"),
        ("not_identified", "not_identified"),
    )
    for code, status in order:
        check = by_code[code]
        if check.passed is False:
            return status, f"{check.seen} {check.advice}"
    return "converged", by_code["not_converged"].seen


def _note_parent(work: _Work, fit: ParametricFit) -> None:
    """What a law that was asked for gains on the simpler one; Chinchilla's is the default."""
    family = fit.task.family
    if family.parent is None or family.name == CHINCHILLA.name:
        return
    parent = fit_parametric(work.table, find_family(family.parent), delta=fit.task.delta)
    gain = weigh_letters(fit, parent)
    verdict = "it is worth its letters" if gain > 0.0 else "the simpler law says as much"
    work.notes.append(
        f"{family.name} ({fit.theta.size} letters) against {family.parent} ({parent.theta.size}): "
        f"objective {fit.objective:.4g} and {parent.objective:.4g}, BIC {abs(gain):.1f} "
        f"{'lower' if gain > 0.0 else 'higher'}, so on these runs {verdict}; scaling backtest "
        "compares their forecasts"
    )


def _note_draws(work: _Work, drawn: Draws) -> None:
    if drawn.method == "noise":
        work.notes.append(
            "intervals: too few distinct (N, D) or groups to resample; drawn from noise around "
            "the law"
        )
    if drawn.method == "normal":
        work.notes.append("intervals: normal approximation (more than 20,000 clusters)")
    if drawn.failed:
        work.notes.append(
            f"intervals: {drawn.failed} of {work.bootstrap} refits did not converge, left out"
        )


def _measure_coverage(table: RunTable) -> Coverage | None:
    if len(table) == 0:
        return None
    ratio = table.tokens / table.params
    columns = (table.params, table.tokens, list_flops(table), table.loss, ratio)
    ends = [(float(column.min()), float(column.max())) for column in columns]
    return Coverage(params=ends[0], tokens=ends[1], flops=ends[2], loss=ends[3], ratio=ends[4])


def _list_measured(table: RunTable) -> tuple[MeasuredRun, ...]:
    if len(table) > MAX_ROWS:  # a stored fit is no second copy of a large table
        return ()
    columns = (table.params, table.tokens, list_flops(table), table.loss)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(MeasuredRun(*row) for row in rows)


def _exp_finite(logs: FloatArray | float) -> FloatArray:
    """exp, held within doubles: the line of a vanished term has an intercept of any size."""
    return np.asarray(np.exp(np.clip(logs, -700.0, 700.0)), dtype=np.float64)


def _to_rows(values: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _verify_points(table: RunTable) -> None:
    schedule, problem = read_schedule(table)
    if schedule is None:
        raise UsageError(
            f"{table.source}: approach envelope (Chinchilla's Approach 1) takes the lowest loss at "
            f"each C along training curves.\n{problem}. Or ask for all, parametric or isoflop."
        )


def _verify_options(approach: str, bootstrap: int | None, level: float) -> None:
    if approach not in ("all", "parametric", "isoflop", "envelope"):
        raise UsageError(
            f"approach {approach!r} is unknown; ask for all, parametric, isoflop or envelope."
        )
    if bootstrap is not None and bootstrap < 2:
        raise UsageError(f"bootstrap is {bootstrap}; draw at least 2, or ask for no bootstrap.")
    if not 0.0 < level < 1.0:
        raise UsageError(f"level is {level}; it must lie between 0 and 1, e.g. 0.9.")

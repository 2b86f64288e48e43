"""fit_runs(table): every approach, its uncertainty and its checks, in one call.

The rows are put in an order that depends on their values only, so the order of a file never
changes a digit of the fit.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from scaling.errors import UsageError
from scaling.fitting.backcast import MAX_ROWS
from scaling.fitting.bracket import check_recipe
from scaling.fitting.budgets import list_flops
from scaling.fitting.checks import fits as fit_checks
from scaling.fitting.checks.points import (
    check_points,
    check_trajectories,
    find_law_problem,
)
from scaling.fitting.checks.seed_spread import check_seed_spread
from scaling.fitting.checks.training import check_training
from scaling.fitting.discrepancy import DriftMember, assume_discrepancy, measure_discrepancy
from scaling.fitting.ensemble import EnsembleFit, fit_ensemble
from scaling.fitting.fitted import (
    Approach,
    AskedApproach,
    Coverage,
    Discrepancy,
    EnsembleEstimate,
    Fit,
    FitStatus,
    LawEstimate,
    MeasuredRun,
)
from scaling.fitting.law_part import LawPart, fit_law
from scaling.fitting.minima_part import MinimaPart, fit_minima, follow_envelope
from scaling.fitting.noise import (
    estimate_evaluation_error,
    estimate_replicate_sigma,
    estimate_residual_sigma,
)
from scaling.fitting.parametric import (
    ParametricFit,
    choose_delta,
    estimate_exponent,
    fit_parametric,
)
from scaling.fitting.work import Work, make_frontier, to_rows
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.ensemble import ALIAS, ENSEMBLE
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, sort_rows
from scaling.tables.trajectories import read_schedule


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
        huber_delta: Threshold on residuals of ln L; None: 1.345 σ of the seeds of one (N, D), at
            least 1e-3, and 1e-3 without such seeds.
        bootstrap: Number of draws; None: no intervals.
        level: Probability with which each interval should hold the truth.
        seed: Seed of the draws.

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
    work = Work(
        table=table,
        family=CHINCHILLA if family is None or joined else find_family(family),
        level=level,
        bootstrap=bootstrap,
        seed=seed,
    )
    sigma = estimate_replicate_sigma(table)
    delta = choose_delta(sigma, huber_delta)
    law = fit_law(work, delta) if approach in ("all", "parametric") else LawPart()
    ensemble = _join_laws(work, law) if joined else None
    curves = fit_minima(work, law, sigma) if approach in ("all", "isoflop") else MinimaPart()
    hull = follow_envelope(work) if approach in ("all", "envelope") else MinimaPart()
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
        draws=to_rows(law.draws),
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
        metric=table.metric_facts,
    )
    return fit if family is None or fit.answer is None else _stand_alone(fit)


def _join_laws(work: Work, law: LawPart) -> EnsembleFit | None:
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


def _estimate_ensemble(work: Work, ensemble: EnsembleFit, asked: str | None) -> EnsembleEstimate:
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
        frontier=make_frontier("parametric", line, lines, table, span, work.level),
        members=ensemble.members,
        draws=to_rows(ensemble.draws),
        residual_sigma=estimate_residual_sigma(residuals, len(CHINCHILLA.param_names)),
        converged=ensemble.converged,
    )


def _measure_discrepancy(
    work: Work, fit: ParametricFit | None, ensemble: EnsembleFit | None, delta: float
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


def _find_status(asked: Approach, law: LawPart, curves: MinimaPart) -> tuple[FitStatus, str]:
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


def _measure_coverage(table: RunTable) -> Coverage | None:
    if len(table) == 0:
        return None
    ratio = table.tokens / table.params
    columns = (table.params, table.tokens, list_flops(table), table.loss, ratio)
    ends = [(float(column.min()), float(column.max())) for column in columns]
    return Coverage(params=ends[0], tokens=ends[1], flops=ends[2], loss=ends[3], ratio=ends[4])


def _list_measured(table: RunTable) -> tuple[MeasuredRun, ...]:
    if len(table) > MAX_ROWS:  # a stored fit must not copy a large table
        return ()
    columns = (table.params, table.tokens, list_flops(table), table.loss)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(MeasuredRun(*row) for row in rows)


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

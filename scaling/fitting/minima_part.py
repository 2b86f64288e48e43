"""Approaches 1 and 2: minima of budgets and handovers of the envelope, joined to a frontier."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scaling.fitting import akima, cubic
from scaling.fitting.bootstrap import draw_minima
from scaling.fitting.budgets import group_budgets
from scaling.fitting.checks.points import check_curves
from scaling.fitting.checks.regime import check_regime
from scaling.fitting.envelope import fit_envelope
from scaling.fitting.fitted import Approach, Check, Frontier
from scaling.fitting.isoflop import (
    MIN_OPTIMA,
    Curve,
    Optima,
    draw_lines,
    fit_curves,
    fit_power_line,
    locate_optima,
)
from scaling.fitting.law_part import LawPart
from scaling.fitting.work import Work, make_frontier
from scaling.tables.trajectories import read_schedule
from scaling.units import FloatArray

# Curves other than Approach 2's parabola.
_OTHER_CURVES: Mapping[Approach, Callable[..., tuple[Optima, FloatArray]]] = {
    "akima": akima.draw_minima,
    "cubic": cubic.draw_minima,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimaPart:
    """Approach 2, by parabolas and by the curves beside them (Akima's, cubics), or Approach 1; no
    frontier where `problem` says why."""

    problem: str = ""
    frontier: Frontier | None = None
    others: tuple[Frontier, ...] = ()
    checks: tuple[Check, ...] = ()


def fit_minima(work: Work, law: LawPart, sigma: float | None) -> MinimaPart:
    """Minima of budgets by parabolas and by the curves beside them, joined to frontiers."""
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
        return MinimaPart(problem=problem, frontier=None, checks=checks)
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
        crossed, drawn = find(table, budgets, table.cost, sigma=noise, count=count, seed=work.seed)
        if crossed.flops.size >= MIN_OPTIMA:
            lines = draw_lines(np.log(crossed.flops), drawn, table.cost)
            others.append(_join_minima(name, crossed, lines, work))
    return MinimaPart(
        frontier=dataclasses.replace(frontier, rejected=sentences),
        others=tuple(others),
        checks=checks,
    )


def follow_envelope(work: Work) -> MinimaPart:
    """Approach 1, where points along runs compare."""
    table = work.table
    if read_schedule(table)[0] is None:
        return MinimaPart()
    found = fit_envelope(table, count=work.bootstrap or 0, seed=work.seed)
    if found.problem:
        work.notes.append(f"envelope: {found.problem}")
        return MinimaPart(problem=found.problem)
    if work.bootstrap is not None and len(found.lines) < work.bootstrap:
        work.notes.append(
            f"envelope: {len(found.lines)} of {work.bootstrap} resamplings of the runs keep enough "
            f"handovers; its intervals are theirs"
        )
    frontier = _join_minima("envelope", found.optima, found.lines, work)
    return MinimaPart(frontier=dataclasses.replace(frontier, rejected=found.rejected))


def _join_minima(approach: Approach, optima: Optima, lines: FloatArray, work: Work) -> Frontier:
    """The lines through the minima of budgets, or through handovers."""
    log_c = np.log(optima.flops)
    a, log_k_n = fit_power_line(log_c, np.log(optima.params))
    b, log_k_d = fit_power_line(log_c, np.log(optima.tokens))
    line = np.array([a, log_k_n, b, log_k_d])
    span = (float(optima.flops.min()), float(optima.flops.max()))
    frontier = make_frontier(approach, line, lines, work.table, span, work.level)
    columns = (optima.flops, optima.params, optima.tokens, optima.loss)
    each = zip(*(column.tolist() for column in columns), strict=True)
    return dataclasses.replace(frontier, optima=tuple(each))


def _find_curve_noise(
    curves: tuple[Curve, ...], law: LawPart, sigma: float | None
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

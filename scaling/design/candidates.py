"""Runs that a sweep could add: which sizes at which budgets, and what each would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.design.expectation import find_truth
from scaling.design.prior import PriorLaw
from scaling.design.suggestion import Points
from scaling.errors import SpecError
from scaling.fitting.checks.training import ENOUGH_STEPS
from scaling.laws.searching import find_crossing
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.cost import estimate_memory
from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.fields import LARGEST_BUDGET
from scaling.sweep.grids import CellGrid, CellSpec
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.sweep.plan import plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.spec import SweepSpec
from scaling.units import FloatArray

# Candidates: 12 budgets over four decades, 7 sizes from 1/8 to 8 times the expected optimum.
BUDGETS, SIZES, REACH = 12, 7, 8.0
SMALLEST_SHARE = 1e4

_HALVINGS = 20  # bisections of ln C over 40 decades: to 1e-4


def list_candidates(
    spec: SweepSpec,
    facts: CorpusFacts,
    *,
    memory_bytes: int,
    spend: float,
    forecast: float,
    prior: PriorLaw,
    cost: CostModel,
) -> list[RunSpec]:
    """What could be trained for a forecast: rungs around the optimum of budgets up to the spend
    (the forecast, or what the text feeds, where that is less), down to a ten thousandth of that.

    A candidate has the recipe and is refused for the reasons that the sweep's own cells have. Nor
    is one offered that a check would fault: too few steps, repeated text, or more memory than the
    machine has.
    """
    largest = min(spend, forecast, _find_fed_budget(prior, cost, facts))
    budgets = np.geomspace(largest / SMALLEST_SHARE, largest, BUDGETS)
    wished = []
    for budget in budgets:
        centre = float(find_truth(prior, [float(budget)], cost)[0][0])
        for factor in np.geomspace(1.0 / REACH, REACH, SIZES):
            wished.append((float(budget), max(1.0, centre * float(factor))))
    ladder = list_sweep_ladder(spec, facts)
    sizes = np.log([count_matmul_params(rung) for rung in ladder])
    listed = {
        (count_matmul_params(rung), budget / count_flops_per_token(rung))
        for budget, params in wished
        for rung in (ladder[int(np.argmin(np.abs(sizes - math.log(params))))],)
    }
    grid = CellGrid(
        cells=tuple(CellSpec(params=float(n), tokens=float(d)) for n, d in sorted(listed))
    )
    asked = spec.model_copy(
        update={
            "grid": grid, "extra_cells": (), "replicates": 0, "bracket": False,
            "seeds": spec.seeds[:1],
        }
    )  # fmt: skip
    try:
        planned = plan_sweep(asked, facts).cells
    except SpecError:
        return []
    distinct = {
        cell.run.run_id: cell.run
        for cell in planned
        if cell.run.flops <= spend
        and (cell.run.recipe.steps >= ENOUGH_STEPS or not cell.run.has_recipe)
        and (cell.run.tokens <= facts.train_tokens or not facts.is_known)
        and estimate_memory(cell.run) <= memory_bytes
    }
    return sorted(distinct.values(), key=lambda run: (run.flops, run.run_id))


def _find_fed_budget(prior: PriorLaw, cost: CostModel, facts: CorpusFacts) -> float:
    """The largest budget at which the largest candidate does not repeat its text [FLOPs]."""
    tokens = facts.train_tokens
    if not facts.is_known:
        return LARGEST_BUDGET

    def repeats(log_flops: FloatArray) -> NDArray[np.bool_]:
        flops = np.exp(log_flops)
        params = REACH * find_truth(prior, flops, cost)[0]
        return np.greater(flops / cost.flops_per_token(params), tokens)

    ends = np.zeros(1), np.log([LARGEST_BUDGET])
    return float(np.exp(find_crossing(repeats, *ends, halvings=_HALVINGS, at_once=True)[0]))


def place_runs(runs: Sequence[RunSpec], *, times: int) -> Points:
    """Runs as places that cost what `times` seeds of them cost."""
    return Points(
        params=np.array([count_matmul_params(run.shape) for run in runs], dtype=np.float64),
        tokens=np.array([run.tokens for run in runs], dtype=np.float64),
        flops=np.array([times * run.flops for run in runs], dtype=np.float64),
    )


def list_targets(prior: PriorLaw, forecast: float, cost: CostModel) -> Points:
    """The optimum at the forecast budget, and models half and twice as large there: what decides
    its loss and its N*."""
    best = float(find_truth(prior, [forecast], cost)[0][0])
    params = best * np.array([0.5, 1.0, 2.0])
    return Points(
        params=params,
        tokens=forecast / cost.flops_per_token(params),
        flops=np.full(params.size, forecast),
    )

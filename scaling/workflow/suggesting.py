"""Suggestions of cells to train next, from a results folder or a sweep file, as a sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.allocation.distance import FARTHEST_DECADES
from scaling.design.candidates import (
    BUDGETS,
    REACH,
    SIZES,
    SMALLEST_SHARE,
    list_candidates,
    list_targets,
    place_runs,
)
from scaling.design.expectation import find_truth
from scaling.design.nearness import DEFAULT_RATE, measure_rate
from scaling.design.prior import PriorLaw, read_prior
from scaling.design.suggestion import Points, Suggestion, suggest_runs
from scaling.errors import QueryError, UsageError
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.training import ENOUGH_STEPS
from scaling.fitting.fitted import Fit
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.fields import LARGEST_BUDGET
from scaling.sweep.grids import CellGrid, CellSpec
from scaling.sweep.own_ladder import make_sweep_cost
from scaling.sweep.spec import SweepSpec
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, format_flops
from scaling.units.stages import stage
from scaling.workflow.fits import FitOptions, fit_table
from scaling.workflow.preparing import find_run_memory, prepare_sweep
from scaling.workflow.simulating import find_prior
from scaling.workflow.stored import StoredSweep, open_results, tabulate_sweep

_LAWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedRuns:
    """Runs to train next: N, D and C of each, cheapest first.

    Attributes:
        cells: (N, D, FLOPs) of each, counted as the table counts them; of a sweep's cell the matmul
            N and the FLOPs of one seed.
        suggestion: Their effect on the forecast.
        forecast: The budget it is for [FLOPs].
        prior: The prior law of the losses.
    """

    cells: tuple[tuple[float, float, float], ...]
    suggestion: Suggestion
    forecast: float
    prior: PriorLaw

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling suggest TABLE`."""
        keys = ("params", "tokens", "flops")
        suggestion, prior = self.suggestion, self.prior
        return {
            "schema_version": SCHEMA_VERSION,
            "cells": [dict(zip(keys, cell, strict=True)) for cell in self.cells],
            "flops": suggestion.flops,
            "forecast": self.forecast,
            "expected_error": {"before": suggestion.error_before, "after": suggestion.error_after},
            "prior": {"source": prior.source, "noise": prior.sigma},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedCells(SuggestedRuns):
    """Cells to train next, and the sweep that trains them."""

    spec: SweepSpec

    def to_contract(self) -> dict[str, Any]:
        """The JSON of `scaling suggest`."""
        sweep = self.spec.model_dump(mode="json", exclude_defaults=True)
        return SuggestedRuns.to_contract(self) | {"sweep": sweep}


@stage("looking for the most informative cells")
def suggest_cells(
    source: Path | StoredSweep,
    *,
    spend: float,
    forecast: float,
    root: Path,
    noise: float | None = None,
) -> SuggestedCells:
    """Suggest the cells that most reduce the forecast's expected error.

    Args:
        source: A results folder, opened or not, whose runs count as finished and whose law is the
            prior; or a sweep file, without finished runs and with its own grid ignored.
        spend: Largest total cost of the cells [FLOPs].
        forecast: Budget whose lowest loss is to be forecast [FLOPs].
        root: Folder that contains results/.cache, for the corpus of a sweep file.
        noise: Standard deviation of ln loss of one run; None: as the prior's runs show it.

    Returns:
        The cells, the sweep that holds them, and the forecast's expected error before and after.

    Raises:
        QueryError: Spend or forecast is not a budget, or the spend pays for too little.
        UsageError, NoFitError: The runs have no law or no noise for a prior.
    """
    for name, value in (("spend", spend), ("forecast", forecast)):
        if not (math.isfinite(value) and 0 < value < LARGEST_BUDGET):
            raise QueryError(f"--{name} is {value} FLOPs; give a positive number below 1e40.")
    if isinstance(source, Path) and source.is_dir():
        source = open_results(source)
    if isinstance(source, StoredSweep):
        spec, facts, plan = source.spec, source.facts, source.plan
        cost = make_sweep_cost(spec, facts, "matmul")
        table = tabulate_sweep(source)
        fit = fit_table(table, source, FitOptions())
        prior = read_prior(fit, sigma=noise, answering=True)
        done = Points(params=table.params, tokens=table.tokens, flops=list_flops(table))
        laws, rate = _list_laws(fit), measure_rate(fit)
    else:
        sweep = prepare_sweep(source, root=root)
        spec, facts, plan = sweep.spec, sweep.corpus.facts, sweep.plan
        cost = make_sweep_cost(spec, facts, "matmul")
        prior = find_prior(spec, facts, cost, plan, source=None, noise=noise)
        done, laws, rate = None, prior.letters[None], DEFAULT_RATE
    trained = [cell.run.flops for cell in plan.cells]
    _verify_reach(forecast, spend=spend, trained=trained if done is not None else ())
    runs = list_candidates(
        spec,
        facts,
        memory_bytes=find_run_memory(),
        spend=spend,
        forecast=forecast,
        prior=prior,
        cost=cost,
    )
    known = {cell.run.run_id for cell in plan.cells} if done is not None else set()
    runs = [run for run in runs if run.run_id not in known]
    if not runs:
        words = "a forecast" if forecast < spend else "a spend"
        raise QueryError(
            f"{words} of {format_flops(min(spend, forecast))} FLOPs leaves no run that this corpus "
            f"has text for, that takes {ENOUGH_STEPS} steps and fits into memory.\n"
            "Say a larger one, add text, or use a smaller context: a shorter sequence makes more "
            "steps of the same tokens."
        )
    suggestion = suggest_runs(
        place_runs(runs, times=len(spec.seeds) if done is not None else 1),
        list_targets(prior, forecast, cost),
        spend=spend,
        laws=laws,
        sigma=prior.sigma,
        rate=rate,
        done=done,
    )
    chosen = [runs[row] for row in suggestion.chosen]
    cells = tuple((count_matmul_params(r.shape), float(r.tokens), float(r.flops)) for r in chosen)
    return SuggestedCells(
        cells=cells,
        spec=_add_cells(spec, cells, keep_grid=done is not None),
        suggestion=suggestion,
        forecast=forecast,
        prior=prior,
    )


@stage("looking for the most informative runs")
def suggest_beside(
    table: RunTable, *, spend: float, forecast: float, noise: float | None = None
) -> SuggestedRuns:
    """Suggest the runs that most reduce the expected error of a forecast, beside those of a table.
    Ladder, recipe and text are unknown, so any N and D may be trained.

    Args:
        table: Runs made elsewhere.
        spend, forecast, noise: As for `suggest_cells`.

    Raises:
        QueryError: Spend or forecast is not a budget.
        UsageError, NoFitError: The runs have no law or no noise for a prior.
    """
    for name, value in (("spend", spend), ("forecast", forecast)):
        if not (math.isfinite(value) and 0 < value < LARGEST_BUDGET):
            raise QueryError(f"--{name} is {value} FLOPs; give a positive number below 1e40.")
    fit = fit_table(table, None, FitOptions())
    prior = read_prior(fit, sigma=noise, answering=True)
    done = Points(params=table.params, tokens=table.tokens, flops=list_flops(table))
    _verify_reach(forecast, spend=spend, trained=done.flops.tolist())
    largest = min(spend, forecast)
    budgets = np.repeat(np.geomspace(largest / SMALLEST_SHARE, largest, BUDGETS), SIZES)
    best = find_truth(prior, budgets.tolist(), table.cost)[0]
    params = best * np.tile(np.geomspace(1.0 / REACH, REACH, SIZES), BUDGETS)
    tokens = budgets / table.cost.flops_per_token(params)
    suggestion = suggest_runs(
        Points(params=params, tokens=tokens, flops=budgets),
        list_targets(prior, forecast, table.cost),
        spend=spend,
        laws=_list_laws(fit),
        sigma=prior.sigma,
        rate=measure_rate(fit),
        done=done,
    )
    cells = sorted(
        (float(budgets[at]), float(params[at]), float(tokens[at])) for at in suggestion.chosen
    )
    return SuggestedRuns(
        cells=tuple((n, d, c) for c, n, d in cells),
        suggestion=suggestion,
        forecast=forecast,
        prior=prior,
    )


def _verify_reach(forecast: float, *, spend: float, trained: Sequence[float]) -> None:
    """Raise QueryError if the forecast lies too far beyond every run."""
    reach = max([spend, *trained])
    decades = math.log10(forecast / reach)
    if decades > FARTHEST_DECADES:
        raise QueryError(
            f"--forecast {format_flops(forecast)} lies {decades:.1f} decades above the largest run "
            f"that could be trained ({format_flops(reach)}), outside any sane range "
            f"({FARTHEST_DECADES:g})."
        )


def write_sweep(found: SuggestedCells, *, question: str) -> str:
    """Write the sweep as YAML that `scaling run` reads."""
    spec = found.spec
    lines = [
        f"# Question: {question}",
        f"# Cost: {format_flops(found.suggestion.flops)} FLOPs for {len(found.cells)} new cells; "
        "scaling plan says how long.",
        "# Expect: an error of the forecast's loss of about "
        f"{found.suggestion.error_after:.2%} (root mean square), model error included.",
    ]
    return "\n".join([*lines, *list_keys(spec)]) + "\n"


def list_keys(spec: SweepSpec) -> list[str]:
    """Lines of YAML that `parse_sweep` reads as this sweep again.

    Values are written as JSON, which is valid YAML and unambiguous.
    """
    content = spec.model_dump(mode="json", exclude_defaults=True)
    if not spec.has_corpus:  # a placeholder for data that only the trainer knows
        del content["corpus"]
    if "recipe" in spec.model_fields_set:  # even an empty recipe asks for batch and learning rate
        content.setdefault("recipe", {})
    return [f"{key}: {json.dumps(value)}" for key, value in content.items()]


def _add_cells(
    spec: SweepSpec, cells: Sequence[tuple[float, float, float]], *, keep_grid: bool
) -> SweepSpec:
    listed = tuple(CellSpec(params=float(n), tokens=d) for n, d, _ in cells)
    if keep_grid:
        return spec.model_copy(update={"extra_cells": (*spec.extra_cells, *listed)})
    # Seeds, replicates and brackets would cost more than the spend.
    alone = {"extra_cells": (), "replicates": 0, "bracket": False, "seeds": spec.seeds[:1]}
    return spec.model_copy(update={"grid": CellGrid(cells=listed), **alone})


def _list_laws(fit: Fit) -> FloatArray:
    """A few laws for the slopes of a fit: Chinchilla's own, and draws evenly through its bootstrap.
    The ensemble gives the forecast and its error (`read_prior`); how much a run tells about it is
    much the same under every member."""
    assert fit.law is not None
    if fit.law.family != "chinchilla":
        raise UsageError(
            f"{fit.source}: suggestions follow Chinchilla's law, not {fit.law.family}."
        )
    own = np.array([list(fit.law.params.values())])
    draws = np.array(fit.draws).reshape(-1, own.shape[1])
    # In a draw with a vanished term no run would be worth its cost.
    draws = draws[np.all(draws > 0, axis=1) & np.all(np.isfinite(draws), axis=1)]
    step = max(1, len(draws) // (_LAWS - 1))
    return np.concatenate((own, draws[::step][: _LAWS - 1]))

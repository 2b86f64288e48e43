"""Simulated sweeps: losses drawn from a known law, at the scale of the quickstart."""

from typing import Any

import numpy as np

from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Check, Fit
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import RunTable, make_table, select_rows
from scaling.units import FloatArray

# E, A, B, alpha, beta: N* = 1e4 at 3e10 FLOPs, loss 2.26 there, as measured on the standard
# library with bytes (docs/measurements/prototype.md).
TRUTH = np.array([0.6, 0.766 * 1e4**0.35, 0.894 * 5e5**0.3, 0.35, 0.3])
NOISE = 0.0064  # seed noise, σ of ln loss, at this scale (measurements/prototype.md)


def design_isoflop(
    budgets: int = 5, sizes: int = 5, span: float = 4.0, ends: tuple[float, float] = (3e10, 6.5e11)
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N, D, budget) of a grid centred on the true optimum of each budget, C = 6ND."""
    flops = np.geomspace(*ends, budgets)
    centre, _ = find_frontier(CHINCHILLA, TRUTH, flops=flops, cost=SIX_ND)
    params = (centre[:, None] * np.geomspace(1.0 / span, span, sizes)).ravel()
    budget = np.repeat(flops, sizes)
    return params, budget / (6.0 * params), budget


def cross(
    params_ends: tuple[float, float], tokens_ends: tuple[float, float], side: int
) -> tuple[FloatArray, FloatArray]:
    """(N, D) of a grid of `side` sizes and as many token counts, both evenly spaced in logs."""
    grids = np.meshgrid(np.geomspace(*params_ends, side), np.geomspace(*tokens_ends, side))
    return grids[0].ravel(), grids[1].ravel()


def simulate(noise: float = NOISE, seed: int = 0, **design: object) -> RunTable:
    """A table of runs whose ln loss is the law's plus Gaussian noise."""
    params, tokens, budget = design_isoflop(**design)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    loss = CHINCHILLA.loss(TRUTH, params, tokens) * np.exp(noise * rng.standard_normal(params.size))
    return make_table(params, tokens, loss=loss, budget=budget)


def add_seeds(first: RunTable, second: RunTable, *, every: int) -> RunTable:
    """The runs of `first`, and a second seed of every so many of its cells from `second`."""
    rows = np.r_[np.arange(len(first)), np.arange(0, len(first), every)]
    again = np.arange(rows.size) >= len(first)
    loss = np.where(again, second.loss[rows], first.loss[rows])
    return select_rows(first, rows).replace(loss=loss, seed=again.astype(np.int64))


def check(fit: Fit, code: str) -> Check:
    """The check of that code, after testing that it has a finding, and advice if it fails."""
    (found,) = [one for one in fit.checks if one.code == code]
    assert found.seen.endswith(".")
    assert bool(found.advice) == (found.passed is False) or found.passed is None
    return found


def fit_law(table: RunTable, **options: Any) -> Fit:
    """Chinchilla's law alone and without draws: no check uses the other laws, whose fits take ten
    times as long."""
    return fit_runs(table, **{"family": "chinchilla", "bootstrap": None, **options})


def judge(table: RunTable, code: str, **options: Any) -> Check:
    """The check of that code of a table's fit."""
    return check(fit_law(table, **options), code)


def bend_middle(params: FloatArray, tokens: FloatArray) -> FloatArray:
    """4 % below the law around 15 tokens per parameter, 4 % above it far away: recipes that suit
    the middle of the grid."""
    return np.asarray(1.0 + 0.04 * np.tanh(np.log(tokens / params / 15) ** 2 - 1.5))


def bend_frontier(loss: FloatArray, budget: FloatArray) -> FloatArray:
    """Scale the losses of each budget, so that the lowest ones fall with the local exponents
    measured on Python code: .07, .11, .11 and .12 between 3e10 and 6.5e11 FLOPs."""
    exponents = np.array([0.07, 0.11, 0.11, 0.12])
    knots = np.log([1e9, 6.5e10, 1.4e11, 3e11, 6.5e11])
    falls = np.r_[0.0, -np.cumsum(exponents * np.diff(knots))]
    lowest = {one: float(loss[budget == one].min()) for one in np.unique(budget)}
    first = lowest[float(budget.min())]
    wanted = first * np.exp(np.interp(np.log(budget), knots, falls))
    bent: FloatArray = loss * wanted / np.array([lowest[one] for one in budget])
    return bent

"""Forecast of a sharp score through a smooth one: the two largest sizes from the smaller ones.

    s(N, D) = E + A/N^α + B/D^β         the smooth score by Chinchilla's law if N and D vary,
                                        else E + A/x^α in the one that varies
    y = c + (u − c) / (1 + e^η)         the sharp score, η linear in (s^λ − 1)/λ (`link`)

The second step is fitted to the smaller sizes' runs, the first to their smooth scores by the
package's own fits. Intervals combine draws of the law, refits of the link (λ included) to runs
redrawn within each cell, paired at random, and the noise of a mean of as many runs as were trained.
In simulated worlds they hold their level (benchmarks/abilities.py). Averaging over seeds uses the
mean of s, which assumes that seeds of one size are unimodal; `predictability` refuses other
abilities.

Source: Bhagia et al. 2024, arXiv:2412.04403, sec. 3 (task loss as a power law, accuracy as a
sigmoid of it); Grattafiori et al. 2024, arXiv:2407.21783, sec. 3.2.1; λ is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.errors import ScalingError
from scaling.files.contract import to_contract
from scaling.fitting.abilities.link import Link, LinkFit
from scaling.fitting.abilities.scores import Scores
from scaling.fitting.bootstrap import draw_laws
from scaling.fitting.cell_forecast import CellForecast
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.intervals import find_interval
from scaling.fitting.noise import estimate_replicate_sigma
from scaling.fitting.one_variable import fit_curve
from scaling.fitting.parametric import choose_delta, fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import RunTable, sort_rows
from scaling.units import FloatArray, IntArray

HELD_OUT = 2
# A law of one variable has three coefficients; one more size shows whether it fits.
FEWEST_FITTED = 4
# The ends of a 90 % interval are then the fifth draw from either end; a refit of the first step
# takes 8 ms.
DRAWS = 100
_Predict = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(CellForecast):
    """Sharp score of one cell of the two largest sizes.

    Attributes:
        smooth, smooth_measured: Smooth score in the form that the law fits: a higher-is-better
            score as its distance to the bound.
        linked: Sharp score that the link gives at the measured smooth score. If it is right and
            `forecast` is wrong, the error comes from the law of the smooth score.
    """

    smooth: float
    smooth_measured: float
    linked: float

    @property
    def error(self) -> float:
        """Measured minus forecast."""
        return self.measured - self.forecast

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            "smooth_forecast": to_contract(self.smooth),
            "smooth_measured": to_contract(self.smooth_measured),
            "forecast": to_contract(self.forecast),
            "interval": to_contract(self.interval),
            "measured": self.measured,
            "error": to_contract(self.error),
            "inside": self.inside,
            "forecast_from_measured_smooth": to_contract(self.linked),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSteps:
    """Both steps, and the forecasts of the two largest sizes.

    Attributes:
        equation: Law of the smooth score.
        letters: Its coefficients.
        link: The second step.
        runs: Number of fitted runs.
        outcomes: Each cell of the two largest sizes.
    """

    equation: str
    letters: dict[str, float]
    link: Link
    runs: int
    outcomes: tuple[Outcome, ...]

    @property
    def error(self) -> float:
        """Mean absolute error of the forecasts."""
        return float(np.mean([abs(one.error) for one in self.outcomes]))

    def to_contract(self) -> dict[str, Any]:
        return {
            "law": {"equation": self.equation, "params": self.letters},
            "link": {
                "exponent": self.link.exponent,
                "middle": to_contract(self.link.middle),
                "width": self.link.width,
            },
            "n": self.runs,
            "mean_abs_error": self.error,
            "outcomes": to_contract(self.outcomes),
        }


def split_sizes(scores: Scores) -> tuple[IntArray, IntArray]:
    """(cells to fit, cells of the two largest sizes); none held out if there are too few sizes."""
    sizes = np.unique(scores.size)
    every = np.arange(scores.size.size, dtype=np.int64)
    if sizes.size < FEWEST_FITTED + HELD_OUT:
        return every, every[:0]
    held = scores.size >= sizes[-HELD_OUT]
    return every[~held], every[held]


def forecast_largest(
    scores: Scores, *, level: float = 0.9, seed: int = 0, count: int = DRAWS
) -> tuple[TwoSteps | None, str]:
    """Forecast the two largest sizes from the smaller ones.

    Args:
        scores: All runs.
        level: Probability of the intervals.
        seed, count: Seed and number of the draws behind them.

    Returns:
        The forecasts and an empty string, or None and the reason.
    """
    fitted, held = split_sizes(scores)
    sizes = np.unique(scores.size).size
    if not held.size:
        return None, (
            f"{sizes} sizes; {FEWEST_FITTED + HELD_OUT} are needed: {FEWEST_FITTED} to fit, "
            f"{HELD_OUT} to forecast"
        )
    below = scores.take_cells(fitted)
    try:
        table, rows = below.make_smooth_table()
        law, draws, equation, letters = _fit_smooth(table, scores, seed, count)
    except ScalingError as error:
        return None, str(error).splitlines()[0]
    if len(draws) < count // 2:
        return None, f"{count - len(draws)} of {count} refits of {scores.names.smooth} failed"
    facts = table.metric_facts
    fit = LinkFit(scores, table.loss, below.score[rows], below.cell[rows])
    link = fit.best
    if link.slope <= 0.0:
        return None, (
            f"{scores.names.sharp} does not rise as {scores.names.smooth} improves among the "
            "smaller sizes"
        )
    rng = np.random.default_rng(seed)
    links = [fit.draw(rng) for _ in range(len(draws))]
    assert scores.smooth is not None  # required to build the table
    improved = scores.smooth if facts is None else np.asarray(facts.to_loss(scores.smooth))
    smooth, mean, runs = scores.average(improved), scores.average(scores.score), scores.count()
    outcomes = []
    for at in held.tolist():
        n, d = scores.params[at : at + 1], scores.tokens[at : at + 1]
        said = float(law(n, d)[0])
        steps = [float(each(n, d)[0]) for each in draws]
        drawn = np.array([float(one(step)) for one, step in zip(links, steps, strict=True)])
        drawn = drawn + _find_error(scores, at) * rng.standard_normal(drawn.size)
        outcomes.append(
            Outcome(
                params=float(n[0]),
                tokens=float(d[0]),
                runs=int(runs[at]),
                smooth=said,
                smooth_measured=float(smooth[at]),
                forecast=float(link(said)),
                interval=find_interval(drawn, level, answer=float(link(said))),
                measured=float(mean[at]),
                linked=float(link(float(smooth[at]))),
            )
        )
    return TwoSteps(
        equation=f"{scores.names.smooth if facts is None else facts.symbol} = {equation}",
        letters=letters,
        link=link,
        runs=int(rows.size),
        outcomes=tuple(outcomes),
    ), ""


def _find_error(scores: Scores, cell: int) -> float:
    """Standard error of a cell's mean score; 0 for one run."""
    own = scores.score[scores.cell == cell]
    return float(own.std(ddof=1) / math.sqrt(own.size)) if own.size > 1 else 0.0


def _fit_smooth(
    table: RunTable, scores: Scores, seed: int, count: int
) -> tuple[_Predict, list[_Predict], str, dict[str, float]]:
    """Fit the law of the smooth score: (law, draws, equation, parameters).

    Raises:
        NoFitError: Too few sizes have a smooth score.
    """
    table = sort_rows(table)
    if find_law_problem(table, CHINCHILLA) is None:
        delta = choose_delta(estimate_replicate_sigma(table))
        fit = fit_parametric(table, CHINCHILLA, delta=delta)
        if fit.converged:
            drawn = draw_laws(table, fit, count=count, seed=seed).coefficients
            names = CHINCHILLA.param_names
            letters = dict(zip(names, fit.coefficients.tolist(), strict=True))
            return (
                _by_law(fit.coefficients),
                [_by_law(one) for one in drawn],
                (CHINCHILLA.equation),
                letters,
            )
    axis = scores.axis
    x = table.params if axis == "N" else table.tokens
    curve = fit_curve([x], [table.loss], variable=axis, bootstrap=count, seed=seed)

    def along(law: Any) -> _Predict:
        return lambda n, d: np.asarray(law.loss(n if axis == "N" else d))

    letters = curve.law.list_letters()
    return along(curve.law), [along(one) for one in curve.draws], f"E + A/{axis}^alpha", letters


def _by_law(letters: FloatArray) -> _Predict:
    return lambda n, d: np.asarray(CHINCHILLA.loss(letters, n, d))

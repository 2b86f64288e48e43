"""Recipe error: what a better learning rate or batch would have gained at the corners of a grid,
and what that does to a law.

At each corner a parabola in log2 of the factor goes through ln loss; what the recipe in use lies
above its lowest point (within the factors that were tried) is the excess there, e. Between corners
e is interpolated, in ln D (as if rules of the horizon were wrong) or in ln N (as if rules of the
size were): three corners cannot tell, so half of the draws take either. Correcting every run by −e
shifts the optimum of the fit by

    Δθ = Σ_corner  J_corner · e_corner,     J by a refit with a small e at one corner.

Half of the draws of the law move by Δθ, with e drawn as the noise of runs has it: a run that is
forecast may be trained with the grid's recipe or with the best one, and nothing in the grid says
which. Residuals cannot show recipe error; without a bracket it is in no interval. Approach 2's
lines do not hold it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.checks import pass_if
from scaling.fitting.parametric import ParametricFit
from scaling.fitting.result import Check
from scaling.fitting.solver import solve
from scaling.ledger.brackets import Bracket
from scaling.ledger.tables import RunTable
from scaling.units import FloatArray, format_count

# σ of ln loss between seeds at CPU scale, where the table has no replicates (SCIENCE.md, Grids).
ASSUMED_SIGMA = 0.0064
# Farther above the best a parabola no longer describes the valley.
_VALLEY = 0.05
_MIN_POINTS = 3
# An edge counts only if it wins by more than this many standard deviations (SCIENCE.md).
_SIGNIFICANT = 2.0
_STEP = 3e-3  # excess at which a corner's response is measured: small, and far above rounding
_NAMES = {"learning_rate": "learning rate", "batch": "batch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeError:
    """What was measured.

    Attributes:
        log_params, log_tokens: ln N and ln D of each corner, shape (k,).
        excess: ln loss above the best recipe's there, shape (k,).
        draws: The same under the runs' noise, shape (count, k).
    """

    log_params: FloatArray
    log_tokens: FloatArray
    excess: FloatArray
    draws: FloatArray


def measure_recipe_error(
    table: RunTable, *, sigma: float | None, count: int, seed: int
) -> RecipeError | None:
    """The excess at each corner; None without brackets.

    Args:
        table: With its brackets.
        sigma: Standard deviation of ln loss between seeds; None: assumed.
        count: Draws.
        seed: Of the draws.
    """
    if not table.brackets:
        return None
    brackets = sorted(table.brackets, key=_find_ratio)
    rng = np.random.default_rng((seed, 20))
    noise = ASSUMED_SIGMA if sigma is None else sigma
    columns = [_draw_excess(bracket, noise, count, rng) for bracket in brackets]
    return RecipeError(
        log_params=np.log([bracket.params for bracket in brackets]),
        log_tokens=np.log([bracket.tokens for bracket in brackets]),
        excess=np.array([_measure_excess(bracket) for bracket in brackets]),
        draws=np.stack(columns, axis=1),
    )


def shift_draws(fit: ParametricFit, error: RecipeError, *, seed: int) -> FloatArray:
    """How far each draw of the law moves, shape (count, p)."""
    task, axes = fit.task, fit.task.axes
    along = (
        (axes.x + axes.centre[0], error.log_params),
        (axes.y + axes.centre[1], error.log_tokens),
    )
    share = np.concatenate([_interpolate(values, corners) for values, corners in along])
    starts = np.repeat(fit.theta[None], len(share), axis=0)
    corrected = dataclasses.replace(task, target=task.target - _STEP * share)
    response = (solve(corrected, starts).theta - fit.theta) / _STEP
    rng = np.random.default_rng((seed, 21))
    corners = error.log_params.size
    moved = [error.draws @ response[part] for part in (slice(corners), slice(corners, None))]
    either = rng.integers(2, size=(2, len(error.draws), 1))
    shift: FloatArray = either[0] * np.where(either[1] == 0, *moved)
    return shift


def _interpolate(values: FloatArray, corners: FloatArray) -> FloatArray:
    """Share of each corner in the excess at each value, shape (corners, n); constant beyond the
    outer corners."""
    order = np.argsort(corners)
    share = np.empty((corners.size, values.size))
    for at, corner in enumerate(np.eye(corners.size)):
        share[order[at]] = np.interp(values, corners[order], corner)
    return share


def check_recipe(table: RunTable, sigma: float | None) -> tuple[Check, ...]:
    """`lr_at_edge` and `batch_at_edge`."""
    noise = ASSUMED_SIGMA if sigma is None else sigma
    return (
        _check_edge(table, "learning_rate", "lr_at_edge", noise),
        _check_edge(table, "batch", "batch_at_edge", noise),
    )


def _check_edge(table: RunTable, what: str, code: str, sigma: float) -> Check:
    seen, failed = [], False
    for bracket in sorted(table.brackets, key=_find_ratio):
        tried = _list_losses(bracket, what)
        if len(tried) < 2:
            continue
        factors, losses = np.array(tried).T
        best = int(np.argmin(losses))
        gain = losses[factors == 1.0][0] - losses[best]
        at_edge = factors[best] in (factors.min(), factors.max()) and factors[best] != 1.0
        # Two runs are compared, each with the noise of a seed.
        failed |= bool(at_edge and gain > _SIGNIFICANT * math.sqrt(2.0) * sigma)
        seen.append(
            f"at N {format_count(bracket.params)}, D {format_count(bracket.tokens)} the best "
            f"{_NAMES[what]} tried is ×{factors[best]:g} of the recipe's, {gain:.1%} lower in loss"
        )
    if not seen:
        remedy = '"bracket: true" in the sweep file trains some'
        return pass_if(None, code, f"No other {_NAMES[what]} was tried; {remedy}.", "")
    advice = (
        f"Set another {_NAMES[what]} under recipe: in the sweep file, or rules that hold at both "
        "ends: a recipe that is wrong at one end of a grid moves N* and leaves no trace."
    )
    return pass_if(not failed, code, f"{'; '.join(seen)}.", advice)


def _measure_excess(bracket: Bracket) -> float:
    return sum(
        float(_find_excess(*(np.array(column) for column in zip(*tried, strict=True))))
        for what in _NAMES
        if len(tried := _list_losses(bracket, what)) >= _MIN_POINTS
    )


def _draw_excess(
    bracket: Bracket, sigma: float, count: int, rng: np.random.Generator
) -> FloatArray:
    """Excess of the bracket's losses with the noise of a seed on each, shape (count,)."""
    total = np.zeros(count)
    for what in _NAMES:
        tried = _list_losses(bracket, what)
        if len(tried) < _MIN_POINTS:
            continue
        factors, losses = (np.array(column) for column in zip(*tried, strict=True))
        noisy = losses + sigma * rng.standard_normal((count, losses.size))
        total += np.array([_find_excess(factors, row, near=losses) for row in noisy])
    return total


def _find_excess(
    factors: FloatArray, losses: FloatArray, *, near: FloatArray | None = None
) -> float:
    """ln loss at factor 1 above the parabola's lowest point within the factors.

    Args:
        factors: Shape (m,), 1 among them.
        losses: ln loss, shape (m,).
        near: Which points count as the valley is decided by these; None: by `losses`.
    """
    judged = losses if near is None else near
    valley = (judged <= judged.min() + _VALLEY) | (factors == 1.0)
    if valley.sum() < _MIN_POINTS:
        return float(max(0.0, losses[factors == 1.0][0] - losses[valley].min()))
    x = np.log2(factors[valley])
    curvature, slope, _ = np.polyfit(x, losses[valley], 2)
    ends = np.array([x.min(), x.max()])
    candidates = curvature * ends**2 + slope * ends
    lowest = min(0.0, float(candidates.min()))
    if curvature > 0.0:
        vertex = float(np.clip(-slope / (2.0 * curvature), *ends))
        lowest = min(lowest, curvature * vertex**2 + slope * vertex)
    return -lowest


def _list_losses(bracket: Bracket, what: str) -> list[tuple[float, float]]:
    """(factor, ln loss) of what did not diverge, the recipe's own among them."""
    tried = bracket.learning_rates if what == "learning_rate" else bracket.batches
    finished = [(factor, math.log(loss)) for factor, loss in tried if loss is not None]
    return sorted([*finished, (1.0, math.log(bracket.loss))]) if finished else []


def _find_ratio(bracket: Bracket) -> float:
    return math.log(bracket.tokens / bracket.params)

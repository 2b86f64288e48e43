"""Recipe error: the gain of a better learning rate or batch at the corners of a grid, and its
effect on a law.

At each corner a parabola in log2 of the factor is fitted to ln loss. The excess e of the recipe in
use is its height above the lowest point (within the factors that were tried). Between corners e is
interpolated, in ln D (as if rules of the horizon were wrong) or in ln N (as if rules of the size
were wrong): three corners cannot tell, so half of the draws take either. Half of the draws of the
law are refitted to runs corrected by −e, with e drawn under the noise of runs: a run that is
forecast may be trained with the grid's recipe or with the best one, and the grid cannot tell which.
Residuals cannot show recipe error.

Without a bracket the size of the error is unknown, but its sign is known: a recipe tuned in the
middle of a grid can only be worse at the ends. So half of the draws are corrected then too, by an
excess

    e(D) = p·z²,   z = −1 … 1 along ln D of the runs,   ln p ~ Uniform(ln .004, ln .018)

A learning rate off by ×2 costs .4 to 1.8 % of the loss (docs/measurements/prototype.md). The excess
runs along D because warmup, decay, batch and rate depend on the horizon: each of the corrections of
Porian et al. 2024 (arXiv:2406.19146) made them right at one end of it, and each lowered N* beyond
the data, as this does; across sizes the parametrisation transfers (decision 0010). The lines of
Approach 2 include neither error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.fitting.bootstrap import Excess
from scaling.fitting.fitted import Check, pass_if
from scaling.fitting.noise import estimate_replicate_sigma
from scaling.fitting.parametric import ParametricFit
from scaling.tables.brackets import Bracket
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, format_count

# σ of ln loss between seeds at CPU scale, where the table has no replicates (decision 0047).
ASSUMED_SIGMA = 0.0064
# Excess loss over the best beyond which a parabola no longer describes the valley.
_VALLEY = 0.05
_MIN_POINTS = 3
# An edge counts only if it wins by more than this many standard deviations (ours).
_SIGNIFICANT = 2.0
_NAMES = {"learning_rate": "learning rate", "batch": "batch"}
# Share of the draws that recipe error moves, and its assumed cost at the ends of D if no bracket
# measured it; see the module's docstring.
_MOVED = 0.5
_ASSUMED = (0.004, 0.018)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeError:
    """The measured recipe error.

    Attributes:
        log_params, log_tokens: ln N and ln D of each corner, shape (k,).
        draws: Excess of ln loss over the best recipe, under the runs' noise, shape (count, k).
    """

    log_params: FloatArray
    log_tokens: FloatArray
    draws: FloatArray


def draw_recipe_error(
    table: RunTable, fit: ParametricFit, *, count: int, seed: int
) -> tuple[Excess, bool]:
    """Draw the recipe error of a table.

    Args:
        table: The fitted table, with its brackets.
        fit: Its optimum.
        count: Draws.
        seed: Seeds them.

    Returns:
        The excess loss of each draw's runs, and whether a bracket measured it. A measured error
        belongs into the intervals of coefficients and answers, an assumed one only into those of
        answers: a coefficient's interval then means what published ones mean, the spread over
        other runs trained alike.
    """
    sigma = estimate_replicate_sigma(table)
    error = measure_recipe_error(table, sigma=sigma, count=count, seed=seed)
    if error is None:
        return assume_excess(fit, count=count, seed=seed), False
    return place_excess(fit, error, seed=seed), True


def measure_recipe_error(
    table: RunTable, *, sigma: float | None, count: int, seed: int
) -> RecipeError | None:
    """Measure the excess at each corner; None if no bracket finished enough runs.

    Args:
        table: The table with its brackets.
        sigma: Standard deviation of ln loss between seeds; None: assumed.
        count: Draws.
        seed: Seeds the draws.
    """
    brackets = sorted(table.brackets, key=_find_ratio)
    if not _is_measured(table):
        return None
    rng = np.random.default_rng((seed, 20))
    noise = ASSUMED_SIGMA if sigma is None else sigma
    columns = [_draw_excess(bracket, noise, count, rng) for bracket in brackets]
    return RecipeError(
        log_params=np.log([bracket.params for bracket in brackets]),
        log_tokens=np.log([bracket.tokens for bracket in brackets]),
        draws=np.stack(columns, axis=1),
    )


def place_excess(fit: ParametricFit, error: RecipeError, *, seed: int) -> Excess:
    """The measured error between its corners: of half of the draws, along ln N or along ln D."""
    axes = fit.task.axes
    shares = np.concatenate(
        (
            _interpolate(axes.x + axes.centre[0], error.log_params),
            _interpolate(axes.y + axes.centre[1], error.log_tokens),
        )
    )
    rng = np.random.default_rng((seed, 21))
    moved, along = rng.integers(2, size=(2, len(error.draws), 1))
    parts = [error.draws * (moved * (along == axis)) for axis in (0, 1)]
    return Excess(amounts=np.concatenate(parts, axis=1), shares=shares)


def assume_excess(fit: ParametricFit, *, count: int, seed: int) -> Excess:
    """The error if no bracket was trained, along ln D in half of the draws."""
    log_tokens = fit.task.axes.y
    span = np.ptp(log_tokens)
    place = 2.0 * (log_tokens - log_tokens.min()) / span - 1.0 if span > 0.0 else 0.0 * log_tokens
    rng = np.random.default_rng((seed, 22))
    least, most = _ASSUMED
    amount = least * (most / least) ** rng.random(count)
    moved = rng.random(count) < _MOVED
    return Excess(amounts=(moved * amount)[:, None], shares=place[None] ** 2)


def _interpolate(values: FloatArray, corners: FloatArray) -> FloatArray:
    """Share of each corner in the excess at each value, shape (corners, n); constant beyond the
    outer corners."""
    order = np.argsort(corners)
    share = np.empty((corners.size, values.size))
    for at, corner in enumerate(np.eye(corners.size)):
        share[order[at]] = np.interp(values, corners[order], corner)
    return share


def check_recipe(table: RunTable, sigma: float | None) -> tuple[Check, ...]:
    """The checks `lr_at_edge` and `batch_at_edge`."""
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
        # Both of the compared runs have seed noise.
        failed |= bool(at_edge and gain > _SIGNIFICANT * math.sqrt(2.0) * sigma)
        seen.append(
            f"at N {format_count(bracket.params)}, D {format_count(bracket.tokens)} the best "
            f"{_NAMES[what]} tried is ×{factors[best]:g} of the recipe's, {gain:.1%} lower in loss"
        )
    if not seen:
        seen_none = (
            f'No bracket tried another {_NAMES[what]}{_say_assumed(table)}; "bracket: true" in a '
            "sweep file trains some."
        )
        return pass_if(None, code, seen_none, "")
    advice = (
        f"Set another {_NAMES[what]} under recipe: in the sweep file, or rules that hold at both "
        "ends: a recipe that is wrong at one end of a grid moves N* and leaves no trace."
    )
    return pass_if(not failed, code, f"{'; '.join(seen)}.", advice)


def _say_assumed(table: RunTable) -> str:
    if _is_measured(table):
        return ""
    least, most = _ASSUMED
    return (
        f": until one does, intervals of answers allow for a recipe that costs {least:.1%} to "
        f"{most:.1%} of the loss at both ends of D"
    )


def _is_measured(table: RunTable) -> bool:
    return any(_measures(bracket, what) for bracket in table.brackets for what in _NAMES)


def _measures(bracket: Bracket, what: str) -> bool:
    return len(_list_losses(bracket, what)) >= _MIN_POINTS


def _split(tried: list[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    """(factors, ln losses)."""
    factors, losses = zip(*tried, strict=True)
    return np.array(factors), np.array(losses)


def _draw_excess(
    bracket: Bracket, sigma: float, count: int, rng: np.random.Generator
) -> FloatArray:
    """Excess of the bracket's losses with the noise of a seed on each, shape (count,)."""
    total = np.zeros(count)
    for what in _NAMES:
        if not _measures(bracket, what):
            continue
        factors, losses = _split(_list_losses(bracket, what))
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
        near: Losses that decide which points belong to the valley; None: `losses`.
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
    """(factor, ln loss) of the runs that did not diverge, the recipe's own included."""
    tried = bracket.learning_rates if what == "learning_rate" else bracket.batches
    finished = [(factor, math.log(loss)) for factor, loss in tried if loss is not None]
    return sorted([*finished, (1.0, math.log(bracket.loss))]) if finished else []


def _find_ratio(bracket: Bracket) -> float:
    return math.log(bracket.tokens / bracket.params)

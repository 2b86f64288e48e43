"""Figures of bootstrap draws, and of predicted against measured loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from scaling.fitting.fitted import Fit
from scaling.laws.frontier import find_frontier
from scaling.laws.registry import read_law
from scaling.ledger.forecasts import ForecastOutcome
from scaling.report.axes import draw_markers, set_linear_axis, set_log_axis, span_of
from scaling.report.canvas import ACCENT, INK, MUTED, choose_color
from scaling.report.figures import PARAMS_LABEL, TOKENS_LABEL
from scaling.report.measured import MeasuredRuns, evaluate_law
from scaling.units import FloatArray

_EXPONENTS = ("alpha", "beta")
MOST_DOTS = 250  # dots of a cloud; each takes 150 bytes, four times over
_INNER = 0.98  # share of the draws that an axis shows in full


def has_exponents(fit: Fit) -> bool:
    """Return whether the quoted law has draws of both exponents."""
    return fit.law is not None and bool(fit.draws) and set(_EXPONENTS) <= set(fit.law.params)


def has_optima(fit: Fit) -> bool:
    """Return whether the law that answers has draws of N* and D*."""
    mine = fit.answering
    return mine.asked == "parametric" and mine.law is not None and bool(mine.draws)


def draw_exponents(fit: Fit, ax: Axes) -> None:
    """Draw the bootstrap cloud of (alpha, beta) of the quoted law, and its estimate."""
    assert fit.law is not None  # has_exponents
    names = list(fit.law.params)
    draws = np.array(fit.draws)[:, [names.index(one) for one in _EXPONENTS]]
    _draw_dots(ax, draws[:, 0], draws[:, 1])
    alpha, beta = (fit.law.params[one] for one in _EXPONENTS)
    draw_markers(ax, alpha, beta, [ACCENT], marker="D", size=58, zorder=5)
    for which, column in zip(("x", "y"), draws.T, strict=True):
        low, high = _hold(column)
        set_linear_axis(ax, which, low, high)
    ax.set_xlabel("alpha, exponent of N")
    ax.set_ylabel("beta, exponent of D")


def draw_optima(fit: Fit, flops: float, ax: Axes) -> None:
    """Draw the bootstrap cloud of (N*, D*) at a budget, and the estimate."""
    mine = fit.answering
    assert mine.law is not None  # has_optima
    family, letters = read_law(mine.law.family, mine.law.params)
    each = np.array(mine.draws)
    budget = np.array([flops])
    draws = find_frontier(family, each[:, None, :], flops=budget[None, :], cost=mine.cost)
    best = find_frontier(family, letters, flops=budget, cost=mine.cost)
    params, tokens = (one.ravel() for one in draws)
    _draw_dots(ax, params, tokens)
    draw_markers(ax, best[0], best[1], [ACCENT], marker="D", size=58, zorder=5)
    for which, column in (("x", params), ("y", tokens)):
        low, high = np.exp(_hold(np.log(column)))
        set_log_axis(ax, which, float(low), float(high))
    ax.set_xlabel(f"best {PARAMS_LABEL}")
    ax.set_ylabel(f"best {TOKENS_LABEL}")


def draw_predicted(
    data: MeasuredRuns, fit: Fit, ax: Axes, *, outcomes: Sequence[ForecastOutcome] = ()
) -> None:
    """Draw measured against predicted loss: fitted runs, and forecasts with their outcomes; on the
    line the law is right."""
    predicted = evaluate_law(fit, data.params, data.tokens)
    assert predicted is not None  # a fit with a law has one
    scale = data.scale
    x, y = scale.to(predicted), scale.to(data.loss)
    draw_markers(ax, x, y, [choose_color(one) for one in data.position])
    done = [one for one in outcomes if one.measured is not None and not one.late]
    if done:
        said = np.array([scale.to(one.registered.forecast.loss) for one in done])
        reached = np.array([scale.to(one.measured or np.nan) for one in done])
        draw_markers(ax, said, reached, [INK] * len(done), marker="*", size=130, zorder=8)
        x, y = np.concatenate((x, said)), np.concatenate((y, reached))
    low, high = span_of(np.concatenate((x, y)), margin=0.05)
    ax.plot([low, high], [low, high], color=MUTED, linewidth=1.2, zorder=1)
    set_linear_axis(ax, "x", low, high)
    set_linear_axis(ax, "y", low, high)
    ax.set_xlabel(f"predicted loss [{scale.label}]")
    ax.set_ylabel(f"measured loss [{scale.label}]")


def _draw_dots(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    """Draw dots for the first draws, whose order is random."""
    shown = slice(MOST_DOTS)
    ax.plot(x[shown], y[shown], ".", color=MUTED, markersize=3.0, alpha=0.7, zorder=2)


def _hold(values: FloatArray) -> tuple[float, float]:
    """Axis ends that show nearly all draws, without a lone distant one."""
    tail = 50.0 * (1.0 - _INNER)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    pad = 0.15 * (high - low) + 1e-9
    return float(low - pad), float(high + pad)

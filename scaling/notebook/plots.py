"""The report's figures on a user's axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from scaling.errors import UsageError
from scaling.fitting.fitted import Fit
from scaling.report.measured import collect_runs, evaluate_frontier
from scaling.tables.run_table import RunTable
from scaling.units.losses import LossScale
from scaling.workflow.forecasting import review_forecasts
from scaling.workflow.stored import StoredSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotName = Literal[
    "isoflop", "law", "residuals", "params", "tokens", "ratio", "compute", "backcast"
]
_OF_FRONTIER = ("params", "tokens", "ratio", "compute")


def plot_fit(
    fit: Fit,
    table: RunTable,
    stored: StoredSweep | None,
    scale: LossScale,
    name: PlotName,
    ax: Axes | None,
) -> Axes:
    """Draw the figure of that name, as described in `Fitted.plot`.

    Raises:
        UsageError: No figure has that name, or the runs do not allow it.
    """
    from scaling.report import figures, landscape

    if name not in get_args(PlotName):
        raise UsageError(f"{name!r} is no figure; there are {', '.join(get_args(PlotName))}.")
    runs = collect_runs(table, None if stored is None else stored.plan, scale)
    draw: dict[str, Callable[[Axes], None]] = {}
    if runs.budgets:
        draw["isoflop"] = partial(figures.draw_isoflop, runs, fit)
    if fit.law is not None:
        draw["law"] = partial(figures.draw_law, runs, fit)
        draw["residuals"] = partial(figures.draw_residuals, runs, fit, against="params")
    if fit.backcast is not None:
        draw["backcast"] = partial(figures.draw_backcast, runs, fit)
    if name in _OF_FRONTIER and len(runs):  # slow: a frontier for each of a thousand draws
        outcomes = () if stored is None else review_forecasts(stored).outcomes
        furthest = max((one.registered.forecast.run.flops for one in outcomes), default=0.0)
        lines = evaluate_frontier(runs, fit, furthest=furthest)
        if lines is not None:
            for one in ("params", "tokens"):
                draw[one] = partial(
                    figures.draw_frontier, runs, fit, lines=lines, quantity=one, allocations=()
                )
            draw["ratio"] = partial(landscape.draw_ratio, runs, fit, lines=lines, allocations=())
            if "loss" in lines.best:
                draw["compute"] = partial(
                    figures.draw_compute, runs, lines=lines, allocations=(), outcomes=outcomes
                )
    if name not in draw:
        raise UsageError(f"{fit.source}: these runs give no figure {name!r}.")
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7.0, 4.4))
    draw[name](ax)
    return ax

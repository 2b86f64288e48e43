"""The report's figures on axes of yours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from scaling.errors import UsageError
from scaling.fitting.fitted import Fit
from scaling.report.measured import FrontierLines, collect_runs, evaluate_frontier
from scaling.tables.run_table import RunTable
from scaling.units.losses import LossScale
from scaling.workflow.forecasting import review_forecasts
from scaling.workflow.stored import StoredSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotName = Literal[
    "isoflop", "law", "residuals", "params", "tokens", "ratio", "compute", "backcast"
]


def plot_fit(
    fit: Fit,
    table: RunTable,
    stored: StoredSweep | None,
    scale: LossScale,
    name: PlotName,
    ax: Axes | None,
) -> Axes:
    """Draw one figure.

    Args:
        fit, table, stored, scale: As in `Fitted`.
        name: "isoflop": loss against N, a parabola per budget; "law": loss against D with the law;
            "residuals": what the law misses, against N; "params", "tokens": N*(C), D*(C); "ratio":
            D*/N* against C; "compute": loss against C with registered forecasts and their outcomes;
            "backcast": the largest budget as the smaller ones forecast it.
        ax: Where; None: a new figure.

    Raises:
        UsageError: The name is of no figure, or the runs do not allow it.
    """
    from scaling.report import figures, landscape

    if name not in get_args(PlotName):
        raise UsageError(f"{name!r} is no figure; there are {', '.join(get_args(PlotName))}.")
    runs = collect_runs(table, None if stored is None else stored.plan, scale)
    outcomes = () if stored is None else review_forecasts(stored).outcomes
    furthest = max((one.registered.forecast.run.flops for one in outcomes), default=0.0)
    lines = evaluate_frontier(runs, fit, furthest=furthest) if len(runs) else None

    def draw_frontier(quantity: str) -> Callable[[Axes], None]:
        return lambda ax: figures.draw_frontier(
            runs, fit, ax, lines=_require(lines), quantity=quantity, allocations=()
        )

    allowed = {
        "isoflop": bool(runs.budgets),
        "law": fit.law is not None,
        "residuals": fit.law is not None,
        "params": lines is not None,
        "tokens": lines is not None,
        "ratio": lines is not None,
        "compute": lines is not None and "loss" in lines.best,
        "backcast": fit.backcast is not None,
    }
    if not allowed[name]:
        raise UsageError(f"{fit.source}: these runs give no figure {name!r}.")
    draw: dict[str, Callable[[Axes], None]] = {
        "isoflop": lambda ax: figures.draw_isoflop(runs, fit, ax),
        "law": lambda ax: figures.draw_law(runs, fit, ax),
        "residuals": lambda ax: figures.draw_residuals(runs, fit, ax, against="params"),
        "params": draw_frontier("params"),
        "tokens": draw_frontier("tokens"),
        "ratio": lambda ax: landscape.draw_ratio(
            runs, fit, ax, lines=_require(lines), allocations=()
        ),
        "compute": lambda ax: figures.draw_compute(
            runs, ax, lines=_require(lines), allocations=(), outcomes=outcomes
        ),
        "backcast": lambda ax: figures.draw_backcast(runs, fit, ax),
    }
    axes = _make_axes() if ax is None else ax
    draw[name](axes)
    return axes


def _make_axes() -> Axes:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7.0, 4.4))
    return ax


def _require(lines: FrontierLines | None) -> FrontierLines:
    assert lines is not None  # `allowed` says so
    return lines

"""The figure of README.md: IsoFLOP curves of the reference, and its loss against compute with the
forecasts registered before their runs were trained and what the runs reached.

python -m tools.readme_figure > reports/reference/reference.png
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from scaling.report.canvas import render_png
from scaling.report.figures import draw_compute, draw_isoflop
from scaling.report.measured import collect_runs, evaluate_frontier
from scaling.tables.filters import Filters
from scaling.workflow.fits import FitOptions, fit_filtered
from scaling.workflow.forecasting import review_forecasts
from scaling.workflow.stored import open_results, tabulate_sweep

REFERENCE = Path("results/reference")
_SIZE = (1000, 400)  # [CSS pixels]


def draw_reference(folder: Path = REFERENCE) -> bytes:
    """The figure as a PNG."""
    stored = open_results(folder)
    table = tabulate_sweep(stored, count="matmul")
    fit = fit_filtered(table, stored, FitOptions(), Filters()).fit
    runs = collect_runs(table, stored.plan)
    outcomes = review_forecasts(stored).outcomes
    furthest = max(one.registered.forecast.run.flops for one in outcomes)
    lines = evaluate_frontier(runs, fit, furthest=furthest)
    if lines is None:
        raise SystemExit(f"{folder}: the fit has no frontier.")

    def draw(axes: Sequence[Axes]) -> None:
        draw_isoflop(runs, fit, axes[0])
        draw_compute(runs, axes[1], lines=lines, allocations=(), outcomes=outcomes)

    return render_png(draw, size=_SIZE, grid=(1, 2), dpi=144)


if __name__ == "__main__":
    sys.stdout.buffer.write(draw_reference())

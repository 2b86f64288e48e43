"""The figure of README.md: IsoFLOP curves of the reference, and its loss against compute with the
forecasts registered before their runs were trained and what the runs reached.

python -m tools.readme_figure > reports/reference/reference.png
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

import scaling
from scaling.report.canvas import render_png

_SIZE = (1000, 400)  # [CSS pixels]


def draw_reference(folder: Path) -> bytes:
    """The figure of a results folder as a PNG."""
    fit = scaling.fit(folder)

    def draw(axes: Sequence[Axes]) -> None:
        fit.plot("isoflop", ax=axes[0])
        fit.plot("compute", ax=axes[1])

    return render_png(draw, size=_SIZE, grid=(1, 2), dpi=144)


if __name__ == "__main__":
    sys.stdout.buffer.write(draw_reference(Path("results/reference")))

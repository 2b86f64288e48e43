"""A matplotlib figure as inline SVG that follows the page's light or dark colours.

Every colour drawn is one of this file's; in the SVG it becomes `var(--name, #hex)`, so the page
decides how it looks and the SVG alone still has its light colours. Text stays text: it can be
selected, searched and read aloud. Ids are kept only where something refers to them and carry the
figure's key, so that several SVGs share one page. No date, no metadata, no user's matplotlibrc:
the same figure gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

Draw = Callable[[Sequence[Axes]], None]

# name -> (light, dark); figures are drawn in the light colours. Text colours have a contrast of at
# least 4.5 on the page's surface in both schemes (tested in tests/report).
SCHEME: Mapping[str, tuple[str, str]] = {
    "ink": ("#1b1f24", "#e9e7e2"),
    "muted": ("#5b626b", "#a6adb6"),
    "grid": ("#e4e3de", "#30353c"),
    "surface": ("#fffffe", "#1a1d22"),
    "shade": ("#f1f0eb", "#23272d"),
    "accent": ("#b3261e", "#ff8a80"),
}
INK, MUTED, GRID, SURFACE, SHADE, ACCENT = (light for light, _ in SCHEME.values())

PLAIN = "plain"  # gid of text on a shaded background, drawn without a halo

_STEPS = 24  # ordered colours; with more budgets than that, neighbours share one
_LIGHT_MAX, _DARK_MIN = 0.30, 0.16  # luminances that have a contrast of 3 on the page's surface
_FONT = {"wide": 12.5, "narrow": 11.0}  # CSS pixels
_SIZES = ("axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize")
_RULES: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "text.color": INK,
    "xtick.minor.visible": False,
    "lines.solid_capstyle": "round",
}


def choose_color(position: float) -> str:
    """The viridis colour (light scheme) at a position from 0 to 1; muted where that is NaN."""
    return MUTED if math.isnan(position) else _LIGHT[round(position * (_STEPS - 1))]


def name_variable(position: float) -> str:
    """The CSS variable of `choose_color`."""
    return "--muted" if math.isnan(position) else f"--v{round(position * (_STEPS - 1))}"


def list_variables(*, dark: bool) -> dict[str, str]:
    """CSS variable -> colour of one scheme."""
    chosen = {f"--{name}": pair[dark] for name, pair in SCHEME.items()}
    ordered = _DARK if dark else _LIGHT
    return chosen | {f"--v{step}": color for step, color in enumerate(ordered)}


def render_svg(
    draw: Draw, *, key: str, alt: str, size: tuple[int, int], grid: tuple[int, int]
) -> str:
    """Draw on fresh axes and return the SVG element.

    Args:
        draw: Draws on the axes it is given, row by row.
        key: Unique on the page; prefixes every id.
        alt: What a reader who does not see the figure should know.
        size: Width and height [CSS pixels].
        grid: Rows and columns of axes.
    """
    file = io.StringIO()
    with _styled(size, salt=key):
        canvas: Any = FigureCanvasSVG(_compose(draw, size, grid, frame=False))
        # savefig would draw everything twice.
        canvas.print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(file.getvalue(), key, alt, size)


def render_png(draw: Draw, *, size: tuple[int, int], grid: tuple[int, int], dpi: int) -> bytes:
    """The same in the light colours as a PNG, at `dpi` of which 72 make a CSS pixel a pixel."""
    file = io.BytesIO()
    with _styled(size, salt=""):
        canvas: Any = FigureCanvasAgg(_compose(draw, size, grid, frame=True))
        canvas.figure.set_dpi(dpi)
        canvas.print_png(file, metadata={"Software": None})
    return file.getvalue()


@contextmanager
def _styled(size: tuple[int, int], *, salt: str) -> Iterator[None]:
    """matplotlib's own defaults and the rules of this file, whatever the user's."""
    font = _find_font(size)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # the keys' type depends on matplotlib's version
        settings.update({**_RULES, "font.size": font, "svg.hashsalt": salt})
        settings.update(dict.fromkeys(_SIZES, font))
        yield


def _compose(draw: Draw, size: tuple[int, int], grid: tuple[int, int], *, frame: bool) -> Figure:
    figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72, frameon=frame)
    FigureCanvasAgg(figure)  # drawing needs a renderer to measure text
    axes = list(figure.subplots(*grid, squeeze=False).ravel())
    for index, ax in enumerate(axes):
        ax.set_position(_place(index, size, grid, _find_font(size)))
        ax.patch.set_visible(False)
    draw(axes)
    return figure


def _find_font(size: tuple[int, int]) -> float:
    return _FONT["wide" if size[0] > 500 else "narrow"]


def _place(
    index: int, size: tuple[int, int], grid: tuple[int, int], font: float
) -> tuple[float, float, float, float]:
    """Position of one axes: room for labels in multiples of the font, the rest shared evenly.

    Fixed, unlike a layout engine's: figures of one page align, and a label placed while drawing
    stays where it was placed.
    """
    row, column = divmod(index, grid[1])
    cell_width, cell_height = size[0] / grid[1], size[1] / grid[0]
    left, right, bottom, top = 5.2 * font, 0.8 * font, 3.6 * font, 0.8 * font
    return (
        (column * cell_width + left) / size[0],
        ((grid[0] - 1 - row) * cell_height + bottom) / size[1],
        (cell_width - left - right) / size[0],
        (cell_height - bottom - top) / size[1],
    )


def _inline(svg: str, key: str, alt: str, size: tuple[int, int]) -> str:
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = body.replace("xlink:href", "href")
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', body))
    names = {first or second for first, second in used}
    body = body.replace(f' id="{PLAIN}"', f' class="{PLAIN}"')
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in names else "", body)
    body = body.replace('href="#', f'href="#{key}-').replace("url(#", f"url(#{key}-")
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", body)
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', _shorten, body)
    body = re.sub(r"#[0-9a-f]{6}", lambda m: _VARIABLES.get(m[0], m[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body).replace("<defs>\n</defs>\n", "")
    head = f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(alt)}">'
    return f"{head}{body}</svg>"


def _shorten(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def _list_ordered(low: float, high: float, *, dark: bool) -> tuple[str, ...]:
    """Steps of viridis, each dark (or light) enough to stand out on the page."""
    colors = []
    for position in np.linspace(low, high, _STEPS):
        rgb = np.array(to_rgb(colormaps["viridis"](float(position))))
        for _ in range(60):
            luminance = relative_luminance(to_hex(rgb.tolist()))
            if dark and luminance < _DARK_MIN:
                rgb = rgb + 0.03 * (1.0 - rgb)
            elif not dark and luminance > _LIGHT_MAX:
                rgb = 0.97 * rgb
            else:
                break
        colors.append(to_hex(rgb.tolist()))
    return tuple(colors)


def relative_luminance(color: str) -> float:
    """Source: WCAG 2.2, definition of relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


_LIGHT = _list_ordered(0.0, 0.88, dark=False)
_DARK = _list_ordered(0.18, 1.0, dark=True)
_VARIABLES = {color: f"var({name}, {color})" for name, color in list_variables(dark=False).items()}

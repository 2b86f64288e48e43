"""The interactive figures: the plain JSON values that page.js passes to plotly.

Only points and words are decided here; the look (axes, colours of the scheme, size) is page.js's.
A colour is the name of a CSS variable, so that the figure follows the page's scheme. Words contain
numbers and run ids, never text from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from scaling.ledger.results import RunResult
from scaling.report.axes import format_power
from scaling.report.calculator import round_to
from scaling.report.canvas import name_variable
from scaling.report.figures import PARAMS_LABEL, TOKENS_LABEL, label_loss
from scaling.report.landscape import Surface, label_level
from scaling.report.measured import MeasuredRuns, trace_curve
from scaling.sweep.families.registry import describe_shape
from scaling.units import FloatArray, IntArray, format_count, format_flops

_PARABOLA = 60  # points of a drawn parabola
# Five significant digits; a pixel is 1e-3 of a figure's width.
_round = partial(round_to, digits=5)

Kind = Literal["dots", "rings", "diamonds", "line", "dashes", "dotted", "strong"]


def list_live_figures(
    data: MeasuredRuns, results: Mapping[str, RunResult], surface: Surface | None
) -> dict[str, Any]:
    """Specification of each interactive figure by its key on the page."""
    figures: dict[str, Any] = {}
    if len(data) and data.budgets:
        figures["isoflop"] = {
            "x": {"label": PARAMS_LABEL, "log": True},
            "y": {"label": label_loss(data), "log": False},
            "labels": "end",
            "traces": [*_trace_parabolas(data), *_trace_runs(data, results, against="loss")],
        }
    if surface is not None:
        figures["surface"] = {
            "x": {"label": PARAMS_LABEL, "log": True, "range": _round(surface.params)},
            "y": {"label": TOKENS_LABEL, "log": True, "range": _round(surface.tokens)},
            "labels": "middle",
            "traces": [
                *(
                    _trace("line", params, tokens, color="--muted", words=f"loss {loss:g}")
                    | {"label": label_level(data, surface, loss)}
                    for loss, params, tokens in surface.levels
                ),
                *(
                    _trace(
                        "dashes",
                        params,
                        tokens,
                        color=name_variable(data.find_position(flops)),
                        words=f"{format_flops(flops)} FLOPs",
                    )
                    for flops, params, tokens in surface.budgets
                ),
                _trace("strong", *surface.best, color="--ink", words="best N and D"),
                *_trace_runs(data, results, against="tokens"),
            ],
        }
    return figures


def _trace_parabolas(data: MeasuredRuns) -> list[dict[str, Any]]:
    traces = []
    for curve in data.curves:
        color = name_variable(data.find_position(curve.budget.flops))
        name = f"budget {format_flops(curve.budget.flops)}"
        params, loss, lowest = trace_curve(data, curve, _PARABOLA)
        kind: Kind = "dotted" if curve.rejection else "line"
        line = _trace(kind, params, loss, color=color, words=name)
        label = {"label": f"{format_power(curve.budget.flops)} FLOP"}
        traces.append(line if lowest is None else line | label)
        if lowest is not None and not curve.rejection:
            words = f"{name}<br>best N {format_count(lowest[0])}<br>loss {lowest[1]:.4f}"
            point = np.array([lowest]).T
            traces.append(_trace("diamonds", *point, color=color, words=words))
    return traces


def _trace_runs(
    data: MeasuredRuns, results: Mapping[str, RunResult], *, against: str
) -> list[dict[str, Any]]:
    """Traces of the runs of each colour, with repeats as rings; hovering names the run."""
    values: FloatArray = getattr(data, against)
    if against == "loss":
        values = data.scale.to(values)
    # Without budgets the colour shows C, so every run has its own.
    colors = [name_variable(position) for position in data.position]
    groups: dict[tuple[int, str, bool], list[int]] = {}
    for at, key in enumerate(zip(data.rank.tolist(), colors, data.replicate.tolist(), strict=True)):
        groups.setdefault(key, []).append(at)
    traces = []
    for (_, color, repeated), places in sorted(groups.items()):
        rows = np.array(places)
        kind: Kind = "rings" if repeated else "dots"
        one = _trace(kind, data.params[rows], values[rows], color=color, words="")
        traces.append(one | {"text": _describe_runs(data, results, rows)})
    return traces


def _describe_runs(
    data: MeasuredRuns, results: Mapping[str, RunResult], rows: IntArray
) -> list[str]:
    words = []
    for at in rows:
        result = results.get(data.run[at])
        name, shape, seed, error = "", "", "", ""
        if result is not None:
            name, seed = f"run {data.run[at]}<br>", f", seed {result.run.seed}"
            shape = f" ({describe_shape(result.run.shape).label})"
            if result.loss_se is not None:
                loss = float(data.loss[at])
                error = f" ± {data.scale.write_error(result.loss_se, loss):.2g}"
        elif data.run[at].isdecimal():  # a row number; other names may be long
            name = f"row {data.run[at]}<br>"
        words.append(
            f"{name}N {format_count(data.params[at])}{shape}, D {format_count(data.tokens[at])}"
            f"<br>C {format_flops(data.flops[at])}{seed}<br>"
            f"loss {data.scale.to(float(data.loss[at])):.4f}{error} {data.scale.label}"
        )
    return words


def _trace(kind: Kind, x: FloatArray, y: FloatArray, *, color: str, words: str) -> dict[str, Any]:
    return {"kind": kind, "x": _round(x), "y": _round(y), "color": color, "text": words}

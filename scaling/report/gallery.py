"""The figures of a report, each drawn for a wide page and for a phone, with its words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.axes import Axes

from scaling.allocation import Allocation
from scaling.fitting.fitted import Fit
from scaling.ledger.forecasts import ForecastOutcome
from scaling.report import clouds, figures, landscape
from scaling.report.canvas import render_svg
from scaling.report.landscape import Surface
from scaling.report.measured import FrontierLines, MeasuredRuns
from scaling.units import format_count, format_flops
from scaling.words.plain import format_share
from scaling.words.statuses import STATUSES

_WIDE, _PHONE = 880, 352  # [CSS pixels]: width of the page's column, and of a phone's


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure in both forms, its caption, and its description for those who cannot see it."""

    wide: Markup
    narrow: Markup
    caption: str
    alt: str


def draw_pictures(
    data: MeasuredRuns,
    fit: Fit,
    allocations: Sequence[Allocation],
    curves: Mapping[str, figures.TrainingCurve],
    diverged: Sequence[str],
    *,
    lines: FrontierLines | None,
    surface: Surface | None,
    outcomes: Sequence[ForecastOutcome] = (),
) -> dict[str, Picture]:
    """Draw every figure that the data allow, by section."""
    pictures = {}
    color = "budget" if data.budgets else "training FLOPs"
    if len(data) and data.budgets:
        pictures["isoflop"] = _picture_isoflop(data, fit)
    if len(data) and fit.law is not None:
        pictures["law"] = compose_picture(
            "law",
            [partial(figures.draw_law, data, fit)],
            alt=f"Held-out loss against tokens for {len(data)} runs, with the law's line for each "
            "model size.",
            caption=f"Held-out loss against data. Dots are runs (colour: {color}), lines the "
            "fitted law at each model size, dashed where that size has no run.",
        )
        pictures["residuals"] = _picture_residuals(data, fit)
        pictures["predicted"] = _picture_predicted(data, fit, outcomes)
    if clouds.has_exponents(fit) and clouds.has_optima(fit):
        pictures["cloud"] = _picture_cloud(fit, allocations)
    if surface is not None:
        pictures["surface"] = _picture_surface(data, surface, color)
    if lines is not None:
        pictures["frontier"] = _picture_frontier(data, fit, lines, allocations)
        if "loss" in lines.best:
            pictures["compute"] = _picture_compute(data, fit, lines, allocations, outcomes)
        pictures["ratio"] = _picture_ratio(data, fit, lines, allocations)
    if fit.backcast is not None and set(fit.backcast.run) & set(data.run):
        pictures["backcast"] = compose_picture(
            "backcast",
            [partial(figures.draw_backcast, data, fit)],
            alt="Measured loss of the largest budget's runs beside what the smaller budgets "
            "predict for them.",
            caption="The largest budget's runs (dots), and what a law fitted to the smaller "
            "budgets alone predicts for them (dashes).",
            height=380,
        )
    if any(len(points) for points in curves.values()):
        pictures["training"] = compose_picture(
            "training",
            [
                partial(figures.draw_training, curves, data, diverged=diverged),
                partial(figures.draw_training, curves, data, against="flops"),
            ],
            alt=f"Training loss against tokens seen and FLOPs spent for {len(curves)} runs.",
            caption="Training loss while training, averaged over short stretches; colour: "
            f"{color}. The drop at the end of each line is the decay of the learning rate."
            + (" Grey: runs that are not fitted." if set(curves) - {*data.run, *diverged} else ""),
        )
    return pictures


def _picture_isoflop(data: MeasuredRuns, fit: Fit) -> Picture:
    accepted = sum(not curve.rejection for curve in data.curves)
    lowest = ", ".join(
        f"{format_flops(curve.budget.flops)}: {'rejected' if curve.rejection else 'inside'}"
        for curve in data.curves
    )
    caption = (
        "Each colour is one budget: dots are runs, rings repeats with another seed, lines "
        "parabolas in ln N. Diamonds mark the minimum."
    )
    if any(curve.rows.size < curve.budget.rows.size for curve in data.curves):
        caption += " A parabola takes only the sizes around the lowest."
    if accepted < len(data.curves):
        caption += " Dotted curves have no minimum that can be used."
    if any(curve.rejection and curve.vertex is not None for curve in data.curves):
        caption += " A cross marks where one was rejected."
    return compose_picture(
        "isoflop",
        [partial(figures.draw_isoflop, data, fit)],
        alt=f"Loss against model size for {len(data.budgets)} budgets; {accepted} of "
        f"{len(data.curves)} curves have a usable minimum ({lowest or 'none drawn'}).",
        caption=caption,
        height=480,
    )


def _picture_residuals(data: MeasuredRuns, fit: Fit) -> Picture:
    caption = "Residuals of the law, in percent of the loss; above zero the run was worse."
    if fit.replicate_sigma is not None:
        caption += " The shaded band is ±2 σ of repeated seeds: residuals inside it are noise."
    return compose_picture(
        "residuals",
        [
            partial(figures.draw_residuals, data, fit, against=name)
            for name in ("params", "tokens", "ratio")
        ],
        alt="Residuals of the law against model size, data, and tokens per parameter.",
        caption=caption,
        height=320,
    )


def _picture_frontier(
    data: MeasuredRuns, fit: Fit, lines: FrontierLines, allocations: Sequence[Allocation]
) -> Picture:
    level = format_share(fit.level)
    answers = "; ".join(
        f"at {format_flops(one.flops)} FLOPs {format_count(one.params)} parameters and "
        f"{format_count(one.tokens)} tokens"
        for one in allocations
    )
    source = {"parametric": "the law", "envelope": "the line through the envelope's handovers"}.get(
        fit.asked, "the line through the IsoFLOP minima"
    )
    caption = f"Compute-optimal size and data by {source}: solid within the trained budgets, "
    caption += "dashed beyond. Diamonds are the minima of the IsoFLOP curves."
    if lines.band is not None:
        caption += f" Band: {level} interval of the fit alone."
    if any(one.params_interval is not None for one in allocations):
        caption += f" Bars: {level} interval of the answer, which adds the noise of a new run "
        caption += "and model error that grows with the distance."
    return compose_picture(
        "frontier",
        [
            partial(
                figures.draw_frontier,
                data,
                fit,
                lines=lines,
                quantity=quantity,
                allocations=allocations,
            )
            for quantity in ("params", "tokens")
        ],
        alt=f"Optimal model size and data against budget. {answers or STATUSES[fit.status].page}",
        caption=caption,
        height=430,
    )


def _picture_predicted(
    data: MeasuredRuns, fit: Fit, outcomes: Sequence[ForecastOutcome]
) -> Picture:
    done = sum(one.measured is not None and not one.late for one in outcomes)
    caption = "Measured loss against the loss of the law that answers: on the line it is right."
    if done:
        caption += " Stars: registered forecasts and what their runs reached; they are in no fit."
    return compose_picture(
        "predicted",
        [partial(clouds.draw_predicted, data, fit, outcomes=outcomes)],
        alt=f"Measured against predicted loss of {len(data)} fitted runs and {done} forecasts.",
        caption=caption,
        height=400,
    )


def _picture_cloud(fit: Fit, allocations: Sequence[Allocation]) -> Picture:
    assert fit.frontier is not None  # a fit with draws has one
    flops = allocations[0].flops if allocations else fit.frontier.range[1]
    count = min(len(fit.draws), clouds.MOST_DOTS)
    return compose_picture(
        "cloud",
        [partial(clouds.draw_exponents, fit), partial(clouds.draw_optima, fit, flops)],
        alt=f"{count} bootstrap draws of the exponents alpha and beta, and of the best size and "
        f"data at {format_flops(flops)} FLOPs.",
        caption=f"What {count} bootstrap draws leave open: the exponents of the law that is "
        f"quoted, and the best size and data for {format_flops(flops)} FLOPs by what answers. "
        "Diamonds are the estimates. Model error beyond the data is in the intervals, not here.",
        height=380,
    )


def _picture_compute(
    data: MeasuredRuns,
    fit: Fit,
    lines: FrontierLines,
    allocations: Sequence[Allocation],
    outcomes: Sequence[ForecastOutcome],
) -> Picture:
    level = format_share(fit.level)
    caption = (
        "Held-out loss against compute: dots are runs, the line is the law's loss at the best "
        "size, solid within the trained budgets, dashed beyond."
    )
    if lines.band is not None:
        caption += f" Band: {level} interval of the fit alone."
    if allocations:
        caption += f" Red bars: {level} intervals of the answers."
    reached = [one for one in outcomes if one.measured is not None]
    if outcomes:
        caption += " Red bars with a dash: forecasts registered before their run was trained"
        caption += "; stars: what the runs reached." if reached else "."
    told = "; ".join(
        f"{format_flops(one.registered.forecast.run.flops)} FLOPs: forecast "
        f"{data.scale.to(one.registered.forecast.loss):.3f}, "
        f"measured {data.scale.to(one.measured or math.nan):.3f}"
        for one in reached
    )
    return compose_picture(
        "compute",
        [
            partial(
                figures.draw_compute,
                data,
                lines=lines,
                allocations=allocations,
                outcomes=outcomes,
            )
        ],
        alt=f"Loss of {len(data)} runs against training compute, with the law's frontier. {told}",
        caption=caption,
        height=430,
    )


def _picture_surface(data: MeasuredRuns, surface: Surface, color: str) -> Picture:
    losses = [loss for loss, _, _ in surface.levels]
    ends = f" from {min(losses):g} to {max(losses):g}" if losses else ""
    caption = (
        "The law as a map: grey lines join models and data of equal loss (labelled, "
        f"{data.scale.label}), dots are runs (colour: {color})"
    )
    caption += ", dashed lines share a budget" if surface.budgets else ""
    caption += ", the heavy line is the best of each budget." if surface.best[0].size > 1 else "."
    return compose_picture(
        "surface",
        [partial(landscape.draw_surface, data, surface)],
        alt=f"Map of the law over model size and data: lines of equal loss{ends} "
        f"{data.scale.label}, and the {len(data)} runs.",
        caption=caption,
        height=480,
    )


def _picture_ratio(
    data: MeasuredRuns, fit: Fit, lines: FrontierLines, allocations: Sequence[Allocation]
) -> Picture:
    ratio = lines.best["tokens"] / lines.best["params"]
    caption = (
        "Tokens per parameter of the compute-optimal model: solid within the trained budgets, "
        "dashed beyond. The red line is the rule of thumb of 20, read off Chinchilla's law at "
        "5.8e23 FLOPs; small models, another text and another count of N give other ratios."
    )
    if lines.band is not None:
        caption += f" Band: {format_share(fit.level)} interval of the fit alone."
    return compose_picture(
        "ratio",
        [partial(landscape.draw_ratio, data, fit, lines=lines, allocations=allocations)],
        alt=f"Optimal tokens per parameter against budget: {format_count(float(ratio[0]))} at "
        f"{format_flops(float(lines.flops[0]))} FLOPs, {format_count(float(ratio[-1]))} at "
        f"{format_flops(float(lines.flops[-1]))}; Chinchilla's 20 as a reference line.",
        caption=caption,
        height=380,
    )


def compose_picture(
    key: str,
    draws: Sequence[partial[None]],
    *,
    alt: str,
    caption: str,
    height: int = 440,
    phone_height: int | None = None,
    columns: int | None = None,
) -> Picture:
    """Compose panels side by side on a wide page, one below the other on a phone; more than
    `columns` in rows of `height` each."""

    def draw(axes: Sequence[Axes]) -> None:
        for ax in axes[len(draws) :]:
            ax.set_axis_off()
        for one, ax in zip(draws, axes, strict=False):
            one(ax)

    panels = len(draws)
    wide_columns = min(panels, columns or panels)
    rows = math.ceil(panels / wide_columns)
    one = phone_height or (250 if panels > 2 else 300 if panels == 2 else 360)
    wide_size, grid = (_WIDE, rows * height), (rows, wide_columns)
    wide = render_svg(draw, key=f"{key}-w", alt=alt, size=wide_size, grid=grid)
    size = (_PHONE, one * panels)
    narrow = render_svg(draw, key=f"{key}-n", alt=alt, size=size, grid=(panels, 1))
    return Picture(wide=Markup(wide), narrow=Markup(narrow), caption=caption, alt=alt)

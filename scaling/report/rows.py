"""The report's tables as rows of text: runs, rejected cells, recipe, law, numerics."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scaling.fitting.fitted import Fit
from scaling.ledger.results import RunResult
from scaling.ledger.sweep_table import IndexedRun
from scaling.report.measured import MeasuredRuns
from scaling.sweep.cells import FITTED_ROLES, Cell, Plan
from scaling.sweep.counting import CountConvention, count_params
from scaling.sweep.families.registry import describe_shape
from scaling.sweep.runspec import Recipe
from scaling.units import format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.letters import spell_letter
from scaling.words.plain import (
    ABSENT,
    format_budget,
    format_duration,
    format_interval,
    format_loss,
    format_optional,
    format_plain,
    format_range,
    format_share,
    is_number,
)

_RECIPE_WORDS: Mapping[str, str] = {
    "batch_sequences": "sequences per optimiser step",
    "steps": "optimiser steps",
    "learning_rate": "peak, at the base width and depth",
    "base_width": "width at which the learning rate holds unscaled",
    "base_depth": "depth at which the learning rate holds unscaled",
    "warmup_steps": "steps of linear warmup",
    "decay_steps": "last steps, rate falling to 0 as 1 − sqrt",
    "beta1": "AdamW",
    "beta2": "AdamW",
    "epsilon": "AdamW",
    "weight_decay": "decoupled, not on norms and embeddings",
    "clip_norm": "global gradient norm",
    "init_scale": "hidden std · sqrt(fan-in)",
    "output_scale": "the same of head and output projections",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as text; `tone` is empty, amber or red; `why` explains what is not finished."""

    run_id: str
    tone: str
    status: str
    why: str
    cells: tuple[str, ...]


RUN_HEADINGS = (
    ("budget", "declared budget [FLOP]"),
    ("N", "parameters, as the fit counts them"),
    ("D", "tokens seen"),
    ("C", "training FLOPs by the exact count"),
    ("6ND", "training FLOPs by the rule of thumb, for comparison only"),
    ("loss", "held-out cross-entropy ± standard error"),
    ("bits/byte", "the same loss per byte of text"),
    ("shape", "width × layers"),
    ("seed", "initialisation and data order"),
    ("learning rate", "peak, at the base width"),
    ("batch", "tokens per step"),
    ("steps", "optimiser steps"),
    ("epochs", "passes over the text"),
    ("time", "wall-clock"),
)


def list_runs(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, str],
    count: CountConvention,
    left_out: Collection[str] = (),
    scale: LossScale = NATS,
) -> list[RunRow]:
    """Every planned run by budget and N, then what else the ledger holds; `left_out` by filters."""
    places: dict[str, Cell] = {}
    for cell in plan.cells:
        places.setdefault(cell.run.run_id, cell)
    ordered = sorted(
        places.values(),
        key=lambda cell: (
            cell.budget or 0.0,
            count_params(cell.run.shape, count),
            cell.run.tokens,
            cell.run.seed,
        ),
    )
    rows = [_describe_run(cell, results, failures, count, scale) for cell in ordered]
    rows = [
        _explain(row, "not fitted", "left out by a filter") if row.run_id in left_out else row
        for row in rows
    ]
    for run_id in sorted(results.keys() - places.keys()):
        outside = Cell(run=results[run_id].run, budget=None, role="grid")
        row = _describe_run(outside, results, failures, count, scale)
        rows.append(_explain(row, "outside the plan", "of an earlier plan"))
    return rows


def _explain(row: RunRow, status: str, why: str) -> RunRow:
    return dataclasses.replace(row, status=f"{row.status}, {status}", why=row.why or why)


def _describe_run(
    cell: Cell,
    results: Mapping[str, RunResult],
    failures: Mapping[str, str],
    count: CountConvention,
    scale: LossScale,
) -> RunRow:
    run, run_id = cell.run, cell.run.run_id
    result = results.get(run_id)
    params = count_params(run.shape, count)
    head = (format_budget(cell.budget), format_count(params))
    tail = (
        describe_shape(run.shape).label,
        str(run.seed),
        *(
            (
                format_plain(run.recipe.learning_rate),
                str(run.recipe.batch_sequences * run.shape.seq_len),
                str(run.recipe.steps),
            )
            if run.has_recipe
            else (ABSENT, ABSENT, ABSENT)
        ),
    )
    if result is None:
        middle = (format_count(run.tokens), format_flops(run.flops), *3 * (ABSENT,))
        status, tone = ("failed", "red") if run_id in failures else ("no result yet", "amber")
        return RunRow(
            run_id=run_id,
            tone=tone,
            status=status,
            why=failures.get(run_id, ""),
            cells=(*head, *middle, *tail, ABSENT, ABSENT),
        )
    row = IndexedRun(result=result, role=cell.role, budget=cell.budget, convention=count).to_row()
    loss = format_loss(scale.to_or_none(result.loss))
    if result.loss is not None and is_number(result.loss_se):
        loss += f" ± {scale.write_error(result.loss_se or 0.0, result.loss):.2g}"
    middle = (
        format_count(result.tokens),
        format_flops(result.flops),
        format_flops(float(row["flops_6nd"] or 0.0)),
        loss,
        format_loss(result.bits_per_byte),
    )
    status = "finished" if result.status == "finished" else "diverged"
    if cell.role != "grid":
        status += f", {cell.role}"
    return RunRow(
        run_id=run_id,
        tone="" if result.status == "finished" else "red",
        status=status,
        why=result.reason,
        cells=(*head, *middle, *tail, format_plain(result.epochs), format_duration(result.seconds)),
    )


def list_rejected(plan: Plan) -> list[tuple[str, str, str, str]]:
    """(budget, N, D, why) of every cell that is not trained."""
    return [
        (format_budget(c.budget), format_optional(c.params), format_optional(c.tokens), c.reason)
        for c in plan.rejected
    ]


def list_recipe(plan: Plan) -> list[tuple[str, str, str]]:
    """(field, value or range over the plan, meaning)."""
    recipes = [
        cell.run.recipe for cell in plan.cells if cell.role in FITTED_ROLES and cell.run.has_recipe
    ]
    if not recipes:
        return []
    rows = []
    for field in dataclasses.fields(Recipe):
        values = [getattr(recipe, field.name) for recipe in recipes]
        if set(values) == {None}:
            continue
        if all(is_number(value) for value in values):
            text = format_range(min(values), max(values))
        else:
            text = ", ".join(sorted({str(value) for value in values}))
        rows.append((field.name.replace("_", " "), text, _RECIPE_WORDS.get(field.name, "")))
    return rows


def list_coefficients(fit: Fit, scale: LossScale = NATS) -> list[tuple[str, str, str]]:
    """(parameter, value, interval) of the law and the exponents of the frontier that answers;
    parameters in the unit of losses where they follow it."""
    rows = []
    if fit.law is not None and not fit.members:  # an ensemble's members have their own table
        law = fit.law.rewrite(fit.law.find_scale(scale))
        intervals = law.intervals or {}
        for name, value in law.params.items():
            interval = format_interval(intervals.get(name), format_plain)
            rows.append((spell_letter(name), format_plain(value), interval or ABSENT))
    if fit.frontier is not None:
        ends = fit.frontier.intervals or {}
        for name, label in (("a", "a  (N* ∝ Cᵃ)"), ("b", "b  (D* ∝ Cᵇ)")):
            interval = format_interval(ends.get(name), format_plain)
            slope = format_plain(getattr(fit.frontier, name))
            rows.append((label, slope, interval or ABSENT))
    return rows


def list_minima(data: MeasuredRuns) -> list[tuple[str, str, str, str]]:
    """(budget, N at the minimum, loss there, verdict) of each IsoFLOP curve."""
    rows = []
    for curve in data.curves:
        at = ABSENT
        if curve.vertex is not None and not curve.rejection:
            at = format_count(math.exp(curve.centre + curve.vertex))
        budget = format_flops(curve.budget.flops)
        lowest = ABSENT if curve.rejection else format_loss(data.scale.to_or_none(curve.lowest))
        verdict = curve.sentence.removeprefix(f"budget {budget}: ") or "inside the sizes tried"
        rows.append((budget, at, lowest, verdict))
    return rows


def list_backcast(data: MeasuredRuns, fit: Fit) -> list[tuple[str, str, str, str]]:
    """(N, measured, predicted, error) of the largest budget's runs."""
    if fit.backcast is None:
        return []
    params = dict(zip(data.run, data.params.tolist(), strict=True))
    known = zip(fit.backcast.run, fit.backcast.measured, fit.backcast.predicted, strict=True)
    rows = sorted(
        (params.get(name, 0.0), data.scale.to(measured), data.scale.to(law))
        for name, measured, law in known
    )
    return [
        (
            format_optional(size or None),
            format_loss(measured),
            format_loss(law),
            f"{100.0 * (law / measured - 1.0):+.2f} %".replace("-", "−"),
        )
        for size, measured, law in rows
    ]


def list_versions(
    results: Mapping[str, RunResult], page: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(software or processor, what the runs recorded of it); last what wrote the page: `page`, on
    which no run rests."""
    recorded = [one.versions for one in results.values() if one.versions is not None]
    rows = []
    for name in dict.fromkeys(name for one in recorded for name in one):
        counted = Counter(one.get(name, "not recorded") for one in recorded)
        shown = [f"{value} ({number} runs)" for value, number in sorted(counted.items())]
        rows.append((name, next(iter(counted)) if len(counted) == 1 else "; ".join(shown)))
    silent = len(results) - len(recorded)
    if silent:
        rows.append(("not recorded", f"by {silent} of {len(results)} runs"))
    written = ", ".join(f"{name} {version}" for name, version in page.items())
    return [*rows, ("this page was written by", written)]


def list_numerics(results: Mapping[str, RunResult]) -> list[tuple[str, str]]:
    """(how many runs, fingerprint) of everything that decides the last bits."""
    counted = Counter(
        ", ".join(f"{name} {value}" for name, value in sorted(result.numerics.items()))
        for result in results.values()
    )
    return [(f"{number} runs", text or ABSENT) for text, number in sorted(counted.items())]


def describe_noise(fit: Fit) -> str:
    """How noisy runs are, beside what the law misses."""
    words = []
    if is_number(fit.residual_sigma):
        words.append(f"The law misses a run by {format_share(fit.residual_sigma)} (1 σ, robust)")
    if is_number(fit.replicate_sigma):
        words.append(f"two seeds of one cell differ by {format_share(fit.replicate_sigma)} (1 σ)")
    sentence = "; ".join(words)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""

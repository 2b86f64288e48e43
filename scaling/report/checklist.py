"""The (Mis)Fitting checklist of what a paper on scaling laws should state, filled in for a report.

The groups are the paper's own sections (3: the form, 4: training, 5: data taken from training, 6:
fitting), preceded by openness. The items are every column of the sheet in which its authors
answered for 50 papers (github.com/hadasah/scaling_laws, sheet.csv, commit d2223c9) and the
questions by which the checklist goes beyond it: what changes with scale, whether the counting is
code, what was left out. The wording is ours; answers come from the plan, the results and the fit.

Source: Li, Kudugunta and Zettlemoyer 2025, arXiv:2502.18969.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.laws.registry import find_family, find_law
from scaling.report.answers import describe_law_unit
from scaling.report.choices import list_filters
from scaling.report.counts import count_runs
from scaling.report.table_rows import describe_collection, describe_training
from scaling.sweep.counting import count_params
from scaling.units import format_count, format_flops
from scaling.words.plain import ABSENT, APPROACH_WORDS, format_range, format_share

if TYPE_CHECKING:
    from scaling.fitting.fitted import Fit
    from scaling.report.data import ReportData

_WEIGHTS = re.compile(r"weights\.")
NOT_RECORDED = "not recorded"
_OBJECTIVES = {"huber_log": "Huber loss of ln loss"}


@dataclass(frozen=True, slots=True)
class ChecklistGroup:
    """One group of the checklist: (question, answer) rows."""

    heading: str
    rows: tuple[tuple[str, str], ...]


def fill_checklist(data: ReportData) -> tuple[ChecklistGroup, ...]:
    """Answer every question of the checklist for this report."""
    if data.origin is None:
        training, collection = _describe_training(data), _describe_collection(data)
    else:
        training = describe_training(data.table)
        collection = describe_collection(data)
    return (
        ChecklistGroup("Openness", _describe_open(data)),
        ChecklistGroup("The form of the law (section 3)", _describe_form(data)),
        ChecklistGroup("Training (section 4)", training),
        ChecklistGroup("Data taken from training (section 5)", collection),
        ChecklistGroup("Fitting (section 6)", _describe_fitting(data)),
    )


def _describe_open(data: ReportData) -> tuple[tuple[str, str], ...]:
    page = data.versions.get("scaling")
    wrote = f"this package, version {page}" if page else NOT_RECORDED
    return (
        ("Is the training code open?", _name_code(data)),
        ("Is the analysis code open?", f"{wrote}; this report by: {data.command}"),
        ("Are the models kept?", _describe_weights(data) if data.origin is None else NOT_RECORDED),
        (
            "Are the measured values given?",
            "yes: every run with its N, D, C and loss, as a table here and as CSV (Data and "
            "citation)",
        ),
    )


def _name_code(data: ReportData) -> str:
    """Name the code that the runs record; whether it is published, no run can know."""
    stated = [one.versions or {} for one in data.results.values()]
    codes = {
        f"version {one['scaling']}, commit {one.get('commit', NOT_RECORDED)}, source digest "
        f"{one.get('source', NOT_RECORDED)}"
        for one in stated
        if "scaling" in one
    }
    silent = sum("scaling" not in one for one in stated)
    said = [*sorted(codes), *([f"{NOT_RECORDED} by {silent} runs"] if silent else [])]
    return f"this package: {'; '.join(said)}" if codes else NOT_RECORDED


def _describe_weights(data: ReportData) -> str:
    if not data.get_spec().keep_weights:
        return "no: the sweep file says keep_weights: false"
    kept = sum(any(_WEIGHTS.match(name) for name in one.files) for one in data.results.values())
    if not kept:
        return "no result names its weights"
    results = len(data.results)
    return f"yes: {kept} of {results} results name their final weights, which a copy may lack"


def _describe_form(data: ReportData) -> tuple[tuple[str, str], ...]:
    fit = data.fit
    if fit.law is None:
        return (("What is the form of the law?", f"No law was fitted. {fit.reason}"),)
    family = find_law(fit.law.rewrite(fit.law.find_scale(data.scale)).family)
    unit = describe_law_unit(fit, data.scale) or data.scale.label
    form = family.equation
    fitted = f"{', '.join(family.param_names)}: {len(fit.law.params)}"
    if fit.members:
        form, fitted = "a weighted average of several laws", f"those of {len(fit.members)} members"
    return (
        ("What is the form of the law?", f"{form} [{unit}]"),
        (
            "Which variables does it relate?",
            "held-out loss L, model size N, tokens seen D; compute C enters through the cost "
            f"of a token ({fit.cost.name})",
        ),
        (
            "What is it for?",
            "both: to predict the loss of larger runs and to split a budget"
            if fit.frontier is not None
            else "to predict the loss of larger runs; it splits no budget",
        ),
        ("Which parameters are fitted, and how many?", fitted),
        ("How many laws are fitted?", _count_laws(data)),
        ("Where does the form come from, and what does it assume?", _name_origin(fit)),
    )


def _name_origin(fit: Fit) -> str:
    """The source of the law that was fitted, or of each member of a mixture."""
    assert fit.law is not None
    names = [one.name for one in fit.members] if fit.members else [fit.law.family]
    said = dict.fromkeys(find_family(name.split("/")[0]).words.origin for name in names)
    return "; ".join([*said, "one recipe throughout"])


def _count_laws(data: ReportData) -> str:
    """Count the fitted law and those it is compared with."""
    others = len(data.variants)
    beside = f"; {others} other choices of law, method and runs stand in Other choices"
    return "one" + (beside if others else "")


def _describe_training(data: ReportData) -> tuple[tuple[str, str], ...]:
    cells = [cell for cell in data.get_plan().cells if cell.role in ("grid", "replicate")]
    runs = [cell.run for cell in cells]
    if not runs:
        return (("How many models, of which sizes?", ABSENT),)
    count = data.fit.convention or "matmul"
    sizes = [count_params(run.shape, count) for run in runs]
    largest = max(runs, key=lambda run: (run.flops, run.run_id))
    epochs = [one.epochs for one in data.results.values()]
    shapes = {run.shape for run in runs}
    repeated = (
        f"at most {max(epochs):.3g} passes over the text" if epochs else "no run has finished"
    )
    return (
        (
            "How many models, of which sizes, on how much data?",
            f"{len({run.run_id for run in runs})} runs of {len(shapes)} shapes: N from "
            f"{format_range(min(sizes), max(sizes), format_count)}, D from "
            + format_range(
                min(run.tokens for run in runs), max(run.tokens for run in runs), format_count
            ),
        ),
        (
            "On which data? Is any repeated?",
            f"{format_count(data.get_facts().train_tokens)} unique training tokens, digest "
            f"{data.get_facts().digest[:12]}; {repeated}"
            if data.get_facts().is_known
            else "on data that its trainer alone knows (trainer.data of the sweep file)",
        ),
        (
            "What is the largest run?",
            f"C = {format_flops(largest.flops)}, N = "
            f"{format_count(count_params(largest.shape, count))} on "
            f"{format_count(largest.tokens)} tokens",
        ),
        (
            "How are size, data and compute counted?",
            f"N as the trainer counts it ({data.fit.convention or 'not said what'}); D tokens "
            "seen; C = D · FLOPs per token, as the sweep file states them"
            if data.is_listed
            else f"N {count} (the answer under the other counts stands in this report); D tokens "
            "seen; C = D · (6N + 12 · layers · width · context), attention not halved",
        ),
        (
            "Is the counting given as code?",
            "yes: scaling/sweep/counting.py, one function for each convention",
        ),
        (
            "How were hyperparameters chosen, and do they change with scale?",
            _describe_recipe(data) + _describe_bracket(data),
        ),
        (
            "What else is decided, and does it change with scale?",
            "what its trainer decides is not known here"
            if data.get_spec().trainer is not None
            else "width and depth: one fixed ladder on which both grow; every run's shape stands "
            "in its row. Initialisation follows width; optimiser, schedule, context and text are "
            "those of every run",
        ),
    )


def _describe_recipe(data: ReportData) -> str:
    """The hyperparameters that the sweep file states, and those that the rules decide."""
    if not data.get_spec().asks_recipe:
        return "by the trainer, which is not part of this project: see its files"
    stated = sorted(data.get_spec().recipe.model_fields_set)
    rules = (
        "batch, learning rate, warmup and decay follow N and D by published rules with constants "
        "calibrated beforehand, one recipe for all runs (section The recipe)"
    )
    return rules if not stated else f"stated in the sweep file: {', '.join(stated)}; else {rules}"


def _describe_bracket(data: ReportData) -> str:
    if any(cell.role == "bracket" for cell in data.get_plan().cells):
        return "; other learning rates and batches were tried at three corners"
    return "; no other learning rate or batch was tried in this sweep"


def _describe_collection(data: ReportData) -> tuple[tuple[str, str], ...]:
    facts = data.get_facts()
    return (
        (
            "How many points of each run are fitted, and which?",
            "one, its end: points along a decaying schedule do not compare; "
            f"{data.fit.n} points in all",
        ),
        (
            "Which metric, on which data?",
            f"mean cross-entropy in {data.scale.label} on "
            f"{format_count(facts.validation_tokens)} held-out tokens of "
            f"{facts.validation_documents} documents, the same for every run; "
            f"{format_share(facts.overlap)} of their 32-byte spans occur in training"
            if facts.is_known and data.get_spec().trainer is None
            else "the loss that its own trainer reports, on data that it alone knows",
        ),
        (
            "Is the metric changed before fitting?",
            "no: not smoothed, not interpolated; the objective takes its logarithm "
            "(scaling/fitting/solver.py)",
        ),
        (
            "Which points were left out, or fitted apart?",
            "; ".join(
                f"by a declared rule, {rule.lower()} ({kept}): {left_out}"
                for rule, kept, left_out in list_filters(data.filters)
            )
            or "none by choice; diverged and damaged runs are named in the table of runs",
        ),
    )


def _describe_fitting(data: ReportData) -> tuple[tuple[str, str], ...]:
    fit = data.fit
    objective = fit.objective
    wording = ABSENT
    if objective is not None:
        wording = f"{_OBJECTIVES.get(objective.name, objective.name)}, delta {objective.delta:.3g}"
    intervals = "none was made"
    if fit.draws:
        intervals = (
            f"{len(fit.draws)} bootstrap refits by configuration, noise of a new run, and model "
            f"error beyond the data, at {format_share(fit.level)}"
        )
    backcast = "not possible with these budgets"
    if fit.backcast is not None:
        backcast = (
            f"budgets below {format_flops(fit.backcast.trained_below)} predict the largest "
            f"within {format_share(fit.backcast.mean_abs_relative_error)} of the loss"
        )
    failed = [check.code for check in fit.checks if check.passed is False]
    return (
        ("Which objective is minimised?", wording),
        (
            "By which algorithm?",
            "damped Newton with exact derivatives, confirmed by variable projection over nested "
            "grids (an independent method)",
        ),
        (
            "With which settings of its own?",
            "delta comes down in steps of ×.2, each stage until the scaled gradient is below 1e-8; "
            "converged only if two starts and the independent method agree",
        ),
        (
            "From where does it start?",
            "the best nodes of up to sixteen blocks of a grid of exponents, every other parameter "
            "solved for",
        ),
        ("Do all points enter the fit?", count_runs(data).describe()),
        (
            "Which other methods answer?",
            "; ".join(APPROACH_WORDS.get(name, name) for name in fit.approaches) or "none",
        ),
        ("How sure is it, and is it resampled?", intervals),
        ("Is it validated on larger runs?", backcast + _describe_forecasts(data)),
        (
            "How well does it fit?",
            f"misses a run by {format_share(fit.residual_sigma)}; two seeds differ by "
            f"{format_share(fit.replicate_sigma)}"
            if fit.residual_sigma is not None
            else ABSENT,
        ),
        ("Which checks failed?", ", ".join(failed) or "none"),
    )


def _describe_forecasts(data: ReportData) -> str:
    if data.origin is not None:
        return ""  # a table's forecasts are stored elsewhere; "scaling forecast" lists them
    if data.forecasts is None or not data.forecasts.scored:
        return "; no forecast was registered and checked"
    return (
        f"; of {data.forecasts.scored} forecasts registered before their runs "
        f"{data.forecasts.covered} hold the outcome"
    )

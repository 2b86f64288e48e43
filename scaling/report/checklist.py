"""The (Mis)Fitting checklist, filled in: what a paper on scaling laws should say, said of this one.

The questions are those of Li, Kudugunta and Zettlemoyer 2025, arXiv:2502.18969, in our words and in
the paper's four groups; every answer is read off the plan, the results and the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.laws.registry import find_law
from scaling.report.choices import list_filters
from scaling.report.words import ABSENT, APPROACH_WORDS, format_range, format_share
from scaling.sweep.counting import count_params
from scaling.units import format_count, format_flops

if TYPE_CHECKING:
    from scaling.report.page import ReportData

_OBJECTIVES = {"huber_log": "Huber loss of ln loss"}


@dataclass(frozen=True, slots=True)
class ChecklistGroup:
    """One group of the checklist: (question, answer) rows."""

    heading: str
    rows: tuple[tuple[str, str], ...]


def fill_checklist(data: ReportData) -> tuple[ChecklistGroup, ...]:
    """Every question of the checklist with this report's answer."""
    return (
        ChecklistGroup("The form of the law", _describe_form(data)),
        ChecklistGroup("Training", _describe_training(data)),
        ChecklistGroup("Data collection", _describe_collection(data)),
        ChecklistGroup("Fitting", _describe_fitting(data)),
    )


def _describe_form(data: ReportData) -> tuple[tuple[str, str], ...]:
    fit = data.fit
    if fit.law is None:
        return (("What is the form of the law?", f"No law was fitted. {fit.reason}"),)
    family = find_law(fit.law.family)
    letters = ", ".join(family.param_names)
    if fit.members:
        form, fitted = "a weighted average of several laws", f"those of {len(fit.members)} members"
    else:
        form, fitted = family.equation, letters
    return (
        ("What is the form of the law?", f"{form} [nats/token]"),
        (
            "Which variables does it relate?",
            "held-out loss L, model size N, tokens seen D; compute C enters through the cost "
            f"of a token, counted as {fit.cost.name}",
        ),
        ("Which parameters are fitted?", fitted),
        (
            "Where does the form come from, and what does it assume?",
            "Hoffmann et al. 2022, arXiv:2203.15556, eq. 2 and its relatives: finite size and "
            "finite data cost separate amounts, each a power law; one recipe throughout",
        ),
    )


def _describe_training(data: ReportData) -> tuple[tuple[str, str], ...]:
    cells = [cell for cell in data.plan.cells if cell.role in ("grid", "replicate")]
    runs = [cell.run for cell in cells]
    if not runs:
        return (("How many models, of which sizes?", ABSENT),)
    count = data.fit.convention or "matmul"
    sizes = [count_params(run.shape, count) for run in runs]
    epochs = [one.epochs for one in data.results.values()]
    shapes = {(run.shape.d_model, run.shape.n_layers) for run in runs}
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
            f"{format_count(data.facts.train_tokens)} unique training tokens, digest "
            f"{data.facts.digest[:12]}; {repeated}",
        ),
        (
            "How are size, data and compute counted?",
            f"N {count} (the answer under the other counts stands in this report); D tokens "
            "seen; C = D · (6N + 12 · layers · width · context), attention not halved",
        ),
        (
            "How were hyperparameters chosen?",
            "by published rules with constants calibrated beforehand, one recipe for all runs "
            "(section The recipe)" + _describe_bracket(data),
        ),
        (
            "How are width and depth set?",
            "one fixed ladder on which both grow; every run's shape stands in its row",
        ),
        ("Is the training code open?", "yes: this package, version " + _version(data)),
    )


def _describe_bracket(data: ReportData) -> str:
    if any(cell.role == "bracket" for cell in data.plan.cells):
        return "; other learning rates and batches were tried at three corners"
    return "; no other learning rate or batch was tried in this sweep"


def _version(data: ReportData) -> str:
    return data.versions.get("scaling", ABSENT)


def _describe_collection(data: ReportData) -> tuple[tuple[str, str], ...]:
    facts = data.facts
    return (
        (
            "Are the models kept?",
            "final weights beside each run's result, unless the sweep says keep_weights: false",
        ),
        (
            "How many points of each run are fitted?",
            "one, its end: points along a decaying schedule do not compare",
        ),
        (
            "Which metric, on which data?",
            "mean cross-entropy in nats per token on "
            f"{format_count(facts.validation_tokens)} held-out tokens of "
            f"{facts.validation_documents} documents, the same for every run; "
            f"{format_share(facts.overlap)} of their 32-byte spans occur in training",
        ),
        ("Is the metric changed before fitting?", "no, but for its logarithm in the objective"),
        (
            "Which points were left out?",
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
            "By which algorithm, from where?",
            "damped Newton with exact derivatives from up to sixteen starts, confirmed by "
            "variable projection over nested grids (an independent method)",
        ),
        ("Do all points enter the fit?", f"{fit.n} runs; brackets never do"),
        (
            "Which other methods answer?",
            "; ".join(APPROACH_WORDS.get(name, name) for name in fit.approaches) or "none",
        ),
        ("How sure is it?", intervals),
        ("Is it tested on larger runs?", backcast),
        (
            "How well does it fit?",
            f"misses a run by {format_share(fit.residual_sigma)}; two seeds differ by "
            f"{format_share(fit.replicate_sigma)}"
            if fit.residual_sigma is not None
            else ABSENT,
        ),
        ("Which checks failed?", ", ".join(failed) or "none"),
    )

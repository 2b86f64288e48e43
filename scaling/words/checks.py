"""What each check means: the outcome in plain words, and what a failure means for the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaling.fitting.fitted import Check


@dataclass(frozen=True, slots=True)
class CheckWords:
    """A check in words.

    Attributes:
        holds: What is so where it passes.
        fails: What is so where it fails.
        consequence: What a failure means for the answer, in one sentence.
    """

    holds: str
    fails: str
    consequence: str


# The gravest failure first.
CHECK_WORDS: Mapping[str, CheckWords] = {
    "not_converged": CheckWords(
        "The fit reached its optimum, and this was confirmed",
        "The fit was not shown to reach its optimum",
        "Do not use these parameters of the law.",
    ),
    "implausible_units": CheckWords(
        "Numbers lie where those of models do",
        "Some columns seem to be in another unit",
        "The answer may be wrong by that factor.",
    ),
    "mixed_tokenisers": CheckWords(
        "One tokenizer throughout",
        "Several tokenizers are mixed",
        "Losses per token of different tokens do not compare.",
    ),
    "mid_run_points": CheckWords(
        "Points along a run compare with finished runs",
        "Points along a run do not compare with finished runs",
        "They are not what a shorter run would have reached.",
    ),
    "below_scaling_regime": CheckWords(
        "No rise of the local exponent with C was shown",
        "The local exponent rises with C: some runs are below the scaling regime",
        "Do not extrapolate: no power law has rising local exponents.",
    ),
    "not_identified": CheckWords(
        "The runs determine every parameter of the law",
        "The runs do not determine every parameter of the law",
        "Trust N*, not the loss, beyond one decade.",
    ),
    "parameter_at_bound": CheckWords(
        "No parameter of the law sits on its bound",
        "A parameter of the law sits on its bound",
        "The best law of this form lies beyond the bound: its exponents mean little.",
    ),
    "methods_disagree": CheckWords(
        "Two independent approaches agree within their intervals",
        "Two independent approaches disagree",
        "Trust neither beyond the data.",
    ),
    "residual_trend": CheckWords(
        "No trend of the residuals reaches 1 % of the loss",
        "Residuals show a trend",
        "The law cannot follow these runs: do not extrapolate that way.",
    ),
    "lack_of_fit": CheckWords(
        "No misfit beyond seed noise was shown",
        "The law's error exceeds the noise of the runs",
        "More seeds will not help: trust forecasts less than their intervals say.",
    ),
    "extrapolation_distance": CheckWords(
        "The question is close to the data",
        "The question is far beyond the data",
        "Train a larger budget first, and see whether it is forecast.",
    ),
    "interior_minimum": CheckWords(
        "Each budget's best size lies inside the sizes tried",
        "At some budgets the best size lies at the edge of the sizes tried",
        "Those budgets are left out of Approach 2; widen the sizes on that side.",
    ),
    "positive_curvature": CheckWords(
        "Each IsoFLOP curve bends upwards",
        "Some IsoFLOP curves do not bend upwards",
        "Those budgets are left out of Approach 2: noise or the recipe hides the minimum.",
    ),
    "target_out_of_reach": CheckWords(
        "Some compute reaches the loss asked for",
        "The loss asked for may be out of reach",
        "The target lies within the uncertainty of E: its compute has no upper bound.",
    ),
    "repeats_not_measured": CheckWords(
        "The answer repeats no text",
        "The answer repeats text, and these runs did not",
        "What a repeated token is worth is published, not measured on these runs.",
    ),
    "too_few_cells": CheckWords(
        "There are enough runs for the law",
        "Too few runs for the law",
        "The intervals are too narrow for so few runs.",
    ),
    "too_few_budgets": CheckWords(
        "There are enough budgets",
        "Too few usable budgets",
        "The exponent of Approach 2 rests on too few points.",
    ),
    "design_imprecise": CheckWords(
        "The design can pin down the exponent",
        "The design cannot pin down the exponent",
        "N* beyond the data is hardly known; a wider range of C helps most.",
    ),
    "influence": CheckWords(
        "No single budget moves the exponent a by more than 0.1",
        "A single budget decides the answer",
        "Check those runs, or add budgets near them.",
    ),
    "eval_noise": CheckWords(
        "Evaluation noise moves the exponent a by at most 0.1",
        "Evaluation noise could move the answer",
        "Evaluate on more held-out text: cheaper than more runs.",
    ),
    "off_centre_grid": CheckWords(
        "The sizes tried are centred on the best one",
        "The sizes tried are not centred on the best one",
        "Approach 2 is biased towards the middle of the sizes tried.",
    ),
    "lr_at_edge": CheckWords(
        "The best learning rate lies inside the range tried",
        "The best learning rate lies at the edge of the range tried",
        "Losses there could be lower, which bends the exponents.",
    ),
    "batch_at_edge": CheckWords(
        "The best batch size lies inside the range tried",
        "The best batch size lies at the edge of the range tried",
        "Losses there could be lower, which bends the exponents.",
    ),
    "warmup_too_long": CheckWords(
        "Warmup takes little of each run, or as much of all",
        "Warmup takes too much of some short runs",
        "Short runs look worse than they are, which raises the exponent of N*.",
    ),
    "undercooled": CheckWords(
        "The learning rate had time to decay",
        "Some runs had too little time to decay the learning rate",
        "Their loss is too high, which bends the exponents.",
    ),
    "clipped_steps": CheckWords(
        "Short and long runs were clipped alike",
        "Short runs were clipped more often than long ones, or less",
        "An uneven recipe bends the exponents.",
    ),
    "too_few_steps": CheckWords(
        "Every run took enough steps",
        "Some runs took too few steps",
        "Their loss is likely a few percent too high.",
    ),
    "above_unigram": CheckWords(
        "Every run learnt more than how often each token occurs",
        "Some runs end above the unigram entropy: untrained, not diverged",
        "They say nothing of the law: leave those budgets or sizes out.",
    ),
    "diverged_cells": CheckWords(
        "No run diverged",
        "Some runs diverged",
        "The corners they leave empty bend the law.",
    ),
    "several_recipes_per_cell": CheckWords(
        "Each cell has one recipe",
        "Some cells mix recipes",
        "Differences of recipe pass for differences of N and D.",
    ),
    "duplicate_cells": CheckWords(
        "No cell appears twice",
        "Some cells appear twice",
        "Doubled rows make intervals too narrow.",
    ),
    "outliers": CheckWords(
        "No run lies far off the law alone",
        "Some runs lie far off the law",
        "They still pull at the law: correct them or leave them out.",
    ),
    "seed_spread": CheckWords(
        "No size shows more seed noise than the others",
        "Seed noise is larger in some sizes",
        "Some runs say less than their weight in the fit.",
    ),
    "numerics_changed": CheckWords(
        "Every run was computed alike",
        "Runs of several versions, devices or precisions are mixed",
        "Differences of arithmetic may pass for differences of N and D.",
    ),
    "repeated_data": CheckWords(
        "Text was not repeated too often",
        "Text was repeated too often",
        "Repeated tokens are worth less than new ones: the law is too pessimistic.",
    ),
    "train_val_overlap": CheckWords(
        "Little held-out text occurs in training",
        "Much held-out text occurs in training",
        "Copied text rewards memory, in large models most.",
    ),
    # Checks of two tables.
    "same_text": CheckWords(
        "Both tables were evaluated on the same tokens",
        "The tables were evaluated on different tokens",
        "Losses of two tasks do not compare.",
    ),
    "within_reach": CheckWords(
        "B reaches A's loss with some compute",
        "B never reaches A's loss, or reaches it with any compute",
        "The tables' losses hardly overlap: the multiplier has no end.",
    ),
    "exponents_shared": CheckWords(
        "Both recipes fit one pair of exponents",
        "The recipes have different exponents",
        "The multiplier holds at this budget only.",
    ),
    "order_kept": CheckWords(
        "One recipe is better at every budget",
        "The recipes may change places along C",
        "Which recipe is better depends on the budget, or is not known.",
    ),
}
CATALOGUE = "docs/checks.md"  # explains what to do about each


def name_check(check: Check) -> str:
    """The outcome of a check in plain words."""
    plain = check.code.replace("_", " ").capitalize()
    words = CHECK_WORDS.get(check.code, CheckWords(plain, plain, ""))
    if check.passed is None:
        return f"{words.holds}?"
    return f"{words.holds}." if check.passed else f"{words.fails}."


def describe_failure(check: Check) -> str:
    """What failed and what follows, on one line; numbers and remedy stand in the check itself."""
    words = CHECK_WORDS.get(check.code)
    if words is None:
        return f"{check.seen} {check.advice}".strip()
    return f"{words.fails}. {words.consequence}"


def name_entry(check: Check) -> str:
    """Where the catalogue says what to do about a check."""
    return f"{CATALOGUE}#{check.code}"


def sort_by_gravity(checks: Iterable[Check]) -> list[Check]:
    """The gravest first; checks without an entry last, in their order."""
    ranks = {code: rank for rank, code in enumerate(CHECK_WORDS)}
    return sorted(checks, key=lambda check: ranks.get(check.code, len(ranks)))

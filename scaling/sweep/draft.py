"""A first sweep file for a text and a compute budget: five budgets ×2 apart, seven sizes each.

    largest = budget of one run,   or   total / 16.25
    budgets = largest · {1/16, 1/8, 1/4, 1/2, 1}

with 7 sizes and 7 replicates spread over the budgets a sweep takes (7 + 7/5) · 31/16 = 16.3 times
its largest budget. The law's exponents need at least five budgets of seven sizes over more than a
decade (ours); `scaling plan` tells what a design can say before anything is trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from scaling.errors import UsageError
from scaling.units import format_flops

BUDGETS = 5
SIZES = 7
REPLICATES = 7
SPAN = 6
_APART = 2.0
# Total FLOPs / largest budget: cells per budget times the sum of budgets.
SHARE = (SIZES + REPLICATES / BUDGETS) * sum(_APART**-k for k in range(BUDGETS))
# From seconds on a laptop to more than any run so far; anything beyond is a typo.
_LEAST, _MOST = 1e9, 1e27


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A user's wishes for a new sweep.

    Attributes:
        name: The sweep's name.
        paths: Text files, folders or globs, relative to the sweep file; empty: the source code of
            Python's standard library.
        run_flops: Compute of the largest run [FLOP]; None: by `total_flops`.
        total_flops: Compute of the sweep [FLOP]; None: by `run_flops`.
        forecast: Budget to answer for [FLOP]; None: ten times the largest trained.
    """

    name: str
    paths: tuple[str, ...] = ()
    run_flops: float | None = None
    total_flops: float | None = None
    forecast: float | None = None


def draft_sweep(wish: Wish, *, schema: str | None = None, assumed: Sequence[str] = ()) -> str:
    """The text of a commented sweep file.

    Args:
        wish: The user's wishes.
        schema: Path of the JSON schema for editors, relative to the file; None: none.
        assumed: Assumptions behind the compute, one comment line each.

    Raises:
        UsageError: The compute is missing, given twice, or not possible for a sweep; names every
            problem.
    """
    if problems := list_problems(wish):
        raise UsageError("\n".join(problems))
    largest = _choose_largest(wish)
    budgets = [_round(largest * _APART**-k) for k in reversed(range(BUDGETS))]
    listed = ", ".join(map(format_flops, budgets))
    forecast = 10.0 * budgets[-1] if wish.forecast is None else wish.forecast
    text = "Python source code" if not wish.paths else ", ".join(wish.paths)
    modeline = [] if schema is None else [f"# yaml-language-server: $schema={schema}"]
    distance = math.log10(forecast / budgets[-1])
    warning = []
    if distance > 1.0:
        warning = [
            f"  # {distance:.1f} decades beyond the largest budget: trust the size, not the loss."
        ]
    total = format_flops(_round(SHARE * largest))
    lines = [
        f"# Question: how should {format_flops(forecast)} FLOPs be split between model size and "
        f"tokens on {_one_line(text)}?",
        f"# Cost: {BUDGETS * SIZES + REPLICATES} runs, about {total} "
        'FLOPs in all; "scaling plan" lists every one.',
        "# Expect: N* and D* grow with C; interval and failed checks say how far to trust them.",
        *modeline,
        *(f"# {line}" for line in assumed),
        f"name: {wish.name}  # names results/{wish.name} and reports/{wish.name}",
        "",
        "# What the models read. Whole documents are held out for evaluation.",
        *_draft_corpus(wish.paths),
        "",
        "# Decoder-only transformers on one fixed ladder of shapes; sizes follow from the grid.",
        "model: {family: transformer, seq_len: 128}",
        "",
        f"# {BUDGETS} budgets [training FLOPs], {SIZES} sizes at each, within ×{SPAN} of the "
        "expected optimum.",
        "# If a best size ends at an edge, widen span or set prior: {params: N, flops: C}.",
        f"grid: {{budgets: [{listed}], sizes: {SIZES}, span: {SPAN}}}",
        "",
        f"# {REPLICATES} cells are trained again with another seed: they measure the noise.",
        "seeds: [0]",
        f"replicates: {REPLICATES}",
        "# Other learning rates and batches at three corners: the error that residuals cannot see.",
        "# bracket: true",
        "",
        "# Budgets the report answers for.",
        *warning,
        f"forecast: [{format_flops(forecast)}]",
    ]
    return "\n".join(lines) + "\n"


def list_problems(wish: Wish) -> list[str]:
    """Problems with the numbers of a wish, a sentence or two each; empty if there are none."""
    given = {"--run-flops": wish.run_flops, "--total-flops": wish.total_flops}
    named = [name for name, value in given.items() if value is not None]
    problems = []
    if len(named) != 1:
        seen = "both are given" if named else "neither is given"
        problems.append(
            "How much compute? Say --minutes (on this machine), --run-flops (of the largest run) "
            f"or --total-flops (of the whole sweep); of the last two {seen}."
        )
    given["--forecast"] = wish.forecast
    problems += [
        f"{name} is {flops:g} FLOPs; a sweep can be drafted for {_LEAST:g} to {_MOST:g}, e.g. "
        "2e11 a run: minutes on a laptop."
        for name, flops in given.items()
        if flops is not None and not _LEAST <= flops <= _MOST
    ]
    return problems


def _choose_largest(wish: Wish) -> float:
    if wish.run_flops is not None:
        return wish.run_flops
    assert wish.total_flops is not None  # a wish without problems states one
    return wish.total_flops / SHARE


def _draft_corpus(paths: Sequence[str]) -> list[str]:
    if not paths:
        return ["corpus: {source: python-stdlib, tokenizer: bytes}"]
    listed = ", ".join(json.dumps(path, ensure_ascii=False) for path in paths)
    if all(path.endswith(".jsonl") for path in paths):
        return [f"corpus: {{source: jsonl, paths: [{listed}], field: text, tokenizer: bytes}}"]
    return [f"corpus: {{source: text, paths: [{listed}], tokenizer: bytes}}"]


def _round(flops: float) -> float:
    return float(f"{flops:.2g}")


def _one_line(text: str) -> str:
    """Make text safe for a comment, on one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]

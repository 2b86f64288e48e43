"""Validity gates on how the runs were trained: schedule, corpus and numerics.

A foreign table seldom says; what it does not state is not evaluated. Thresholds are the recipe's
own (sweep/recipe.py) with room for choices that do no harm.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.checks import pass_if
from scaling.fitting.result import Check
from scaling.ledger.tables import RunTable
from scaling.units import FloatArray

# N = 33k on 339k tokens in 2648 / 1324 / 662 / 331 steps of ever larger batches: 2.130 / 2.151 /
# 2.228 / 2.314 nats (SCIENCE.md, "batch"): half of 2000 steps costs 1 %, a quarter 5 %.
MIN_STEPS = 1000
# The recipe's own limits. Longer warmups on small runs raised a from .602 to .706: Porian et al.
# 2024, arXiv:2406.19146. Below 150 steps a warmup is short in any run (DECISIONS.md, "Recipe
# constants"), up to the share of it beyond which little is left to train.
MAX_WARMUP = 0.10
SHORT_WARMUP = 150
MAX_SHORT_WARMUP = 0.45
# The recipe decays over 20 % and at least 200 steps, at most half of the run; half that share is
# still a decay (ours: 20 % and 40 % end within noise of each other, DECISIONS.md).
MIN_DECAY = 0.10
MIN_DECAY_STEPS = 200
# Spans of 32 bytes. The split as the project makes it leaves 10 % (licences, idiom); one that
# knows nothing of near-duplicates leaves 30 % (SCIENCE.md, "split"). Halfway (ours).
MAX_OVERLAP = 0.20


def check_training(table: RunTable) -> tuple[Check, ...]:
    """Every gate of this file."""
    return (
        _check_steps(table),
        _check_warmup(table),
        _check_decay(table),
        _check_corpus(table),
        _check_numerics(table),
        _check_overlap(table),
    )


def _check_steps(table: RunTable) -> Check:
    code = "too_few_steps"
    steps, unsaid = _take_stated(table.steps)
    if not steps.size:
        return pass_if(None, code, "The table does not state steps.", "")
    few = steps < MIN_STEPS
    seen = f"{_count(few)} took fewer than {MIN_STEPS} steps; the fewest: {steps.min():.0f}"
    advice = (
        "Their loss is likely a few percent too high. Use smaller batches (shorter sequences, "
        "where a batch is one), or leave the largest models out of the smallest budgets."
    )
    return pass_if(not few.any(), code, f"{seen}{unsaid}.", advice)


def _check_warmup(table: RunTable) -> Check:
    code = "warmup_too_long"
    both, unsaid = _take_stated(table.steps, table.warmup_steps)
    if not both.size:
        return pass_if(None, code, "The table does not state warmup.", "")
    steps, warmup = both
    short = np.minimum(SHORT_WARMUP, MAX_SHORT_WARMUP * steps)
    long = warmup > np.ceil(np.maximum(MAX_WARMUP * steps, short))  # a whole number of steps
    seen = (
        f"{_count(long)} warm up for more than {MAX_WARMUP:.0%} of their steps and more than "
        f"{SHORT_WARMUP} steps"
    )
    advice = (
        f"Warm up for N tokens or 10 % of D, whichever is less, or {SHORT_WARMUP} steps where that "
        "is more: small runs lose most by it."
    )
    longest = float((warmup / steps).max())
    return pass_if(not long.any(), code, f"{seen}; the longest: {longest:.1%}{unsaid}.", advice)


def _check_decay(table: RunTable) -> Check:
    code = "undercooled"
    if set(map(str.lower, table.schedule or ())) == {"constant"}:
        seen = f"The learning rate is constant: all {len(table)} rows are undecayed."
        advice = (
            "Law, frontier and losses are those of undecayed models; a decay lowers the loss, and "
            "may move N*. Train cooldown branches from these runs to know."
        )
        return pass_if(False, code, seen, advice)
    both, unsaid = _take_stated(table.steps, table.decay_steps)
    if not both.size:
        return pass_if(None, code, "The table does not state the decay of the learning rate.", "")
    steps, decay = both
    short = decay < np.floor(MIN_DECAY * steps)
    short |= decay < np.minimum(MIN_DECAY_STEPS, np.floor(steps / 2))
    share = float((decay / steps).min())
    seen = f"{_count(short)} decay too briefly; the shortest: {decay.min():.0f} steps, {share:.0%}"
    advice = (
        "Decay to zero over the last 20 % of every run, at least 200 steps: small runs lose most."
    )
    return pass_if(not short.any(), code, f"{seen}{unsaid}.", advice)


def _check_corpus(table: RunTable) -> Check:
    code = "mixed_tokenisers"
    if table.corpus is None or not len(table):
        return pass_if(None, code, "The table does not state corpus and tokenizer.", "")
    count = Counter(table.corpus)
    if len(count) == 1:
        return pass_if(True, code, f"Every run read the tokenised corpus {_name(count)}.", "")
    seen = f"{len(count)} tokenised corpora: {_name(count)}."
    advice = "Losses per token of different tokens do not compare: fit each corpus apart."
    return pass_if(False, code, seen, advice)


def _check_numerics(table: RunTable) -> Check:
    code = "numerics_changed"
    if table.numerics is None or not len(table):
        return pass_if(None, code, "The table does not state versions, devices and dtypes.", "")
    count = Counter(table.numerics)
    if len(count) == 1:
        return pass_if(True, code, f"Every run was computed with {_name(count)}.", "")
    seen = f"Runs were computed in {len(count)} ways: {_name(count)}."
    advice = "Train one cell both ways; retrain the rest if they differ by more than two seeds do."
    return pass_if(False, code, seen, advice)


def _check_overlap(table: RunTable) -> Check:
    code = "train_val_overlap"
    if table.overlap is None:
        return pass_if(None, code, "How much held-out text occurs in training is not known.", "")
    seen = f"{table.overlap:.1%} of held-out 32-byte spans occur in the training text."
    advice = "Remove near-duplicates: copied text rewards memory, and large models most."
    return pass_if(table.overlap <= MAX_OVERLAP, code, seen, advice)


def _take_stated(*columns: FloatArray | None) -> tuple[FloatArray, str]:
    """The rows that state every column, columns stacked unless it is one, and words for how many
    do not."""
    if any(one is None for one in columns):
        return np.empty(0), ""
    values = np.stack([one for one in columns if one is not None])
    stated = np.isfinite(values).all(axis=0)
    unsaid = int(np.sum(~stated))
    kept = values[:, stated]
    words = f"; {unsaid} runs do not say" if unsaid else ""
    return (kept[0] if len(columns) == 1 else kept), words


def _count(chosen: NDArray[np.bool_]) -> str:
    return f"{int(chosen.sum())} of {chosen.size} runs"


def _name(count: Counter[str]) -> str:
    """Each way and how many runs it has, the most frequent first; alone without its number."""
    if len(count) == 1:
        return next(iter(count))[:80]
    ordered = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{name[:80]} ({runs} runs)" for name, runs in ordered[:3]]
    return "; ".join(listed) + ("; …" if len(ordered) > 3 else "")

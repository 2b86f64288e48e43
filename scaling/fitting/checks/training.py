"""Validity checks of how the runs were trained: schedule, corpus and numerics.

Foreign tables seldom state this; what is not stated is not evaluated. Thresholds are those of the
package's recipe (sweep/recipe.py), widened to allow harmless choices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scaling.fitting.fitted import Check, pass_if
from scaling.tables.run_table import RunTable
from scaling.units import BoolArray, FloatArray, format_count

# N = 33k on 339k tokens in 2648 / 1324 / 662 / 331 steps of ever larger batches: 2.130 / 2.151 /
# 2.228 / 2.314 nats (decision 0061): half of 2000 steps costs 1 %, a quarter 5 %.
ENOUGH_STEPS = 1000
# The recipe's own limits. Longer warmups on small runs raised a from .602 to .706: Porian et al.
# 2024, arXiv:2406.19146. A warmup below 150 steps is short in any run (decision 0012), unless its
# share of the run leaves little to train.
MAX_WARMUP = 0.10
SHORT_WARMUP = 150
MAX_SHORT_WARMUP = 0.45
# Porian's rule, a warmup of N tokens, takes a fifth of a run at five tokens per parameter: models
# of twice the best size on an IsoFLOP curve around twenty. Longer warmups are counted; the check
# fails by how much they bend the law.
LONG_WARMUP = 0.20
# Loss per share of steps. 40 % of warmup instead of 10 % changed the loss by −1.0 to +1.1 % (± .5)
# in ten cells on code and novels (docs/measurements/bends-on-code.md); this is the largest.
_WARMUP_COST = 0.037
# Loss that a recipe may cost at one end of D and not at the other, as in `residual_trend`.
_MAX_BEND = 0.01
# Cells with a fifth of their steps clipped (16 to 24 %) and cells with at most 5 % change alike
# without clipping: the difference is −.2 ± .2 % of the loss, on code and on novels (decision
# 0058). Uneven clipping up to a fifth is therefore harmless.
MAX_UNEVEN_CLIPPING = 0.20
# Shares scatter by 30 % between runs, as between seeds; then one fifth of the runs seldom has twice
# another's by chance (simulated: docs/measurements/recipe-checks.md).
_TWICE = 2.0
_FIFTHS = 5
_LEAST_RUNS = 3
_NAMED = 5
# The recipe decays over 20 % of the steps, at least 200 of them and at most half of the run; half
# that share still counts as a decay (ours: 20 % and 40 % end within noise of each other, decision
# 0011).
MIN_DECAY = 0.10
MIN_DECAY_STEPS = 200
# Share of 32-byte spans. The project's own split leaves 10 % (licences, idiom); a split that
# ignores near-duplicates leaves 30 % (decision 0063). Halfway (ours).
MAX_OVERLAP = 0.20


def check_training(table: RunTable) -> tuple[Check, ...]:
    """Run every check of this file."""
    return (
        _check_steps(table),
        _check_warmup(table),
        _check_decay(table),
        _check_clipping(table),
        _check_entropy(table),
        _check_corpus(table),
        _check_numerics(table),
        _check_overlap(table),
    )


def _check_steps(table: RunTable) -> Check:
    code = "too_few_steps"
    steps, unsaid = _take_stated(table.steps)
    if not steps.size:
        return pass_if(None, code, "The table does not state steps.", "")
    few = steps < ENOUGH_STEPS
    seen = f"{_count(few)} took fewer than {ENOUGH_STEPS} steps; the fewest: {steps.min():.0f}"
    advice = (
        "Their loss is likely a few percent too high. Use smaller batches (shorter sequences, "
        "where a batch is one), or leave the largest models out of the smallest budgets."
    )
    return pass_if(not few.any(), code, f"{seen}{unsaid}.", advice)


def _check_warmup(table: RunTable) -> Check:
    """Check warmup in steps, as the recipe sets it, and that long shares of it do not differ along
    D between fifths of the runs."""
    code = "warmup_too_long"
    both, unsaid = _take_stated(table.steps, table.warmup_steps, table.tokens)
    if not both.size:
        return pass_if(None, code, "The table does not state warmup.", "")
    steps, warmup, tokens = both
    share = warmup / steps
    short = np.minimum(SHORT_WARMUP, MAX_SHORT_WARMUP * steps)
    long = warmup > np.ceil(np.maximum(MAX_WARMUP * steps, short))  # rounded up to whole steps
    advice = (
        f"Warm up for N tokens or 10 % of D, whichever is less, or {SHORT_WARMUP} steps where that "
        "is more: small runs lose most by it."
    )
    large, uneven, parts = share > LONG_WARMUP, False, []
    if long.any() or not large.any():
        parts.append(
            f"{_count(long)} warm up for more than {MAX_WARMUP:.0%} of their steps and more than "
            f"{SHORT_WARMUP} steps"
        )
    if large.any():
        part = (
            f"{_count(large)}, with D up to {format_count(float(tokens[large].max()))}, warm up "
            f"for more than {LONG_WARMUP:.0%} of their steps"
        )
        if fifths := _list_fifths(tokens, share):
            low, high = fifths[0], fifths[-1]
            bend = _WARMUP_COST * (high.mean - low.mean)
            uneven = bend > _MAX_BEND
            part += (
                f" ({high.mean:.0%} on average with D {high.tokens}, {low.mean:.0%} with D "
                f"{low.tokens}: up to {bend:.1%} of the loss, where {_MAX_BEND:.0%} is borne)"
            )
        parts.append(part)
    if uneven and not long.any():
        advice = (
            "Give the shortest runs more steps (smaller batches), or leave the largest models out "
            "of the smallest budgets: in so few steps a shorter warmup may cost more."
        )
    seen = f"{'; '.join(parts)}; the longest: {float(share.max()):.1%}{unsaid}."
    return pass_if(not (long.any() or uneven), code, seen, advice)


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


def _check_clipping(table: RunTable) -> Check:
    """Check that the share of clipped steps after warmup does not differ along D between means of
    fifths of the runs. A table that states only the share of all steps, and warmup, gives a lower
    bound of the share after warmup; without warmup its share is taken as it is."""
    code = "clipped_steps"
    tokens, share, words = _find_clipping(table)
    if not share.size:
        return pass_if(None, code, "The table does not state clipped steps.", "")
    if share.max() > 1.0:
        seen = f"The largest share of clipped steps is {share.max():.3g}; shares are 0 to 1."
        return pass_if(None, code, seen, "")
    fifths = _list_fifths(tokens, share)
    if not fifths:
        seen = f"{share.size} runs are too few to compare short with long ones."
        return pass_if(None, code, seen, "")
    low, high = fifths[0], fifths[-1]
    uneven = high.mean - low.mean > MAX_UNEVEN_CLIPPING and high.mean > _TWICE * low.mean
    seen = (
        f"Gradients were clipped in {high.mean:.1%} of the steps {words} in the {high.runs} runs "
        f"with D {high.tokens} (at most {share.max():.0%}), in {low.mean:.1%} in the {low.runs} "
        f"with D {low.tokens}"
    )
    advice = (
        "Short and long runs had different optimisers. Train both ends with a higher limit, e.g. "
        '"recipe: {clip_norm: 4}", and keep it if the losses differ by more than two seeds do.'
    )
    return pass_if(not uneven, code, f"{seen}.", advice)


def _find_clipping(table: RunTable) -> tuple[FloatArray, FloatArray, str]:
    """(D, share of clipped steps, which steps) of the rows that state it."""
    if table.clipped_after_warmup is not None:
        both, unsaid = _take_stated(table.tokens, table.clipped_after_warmup)
        return both[0], both[1], f"after warmup{unsaid}"
    if table.clipped is not None and table.steps is not None and table.warmup_steps is not None:
        four, unsaid = _take_stated(table.tokens, table.clipped, table.steps, table.warmup_steps)
        if four.size:
            warmup = np.minimum(four[3] / four[2], 0.99)
            least = np.where(
                four[1] > 1.0, four[1], np.maximum(0.0, four[1] - warmup) / (1.0 - warmup)
            )
            return four[0], least, f"after warmup (at least{unsaid})"
    if table.clipped is None:
        return np.empty(0), np.empty(0), ""
    both, unsaid = _take_stated(table.tokens, table.clipped)
    return both[0], both[1], f"(warmup included{unsaid})"


def _check_entropy(table: RunTable) -> Check:
    code = "above_unigram"
    entropy = table.unigram_entropy
    if table.metric_facts is not None:
        seen = f"The unigram entropy bounds the loss; of {table.metric_facts.name} it says nothing."
        return pass_if(None, code, seen, "")
    if entropy is None or not len(table):
        return pass_if(None, code, "The entropy of the tokens' frequencies is not known.", "")
    above = np.flatnonzero(table.loss > entropy)
    if not above.size:
        seen = f"Every run ends below the unigram entropy, {entropy:.3f} nats/token."
        return pass_if(True, code, seen, "")
    named = ", ".join(table.run[at] for at in above[:_NAMED])
    more = f" and {above.size - _NAMED} more" if above.size > _NAMED else ""
    seen = (
        f"{above.size} of {len(table)} runs end above the unigram entropy, {entropy:.3f} "
        f"nats/token: untrained, not diverged ({named}{more}). They are fitted."
    )
    advice = (
        "Give such cells more tokens, or leave them out of the grid: no law holds for models that "
        "have learnt less than how often each token occurs. Their rate is at fault only where the "
        "training loss rose."
    )
    return pass_if(False, code, seen, advice)


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
    """The rows that state every column (several columns are stacked), and words for how many
    do not."""
    if any(one is None for one in columns):
        return np.empty(0), ""
    values = np.stack([one for one in columns if one is not None])
    stated = np.isfinite(values).all(axis=0)
    unsaid = int(np.sum(~stated))
    kept = values[:, stated]
    words = f"; {unsaid} runs do not say" if unsaid else ""
    return (kept[0] if len(columns) == 1 else kept), words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fifth:
    """Runs that are neighbours along D: their number, their D in words, and the mean of a share."""

    runs: int
    tokens: str
    mean: float


def _list_fifths(tokens: FloatArray, share: FloatArray) -> list[_Fifth]:
    """Fifths of the runs along D by ascending mean of `share`; with fewer than two there is nothing
    to compare."""
    found = []
    for inside in split_fifths(tokens):
        low, high = (
            format_count(float(end)) for end in (tokens[inside].min(), tokens[inside].max())
        )
        found.append(
            _Fifth(
                runs=int(inside.sum()),
                tokens=low if low == high else f"{low} … {high}",
                mean=float(share[inside].mean()),
            )
        )
    return sorted(found, key=lambda one: one.mean) if len(found) > 1 else []


def split_fifths(values: FloatArray) -> list[BoolArray]:
    """The fifths of the runs along a quantity, shape (n,) each; equal values stay together. Fifths
    of fewer than three runs are left out."""
    below = np.searchsorted(np.sort(values), values, side="left")
    fifths = [_FIFTHS * below // values.size == at for at in range(_FIFTHS)]
    return [inside for inside in fifths if inside.sum() >= _LEAST_RUNS]


def _count(chosen: BoolArray) -> str:
    return f"{int(chosen.sum())} of {chosen.size} runs"


def _name(count: Counter[str]) -> str:
    """Name each way with its number of runs, most frequent first; a single way has no number."""
    if len(count) == 1:
        return next(iter(count))[:80]
    ordered = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{name[:80]} ({runs} runs)" for name, runs in ordered[:3]]
    return "; ".join(listed) + ("; …" if len(ordered) > 3 else "")

"""Knowledge, bias amplification and scored pairs as terminal text: a table and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, clean_text, format_count
from scaling.words import bias as bias_words
from scaling.words import knowledge as knowledge_words
from scaling.words.plain import ABSENT, format_interval, format_plain

if TYPE_CHECKING:
    from scaling.fitting.bias import Bias
    from scaling.fitting.knowledge import Knowledge
    from scaling.fitting.sentence_pairs import ScoredPairs

_KNOWN = ("error", "confidence", "hallucination", "seen_once", "miscalibration", "bound")
_KNOWN_HEADS = ("error", "unknown names", "hallucinated", "seen once", "miscalibrated", "bound")
_BIASED = ("argmax", "argmax_group", "sampled", "counter_error", "typical_error")
_BIASED_HEADS = ("argmax adds", "group only", "sampling adds", "atypical error", "typical error")


def format_knowledge(knowledge: Knowledge) -> str:
    """Format a row for each N and D, then the findings."""
    world = knowledge.world
    heads = ("D", "exposures", "N", "runs", *_KNOWN_HEADS, "bits/parameter")
    rows = [
        (
            format_count(one.tokens),
            format_plain(round(one.exposures, 1)),
            format_count(one.params),
            str(one.runs),
            *(_write(one.values[name]) for name in _KNOWN),
            _write(one.capacity) + (" (all)" if one.full else ""),
        )
        for one in knowledge.cells
    ]
    lines = [
        f"A world of {world.facts} facts with {world.values} values each: {world.bits:.0f} bits; "
        f"the error of guessing is {world.chance:.3f}",
        *_indent(heads, rows),
        *knowledge_words.list_sentences(knowledge),
    ]
    return clean_text("\n".join(lines))


def format_bias(bias: Bias) -> str:
    """Format a row for each N and D with the amplification at each skew, then the findings."""
    rows = [
        (
            format_count(one.tokens),
            format_count(one.params),
            str(one.runs),
            *(_write(one.values[name]) for name in _BIASED),
            *(_write(added) for _, added in one.skews),
        )
        for one in bias.cells
    ]
    skews = [f"skew {skew:g}" for skew, _ in bias.cells[-1].skews]
    lines = _indent(("D", "N", "runs", *_BIASED_HEADS, *skews), rows)
    return clean_text("\n".join([*lines, *bias_words.list_sentences(bias)]))


def _indent(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in align_columns([heads, *rows])]


def _write(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def format_pairs(scored: ScoredPairs) -> str:
    """Format the share of pairs whose first sentence is more likely, and each difference."""
    percent = f"{scored.interval.level:.0%}"
    said = (
        f"run {scored.run_id}: the first sentence is more likely in {scored.share:.3f} "
        f"of {len(scored.pairs)} pairs ({percent}: {format_interval(scored.interval, _write)}); "
        f"mean difference {scored.mean:+.3f} nats"
    )
    if scored.mean_interval is not None:
        said += f" ({format_interval(scored.mean_interval, lambda end: f'{end:+.3f}')})"
    rows: list[tuple[str, ...]] = [
        (str(pair.line), f"{each:+.3f}", pair.first, pair.second)
        for pair, each in zip(scored.pairs, scored.differences, strict=True)
    ]
    return "\n".join([said, *_indent(("line", "ln p1 − ln p2", "first", "second"), rows)])

"""Vocabularies compared, as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, format_count, format_flops

if TYPE_CHECKING:
    from scaling.compare.vocabularies import BudgetChoice, VocabularyComparison

_HEADINGS = ("tokenizer", "vocabulary", "bits/byte", "interval", "measured", "N*", "D*", "text")


def format_vocabulary(compared: VocabularyComparison) -> str:
    """A table for each budget, and the best vocabulary there."""
    contexts = compared.context_bytes.values()
    lines = [
        "Bits per byte of the held-out text at each vocabulary's own optimum, by its law; windows "
        f"of {min(contexts):.0f} to {max(contexts):.0f} bytes."
    ]
    for choice in compared.choices:
        lines += ["", f"For {format_flops(choice.flops)} FLOPs: {say_best(choice)}"]
        lines += list_columns(choice)
    lines += [f"left out: {name}: {why}" for name, why in compared.left_out.items()]
    return "\n".join(lines)


def say_best(choice: BudgetChoice) -> str:
    """The best vocabulary, how sure that is, and whether smaller or larger ones may be better."""
    said = choice.best
    if choice.share is not None:
        said += f", in {choice.share:.0%} of the draws"
    if choice.at_edge:
        end = "smallest" if choice.best == choice.points[0].tokenizer else "largest"
        said += f"; it is the {end} tried, so the best may lie beyond"
    if choice.beyond:
        said += "; beyond the trained budgets"
    return said


def list_columns(choice: BudgetChoice) -> list[str]:
    """The vocabularies of one budget, aligned."""
    rows = [_HEADINGS]
    for point in choice.points:
        ends = "–"
        if point.interval is not None:
            ends = f"[{point.interval.low:.3f}, {point.interval.high:.3f}]"
        rows.append(
            (
                point.tokenizer,
                str(point.vocab_size),
                f"{point.bits:.4f}",
                ends,
                "–" if point.measured is None else f"{point.measured:.4f}",
                format_count(point.params),
                format_count(point.tokens),
                f"{format_count(point.text_bytes)}B",
            )
        )
    return [f"  {line}" for line in align_columns(rows)]

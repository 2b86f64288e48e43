"""Words and rows of a page on the corpus, the range of its runs, a known floor, and the comparison
of vocabularies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.fitting.fitted import Fit
from scaling.fitting.identification import MAX_FLOOR_WIDTH
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.tokenizer_names import NO_TOKENIZER
from scaling.units import format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.plain import ABSENT, format_interval, format_loss, format_range, format_share

if TYPE_CHECKING:
    from scaling.compare.vocabularies import VocabularyComparison


def describe_floor(fit: Fit, facts: CorpusFacts) -> tuple[str, ...]:
    """Compare E of the law with the Bayes loss of the corpus; empty if that is not known."""
    bayes = facts.bayes_loss
    if bayes is None:
        return ()
    first = (
        f"The source of this corpus is known: no model can reach a loss below {bayes:.4f} "
        "nats/token on these held-out windows (exact filtering, nothing seen but the window)."
    )
    if fit.covered is not None:
        lowest = fit.covered.loss[0]
        first += (
            f" The best run reached {lowest:.4f}, {format_share(lowest / bayes - 1)} above that."
        )
    if fit.law is None or "E" not in fit.law.params:
        return (first, "No law with a floor was fitted, so there is no E to compare.")
    return (first, _compare_floor(fit, fit.law.params["E"], bayes))


def _compare_floor(fit: Fit, estimate: float, bayes: float) -> str:
    missed = (
        f"The law's E is {estimate:.4f}, {format_share(abs(estimate / bayes - 1))} "
        f"{'above' if estimate > bayes else 'below'} the floor."
    )
    if fit.floor is None or fit.covered is None:
        return f"{missed} How well the runs know E was not measured."
    low, high = fit.floor.low, fit.floor.high
    width = (high - low) / fit.covered.loss[0]
    known = (
        f"Its {format_share(fit.floor.level)} profile interval, "
        f"{format_interval(fit.floor, format_loss)}, "
    )
    if low <= bayes <= high:
        known += "holds the floor"
    else:
        known += (
            "does not hold the floor: the error of the law's form is larger than the runs' noise, "
            "which is all that a profile sees"
        )
    if width > MAX_FLOOR_WIDTH:
        return (
            f"{missed} {known}, but at {format_share(width)} of the lowest loss it is too wide to "
            "call E identified: these runs do not know their floor, here as on text."
        )
    said = f"{missed} {known}; it is {format_share(width)} of the lowest loss wide."
    if fit.status == "not_identified":
        said += f" The law as a whole is not identified all the same: {fit.reason.rstrip('.')}."
    return said


def list_vocabularies(compared: VocabularyComparison | None) -> list[tuple[str, ...]]:
    """One row for each budget and vocabulary; the best of a budget says so."""
    rows: list[tuple[str, ...]] = []
    for choice in compared.choices if compared is not None else ():
        for point in choice.points:
            verdict = ""
            if point.tokenizer == choice.best:
                share = "" if choice.share is None else f" in {format_share(choice.share)} of draws"
                edge = "; at the edge of those tried" if choice.at_edge else ""
                far = "; beyond the trained budgets" if choice.beyond else ""
                verdict = f"best{share}{edge}{far}"
            rows.append(
                (
                    format_flops(choice.flops),
                    point.tokenizer,
                    format_loss(point.bits),
                    format_interval(point.interval, format_loss),
                    ABSENT if point.measured is None else format_loss(point.measured),
                    format_count(point.params),
                    format_count(point.text_bytes),
                    verdict,
                )
            )
    return rows


def describe_corpus(facts: CorpusFacts) -> list[tuple[str, str]]:
    """(term, value) rows of the corpus."""
    if not facts.is_known:
        return [("Text", "known to its own trainer alone"), ("Digest of its name", facts.digest)]
    return [
        (
            "Training text",
            f"{format_count(facts.train_tokens)} unique tokens{_name_bytes(facts.train_bytes)}",
        ),
        (
            "Held-out text",
            f"{format_count(facts.validation_tokens)} tokens"
            f"{_name_bytes(facts.validation_bytes)}, {facts.validation_documents} documents",
        ),
        ("Vocabulary", f"{facts.vocab_size} tokens{_name_tokenizer(facts.tokenizer)}"),
        (
            "Unigram entropy",
            f"{facts.unigram_entropy:.4g} nats/token: what a model reaches that "
            "knows only how often each token occurs",
        ),
        ("Overlap", f"{format_share(facts.overlap)} of held-out 32-byte spans occur in training"),
        ("Digest", facts.digest),
    ]


def describe_coverage(fit: Fit, scale: LossScale = NATS) -> list[tuple[str, str]]:
    """(term, range) rows of the fitted runs."""
    if fit.covered is None:
        return []
    box = fit.covered
    return [
        ("Model sizes N", format_range(*box.params, format_count) + " parameters"),
        ("Data D", format_range(*box.tokens, format_count) + " tokens"),
        ("Budgets C", format_range(*box.flops, format_flops) + " FLOPs"),
        ("Losses", f"{format_range(scale.to(box.loss[0]), scale.to(box.loss[1]))} {scale.label}"),
    ]


def _name_bytes(count: int) -> str:
    return f", {format_count(count)} bytes" if count else ""


def _name_tokenizer(name: str) -> str:
    return "" if name == NO_TOKENIZER else f" ({name})"

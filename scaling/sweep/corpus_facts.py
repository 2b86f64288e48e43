"""What a plan needs to know of a prepared corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.sweep.shapes import MAX_SEQ_LEN, MIN_SEQ_LEN
from scaling.sweep.tokenizer_names import BYTES

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFacts:
    """What planning needs to know of a prepared corpus.

    Attributes:
        digest: Content digest of shards and split; part of every run_id.
        vocab_size: Tokens are in [0, vocab_size).
        train_tokens: Unique tokens to train on.
        validation_tokens: Held-out tokens, all of which every run is evaluated on.
        validation_bytes: Bytes of text those tokens stand for.
        train_bytes: Bytes of text of the training split.
        validation_documents: Held-out documents (clusters of the standard error).
        unigram_entropy: Entropy of the training tokens' frequencies [nats/token].
        overlap: Share of held-out 32-byte spans that occur in the training split.
        tokenizer: Its name in the sweep file; `none` for tokens that came as they are.
        bayes_loss: Lowest loss that any model can have on the held-out windows [nats/token]; None
            where nobody knows it (all but `synthetic`).

    Bytes are 0 where the text behind the tokens is not known.
    """

    digest: str
    vocab_size: int
    train_tokens: int
    validation_tokens: int
    train_bytes: int
    validation_bytes: int
    validation_documents: int
    unigram_entropy: float
    overlap: float
    tokenizer: str = BYTES
    bayes_loss: float | None = None


def decide_seq_len(spec: SweepSpec, facts: CorpusFacts) -> int:
    """Tokens per window: as stated, or as many as the stated bytes of held-out text make."""
    if spec.model.context_bytes is None:
        return spec.model.seq_len
    tokens = spec.model.context_bytes * facts.validation_tokens / facts.validation_bytes
    return min(MAX_SEQ_LEN, max(MIN_SEQ_LEN, round(tokens)))

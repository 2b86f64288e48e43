"""Facts of a prepared corpus that a plan needs."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling.sweep.parents import Parent
from scaling.sweep.shapes import MAX_SEQ_LEN, MIN_SEQ_LEN
from scaling.sweep.tokenizer_names import BYTES, NO_TOKENIZER

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFacts:
    """Facts of a prepared corpus that planning needs.

    Attributes:
        digest: Content digest of shards and split; part of every run_id.
        vocab_size: Tokens are in [0, vocab_size).
        train_tokens: Unique tokens to train on.
        validation_tokens: Held-out tokens; every run is evaluated on all of them.
        validation_bytes: Bytes of the text of those tokens.
        train_bytes: Bytes of text of the training split.
        validation_documents: Held-out documents (clusters of the standard error).
        unigram_entropy: Entropy of the training tokens' frequencies [nats/token].
        overlap: Share of held-out 32-byte spans that occur in the training split.
        tokenizer: Its name in the sweep file; `none` for ready-made tokens.
        code: Current digest of the files of a user's own trainer; not part of what identifies a
            results folder.
        parents: Runs that the runs of this sweep may start from; not part of it either.
        bayes_loss: Lowest loss that any model can have on the held-out windows [nats/token]; None
            if unknown (all but `synthetic`).

    Bytes are 0 if the text behind the tokens is not known.
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
    code: str = ""
    parents: tuple[Parent, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The facts that identify a results folder, as stored."""
        names = (field.name for field in dataclasses.fields(self))
        return {name: getattr(self, name) for name in names if name not in ("code", "parents")}

    @property
    def is_known(self) -> bool:
        """True if the data is here; else only its trainer knows it, and its numbers are 0."""
        return self.train_tokens > 0


def name_data(name: str, *, vocab_size: int | None) -> CorpusFacts:
    """Facts of data that only a user's own trainer knows: nothing but its name is known here."""
    return CorpusFacts(
        digest=hashlib.sha256(b"data" + name.encode("utf-8")).hexdigest(),
        vocab_size=vocab_size or 0,
        train_tokens=0,
        validation_tokens=0,
        train_bytes=0,
        validation_bytes=0,
        validation_documents=0,
        unigram_entropy=0.0,
        overlap=0.0,
        tokenizer=NO_TOKENIZER,
    )


def decide_seq_len(spec: SweepSpec, facts: CorpusFacts) -> int:
    """Tokens per window: as stated, or the number that the stated bytes of held-out text make."""
    if spec.model.context_bytes is None:
        return spec.model.seq_len
    tokens = spec.model.context_bytes * facts.validation_tokens / facts.validation_bytes
    return min(MAX_SEQ_LEN, max(MIN_SEQ_LEN, round(tokens)))

"""SweepSpec -> Plan: ordered cells, rejected cells and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.sweep.runspec import RunSpec

CellRole = Literal["grid", "replicate"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One grid point: a run and the place it has in the sweep.

    Attributes:
        run: What is trained.
        budget: The declared budget the run belongs to [FLOPs]; None where a grid has no budgets.
        role: `grid`, or `replicate` for a cell trained again with another seed.
    """

    run: RunSpec
    budget: float | None
    role: CellRole


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedCell:
    """A grid point that will not be trained, and why."""

    budget: float | None
    params: float
    tokens: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep trains, longest first, and what it does not."""

    cells: tuple[Cell, ...]
    rejected: tuple[RejectedCell, ...]
    warnings: tuple[str, ...]

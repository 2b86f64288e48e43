"""Warnings about a plan before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.sweep.cells import Cell
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.units import format_count, format_flops

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


VALIDATION_BYTES = 512 * 1024  # 197 kB has a block standard error of .038 nats (decision 0123)
VALIDATION_SHARE = 0.1  # of a small corpus
FEW_HELD_OUT = 16  # documents: fewer clusters give no usable standard error
_MUCH_OVERLAP = 0.125  # Python's standard library has .105, from idiom


def find_corpus_warnings(facts: CorpusFacts) -> list[str]:
    """Warnings about the effect of a small or repetitive corpus on the held-out loss."""
    warnings = []
    held_out = f"{format_count(facts.validation_bytes)} bytes of held-out text"
    if not facts.validation_bytes:
        held_out = f"{format_count(facts.validation_tokens)} held-out tokens"
    if facts.validation_documents < FEW_HELD_OUT:
        warnings.append(
            f"{held_out} in {facts.validation_documents} document(s): the loss measures those few. "
            "Give more documents, or fewer copies of each."
        )
    target = min(VALIDATION_BYTES, VALIDATION_SHARE * (facts.train_bytes + facts.validation_bytes))
    if facts.validation_bytes < target:
        warnings.append(
            f"{held_out}, wished for {format_count(target)}: most documents are copies of each "
            "other. Remove near-duplicates."
        )
    if facts.overlap > _MUCH_OVERLAP:
        warnings.append(
            f"{facts.overlap:.0%} of held-out 32-byte spans occur in the training text: copied "
            "text rewards memory. Remove near-duplicates."
        )
    return warnings


def find_warnings(cells: Sequence[Cell], spec: SweepSpec, facts: CorpusFacts) -> tuple[str, ...]:
    """Warnings about these cells before training them, in sentences."""
    from scaling.sweep.grids import IsoflopGrid

    warnings = find_corpus_warnings(facts) if facts.is_known else []
    known = facts.is_known  # otherwise only the trainer knows how much text there is
    # What a cell asks for by the pass is no surprise.
    free = [cell for cell in cells if cell.run.unique_tokens is None]
    repeated = [cell for cell in free if known and cell.run.tokens > facts.train_tokens]
    if repeated:
        worst = max(cell.run.tokens for cell in repeated) / facts.train_tokens
        warnings.append(
            f"{len(repeated)} of {len(cells)} runs see part of the corpus more than once "
            f"(up to {worst:.2f} passes): the law is for fresh tokens."
        )
    if isinstance(spec.grid, IsoflopGrid):
        for budget in spec.grid.budgets:
            at_budget = {c.run.shape for c in cells if c.budget == budget and c.role == "grid"}
            if len(at_budget) < spec.grid.sizes:
                warnings.append(
                    f"budget {format_flops(budget)}: {len(at_budget)} of {spec.grid.sizes} sizes; "
                    "the ladder has no more rungs within the span, or they were rejected."
                )
    return tuple(warnings)

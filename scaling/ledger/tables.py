"""RunTable: finished runs as columns, ready to fit, wherever they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import CountConvention
from scaling.units import FloatArray, IntArray

LossUnit = Literal["nats", "bits", "bpb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """Finished runs, one row each; every array has shape (n,).

    Attributes:
        run: Name of each row (run_id, or the foreign table's row number as text).
        params: N under `convention`.
        tokens: D.
        loss: Held-out loss [nats/token], positive and finite.
        flops: Realised C [FLOPs]; None where the table does not state it.
        budget: Declared budget [FLOPs]; None where there is none. NaN marks rows without one.
        unique_tokens: U; None where not stated.
        seed: None where not stated.
        learning_rate: None where not stated.
        group: Bootstrap cluster of each row (rows of one group share noise); None: each
            (N, D) configuration is its own cluster.
        loss_se: Evaluation standard error [nats/token]; None where unknown.
        diverged: Names of runs that diverged: counted, never fitted.
        rejected: One line for each row left out on request (`drop_bad`).
        notes: What a reader should know of how the table was made.
        convention: How N was counted; None for a foreign table that does not say.
        cost: FLOPs per token as a function of N, for the frontier.
        source: Path, for messages.
        digest: SHA-256 of the rows, names a stored fit.
    """

    run: tuple[str, ...]
    params: FloatArray
    tokens: FloatArray
    loss: FloatArray
    flops: FloatArray | None
    budget: FloatArray | None
    unique_tokens: FloatArray | None
    seed: IntArray | None
    learning_rate: FloatArray | None
    group: tuple[str, ...] | None
    loss_se: FloatArray | None
    diverged: tuple[str, ...]
    rejected: tuple[str, ...]
    notes: tuple[str, ...]
    convention: CountConvention | None
    cost: CostModel
    source: str
    digest: str

    def __len__(self) -> int:
        return len(self.run)

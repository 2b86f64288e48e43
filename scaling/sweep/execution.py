"""How a run is computed: all that its run_id leaves out, set once and handed on whole.

    sweep file, device ──► Execution ──► driver ──► attempt ──► trainer

Precision and micro-batch decide the last digits of a loss, the rest decides none; each result
records what it was computed with.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.units import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is computed.

    Attributes:
        precision: `mixed`: products, attention's too, in bfloat16; all else is float32.
        gpus: Share of a GPU; None: the processor.
        micro_batch: Sequences that pass through the model together; None: the whole batch.
        keep_weights: Whether the final weights stay beside the result.
        time_limit: Seconds for one attempt; None: no limit.
    """

    precision: Precision = "float32"
    gpus: float | None = None
    micro_batch: int | None = None
    keep_weights: bool = True
    time_limit: float | None = None

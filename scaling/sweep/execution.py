"""How a run is computed: all that its run_id leaves out, set once and handed on whole.

    sweep file, device ──► Execution ──► driver ──► attempt ──► trainer

Precision and micro-batch decide the last digits of a loss, the rest decides none; each result
records what it was computed with.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.units import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnExecution:
    """How somebody's own trainer is run.

    Attributes:
        env: (variable, value) that it has beside the usual ones; None: as it is here.
        grace: Seconds between SIGTERM and SIGKILL.
        tolerance: Share by which D may differ from what was asked for.
        loss_unit: Unit of the loss it reports, per token: nats, bits or ppl.
        cpus: Cores of one run, on each node.
        nodes: How many it runs on.
        address: Where the others reach the first of them.
    """

    env: tuple[tuple[str, str | None], ...] = ()
    grace: float = 30.0
    tolerance: float = 0.01
    loss_unit: str = "nats"
    cpus: int = 1
    nodes: int = 1
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is computed.

    Attributes:
        precision: `mixed`: products, attention's too, in bfloat16; all else is float32.
        gpus: Share of a GPU; None: the processor.
        micro_batch: Sequences that pass through the model together; None: the whole batch.
        keep_weights: Whether the final weights stay beside the result.
        time_limit: Seconds for one attempt; None: no limit.
        halvings: k: the held-out loss is also measured before the first step, and after 1/2, 1/4, …
            1/2^k of the steps; 0: at the end alone.
        own: Settings of a user's trainer; None: the built-in one.
    """

    precision: Precision = "float32"
    gpus: float | None = None
    micro_batch: int | None = None
    keep_weights: bool = True
    time_limit: float | None = None
    halvings: int = 0
    own: OwnExecution | None = None

    @property
    def evaluations(self) -> int:
        """How many times the held-out loss of a run is measured."""
        return 2 + self.halvings if self.halvings else 1

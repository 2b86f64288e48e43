"""How a run is computed: the settings that its run_id leaves out, set once and passed on whole.

    sweep file, device ──► Execution ──► driver ──► attempt ──► trainer

Precision and micro-batch change the last digits of a loss, the other settings change nothing; each
result records what it was computed with.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.units import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnExecution:
    """Settings for running a user's own trainer.

    Attributes:
        env: (variable, value) beside the usual ones; a value of None passes on the current one.
        grace: Seconds between SIGTERM and SIGKILL.
        tolerance: Share by which D may differ from the D asked for.
        loss_unit: Unit of the loss it reports, per token: nats, bits or ppl.
        cpus: Cores of one run, on each node.
        nodes: Number of nodes of one run.
        address: Address of the first node for the others.
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
    """Settings for computing a run.

    Attributes:
        precision: `mixed`: products, including attention's, in bfloat16; all else in float32.
        gpus: Share of a GPU; None: the processor.
        micro_batch: Sequences that pass through the model together; None: the whole batch.
        keep_weights: Whether the final weights are kept beside the result.
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

"""What computes a step: interchangeable siblings behind one small protocol.

`fused` is one call of compiled C++ per step, for the CPU; `eager` is torch, operation by operation,
and serves every device. They compute the same formulas in another order of rounding, so a run's
last bits depend on which it was: the result says so in its numerics.
"""

from __future__ import annotations

import logging
import os
from typing import Literal, Protocol, get_args

from torch import Tensor

from scaling.errors import EnvironmentFault
from scaling.sweep.runspec import RunSpec
from scaling.training.models.transformer import Transformer
from scaling.training.parametrization import FlatOptimizer
from scaling.units import FloatArray, IntArray, Precision

EngineName = Literal["fused", "eager"]
ENGINE_VARIABLE = "SCALING_ENGINE"

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """The model and the optimiser of one run, and how they are computed.

    Attributes:
        model: Its parameters are those that are trained.
        optimizer: In whose buffers they lie. Any engine continues from any other's state.
    """

    model: Transformer
    optimizer: FlatOptimizer

    @property
    def name(self) -> EngineName: ...

    def add_gradient(self, tokens: IntArray, share: float) -> Tensor | float:
        """Add `share` times the gradient of the mean loss [nats/token] of sequences, and return
        that loss.

        Args:
            tokens: Ids, shape (b, t + 1): the last of a row is only predicted.
            share: Of these sequences in the step's batch.
        """

    def update(self, multiplier: float) -> Tensor | float:
        """Clip and apply the gradient at `multiplier` times the peak rates, then forget it.

        Returns:
            The gradient's norm before clipping.
        """

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        """Loss of every predicted token [nats], shape (b, t), for ids of shape (b, t + 1)."""


def build_engine(
    run: RunSpec, *, sequences: int | None = None, precision: Precision = "float32"
) -> Engine:
    """The run's engine, its model initialised: fused, or eager where that cannot be compiled.

    The environment variable SCALING_ENGINE asks for one of them by name.

    Args:
        run: What will be trained.
        sequences: The most that are given to `add_gradient` at once, which decides the memory;
            None: the whole batch.
        precision: `mixed` is the fused engine's alone.

    Raises:
        EnvironmentFault: The asked engine is unknown, or cannot be had on this machine.
    """
    from scaling.training.engines.eager import EagerEngine
    from scaling.training.engines.fused import FusedEngine
    from scaling.training.engines.native import CompilerError

    asked = os.environ.get(ENGINE_VARIABLE)
    if asked is not None and asked not in get_args(EngineName):
        known = ", ".join(get_args(EngineName))
        raise EnvironmentFault(f"{ENGINE_VARIABLE} is {asked!r}; it may be {known}, or unset.")
    if asked != "eager":
        try:
            return FusedEngine(run, sequences=sequences, half=precision == "mixed")
        except CompilerError as error:
            if asked == "fused" or precision == "mixed":
                raise
            logger.warning("training with torch, several times slower than compiled: %s", error)
    if precision == "mixed":
        raise EnvironmentFault(
            f"precision mixed needs compiled steps, and {ENGINE_VARIABLE} asks for torch's. Unset "
            "it, or leave resources.precision at float32."
        )
    return EagerEngine(run)

"""What an engine is: the model and the optimiser of one run, and how its steps are computed."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor, nn

from scaling.sweep.shapes import ModelShape
from scaling.training.parametrization import FlatOptimizer
from scaling.units import FloatArray, IntArray

EngineName = Literal["fused", "eager", "cuda"]


class Engine(Protocol):
    """The model and the optimiser of one run, and how they are computed.

    Attributes:
        model: Its parameters are those that are trained.
        optimizer: In whose buffers they lie. Any engine continues from any other's state.
    """

    optimizer: FlatOptimizer

    @property
    def model(self) -> nn.Module: ...
    @property
    def name(self) -> EngineName: ...

    @staticmethod
    def supports(shape: ModelShape) -> bool:
        """Whether models of this shape can be trained by it."""

    def add_gradient(self, tokens: IntArray, share: float) -> Tensor | float:
        """Add `share` times the gradient of the mean loss [nats/token] of sequences, and return
        that loss.

        Args:
            tokens: Ids, shape (b, t + 1): the last of a row is only predicted.
            share: Share of these sequences in the step's batch.
        """

    def update(self, multiplier: float) -> Tensor | float:
        """Clip and apply the gradient at `multiplier` times the peak rates, then forget it.

        Returns:
            The gradient's norm before clipping.
        """

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        """Loss of every predicted token [nats], shape (b, t), for ids of shape (b, t + 1)."""

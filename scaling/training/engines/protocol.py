"""The engine interface: the model and optimiser of one run, and the computation of its steps."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor, nn

from scaling.sweep.shapes import ModelShape
from scaling.training.parametrization import FlatOptimizer
from scaling.units import FloatArray, IntArray

EngineName = Literal["fused", "eager", "cuda"]


class Engine(Protocol):
    """The model and the optimiser of one run, and the computation of its steps.

    Attributes:
        model: The model whose parameters are trained.
        optimizer: The optimiser, whose buffers hold the parameters. Any engine can continue from
            the state of any other.
    """

    optimizer: FlatOptimizer

    @property
    def model(self) -> nn.Module: ...
    @property
    def name(self) -> EngineName: ...

    @staticmethod
    def supports(shape: ModelShape) -> bool:
        """Return whether it can train models of this shape."""

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

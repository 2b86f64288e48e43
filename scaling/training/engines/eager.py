"""Steps by torch, operation by operation, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.training.engines.protocol import EngineName
from scaling.training.parametrization import build_model, build_optimizer
from scaling.units import FloatArray, IntArray


class EagerEngine:
    """An Engine that computes steps by torch, operation by operation.

    Nothing here waits for the device: batches are copied from pinned memory, losses and norms stay
    where they are computed.

    Args:
        run: The run to train.
        device: `cpu`, or `cuda` for the first GPU that this process sees.
        half: Whether products with weights and attention are in bfloat16, the rest in float32.
    """

    def __init__(self, run: RunSpec, *, device: str = "cpu", half: bool = False) -> None:
        self.model = build_model(run, device=device, half=half)
        self.optimizer = build_optimizer(self.model, run)
        self._device, self._clip_norm = device, run.recipe.clip_norm

    @staticmethod
    def supports(shape: ModelShape) -> bool:
        """True for everything that torch can build; implements Engine."""
        return True

    @property
    def name(self) -> EngineName:
        return "eager"

    def add_gradient(self, tokens: IntArray, share: float) -> Tensor:
        """Implements Engine; the loss stays on the device."""
        loss = self._compute_losses(self._move(tokens)).mean()
        (loss * share).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def update(self, multiplier: float) -> Tensor:
        """Implements Engine; the norm stays on the device."""
        return self.optimizer.step(multiplier, clip_norm=self._clip_norm)

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        with torch.inference_mode():
            return self._compute_losses(self._move(tokens)).double().cpu().numpy()

    def _move(self, tokens: IntArray) -> Tensor:
        """Copy ids to the device; torch keeps pinned memory until the copy is done."""
        tokens_bt = torch.from_numpy(tokens)
        if self._device == "cuda":
            tokens_bt = tokens_bt.pin_memory()
        return tokens_bt.to(self._device, non_blocking=True)

    def _compute_losses(self, tokens_bt: Tensor) -> Tensor:
        """Loss of every predicted token [nats], shape (b, t), for ids of shape (b, t + 1)."""
        logits_btv = self.model(tokens_bt[:, :-1])
        losses = F.cross_entropy(
            logits_btv.flatten(0, 1), tokens_bt[:, 1:].flatten(), reduction="none"
        )
        return losses.view(len(tokens_bt), -1)

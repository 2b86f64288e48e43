"""Steps by torch, operation by operation, in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling.sweep.runspec import RunSpec
from scaling.training.engines import EngineName
from scaling.training.parametrization import build_model, build_optimizer
from scaling.units import FloatArray, IntArray


class EagerEngine:
    """See Engine."""

    def __init__(self, run: RunSpec) -> None:
        self.model = build_model(run)
        self.optimizer = build_optimizer(self.model, run)
        self._clip_norm = run.recipe.clip_norm

    @property
    def name(self) -> EngineName:
        return "eager"

    def add_gradient(self, tokens: IntArray, share: float) -> Tensor:
        """See Engine; the loss stays on the device."""
        loss = self._compute_losses(tokens).mean()
        (loss * share).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def update(self, multiplier: float) -> Tensor:
        """See Engine; the norm stays on the device."""
        return self.optimizer.step(multiplier, clip_norm=self._clip_norm)

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        """See Engine."""
        with torch.inference_mode():
            return self._compute_losses(tokens).double().numpy()

    def _compute_losses(self, tokens: IntArray) -> Tensor:
        tokens_bt = torch.from_numpy(tokens)
        logits_btv = self.model(tokens_bt[:, :-1])
        losses = F.cross_entropy(
            logits_btv.flatten(0, 1), tokens_bt[:, 1:].flatten(), reduction="none"
        )
        return losses.view(len(tokens), -1)

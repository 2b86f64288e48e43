"""Products with weights in bfloat16, as precision `mixed` says: factors rounded, sums in float32.

    y = round(x) · round(w)ᵀ,      dx = round(dy) · round(w),      dw = round(dy)ᵀ · round(x)

Not autocast: what is not such a product never leaves float32, the sums themselves are not rounded
(logits and weight gradients would lose eight of their bits), and both directions are stated here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Product(nn.Linear):
    """x · weightᵀ without a bias, for x of shape (..., in).

    Args:
        inner, outer: Sizes of an input and of an output.
        half: Whether factors are rounded to bfloat16.
    """

    def __init__(self, inner: int, outer: int, *, half: bool) -> None:
        super().__init__(inner, outer, bias=False)
        self.half_factors = half

    def forward(self, x: Tensor) -> Tensor:
        """See the class; float32, of shape (..., out)."""
        if not self.half_factors:
            return F.linear(x, self.weight)
        rows: Tensor = _HalfProduct.apply(x.flatten(0, -2), self.weight)  # type: ignore[no-untyped-call]
        return rows.view(*x.shape[:-1], -1)


class _HalfProduct(torch.autograd.Function):
    """y (n, out) of x (n, in), float32 or bfloat16, and weight (out, in)."""

    @staticmethod
    def forward(ctx: Any, x_ni: Tensor, weight_oi: Tensor) -> Tensor:
        x_half = x_ni.bfloat16()
        # The weight is rounded again in backward, to save memory.
        ctx.save_for_backward(x_half, weight_oi)
        ctx.given = x_ni.dtype
        return _multiply(x_half, weight_oi.bfloat16().t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x_half, weight_oi = ctx.saved_tensors
        dy_half = gradients[0].bfloat16()
        dx_ni = _multiply(dy_half, weight_oi.bfloat16()).to(ctx.given)
        return dx_ni, _multiply(dy_half.t(), x_half)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product of two bfloat16 matrices with sums in float32, rounded nowhere."""
    if a.device.type == "cuda":  # since torch 2.8
        return torch.mm(a, b, out_dtype=torch.float32)
    # Elsewhere torch would round the sums to bfloat16. A product of two bfloat16 numbers is exact
    # in float32, so this is the same arithmetic.
    return a.float() @ b.float()

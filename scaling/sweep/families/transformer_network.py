"""A decoder-only transformer: RMSNorm, rotary positions, QK-norm, ReLU² MLP, untied head.

    x ← embed(tokens)
    x ← x + r · attention(norm(x));   x ← x + r · mlp(norm(x))      for every layer
    logits ← h · head(norm(x))                                      no biases anywhere

r and h are the residual and head multipliers of the parametrisation (training/parametrization.py).

Axes: b batch, t position, d width, h head, k head size, v vocabulary, f MLP width.

Sources: RMSNorm arXiv:1910.07467; rotary positions arXiv:2104.09864; QK-norm arXiv:2010.04245;
ReLU² arXiv:2109.08668.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.sweep.families.products import Product
from scaling.sweep.shapes import TransformerShape

ROTARY_BASE = 10_000.0  # arXiv:2104.09864, sec. 3.2.2
NORM_EPSILON = 1e-6


# Keys and values of each block, each of shape (b, h, t, k).
KeysValues: TypeAlias = list[tuple[Tensor, Tensor]]


class _Past:
    """Keys and values of one block, of all that was read."""

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        self._keys, self._values = keys, values

    @property
    def length(self) -> int:
        return 0 if self._keys is None else self._keys.shape[2]

    def keep(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values

    def read(self) -> tuple[Tensor, Tensor]:
        assert self._keys is not None
        assert self._values is not None
        return self._keys, self._values

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of what follows to all that was read and to itself."""
        (keys, values), first = self.read(), self.length
        self.keep(torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2))
        seen = torch.ones(q.shape[2], self.length, dtype=torch.bool, device=q.device)
        return F.scaled_dot_product_attention(q, *self.read(), attn_mask=seen.tril(first))


class Transformer(nn.Module):
    """The model; `forward` maps token ids to logits.

    Args:
        shape: The model's integers.
        residual_multiplier: r above.
        head_multiplier: h above.
        half: Factors of products with weights, and of attention, are bfloat16; the residual stream,
            norms, rotation and logits stay float32.
    """

    def __init__(
        self,
        shape: TransformerShape,
        *,
        residual_multiplier: float,
        head_multiplier: float,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.head_multiplier = head_multiplier
        self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
        self.blocks = nn.ModuleList(
            _Block(shape, residual_multiplier, half) for _ in range(shape.n_layers)
        )
        self.norm = nn.Parameter(torch.ones(shape.d_model))
        self.head = Product(shape.d_model, shape.vocab_size, half=half)
        self.rotation_tk: Tensor
        rotation_tk = _make_rotation(shape.seq_len, shape.head_size)
        self.register_buffer("rotation_tk", rotation_tk, persistent=False)

    def forward(self, tokens_bt: Tensor) -> Tensor:
        """Logits of the next token, shape (b, t, v), for token ids of shape (b, t)."""
        return self._compute(tokens_bt, [None] * len(self.blocks), 0)

    def extend(self, tokens_bt: Tensor, state: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Logits after each of some more tokens, shape (b, t, v), and what was read so far.

        Args:
            tokens_bt: What follows.
            state: Keys and values of what came before, of every block; None: nothing did.
        """
        pasts = [_Past(*one) for one in state] if state else [_Past() for _ in self.blocks]
        logits_btv = self._compute(tokens_bt, pasts, pasts[0].length)
        return logits_btv, [past.read() for past in pasts]

    def _compute(self, tokens_bt: Tensor, pasts: Sequence[_Past | None], first: int) -> Tensor:
        rotation_tk = self.rotation_tk[first : first + tokens_bt.shape[1]]
        x_btd = self.embedding(tokens_bt)
        for block, past in zip(self.blocks, pasts, strict=True):
            x_btd = block(x_btd, rotation_tk, past)
        x_btd = F.rms_norm(x_btd, self.norm.shape, self.norm, NORM_EPSILON)
        logits_btv: Tensor = self.head(x_btd)
        return logits_btv if self.head_multiplier == 1 else logits_btv * self.head_multiplier


class _Block(nn.Module):
    def __init__(self, shape: TransformerShape, residual_multiplier: float, half: bool) -> None:
        super().__init__()
        self.half_factors = half
        self.n_heads, self.head_size = shape.n_heads, shape.head_size
        self.residual_multiplier = residual_multiplier
        self.attention_norm = nn.Parameter(torch.ones(shape.d_model))
        self.qkv = Product(shape.d_model, 3 * shape.d_attn, half=half)
        self.qk_norm = nn.Parameter(torch.ones(2, 1, shape.head_size))  # shared by all heads
        self.attention_out = Product(shape.d_attn, shape.d_model, half=half)
        self.mlp_norm = nn.Parameter(torch.ones(shape.d_model))
        self.mlp_in = Product(shape.d_model, shape.d_ff, half=half)
        self.mlp_out = Product(shape.d_ff, shape.d_model, half=half)

    def forward(self, x_btd: Tensor, rotation_tk: Tensor, past: _Past | None) -> Tensor:
        normed_btd = F.rms_norm(x_btd, self.attention_norm.shape, self.attention_norm, NORM_EPSILON)
        attended_btd = self._attend(normed_btd, rotation_tk, past)
        x_btd = torch.add(x_btd, attended_btd, alpha=self.residual_multiplier)
        normed_btd = F.rms_norm(x_btd, self.mlp_norm.shape, self.mlp_norm, NORM_EPSILON)
        hidden_btf = F.relu(self.mlp_in(normed_btd)).square()
        return torch.add(x_btd, self.mlp_out(hidden_btf), alpha=self.residual_multiplier)

    def _attend(self, x_btd: Tensor, rotation_tk: Tensor, past: _Past | None) -> Tensor:
        b, t, _ = x_btd.shape
        qkv = self.qkv(x_btd).view(b, t, 3, self.n_heads, self.head_size)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, b, h, t, k)
        qk = F.rms_norm(qkv[:2], (self.head_size,), None, NORM_EPSILON)
        qk, v = _rotate(qk * self.qk_norm[:, None, None], rotation_tk), qkv[2]
        if self.half_factors:
            qk, v = qk.bfloat16(), v.bfloat16()
        if past is not None and past.length:
            attended = past.attend(qk[0], qk[1], v)
        else:
            attended = F.scaled_dot_product_attention(qk[0], qk[1], v, is_causal=True)
            if past is not None:
                past.keep(qk[1], v)
        return self.attention_out(attended.transpose(1, 2).reshape(b, t, -1))  # type: ignore[no-any-return]


def _make_rotation(length: int, size: int) -> Tensor:
    """Unit complex numbers that turn pair i of a head at position t by t · base^(−2i/size).

    Shape (length, size / 2).
    """
    frequency_k = ROTARY_BASE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle_tk = torch.outer(torch.arange(length, dtype=torch.float64), frequency_k)
    return torch.polar(torch.ones_like(angle_tk), angle_tk).to(torch.complex64)


def _rotate(x: Tensor, rotation_tk: Tensor) -> Tensor:
    """Rotary positions over the last two axes (t, k): neighbours form the rotated pairs."""
    if not rotation_tk.is_complex():  # (cos, sin): compilers do not support complex numbers
        cos_tk, sin_tk = rotation_tk.unbind(-1)
        even, odd = x.view(*x.shape[:-1], -1, 2).unbind(-1)
        turned = (even * cos_tk - odd * sin_tk, even * sin_tk + odd * cos_tk)
        return torch.stack(turned, dim=-1).flatten(-2)
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation_tk).flatten(-2)

"""ModelShape: the integers of one model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ModelFamily = Literal["transformer"]

MIN_SEQ_LEN, MAX_SEQ_LEN = 8, 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The integers of one model; everything countable follows from them."""

    family: ModelFamily
    vocab_size: int
    seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    head_size: int
    d_ff: int

    @property
    def d_attn(self) -> int:
        """Width of all heads together."""
        return self.n_heads * self.head_size


def make_shape(
    vocab_size: int, seq_len: int, *, d_model: int, n_layers: int, head_size: int = 16
) -> ModelShape:
    """The transformer of this project at a given width and depth: as many heads as cover the
    width, an MLP of 4d."""
    return ModelShape(
        family="transformer",
        vocab_size=vocab_size,
        seq_len=seq_len,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=math.ceil(d_model / head_size),
        head_size=head_size,
        d_ff=4 * d_model,
    )

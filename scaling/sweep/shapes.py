"""ModelShape: the integers of one model, and those of the transformer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

MIN_SEQ_LEN, MAX_SEQ_LEN = 8, 65_536
MAX_LAYERS = 128  # the deepest published, Llama 3 405B, has 126 (arXiv:2407.21783, table 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The integers that every model has; a family that needs more adds them in a subclass.

    What is countable of a model follows from its shape alone: `families` says how.

    Attributes:
        family: Name of the family of models, e.g. `transformer`.
        vocab_size: Distinct tokens.
        seq_len: Context [tokens].
        d_model: Width of the residual stream.
        n_layers: Number of layers.
    """

    family: str
    vocab_size: int
    seq_len: int
    d_model: int
    n_layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape(ModelShape):
    """A transformer's: its heads and the width of its MLP beside them."""

    n_heads: int
    head_size: int
    d_ff: int

    @property
    def d_attn(self) -> int:
        """Width of all heads together."""
        return self.n_heads * self.head_size


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel(ModelShape):
    """A model that a trainer of one's own builds: what the sweep file says of it.

    Vocabulary, width and depth are the trainer's own affair and 0 here; `seq_len` is 1 where no
    recipe is asked for.

    Attributes:
        name: In the sweep file.
        params: N, as the trainer counts it.
        training_flops: FLOPs per token of training.
        settings: What `set` hands to the trainer, as canonical JSON.
    """

    family: str = "listed"
    vocab_size: int = 0
    seq_len: int = 1
    d_model: int = 0
    n_layers: int = 0
    name: str
    params: int
    training_flops: int
    settings: str = "{}"


def make_shape(
    vocab_size: int, seq_len: int, *, d_model: int, n_layers: int, head_size: int = 16
) -> TransformerShape:
    """The transformer of this project at a given width and depth: as many heads as cover the
    width, an MLP of 4d."""
    return TransformerShape(
        family="transformer",
        vocab_size=vocab_size,
        seq_len=seq_len,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=math.ceil(d_model / head_size),
        head_size=head_size,
        d_ff=4 * d_model,
    )


def iterate_widths(first: int, *, step: int) -> Iterator[int]:
    """Widths without end: by `step` to 16 of it, and by at most an eighth from there."""
    width = first
    while True:
        yield width
        width += step * max(1, 2 ** ((width // step).bit_length() - 1) // 8)

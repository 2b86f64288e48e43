"""The decoder-only transformer, on rungs of one fixed ladder.

Width steps by half an attention head. At a width of w heads the depth starts at w layers (rounded
down, 2 at least) and grows by one until the next width is within ×1.5 in matmul parameters, so that
N grows by at most ×1.5 a rung wherever body parameters rule (with bytes: everywhere but from the
first rung, half a head wide, to the second). One layer is
left out: its loss depends on the seed by 6 %; whole heads alone would need 16-wide models of six
layers to bridge the gap to 32 (decision 0004).

A sweep file may fix the depth instead, one layer included (`layers`). Width alone then varies: by
half a head to eight of them, by at most an eighth from there. Neighbours are at most ×3 apart, and
×1.7 from one and a half heads on.

    N_matmul        = n_layers·(4·d·d_attn + 2·d·d_ff) + d·V
    flops_per_token = 6·N_matmul + 12·n_layers·d_attn·seq_len
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from scaling.sweep.families import (
    FLOPS_PER_PARAM_TOKEN,
    Counts,
    ParameterRule,
    ReferencePoint,
    ShapeWords,
    say_layers,
)
from scaling.sweep.shapes import TransformerShape, iterate_widths, make_shape
from scaling.units import Precision

if TYPE_CHECKING:
    from torch import nn

MAX_GROWTH_PER_RUNG = 1.5  # largest ratio of neighbouring N (ours)
# If a large vocabulary makes the head dominate, depth cannot keep N within ×1.5: stop here.
MAX_EXTRA_LAYERS = 5
MIN_LAYERS = 2
# Activations kept for the backward pass on the processor, per token and layer, in units of d_model
# floats: two normed inputs and the residual (3), q, k, v before and after norm and rotation (8),
# attention output (2), MLP before and after ReLU² (3 · 4). Rounded up; checked against a measured
# run in tests/sweep/test_cost.py.
_CPU_ACTIVATION_BYTES = 4 * 28
# The same on a GPU, where torch keeps the inputs of each operation: 93 and 75 as counted in
# tests/training/test_gpu_memory.py, rounded up.
_GPU_ACTIVATION_BYTES: dict[Precision, int] = {"float32": 100, "mixed": 84}
_ZERO_AT_START = ("attention_out.weight", "mlp_out.weight", "head.weight")


class TransformerFamily:
    """The family; it has no state."""

    name = "transformer"
    shape = TransformerShape
    settings = ("head_size", "layers")
    halved = "products and attention"
    # Calibrated at CPU scale (measurements/recipe-constants.md).
    reference = ReferencePoint(
        width=32, depth=2, tokens=340_000.0, batch_tokens=200.0, learning_rate=0.0075
    )

    def iterate_ladder(
        self, vocab_size: int, seq_len: int, settings: Mapping[str, int]
    ) -> Iterator[TransformerShape]:
        head_size = settings.get("head_size", 16)
        make = functools.partial(make_shape, vocab_size, seq_len, head_size=head_size)
        layers = settings.get("layers")
        if layers is None:
            return self._iterate_both(make, head_size)
        widths = iterate_widths(head_size // 2, step=head_size // 2)
        return (make(d_model=width, n_layers=layers) for width in widths)

    def _iterate_both(
        self, make: Callable[..., TransformerShape], head_size: int
    ) -> Iterator[TransformerShape]:
        """Width and depth grow; `make` takes both."""
        step = head_size // 2

        def shape_at(d_model: int, extra_layers: int) -> TransformerShape:
            layers = max(MIN_LAYERS, d_model // head_size) + extra_layers
            return make(d_model=d_model, n_layers=layers)

        widest = shape_at(step, 0)
        for d_model in itertools.count(step, step):
            shape, widest = widest, shape_at(d_model + step, 0)
            next_width = self.counts(widest).matmul
            for extra_layers in range(MAX_EXTRA_LAYERS + 1):
                if extra_layers:
                    shape = shape_at(d_model, extra_layers)
                params = self.counts(shape).matmul
                if extra_layers and params >= next_width:
                    break
                yield shape
                # Below one whole head attention costs more than all parameters: more depth does not
                # help.
                if next_width <= MAX_GROWTH_PER_RUNG * params or d_model < head_size:
                    break

    def counts(self, shape: TransformerShape) -> Counts:
        """See ModelFamily: block matrices and norm gains; embedding and head are untied."""
        # Two norms per block and a final one over d_model; query and key norms over one head.
        gains = (2 * shape.n_layers + 1) * shape.d_model + 2 * shape.n_layers * shape.head_size
        blocks, head = _count_block_matrices(shape), shape.d_model * shape.vocab_size
        return Counts(
            matmul=blocks + head,
            non_embedding=blocks + gains,
            total=blocks + gains + 2 * head,
        )

    def flops_per_token(self, shape: TransformerShape, *, head_flops: bool = True) -> int:
        """See ModelFamily; attention is not halved for causality."""
        attention = 2 * FLOPS_PER_PARAM_TOKEN * shape.n_layers * shape.d_attn * shape.seq_len
        head = shape.d_model * shape.vocab_size if head_flops else 0
        return FLOPS_PER_PARAM_TOKEN * (_count_block_matrices(shape) + head) + attention

    def activation_bytes(
        self,
        shape: TransformerShape,
        tokens: int,
        *,
        device: Literal["cpu", "cuda"],
        precision: Precision,
    ) -> int:
        each = _CPU_ACTIVATION_BYTES if device == "cpu" else _GPU_ACTIVATION_BYTES[precision]
        return tokens * shape.n_layers * shape.d_model * each

    def words(self, shape: TransformerShape) -> ShapeWords:
        return ShapeWords(
            label=f"{shape.d_model} × {shape.n_layers}",
            line=f"{shape.d_model} wide × {say_layers(shape)}",
            full=f"width {shape.d_model}, {say_layers(shape)}, {shape.n_heads} heads",
        )

    def build(
        self, shape: TransformerShape, *, width: float, depth: float, half: bool
    ) -> nn.Module:
        from scaling.sweep.families.transformer_network import Transformer

        return Transformer(
            shape, residual_multiplier=1.0 / depth, head_multiplier=1.0 / width, half=half
        )

    def parameter_rule(self, name: str) -> ParameterRule:
        """See ModelFamily; output projections of each block and the head start at zero, so that a
        model starts at the uniform prediction."""
        if name == "embedding.weight":
            return ParameterRule(kind="embedding")
        if name.endswith("norm"):
            return ParameterRule(kind="norm", start="one")
        return ParameterRule(
            kind="head" if name == "head.weight" else "hidden",
            start="zero" if name.endswith(_ZERO_AT_START) else "drawn",
        )


def _count_block_matrices(shape: TransformerShape) -> int:
    attention = 4 * shape.d_model * shape.d_attn
    mlp = 2 * shape.d_model * shape.d_ff
    return shape.n_layers * (attention + mlp)


TRANSFORMER = TransformerFamily()

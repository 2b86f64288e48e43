"""Recurrent networks: `rnn` (tanh) and `lstm`, PyTorch's own nn.RNN and nn.LSTM in two layers.

For a layer of width d with g gates (1, or 4 in the LSTM), whose input also has width d:

    matrices        g·d·d on the input and g·d·d on the state, and two biases of g·d
    N_matmul        = n_layers·2·g·d² + d·V
    flops_per_token = 6·N_matmul       nothing grows with the context; element-wise gates are not
                                       counted, as a transformer's norms are not

Embedding and head are untied and counted as the transformer's: the head is in N_matmul, the lookup
in `total` alone. Sequences are independent windows of seq_len tokens, as for a transformer: every
window starts from the zero state, none is carried over, and the gradient runs through all of it.

Widths step by 4 from 8 to 64 and by at most an eighth from there, so that N grows by at most ×1.3 a
rung from width 28 on. Depth is two layers throughout (assumed, not measured), unless a sweep file
fixes another.

Sources: LSTM, Hochreiter & Schmidhuber 1997, with forget gates, Gers et al. 2000, whose bias starts
at 1 (Jozefowicz et al. 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from scaling.sweep.families import (
    FLOPS_PER_PARAM_TOKEN,
    Counts,
    ParameterRule,
    ReferencePoint,
    ShapeWords,
    say_layers,
)
from scaling.sweep.shapes import ModelShape, iterate_widths
from scaling.units import Precision

if TYPE_CHECKING:
    from torch import nn

LAYERS = 2
_FIRST_WIDTH, _STEP = 8, 4
_FLOAT_BYTES = 4


class RecurrentFamily:
    """One kind of recurrent network; it has no state.

    Args:
        name: Its name in sweep files.
        gates: Number of matrices of a layer on its input, and of those on its state.
        kept: Activations kept for the backward pass, per token and layer, in units of the width.
        padded: The width is rounded up to a multiple of this where they are kept.
        reference: Where its recipe was calibrated.
    """

    shape = ModelShape
    settings = ("layers",)
    halved = "the head's products"

    def __init__(
        self, name: str, *, gates: int, kept: int, padded: int, reference: ReferencePoint
    ) -> None:
        self.name, self.gates, self.reference = name, gates, reference
        self._kept, self._padded = kept, padded

    def iterate_ladder(
        self, vocab_size: int, seq_len: int, settings: Mapping[str, Any]
    ) -> Iterator[ModelShape]:
        for width in iterate_widths(_FIRST_WIDTH, step=_STEP):
            yield ModelShape(
                family=self.name,
                vocab_size=vocab_size,
                seq_len=seq_len,
                d_model=width,
                n_layers=settings.get("layers") or LAYERS,
            )

    def counts(self, shape: ModelShape) -> Counts:
        layer, head = 2 * self.gates * shape.d_model, shape.d_model * shape.vocab_size
        matrices, biases = shape.n_layers * layer * shape.d_model, shape.n_layers * layer
        return Counts(
            matmul=matrices + head,
            non_embedding=matrices + biases,
            total=matrices + biases + 2 * head,
        )

    def flops_per_token(self, shape: ModelShape, *, head_flops: bool = True) -> int:
        head = 0 if head_flops else shape.d_model * shape.vocab_size
        return FLOPS_PER_PARAM_TOKEN * (self.counts(shape).matmul - head)

    def activation_bytes(
        self,
        shape: ModelShape,
        tokens: int,
        *,
        device: Literal["cpu", "cuda"],
        precision: Precision,
    ) -> int:
        """See ModelFamily; on a GPU assumed to be as much, not measured."""
        width = -(-shape.d_model // self._padded) * self._padded
        return tokens * shape.n_layers * width * self._kept * _FLOAT_BYTES

    def words(self, shape: ModelShape) -> ShapeWords:
        name = self.name.upper()
        return ShapeWords(
            label=f"{name} {shape.d_model} × {shape.n_layers}",
            line=f"{name} {shape.d_model} wide × {say_layers(shape)}",
            full=f"{name} of width {shape.d_model}, {say_layers(shape)}",
        )

    def build(self, shape: ModelShape, *, width: float, depth: float, half: bool) -> nn.Module:
        """See ModelFamily; there are no residual branches that depth could scale."""
        from scaling.sweep.families.recurrent_network import Recurrent

        return Recurrent(shape, head_multiplier=1.0 / width, half=half)

    def parameter_rule(self, name: str) -> ParameterRule:
        """See ModelFamily; the head starts at zero, so that a model starts at the uniform
        prediction. A bias is trained as a norm's gain is: it has no fan-in."""
        if name == "embedding.weight":
            return ParameterRule(kind="embedding")
        if name == "head.weight":
            return ParameterRule(kind="head", start="zero")
        if ".bias" in name:
            return ParameterRule(kind="norm", start="as_built")
        return ParameterRule(kind="hidden")


# Activations kept, counted in tests/sweep/test_recurrent.py: for a tanh layer its input, its output
# and half a width more; for an LSTM layer what oneDNN's fused layer writes, in blocks of 16.
RNN = RecurrentFamily(
    "rnn",
    gates=1,
    kept=3,
    padded=4,
    reference=ReferencePoint(
        width=32, depth=LAYERS, tokens=340_000.0, batch_tokens=200.0, learning_rate=0.01
    ),
)
LSTM = RecurrentFamily(
    "lstm",
    gates=4,
    kept=18,
    padded=16,
    reference=ReferencePoint(
        width=32,
        depth=LAYERS,
        tokens=340_000.0,
        batch_tokens=200.0,
        learning_rate=0.02,
        init_scale=3.0,
    ),
)

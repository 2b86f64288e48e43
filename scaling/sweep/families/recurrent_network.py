"""A recurrent network between an embedding and an untied head: nn.RNN (tanh) or nn.LSTM.

    logits ← h · head(body(embed(tokens)))      h: the head multiplier of the parametrisation

Axes: b batch, t position, d width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scaling.sweep.families.products import Product
from scaling.sweep.shapes import ModelShape

_KINDS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM}
_FORGET_BIAS = 1.0  # Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Networks"


class Recurrent(nn.Module):
    """The model; `forward` maps token ids to logits, from the zero state.

    Args:
        shape: The model's dimensions; its family says which network.
        head_multiplier: h above.
        half: Whether factors of the head's product are bfloat16. The recurrence stays float32: its
            rounding errors would add up over the whole context.
    """

    def __init__(self, shape: ModelShape, *, head_multiplier: float, half: bool = False) -> None:
        super().__init__()
        self.head_multiplier = head_multiplier
        self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
        self.body = _KINDS[shape.family](
            shape.d_model, shape.d_model, shape.n_layers, batch_first=True
        )
        self.head = Product(shape.d_model, shape.vocab_size, half=half)
        with torch.no_grad():
            for name, bias in self.body.named_parameters():
                if name.startswith("bias"):
                    bias.zero_()
                if shape.family == "lstm" and name.startswith("bias_ih"):
                    # Gates in the order input, forget, cell, output; the two biases are added.
                    bias[shape.d_model : 2 * shape.d_model] = _FORGET_BIAS

    def forward(self, tokens_bt: Tensor) -> Tensor:
        """Logits of the next token, shape (b, t, v), for token ids of shape (b, t)."""
        return self.extend(tokens_bt, None)[0]

    def extend(self, tokens_bt: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits after each of some more tokens, and the state after the last.

        Args:
            tokens_bt: The tokens that follow.
            state: State after the tokens before; None if there are none.
        """
        hidden_btd, state = self.body(self.embedding(tokens_bt), state)
        logits_btv: Tensor = self.head(hidden_btd)
        if self.head_multiplier != 1:
            logits_btv = logits_btv * self.head_multiplier
        return logits_btv, state

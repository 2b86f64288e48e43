"""Predicted activations are enough for what a GPU's step keeps, in either precision."""

import pytest
import torch
from kept_tensors import noting_kept
from torch.nn.functional import cross_entropy

from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.gpu_memory import _LOGIT_BYTES
from scaling.sweep.shapes import make_shape


@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize(
    ("d_model", "n_layers", "vocab"), [(24, 2, 256), (64, 4, 256), (128, 8, 256), (128, 4, 4096)]
)
def test_activations_kept_for_the_backward_pass_fit_the_estimate(
    precision, d_model, n_layers, vocab
):
    shape = make_shape(vocab, 128, d_model=d_model, n_layers=n_layers)
    model = Transformer(
        shape, residual_multiplier=0.5, head_multiplier=0.5, half=precision == "mixed"
    )
    tokens_bt = torch.randint(0, vocab, (4, 129), generator=torch.Generator().manual_seed(0))
    with noting_kept(model) as kept:
        logits = model(tokens_bt[:, :-1])
        cross_entropy(logits.flatten(0, 1), tokens_bt[:, 1:].flatten(), reduction="none").mean()
    tokens = 4 * 128
    activations = TRANSFORMER.activation_bytes(shape, tokens, device="cuda", precision=precision)
    estimate = activations + tokens * vocab * _LOGIT_BYTES
    assert sum(kept.values()) <= estimate
    # An estimate above twice the need would refuse runs that fit.
    assert estimate <= 2 * sum(kept.values())

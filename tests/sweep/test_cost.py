"""Predicted memory is enough for what training really keeps."""

import pytest
import torch
from kept_tensors import noting_kept
from torch.nn.functional import cross_entropy

from scaling.sweep.cost import _FLOAT_BYTES, _LOGITS_COPIES
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.shapes import make_shape


@pytest.mark.parametrize(("d_model", "n_layers"), [(16, 4), (24, 2), (64, 4), (128, 8)])
def test_activations_kept_for_the_backward_pass_fit_the_estimate(d_model, n_layers):
    shape = make_shape(256, 128, d_model=d_model, n_layers=n_layers)
    model = Transformer(shape, residual_multiplier=1.0, head_multiplier=1.0)
    tokens_bt = torch.randint(0, 256, (4, 129))
    with noting_kept(model) as kept:
        logits = model(tokens_bt[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1), tokens_bt[:, 1:].flatten())
    loss.backward()
    tokens = 4 * 128
    kept_bytes = TRANSFORMER.activation_bytes(shape, tokens, device="cpu", precision="float32")
    estimate = kept_bytes + _FLOAT_BYTES * tokens * 256 * _LOGITS_COPIES
    assert sum(kept.values()) <= estimate
    # An estimate above twice the need would refuse sweeps that fit.
    assert estimate <= 2 * sum(kept.values())

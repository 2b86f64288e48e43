"""Predicted activations are enough for what a GPU's step keeps, in either precision."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.gpu_memory import _LOGIT_BYTES
from scaling.sweep.shapes import make_shape


@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize(
    ("d_model", "n_layers", "vocab"), [(24, 2, 256), (64, 4, 256), (128, 8, 256), (128, 4, 4096)]
)
def test_what_is_kept_for_the_backward_pass_fits_the_estimate(precision, d_model, n_layers, vocab):
    shape = make_shape(vocab, 128, d_model=d_model, n_layers=n_layers)
    model = Transformer(
        shape, residual_multiplier=0.5, head_multiplier=0.5, half=precision == "mixed"
    )
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def remember(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens_bt = torch.randint(0, vocab, (4, 129), generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        logits = model(tokens_bt[:, :-1])
        cross_entropy(logits.flatten(0, 1), tokens_bt[:, 1:].flatten(), reduction="none").mean()
    tokens = 4 * 128
    activations = TRANSFORMER.activation_bytes(shape, tokens, device="cuda", precision=precision)
    estimate = activations + tokens * vocab * _LOGIT_BYTES
    assert sum(kept.values()) <= estimate
    # An estimate of twice the need would refuse runs that fit.
    assert estimate <= 2 * sum(kept.values())

"""Recurrent families: closed forms against the built network, torch's counter and its autograd."""

import itertools

import numpy as np
import pytest
import torch
from kept_tensors import noting_kept
from known_run import plan_shape
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from scaling.sweep.families.recurrent import LSTM, RNN
from scaling.sweep.reading import parse_sweep
from scaling.sweep.shapes import ModelShape
from scaling.training.engines import build_engine
from scaling.training.parametrization import build_model

FAMILIES = pytest.mark.parametrize("family", [RNN, LSTM], ids=lambda one: one.name)


def make_shape(family, width, *, vocab=32, length=16):
    return ModelShape(
        family=family.name, vocab_size=vocab, seq_len=length, d_model=width, n_layers=2
    )


def make_run(family, width, **sizes):
    return plan_shape(make_shape(family, width, **sizes), seed=3)


def test_parameter_counts_and_flops_agree_with_a_hand_calculation():
    """Width 16, bytes: two layers of 8·16² (LSTM; tanh: 2·16²), the head 16·256."""
    counts = LSTM.counts(make_shape(LSTM, 16, vocab=256))
    assert counts.matmul == 2 * 8 * 256 + 4096
    assert counts.non_embedding == 2 * 8 * 256 + 2 * 8 * 16
    assert counts.total == counts.non_embedding + 2 * 4096
    assert RNN.counts(make_shape(RNN, 16, vocab=256)).matmul == 2 * 2 * 256 + 4096
    # Forward 8h(h_in + h) a layer and 2dV, backward twice that.
    shape = make_shape(LSTM, 16, vocab=256)
    assert LSTM.flops_per_token(shape) == 3 * (2 * 8 * 16 * (16 + 16) + 2 * 16 * 256)
    assert LSTM.flops_per_token(shape, head_flops=False) == 3 * 2 * 8 * 16 * (16 + 16)


@FAMILIES
@pytest.mark.parametrize("width", [4, 20, 64])
def test_counts_and_flops_are_those_of_the_built_model(family, width):
    run = make_run(family, width)
    shape, model, rows = run.shape, build_model(run), 3
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    outer = sizes["embedding.weight"] + sizes["head.weight"]
    assert sum(sizes.values()) == family.counts(shape).total
    assert sum(sizes.values()) - outer == family.counts(shape).non_embedding
    biases = sum(size for name, size in sizes.items() if "bias" in name)
    assert family.counts(shape).matmul == sum(sizes.values()) - biases - sizes["embedding.weight"]
    ids = torch.randint(0, shape.vocab_size, (rows, shape.seq_len + 1))
    counter = FlopCounterMode(display=False)
    # Fused layers hide their products from the counter.
    with counter, torch.backends.mkldnn.flags(enabled=False):
        logits = model(ids[:, :-1])
        cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    # A window saves one product: its initial state needs no gradient.
    spared = shape.n_layers * 2 * family.gates * width**2 * rows
    whole = family.flops_per_token(shape) * rows * shape.seq_len
    assert counter.get_total_flops() == whole - spared


@FAMILIES
@pytest.mark.parametrize("width", [4, 12, 20, 64, 128])
@pytest.mark.parametrize("length", [128, 512])
def test_activations_kept_for_the_backward_pass_fit_the_estimate(family, width, length):
    shape = make_shape(family, width, length=length)
    model = family.build(shape, width=1.0, depth=1.0, half=False)
    ids = torch.randint(0, 32, (2, length + 1))
    with noting_kept(model) as kept:
        logits = model(ids[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    tokens = 2 * length
    # Also kept: log-softmax, and the ids twice.
    beside = 4 * tokens * 32 + 16 * tokens
    estimate = family.activation_bytes(shape, tokens, device="cpu", precision="float32") + beside
    assert sum(kept.values()) <= estimate * 1.01 + 4096  # plus a few scalars
    assert estimate <= 2 * sum(kept.values())


@FAMILIES
@pytest.mark.parametrize("vocab", [2, 256, 50_000])
def test_the_ladder_ascends_by_at_most_three_tenths_a_rung(family, vocab):
    ladder = list(itertools.islice(family.iterate_ladder(vocab, 128, {}), 60))
    sizes = np.array([family.counts(shape).matmul for shape in ladder], dtype=float)
    growth = sizes[1:] / sizes[:-1]
    assert growth.min() > 1
    assert growth.max() < 3
    wide = np.array([shape.d_model >= 28 for shape in ladder[:-1]])
    assert growth[wide].max() < 1.31  # (32 / 28)², if the vocabulary's share is negligible


def test_the_forget_gate_is_open_at_the_start_and_other_biases_are_zero():
    model, width = build_model(make_run(LSTM, 8)), 8
    for layer in range(2):
        summed = getattr(model.body, f"bias_ih_l{layer}") + getattr(model.body, f"bias_hh_l{layer}")
        expected = torch.zeros(4, width)
        expected[1] = 1.0
        assert torch.equal(summed.detach().view(4, width), expected)
    for name, bias in build_model(make_run(RNN, 8)).body.named_parameters():
        assert not name.startswith("bias") or not bias.any()


@FAMILIES
def test_the_network_equals_the_recurrence_written_out(family):
    """Both layers by hand, token by token, from the zero state."""
    run = make_run(family, 8)
    model = build_model(run).double()
    torch.nn.init.normal_(model.head.weight)
    ids = torch.randint(0, 32, (2, 7), generator=torch.Generator().manual_seed(0))
    body = dict(model.body.named_parameters())
    x_tbd = model.embedding(ids).transpose(0, 1)
    for layer in range(2):
        h = c = torch.zeros(2, 8, dtype=torch.float64)
        outputs = []
        for x in x_tbd:
            gates = x @ body[f"weight_ih_l{layer}"].T + h @ body[f"weight_hh_l{layer}"].T
            gates = gates + body[f"bias_ih_l{layer}"] + body[f"bias_hh_l{layer}"]
            if family is RNN:
                h = gates.tanh()
            else:
                i, f, g, o = gates.chunk(4, dim=1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            outputs.append(h)
        x_tbd = torch.stack(outputs)
    multiplier = run.recipe.base_width / 8
    by_hand = (x_tbd.transpose(0, 1) @ model.head.weight.T) * multiplier
    # float64: a few roundings in sums of eight terms.
    assert torch.allclose(model(ids), by_hand, rtol=1e-10, atol=1e-10)


@FAMILIES
def test_training_starts_at_the_uniform_prediction_and_learns(family):
    """A sequence of period 4 is predictable once its phase is known."""
    run = make_run(family, 16)
    engine = build_engine(run)
    assert engine.name == "eager"
    ids = np.arange(16 + 1)[None].repeat(8, axis=0) + np.arange(8)[:, None]
    ids = ids % 4
    assert engine.measure_losses(ids).mean() == pytest.approx(np.log(32), rel=1e-6)
    for _ in range(400):  # the LSTM learns the unigrams in 200 steps, and the order after that
        engine.add_gradient(ids, 1.0)
        engine.update(1.0)
    assert engine.measure_losses(ids).mean() < 0.05


def test_a_sweep_file_names_a_recurrent_family_but_no_head_size():
    text = "name: a\ncorpus: {source: novels}\nmodel: {family: lstm%s}\ngrid: {budgets: [1e11]}\n"
    assert parse_sweep((text % "").encode(), source="s.yaml").model.family == "lstm"
    with pytest.raises(Exception, match="family lstm takes no head_size"):
        parse_sweep((text % ", head_size: 8").encode(), source="s.yaml")

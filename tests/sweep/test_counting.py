"""Parameters and FLOPs, against hand counts, the built model and torch's own counter."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from scaling.sweep.cost_model import SIX_ND, make_ladder_cost, make_table_cost
from scaling.sweep.counting import count_flops_per_token, count_params
from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.ladder import list_ladder
from scaling.sweep.shapes import make_shape

SHAPES = [
    make_shape(256, 128, d_model=24, n_layers=2),
    make_shape(256, 128, d_model=1 * 16, n_layers=1),
    make_shape(256, 64, d_model=3 * 16, n_layers=4),
    make_shape(4096, 32, d_model=64, n_layers=2, head_size=32),
]


def build(shape):
    return Transformer(shape, residual_multiplier=1.0, head_multiplier=1.0)


def test_the_smallest_rung_has_the_counts_computed_by_hand():
    shape = make_shape(256, 128, d_model=1 * 16, n_layers=1)
    # 12·d² + d·V = 3072 + 4096; attention 12·L·d·T = 24576.
    assert count_params(shape, "matmul") == 7168
    assert count_flops_per_token(shape) == 6 * 7168 + 24576
    assert count_params(shape, "non_embedding") == 3072 + 3 * 16 + 2 * 16
    assert count_params(shape, "total") == 3072 + 80 + 2 * 4096


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_are_those_of_the_built_model(shape):
    sizes = {name: parameter.numel() for name, parameter in build(shape).named_parameters()}
    outer = sizes["embedding.weight"] + sizes["head.weight"]
    assert count_params(shape, "total") == sum(sizes.values())
    assert count_params(shape, "non_embedding") == sum(sizes.values()) - outer
    matrices = sum(
        size for name, size in sizes.items() if "norm" not in name and name != "embedding.weight"
    )
    assert count_params(shape, "matmul") == matrices


@pytest.mark.parametrize("shape", SHAPES)
def test_flops_are_those_torch_counts(shape):
    model, batch = build(shape), 2
    tokens_bt = torch.randint(0, shape.vocab_size, (batch, shape.seq_len + 1))
    counter = FlopCounterMode(display=False)
    # Under other backends the counter misses attention FLOPs on a CPU.
    with counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(tokens_bt[:, :-1])
        cross_entropy(logits.flatten(0, 1), tokens_bt[:, 1:].flatten()).backward()
    assert counter.get_total_flops() == count_flops_per_token(shape) * batch * shape.seq_len


def test_half_a_head_more_width_adds_a_whole_head():
    shape = make_shape(256, 128, d_model=24, n_layers=2)
    assert (shape.n_heads, shape.d_attn) == (2, 32)
    # per layer 4·24·32 + 8·24²; the head 24·256
    assert count_params(shape, "matmul") == 2 * (3072 + 4608) + 6144


def test_ladder_grows_by_at_most_half_a_rung():
    ladder = list_ladder(256, 128, max_params=1e9)
    sizes = np.array([count_params(shape, "matmul") for shape in ladder], dtype=float)
    growth = sizes[1:] / sizes[:-1]
    assert growth.min() > 1
    assert growth[1:].max() <= 1.5
    assert growth[0] == 2.5  # from half a head to a whole one


@pytest.mark.parametrize("vocab_size", [256, 4096, 50_000])
@pytest.mark.parametrize("head_size", [16, 64])
def test_ladder_ascends_whatever_the_vocabulary(vocab_size, head_size):
    ladder = list_ladder(vocab_size, 128, head_size=head_size, max_params=3e8)
    sizes = [count_params(shape, "matmul") for shape in ladder]
    assert sizes == sorted(set(sizes))


def test_ladder_cost_is_exact_where_shapes_are_large():
    # Above 1e6 parameters neighbouring rungs differ by less than 1 % in FLOPs per parameter, so a
    # smooth curve must pass within 1 % of them.
    ladder = list_ladder(256, 128, max_params=1e10)
    cost = make_ladder_cost(ladder, "matmul")
    large = [shape for shape in ladder if 1e6 < count_params(shape, "matmul") < 1e9]
    params = np.array([count_params(shape, "matmul") for shape in large], dtype=float)
    exact = np.array([count_flops_per_token(shape) for shape in large], dtype=float)
    np.testing.assert_allclose(cost.flops_per_token(params), exact, rtol=0.01)
    assert cost.max_deviation < 0.25  # at the smallest widths the ladder's cost is a sawtooth


def test_the_tables_cost_recovers_six_nd():
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(7, 10, 40), 10 ** rng.uniform(9, 11, 40)
    cost = make_table_cost(params, tokens, 6 * params * tokens)
    np.testing.assert_allclose(cost.flops_per_token(params), 6 * params, rtol=1e-12)
    np.testing.assert_allclose(SIX_ND.flops_per_token(params), 6 * params, rtol=0)

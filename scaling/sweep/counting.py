"""Every convention for counting parameters and FLOPs, named, one function each.

    C = D · flops_per_token,   flops_per_token = 6·N_matmul + 12·n_layers·d_attn·seq_len

Each matrix parameter costs 2 FLOPs per token in the forward pass and 4 in the backward pass;
attention scores and their use cost 4·d_attn·seq_len per layer forward and twice that backward.
Attention is *not* halved for causality. Source: Kaplan et al. 2020, arXiv:2001.08361, sec. 2.1
(there without the backward split written out); the full-attention convention is that of Hoffmann
et al. 2022, arXiv:2203.15556, appendix F.

Which N enters a law moves its answer (Porian et al. 2024, arXiv:2406.19146), so the convention is
a type: `matmul` (the default), `non_embedding`, `total`. Which C does as well: Kaplan et al. left
out the head's products, `head_flops=False`, which no grid, run or answer here does; `scaling
recipes` shows what it would change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from scaling.sweep.shapes import ModelShape

CountConvention = Literal["matmul", "total", "non_embedding"]
COUNT_CONVENTIONS: tuple[CountConvention, ...] = get_args(CountConvention)

# FLOPs per parameter and token of a matrix product: 2 forward, 4 backward.
FLOPS_PER_PARAM_TOKEN = 6


def count_matmul_params(shape: ModelShape) -> int:
    """Every parameter used in a matrix product: attention, MLP and the head; no lookup table."""
    return _count_block_matrices(shape) + shape.d_model * shape.vocab_size


def count_non_embedding_params(shape: ModelShape) -> int:
    """Every parameter but the lookup embedding and the head: block matrices and norm gains."""
    return _count_block_matrices(shape) + _count_norm_gains(shape)


def count_total_params(shape: ModelShape) -> int:
    """Every parameter that is stored: embedding and head (untied), block matrices, norm gains."""
    return count_non_embedding_params(shape) + 2 * shape.d_model * shape.vocab_size


def count_params(shape: ModelShape, convention: CountConvention) -> int:
    """Parameters of `shape` under the named convention."""
    match convention:
        case "matmul":
            return count_matmul_params(shape)
        case "total":
            return count_total_params(shape)
        case "non_embedding":
            return count_non_embedding_params(shape)


def count_flops_per_token(shape: ModelShape, *, head_flops: bool = True) -> int:
    """Training FLOPs per token, forward and backward, attention not halved for causality.

    Args:
        shape: The model.
        head_flops: Whether the head's products count; False as Kaplan et al. 2020,
            arXiv:2001.08361, did (Porian et al. 2024, arXiv:2406.19146, sec. 3.1).
    """
    attention = 2 * FLOPS_PER_PARAM_TOKEN * shape.n_layers * shape.d_attn * shape.seq_len
    params = count_matmul_params(shape) if head_flops else _count_block_matrices(shape)
    return FLOPS_PER_PARAM_TOKEN * params + attention


def _count_block_matrices(shape: ModelShape) -> int:
    attention = 4 * shape.d_model * shape.d_attn
    mlp = 2 * shape.d_model * shape.d_ff
    return shape.n_layers * (attention + mlp)


def _count_norm_gains(shape: ModelShape) -> int:
    # Two norms a block and a final one over d_model, query and key norms over one head.
    return (2 * shape.n_layers + 1) * shape.d_model + 2 * shape.n_layers * shape.head_size

"""Every convention for counting parameters and FLOPs, one named function each. The closed forms
belong to each family of models (`families/`); a transformer's are

    C = D · flops_per_token,   flops_per_token = 6·N_matmul + 12·n_layers·d_attn·seq_len

Each matrix parameter costs 2 FLOPs per token in the forward pass and 4 in the backward pass;
attention scores and their use cost 4·d_attn·seq_len per layer forward and twice that backward.
Attention is *not* halved for causality. Source: Kaplan et al. 2020, arXiv:2001.08361, sec. 2.1
(there without the backward split written out); the full-attention convention is that of Hoffmann
et al. 2022, arXiv:2203.15556, appendix F.

The count of N in a law moves its answer (Porian et al. 2024, arXiv:2406.19146), so the convention
is a type: `matmul` (the default), `non_embedding`, `total`. So does the count of C: Kaplan et al.
left out the head's products (`head_flops=False`), which no grid, run or answer here does; `scaling
recipes` shows the effect.
"""

from __future__ import annotations

from typing import Literal, get_args

from scaling.sweep.families import FLOPS_PER_PARAM_TOKEN as FLOPS_PER_PARAM_TOKEN
from scaling.sweep.families.registry import family_of
from scaling.sweep.shapes import ModelShape

CountConvention = Literal["matmul", "total", "non_embedding"]
COUNT_CONVENTIONS: tuple[CountConvention, ...] = get_args(CountConvention)


def count_matmul_params(shape: ModelShape) -> int:
    """Number of parameters in matrix products: those of blocks and head, without lookup table."""
    return family_of(shape).counts(shape).matmul


def count_non_embedding_params(shape: ModelShape) -> int:
    """Number of parameters other than the lookup embedding and the head."""
    return family_of(shape).counts(shape).non_embedding


def count_total_params(shape: ModelShape) -> int:
    """Number of stored parameters."""
    return family_of(shape).counts(shape).total


def count_params(shape: ModelShape, convention: CountConvention) -> int:
    """Parameters of a model under a convention.

    Args:
        shape: The model.
        convention: `matmul` (every parameter in a matrix product), `total` (every stored one) or
            `non_embedding` (neither lookup embedding nor head).

    Returns:
        Number of parameters.
    """
    count: int = getattr(family_of(shape).counts(shape), convention)
    return count


def count_flops_per_token(shape: ModelShape, *, head_flops: bool = True) -> int:
    """Training FLOPs per token, forward and backward, attention not halved for causality.

    Args:
        shape: The model.
        head_flops: Whether the head's products count; False as Kaplan et al. 2020,
            arXiv:2001.08361, did (Porian et al. 2024, arXiv:2406.19146, sec. 3.1).

    Returns:
        FLOPs of one training token; C = D times that.

    Source: Kaplan et al. 2020, arXiv:2001.08361, sec. 2.1; full attention: Hoffmann et al. 2022,
    arXiv:2203.15556, appendix F.
    """
    return family_of(shape).flops_per_token(shape, head_flops=head_flops)

"""The one fixed ladder of shapes that a sweep may build.

Width steps by half an attention head. At a width of w heads the depth starts at w layers (rounded
down, 2 at least) and grows by one until the next width is within ×1.5 in matmul parameters, so that
N grows by at most ×1.5 a rung wherever body parameters rule (with bytes: everywhere but from the
first rung, half a head wide, to the second). One layer is
left out: its loss depends on the seed by 6 %; whole heads alone would need 16-wide models of six
layers to bridge the gap to 32 (decision 0004).

The ladder depends on vocabulary, sequence length and head size only, never on a sweep's budgets:
two sweeps that share those share their rungs, and adding budgets or sizes never changes a finished
run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.shapes import ModelShape, make_shape

MAX_GROWTH_PER_RUNG = 1.5  # of N from rung to rung: seven sizes within ÷4 … ×4 (ours)
# Where a large vocabulary makes the head rule, ×1.5 cannot be met by depth; stop deepening here.
MAX_EXTRA_LAYERS = 5
MIN_LAYERS = 2
LARGEST_PARAMS = 1e13  # of a rung: beyond any model trained; the ladder to it has 3000 rungs


def iterate_ladder(vocab_size: int, seq_len: int, *, head_size: int = 16) -> Iterator[ModelShape]:
    """The rungs in ascending N, without end."""
    step = head_size // 2

    def shape_at(d_model: int, extra_layers: int) -> ModelShape:
        return make_shape(
            vocab_size,
            seq_len,
            d_model=d_model,
            n_layers=max(MIN_LAYERS, d_model // head_size) + extra_layers,
            head_size=head_size,
        )

    widest = shape_at(step, 0)
    for d_model in itertools.count(step, step):
        shape, widest = widest, shape_at(d_model + step, 0)
        next_width = count_matmul_params(widest)
        for extra_layers in range(MAX_EXTRA_LAYERS + 1):
            if extra_layers:
                shape = shape_at(d_model, extra_layers)
            params = count_matmul_params(shape)
            if extra_layers and params >= next_width:
                break
            yield shape
            # Below a whole head, attention costs more than all parameters: deeper is no bridge.
            if next_width <= MAX_GROWTH_PER_RUNG * params or d_model < head_size:
                break


@functools.lru_cache(maxsize=8)  # its cost model and the answers take the same one
def list_ladder(
    vocab_size: int, seq_len: int, *, head_size: int = 16, max_params: float
) -> tuple[ModelShape, ...]:
    """The rungs with at most `max_params` matmul parameters, ascending."""
    rungs: list[ModelShape] = []
    for shape in iterate_ladder(vocab_size, seq_len, head_size=head_size):
        if count_matmul_params(shape) > max_params:
            return tuple(rungs)
        rungs.append(shape)
    raise AssertionError("the ladder has no end")

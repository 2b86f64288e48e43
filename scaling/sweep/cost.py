"""What a plan costs: FLOPs and memory by arithmetic, seconds only from a measured rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaling.sweep.counting import count_total_params
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import count_spent_flops

_FLOAT_BYTES = 4
# Weights, gradients and AdamW's two moments, in float32.
_COPIES_OF_PARAMS = 4
# Activations kept for the backward pass, per token and layer, in units of d_model floats: two
# normed inputs and the residual (3), q, k, v before and after norm and rotation (8), attention
# output (2), MLP before and after ReLU² (3 · 4). Rounded up; checked against a measured run in
# tests/sweep/test_cost.py.
_ACTIVATIONS_PER_LAYER = 28
_LOGITS_COPIES = 3  # logits, log-softmax, gradient
# Evaluated at once: 8192 tokens of 256 logits are 8 MB, and larger batches gain nothing on a CPU.
_EVALUATED_TOKENS, _EVALUATED_LOGITS = 8192, 8192 * 256
_PROCESS_BYTES = 550 * 2**20  # a worker that has imported torch (PERFORMANCE: 544 MiB)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTotals:
    """Sums over the runs that a plan would train.

    Attributes:
        runs: How many.
        flops: Training FLOPs, as if each from nothing.
        flops_spent: FLOPs that are computed, where runs of one model share a trunk.
        tokens: Training tokens.
        peak_bytes: Largest memory of one run.
    """

    runs: int
    flops: int
    flops_spent: int
    tokens: int
    peak_bytes: int


def sum_costs(runs: Iterable[RunSpec], *, share_trunks: bool = False) -> PlanTotals:
    """Totals over distinct runs."""
    distinct = {run.run_id: run for run in runs}.values()
    flops = sum(run.flops for run in distinct)
    return PlanTotals(
        runs=len(distinct),
        flops=flops,
        flops_spent=sum(count_spent_flops(distinct).values()) if share_trunks else flops,
        tokens=sum(run.tokens for run in distinct),
        peak_bytes=max((estimate_memory(run) for run in distinct), default=0),
    )


def count_evaluated_windows(vocab_size: int, seq_len: int) -> int:
    """Held-out windows of one forward pass: fewer where a large vocabulary makes logits many."""
    return max(1, min(_EVALUATED_TOKENS, _EVALUATED_LOGITS // vocab_size) // seq_len)


def estimate_memory(run: RunSpec) -> int:
    """Bytes one training process needs, rounded up; float32 throughout."""
    shape, tokens = run.shape, run.recipe.batch_sequences * run.shape.seq_len
    activations = tokens * shape.n_layers * shape.d_model * _ACTIVATIONS_PER_LAYER
    evaluated = count_evaluated_windows(shape.vocab_size, shape.seq_len) * shape.seq_len
    logits = max(tokens, evaluated) * shape.vocab_size * _LOGITS_COPIES
    floats = _COPIES_OF_PARAMS * count_total_params(shape) + activations + logits
    return _PROCESS_BYTES + _FLOAT_BYTES * floats

"""Memory that one run takes on a GPU, predicted before a share of one is promised.

    context + 4 · 4 · N + activations · batch · seq_len + logits + held-out logits

in bytes; N every stored parameter (weights, gradients and two moments in float32). What is kept for
the backward pass is less than on the processor per value and more in number: torch keeps what each
of its operations read, products with weights keep bfloat16 where precision is mixed.
"""

from __future__ import annotations

from collections.abc import Iterable

from scaling.errors import SpecError
from scaling.sweep.cost import count_evaluated_windows
from scaling.sweep.counting import count_matmul_params, count_total_params
from scaling.sweep.families.registry import family_of
from scaling.sweep.runspec import RunSpec
from scaling.units import Precision, format_count

# CUDA's context, cuBLAS' workspace and loaded kernels, outside torch's allocator. Assumed, not
# measured.
CONTEXT_BYTES = 2**30
_PARAM_BYTES = 4 * 4
# Per token and vocabulary entry, kept for the backward pass.
_LOGIT_BYTES = 3 * 4
# The allocator rounds blocks up and cannot always merge free ones. Assumed, not measured.
_FRAGMENTATION = 1.1


def estimate_gpu_memory(run: RunSpec, precision: Precision) -> int:
    """Bytes of a GPU that training one run takes, rounded up."""
    shape = run.shape
    tokens = run.recipe.batch_sequences * shape.seq_len
    held_out = count_evaluated_windows(shape.vocab_size, shape.seq_len) * shape.seq_len
    activations = family_of(shape).activation_bytes(
        shape, tokens, device="cuda", precision=precision
    )
    # A captured step keeps its memory, so evaluation's comes on top.
    logits = (tokens + held_out) * shape.vocab_size * _LOGIT_BYTES
    numbers = _PARAM_BYTES * count_total_params(shape) + activations + logits
    return CONTEXT_BYTES + round(_FRAGMENTATION * numbers)


def check_gpu_memory(
    runs: Iterable[RunSpec], precision: Precision, *, share: float, memory: int, name: str
) -> None:
    """Refuse a promise that cannot be kept.

    Args:
        runs: What will be trained.
        precision: Precision of products.
        share: Share of the GPU that each may use.
        memory: The GPU's [bytes].
        name: The GPU's.

    Raises:
        SpecError: The largest run needs more than its share.
    """
    need, largest = max(
        ((estimate_gpu_memory(run, precision), run) for run in runs), key=lambda pair: pair[0]
    )
    if need <= share * memory:
        return
    fits = need / memory
    advice = f"Raise it to at least {fits:.2f}" if fits <= 1 else "Ask for smaller models"
    raise SpecError(
        [
            f"a model of {format_count(count_matmul_params(largest.shape))} parameters needs about "
            f"{need / 2**30:.1f} GiB to train; {share:g} of {name} is {share * memory / 2**30:.1f} "
            f"GiB. {advice}, or for a smaller batch."
        ]
    )

"""How fast a step of the GPU's engine is, from tiny shapes to more than 100M parameters.

    python benchmarks/train_step.py --device cuda
    python benchmarks/train_step.py --device cpu --shapes g1 --rounds 1    # the same code, tried

Against what a first script for a GPU would do: a plain GPT under bfloat16 autocast, eager, fused
AdamW, the gradient clipped. Ours has float32 residual stream, norms and sums and is deterministic;
it is shown recorded (as a CUDA graph), and with torch.compile, whose seconds are the last column.
MFU is of the best bfloat16 matrix product measured on the same device, attention counted in full.
"""

import gc
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from step_parts import draw_tokens, make_engine_step, make_plain_step, make_run, measure

from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.shapes import ModelShape, make_shape
from scaling.training.device import choose_clock, describe_device
from scaling.training.engines.cuda import CudaEngine
from scaling.training.peak import measure_peak
from scaling.units import format_count

# (name, width, layers, sequence, vocabulary, head size, sequences per step)
SHAPES = (
    ("g1", 64, 2, 256, 256, 16, 16),
    ("g2", 256, 6, 512, 4096, 32, 16),
    ("g3", 512, 8, 1024, 8192, 64, 16),
    ("g4", 768, 12, 1024, 50_304, 64, 16),  # 124M
    ("g5", 1280, 24, 1024, 50_304, 64, 8),  # 536M
    ("g6", 2048, 24, 1024, 50_304, 128, 4),  # 1.3B
)
_SECONDS = 0.5  # seconds per variant and round


def compare_on(device: str, names: Sequence[str], rounds: int) -> None:
    """The table, on `cuda` or `cpu`."""
    peak = measure_peak(device, torch.bfloat16)
    about = ", ".join(f"{name} {value}" for name, value in describe_device(device).items())
    print(f"{about}; bfloat16 matrix product at best: {peak / 1e12:.3g} TFLOP/s\n")
    print(
        "shape  parameters   tokens/s: autocast           recorded           compiled   compiling"
    )
    for name, width, layers, length, vocab, head, sequences in SHAPES:
        if names and name not in names:
            continue
        shape = make_shape(vocab, length, d_model=width, n_layers=layers, head_size=head)
        tokens = draw_tokens(shape, sequences)
        took, compiling = _time_variants(shape, tokens, device, rounds)
        worth = count_flops_per_token(shape) * tokens[:, 1:].size / peak
        cells = [
            f"{tokens[:, 1:].size / seconds:>10,.0f} ({worth / seconds:4.0%})"
            for seconds in took.values()
        ]
        params = format_count(count_matmul_params(shape))
        print(f"{name:<6} {params:>10} {'  '.join(cells)}   {compiling:.0f} s", flush=True)


def _time_variants(
    shape: ModelShape, tokens: np.ndarray, device: str, rounds: int
) -> tuple[dict[str, float], float]:
    """Median seconds of a step, one variant after the other (a GPU may not hold two at once), and
    the seconds that compiling took."""
    run, clock, took = make_run(shape, len(tokens)), choose_clock(device), {}
    compiling = 0.0
    makers: dict[str, Callable[[], Callable[[np.ndarray], None]]] = {
        "autocast": lambda: make_plain_step(shape, device, autocast=True),
        "recorded": lambda: make_engine_step(CudaEngine(run, device=device, half=True)),
        "compiled": lambda: make_engine_step(
            CudaEngine(run, device=device, half=True, compiled=True)
        ),
    }
    for name, make in makers.items():
        step = make()
        begun = time.perf_counter()
        step(tokens)
        clock()
        compiling = time.perf_counter() - begun
        took |= measure({name: step}, tokens, clock=clock, rounds=rounds, seconds=_SECONDS)
        del step
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    return took, compiling

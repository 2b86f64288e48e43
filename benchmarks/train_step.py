"""How fast a training step is, against a plain eager GPT of the same shape, in one run.

    OMP_NUM_THREADS=1 python benchmarks/train_step.py              # S1 to S4 and the quickstart's
    OMP_NUM_THREADS=1 python benchmarks/train_step.py --pair       # two runs on two cores
    python benchmarks/train_step.py --device cuda                  # tokens/s and MFU of a GPU

The plain step is what a first script would do: LayerNorm, GELU, learned positions, biases, float32,
torch's attention, AdamW over separate tensors, the gradient clipped. Both steps see the same shape
(width, layers, heads, sequence, vocabulary) and tokens per step. Rounds alternate, and the median
of process CPU time counts, because machines are shared: quote ratios.

FLOP/s count attention in full, as everywhere (scaling/sweep/counting.py); compiled code computes
only the causal half of it, so its share of the peak is of what a step is worth, not of what it
executes.
"""

import argparse
import concurrent.futures
import platform
import statistics
import time

import torch
from step_parts import draw_tokens, make_engine_step, make_plain_step, make_run, measure

from scaling.ledger.machine import name_processor
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.shapes import make_shape
from scaling.training.engines.eager import EagerEngine
from scaling.training.engines.fused import FusedEngine
from scaling.training.peak import measure_peak

# (name, width, layers, sequence, vocabulary, sequences per step): five of 2048 tokens a
# step, and cells of the quickstart.
SHAPES = (
    ("S1", 64, 2, 128, 256, 16),
    ("S2", 128, 4, 128, 256, 16),
    ("S2v", 128, 4, 128, 4096, 16),
    ("S3", 256, 6, 256, 4096, 8),
    ("S4", 384, 8, 256, 4096, 8),
    ("q8", 8, 2, 128, 256, 2),
    ("q16", 16, 2, 128, 256, 3),
    ("q24", 24, 3, 128, 256, 1),
    ("q40", 40, 3, 128, 256, 2),
    ("q56", 56, 3, 128, 256, 1),
)


def compare(names: list[str], rounds: int) -> None:
    """The table on a CPU."""
    peak = measure_peak("cpu", torch.float32)
    print(f"float32 matrix product at best: {peak / 1e9:.0f} GFLOP/s on one thread\n")
    print(
        "shape  d/layers/seq/vocab tokens/s: plain   torch compiled (ratio, of peak) mixed (ratio)"
    )
    ratios: dict[str, list[float]] = {"S": [], "S mixed": [], "q": []}
    for name, width, layers, length, vocab, sequences in SHAPES:
        if names and name not in names:
            continue
        shape = make_shape(vocab, length, d_model=width, n_layers=layers)
        run, tokens = make_run(shape, sequences), draw_tokens(shape, sequences)
        fused = FusedEngine(run)
        steps = {
            "plain": make_plain_step(shape, "cpu"),
            "torch": make_engine_step(EagerEngine(run)),
            "compiled": make_engine_step(fused),
            "mixed": make_engine_step(FusedEngine(run, half=True)),
            "forward": lambda ids, engine=fused: engine.measure_losses(ids),
            "update": lambda _, engine=fused: engine.update(1.0),
        }
        took = measure(steps, tokens, clock=time.process_time, rounds=rounds, seconds=0.1)
        rate = {key: sequences * length / value for key, value in took.items()}
        ratio, mixed = (took["plain"] / took[key] for key in ("compiled", "mixed"))
        ratios[name[0]].append(ratio)
        if name[0] == "S":
            ratios["S mixed"].append(mixed)
        worth = count_flops_per_token(shape) * rate["compiled"] / peak
        whole = f"{width}/{layers}/{length}/{vocab}"
        print(
            f"{name:<6} {whole:<18} {rate['plain']:>15,.0f} {rate['torch']:>7,.0f} "
            f"{rate['compiled']:>9,.0f} ({ratio:5.2f}, {worth:4.0%}) {rate['mixed']:>11,.0f} "
            f"({mixed:.2f})   forward {took['forward'] / took['compiled']:.0%} of a compiled step, "
            f"update {took['update'] / took['compiled']:.0%}",
            flush=True,
        )
    named = (("S", "S1 to S4"), ("S mixed", "S1 to S4, mixed"), ("q", "the quickstart's"))
    for kind, what in named:
        if ratios[kind]:
            print(f"geometric mean over {what}: {statistics.geometric_mean(ratios[kind]):.2f}")


def train_for(seconds: float) -> float:
    """Tokens a second of wall clock of one run of shape S2."""
    torch.set_num_threads(1)
    _, width, layers, length, vocab, sequences = SHAPES[1]
    shape = make_shape(vocab, length, d_model=width, n_layers=layers)
    step = make_engine_step(FusedEngine(make_run(shape, sequences)))
    tokens = draw_tokens(shape, sequences)
    step(tokens)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step(tokens)
        count += 1
    return count * sequences * length / (time.perf_counter() - begun)


def compare_pair(seconds: float) -> None:
    """Two runs on two cores against one, in turns."""
    alone, both = [], []
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        list(pool.map(train_for, [0.5, 0.5]))
        for _ in range(5):
            alone.append(pool.submit(train_for, seconds).result())
            both.append(sum(pool.map(train_for, [seconds, seconds])))
    one, two = statistics.median(alone), statistics.median(both)
    print(f"one run {one:,.0f} tokens/s, two at once {two:,.0f} together: {two / one:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shapes", nargs="*", default=[], help="of the table; all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pair", action="store_true", help="two processes at once against one")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="the engine of GPUs: gpu_step.py")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vectors = torch.backends.cpu.get_cpu_capability()  # widest vector unit that torch detects
    print(f"{name_processor()}, {vectors}; torch {torch.__version__}; {platform.platform()}")
    if asked.device:
        from gpu_step import compare_on

        compare_on(asked.device, asked.shapes, asked.rounds)
    elif asked.pair:
        compare_pair(2.0)
    else:
        compare(asked.shapes, asked.rounds)


if __name__ == "__main__":
    main()

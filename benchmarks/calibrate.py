"""Loss of one model at one budget over a product of recipe values and seeds: the bracket by hand.

    python benchmarks/calibrate.py --width 32 --layers 2 --flops 1e11 \
        --learning-rate 0.004 0.008 0.016 --batch 1 2 4 --seeds 0 1 2

    python benchmarks/calibrate.py --tokenizer bpe:2048 --seq-len 40 --width 16 --layers 2 \
        --flops 2e10 --learning-rate-factor 0.5 1 2

Prints one row per setting: mean and standard deviation of the held-out loss over the seeds, the
standard deviation of its difference from the first setting seed by seed, and CPU seconds per run.
DECISIONS.md ("Recipe constants") holds what it gave.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from scaling.data.shards import prepare_corpus
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape, make_shape
from scaling.sweep.spec import RecipeSpec
from scaling.units import Precision

CACHE = Path(tempfile.gettempdir()) / "scaling-calibration"


def train_once(
    job: tuple[ModelShape, float, RecipeSpec, int, Precision, str],
) -> tuple[float | None, float]:
    """Held-out loss [nats/token] (None if diverged) and CPU seconds of one run."""
    from scaling.training.trainer import train_run

    shape, flops, asked, seed, precision, tokenizer = job
    corpus = prepare_corpus("python-stdlib", tokenizer=tokenizer, base=Path(), cache=CACHE)
    tokens = flops / count_flops_per_token(shape)
    run = RunSpec(
        shape=shape,
        recipe=decide_recipe(shape, tokens, asked),
        data_digest=corpus.facts.digest,
        seed=seed,
    )
    started = time.process_time()
    with tempfile.TemporaryDirectory() as attempt:
        measured = train_run(
            run,
            corpus=corpus.folder,
            attempt=Path(attempt),
            resume=(),
            keep_weights=False,
            should_stop=lambda: False,
            report=lambda tokens, loss: None,
            precision=precision,
        )
    return measured.loss, time.process_time() - started


def main() -> None:
    """Run the product and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--flops", type=float, default=1e11)
    parser.add_argument("--tokenizer", default="bytes")
    parser.add_argument("--seq-len", type=int, default=128, help="tokens")
    parser.add_argument("--learning-rate", type=float, nargs="*", default=[None])
    parser.add_argument(
        "--learning-rate-factor", type=float, nargs="*", help="of the rule's, at the rule's batch"
    )
    parser.add_argument("--batch", type=int, nargs="*", default=[None])
    parser.add_argument("--beta2", type=float, nargs="*", default=[None])
    parser.add_argument("--decay-fraction", type=float, nargs="*", default=[None])
    parser.add_argument("--warmup-fraction", type=float, nargs="*", default=[None])
    parser.add_argument("--precision", nargs="*", default=["float32"], help="float32, mixed")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    asked = parser.parse_args()
    corpus = prepare_corpus("python-stdlib", tokenizer=asked.tokenizer, base=Path(), cache=CACHE)
    shape = make_shape(
        corpus.facts.vocab_size, asked.seq_len, d_model=asked.width, n_layers=asked.layers
    )
    tokens = asked.flops / count_flops_per_token(shape)
    if asked.learning_rate_factor:
        by_rule = decide_recipe(shape, tokens, RecipeSpec()).learning_rate
        asked.learning_rate = [factor * by_rule for factor in asked.learning_rate_factor]
    settings = list(
        itertools.product(
            asked.learning_rate,
            asked.batch,
            asked.beta2,
            asked.decay_fraction,
            asked.warmup_fraction,
        )
    )
    names = ("learning_rate", "batch_sequences", "beta2", "decay_fraction", "warmup_fraction")
    specs = [RecipeSpec(**dict(zip(names, values, strict=True))) for values in settings]
    rows_of = list(itertools.product(specs, asked.precision))
    jobs = [
        (shape, asked.flops, spec, seed, precision, asked.tokenizer)
        for spec, precision in rows_of
        for seed in asked.seeds
    ]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(train_once, jobs))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs; ", end="")
    print(f"N = {count_matmul_params(shape)}, C = {asked.flops:g}, ", end="")
    print(f"{asked.tokenizer}, seeds {asked.seeds}")
    print("| learning rate | batch | beta2 | decay | warmup steps | precision ", end="")
    print("| mean loss | sd | of difference | CPU s a run |")
    print("|---" * 10 + "|")
    first = [loss for loss, _ in results[: len(asked.seeds)]]
    for index, (spec, precision) in enumerate(rows_of):
        rows = results[index * len(asked.seeds) : (index + 1) * len(asked.seeds)]
        losses = [loss for loss, _ in rows if loss is not None]
        pairs = zip(first, (loss for loss, _ in rows), strict=True)
        apart = [other - one for one, other in pairs if one is not None and other is not None]
        recipe = decide_recipe(shape, tokens, spec)
        mean = f"{statistics.mean(losses):.4f}" if losses else "diverged"
        spread = f"{statistics.stdev(losses):.4f}" if len(losses) > 1 else "–"
        moved = f"{statistics.stdev(apart):.4f}" if len(apart) > 1 else "–"
        print(
            f"| {recipe.learning_rate:g} | {recipe.batch_sequences} | {recipe.beta2:g} "
            f"| {recipe.decay_steps / recipe.steps:.2f} | {recipe.warmup_steps} | {precision} "
            f"| {mean} | {spread} | {moved} "
            f"| {statistics.mean(seconds for _, seconds in rows):.1f} |"
        )


if __name__ == "__main__":
    main()

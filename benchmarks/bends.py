"""What bends the law on code: one experiment for each suspect, with what each predicts.

    python benchmarks/bends.py copying [--seeds 4]
    python benchmarks/bends.py recipe [--seeds 4] [--novels FOLDER]

On Python code the local exponent of the lowest loss, −d ln L / d ln C between adjacent budgets,
rises from 3e10 to 6.5e11 FLOPs, where a sum of power laws and a floor only lets it fall.

copying  Models with windows of 16 and 128 bytes, of one and of two layers (copying takes two:
         arXiv:2209.11895), at three sizes about each budget's optimum. The held-out loss of
         windows of 128 is split by the longest n-gram (3, 5, 8), ended by the predicted byte, that
         occurred earlier in the window. Copying predicts that the rise is gone with windows of 16,
         with one layer, and where nothing occurred before (0).
recipe   Clipping on and off, a warmup of 10 and of 40 % of the run, at the five optima. The recipe
         predicts that some setting lowers both ends against the middle.

Prints the lowest loss of each budget (a parabola through the sizes' means in ln N) with a standard
error over seeds, and the local exponents. A third suspect, the range, is an ordinary sweep.
"""

import argparse
import math
import os
import statistics
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise

import numpy as np
from calibrate import prepare, train

from scaling.data.batches import list_validation_windows
from scaling.data.shards import PreparedCorpus, open_shards
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.shapes import make_shape
from scaling.units import FloatArray, IntArray

BUDGETS = (3e10, 6.5e10, 1.4e11, 3e11, 6.5e11)
# Widths around the optimum of each budget.
WIDTHS = {
    (128, 2): ((8, 16, 24), (16, 24, 32), (16, 24, 32), (16, 24, 32, 40), (24, 32, 40)),
    (128, 1): ((16, 24, 32), (16, 24, 32), (16, 24, 40), (24, 40, 56), (24, 40, 56)),
    (16, 2): ((8, 16, 24), (16, 24, 32), (16, 24, 32), (24, 32, 40), (24, 40, 56)),
    (16, 1): ((16, 24, 32), (16, 24, 32), (24, 32, 40), (24, 40, 56), (32, 48, 64)),
}
OPTIMA = ((16, 2), (16, 2), (24, 2), (32, 2), (40, 2))  # (width, layers) for each budget
GRAMS = (3, 5, 8)
MATCHES = (0, *GRAMS)  # bytes are grouped by the longest n-gram seen before
SPLIT_FROM = 64  # tokens: shorter windows contain few copies
_AT_ONCE = 64  # windows per evaluation batch


def find_match(windows: IntArray) -> IntArray:
    """Length of the longest n-gram ending in each predicted byte that occurred in its window
    before.

    Args:
        windows: Bytes, shape (b, t + 1).

    Returns:
        For each predicted byte the longest of GRAMS whose n-gram, which that byte ends, occurred
        earlier in the window; 0 where none did. Shape (b, t).
    """
    match = np.zeros((len(windows), windows.shape[1] - 1), dtype=np.int64)
    for length in GRAMS:  # ascending, so that the longest one remains
        grams = np.lib.stride_tricks.sliding_window_view(windows.astype(np.uint64), length, axis=1)
        grams = grams @ (256 ** np.arange(length, dtype=np.uint64))  # one integer per n-gram
        for end in range(1, grams.shape[1]):
            seen = (grams[:, :end] == grams[:, end : end + 1]).any(axis=1)
            match[seen, end + length - 2] = length
    return match


def measure_split(
    corpus: PreparedCorpus, width: int, layers: int, seq_len: int, flops: float, seed: int
) -> tuple[float, ...]:
    """Held-out loss of one model [nats/byte]: of all bytes, and of those of each match.

    The latter are NaN where windows are too short to hold a copy.
    """
    from scaling.training.engines import build_engine

    shape = make_shape(256, seq_len, d_model=width, n_layers=layers)
    trained = train(shape, flops, RecipeSpec(), seed=seed, corpus=corpus, keep_weights=True)
    if seq_len < SPLIT_FROM or trained.weights is None:
        return trained.loss, *[math.nan] * len(MATCHES)
    engine = build_engine(trained.run)
    engine.model.load_state_dict(trained.weights)
    shards = open_shards(corpus.folder)
    starts, _ = list_validation_windows(shards, seq_len=seq_len)
    sums, counts = np.zeros(len(MATCHES)), np.zeros(len(MATCHES))
    for first in range(0, len(starts), _AT_ONCE):
        at = starts[first : first + _AT_ONCE, None] + np.arange(seq_len + 1)
        windows = shards.validation[at].astype(np.int64)
        match, losses = find_match(windows), engine.measure_losses(windows)
        for index, length in enumerate(MATCHES):
            sums[index] += np.sum(losses[match == length])
            counts[index] += np.sum(match == length)
    return trained.loss, *(sums / counts).tolist()


def find_lowest(sizes: Sequence[float], losses: FloatArray) -> tuple[float, float]:
    """Lowest loss [nats/byte] of a budget and its standard error.

    A parabola through the mean loss of each size in ln N; the smallest mean where its minimum lies
    outside. The error is that of leaving seeds out one by one.

    Args:
        sizes: N, ascending, shape (k,).
        losses: Shape (k, seeds).
    """
    x = np.log(sizes)

    def lowest(means: FloatArray) -> float:
        a, b, c = np.polyfit(x - x.mean(), means, 2)
        vertex = -b / (2 * a) if a > 0 else math.inf
        inside = x[0] <= vertex + x.mean() <= x[-1]
        return float(c - b * b / (4 * a)) if inside else float(means.min())

    seeds = losses.shape[1]
    left_out = [lowest(np.delete(losses, one, axis=1).mean(axis=1)) for one in range(seeds)]
    error = math.sqrt((seeds - 1) / seeds * np.sum((left_out - np.mean(left_out)) ** 2))
    return lowest(losses.mean(axis=1)), error


def show_exponents(label: str, lowest: Sequence[tuple[float, float]]) -> None:
    """One row: the lowest losses, and the local exponents between adjacent budgets."""
    losses = " ".join(f"{loss:.4f}({error:.4f})" for loss, error in lowest)
    exponents = []
    for at, (left, right) in enumerate(pairwise(lowest)):
        step = math.log(BUDGETS[at + 1] / BUDGETS[at])
        slope = math.log(left[0] / right[0]) / step
        error = math.hypot(left[1] / left[0], right[1] / right[0]) / step
        exponents.append(f"{slope:.3f}({error:.3f})")
    print(f"| {label} | {losses} | {' '.join(exponents)} |", flush=True)


def run_copying(pool: ProcessPoolExecutor, seeds: int, windows: Sequence[int]) -> None:
    corpus = prepare(())
    futures = {
        (window, layers, flops, width, seed): pool.submit(
            measure_split, corpus, width, layers, window, flops, seed
        )
        for (window, layers), rows in WIDTHS.items()
        if window in windows
        for seed in range(seeds)
        for flops, widths in zip(BUDGETS, rows, strict=True)
        for width in widths
    }
    print("| window, layers, n-gram | lowest loss by budget | local exponents |\n|---|---|---|")
    for (window, layers), rows in WIDTHS.items():
        if window not in windows:
            continue
        for at, match in enumerate(("all", *MATCHES)):
            if at and window < SPLIT_FROM:
                continue
            lowest = []
            for flops, widths in zip(BUDGETS, rows, strict=True):
                shapes = [make_shape(256, window, d_model=one, n_layers=layers) for one in widths]
                losses = [
                    [
                        futures[window, layers, flops, one, seed].result()[at]
                        for seed in range(seeds)
                    ]
                    for one in widths
                ]
                sizes = [count_matmul_params(shape) for shape in shapes]
                lowest.append(find_lowest(sizes, np.array(losses)))
            show_exponents(f"{window}, {layers}, {match}", lowest)


def run_recipe(pool: ProcessPoolExecutor, seeds: int, novels: str | None) -> None:
    settings = [
        RecipeSpec(clip_norm=clip, warmup_fraction=warmup)
        for clip in (1.0, 1e9)
        for warmup in (0.1, 0.4)
    ]
    for text in ((), (novels,)) if novels else ((),):
        corpus = prepare(text)
        runs: dict[tuple[str, float], list[Future[tuple[float, float]]]] = {}
        for spec in settings:
            for (width, layers), flops in zip(OPTIMA, BUDGETS, strict=True):
                runs[spec.model_dump_json(), flops] = [
                    pool.submit(_train_one, corpus, width, layers, flops, spec, seed)
                    for seed in range(seeds)
                ]
        print(f"\n{'novels' if text else 'code'}: loss (standard error), change, clipped steps")
        for spec in settings:
            print(f"| clip {spec.clip_norm:g}, warmup {spec.warmup_fraction:.0%} ", end="")
            for flops in BUDGETS:
                found = [future.result() for future in runs[spec.model_dump_json(), flops]]
                first = [one.result()[0] for one in runs[settings[0].model_dump_json(), flops]]
                losses = [loss for loss, _ in found]
                mean, error = statistics.mean(losses), statistics.stdev(losses) / seeds**0.5
                change = 100 * math.log(mean / statistics.mean(first))
                clipped = statistics.mean(share for _, share in found)
                print(f"| {mean:.4f}({error:.4f}) {change:+.1f} % {clipped:.0%} ", end="")
            print("|", flush=True)


def _train_one(
    corpus: PreparedCorpus, width: int, layers: int, flops: float, spec: RecipeSpec, seed: int
) -> tuple[float, float]:
    shape = make_shape(256, 128, d_model=width, n_layers=layers)
    trained = train(shape, flops, spec, seed=seed, corpus=corpus)
    return trained.loss, trained.clipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=("copying", "recipe"))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument(
        "--windows", type=int, nargs="+", default=[16, 128], help="copying: of these"
    )
    parser.add_argument("--novels", help="a folder of text: the recipe's experiment on it as well")
    asked = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        if asked.experiment == "copying":
            run_copying(pool, asked.seeds, asked.windows)
        else:
            run_recipe(pool, asked.seeds, asked.novels)


if __name__ == "__main__":
    main()

"""What a trunk costs: one recipe for every horizon of a model, against a recipe for each.

    python benchmarks/horizon.py [--seeds 8] [--params 1e4] [--ratios 0.1667 6] [--root .]

For a model of about N parameters, D is taken at stated multiples of the trunk's reference horizon
(20 tokens per parameter) and trained with the recipe of that D and with the recipe of the
reference. Printed: mean held-out loss of each, its standard error, and the difference in percent
of the loss. Needs the corpus of the quickstart under root/results/.cache (run it once).
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from scaling.data.shards import prepare_corpus
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.execution import Execution
from scaling.sweep.ladder import list_ladder
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec, ScheduleSpec
from scaling.sweep.runspec import RunSpec


def train(run: RunSpec, corpus: Path) -> float:
    from scaling.training.trainer import train_run

    with tempfile.TemporaryDirectory() as folder:
        measured = train_run(
            run,
            corpus=corpus,
            attempt=Path(folder),
            resume=(),
            execution=Execution(keep_weights=False),
            should_stop=lambda: False,
            report=lambda tokens, loss: None,
        )
    return float("nan") if measured.loss is None else measured.loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--params", type=float, nargs="+", default=[1e4])
    parser.add_argument("--ratios", type=float, nargs="+", default=[1 / 6, 6.0])
    parser.add_argument("--root", type=Path, default=Path())
    asked = parser.parse_args()
    cache = asked.root / "results" / ".cache" / "corpora"
    corpus = prepare_corpus("python-stdlib", base=asked.root, cache=cache)
    ladder = list_ladder(256, 128, max_params=4 * max(asked.params))
    print(f"machine: {platform.processor() or platform.machine()}, {asked.seeds} seeds")
    for wished in asked.params:
        shape = min(ladder, key=lambda rung: abs(np.log(count_matmul_params(rung) / wished)))
        reference = ScheduleSpec().trunk_tokens_per_param * count_matmul_params(shape)
        for ratio in asked.ratios:
            losses = []
            for name, horizon in (("own", None), ("reference", reference)):
                recipe = decide_recipe(shape, ratio * reference, RecipeSpec(), horizon=horizon)
                digest = corpus.facts.digest
                runs = [
                    RunSpec(shape=shape, recipe=recipe, data_digest=digest, seed=seed)
                    for seed in range(asked.seeds)
                ]
                begun = time.monotonic()
                with ProcessPoolExecutor() as pool:
                    found = np.array(list(pool.map(train, runs, [corpus.folder] * len(runs))))
                losses.append(found)
                error = found.std(ddof=1) / np.sqrt(found.size)
                print(
                    f"N {count_matmul_params(shape)} D/D_ref {ratio:.3g} recipe of {name:9s} "
                    f"batch {recipe.batch_sequences} steps {recipe.steps} warmup "
                    f"{recipe.warmup_steps} lr {recipe.learning_rate:.3g}: loss "
                    f"{found.mean():.4f} ± {error:.4f} ({time.monotonic() - begun:.0f} s)",
                    flush=True,
                )
            difference = np.log(losses[1] / losses[0])  # of the same seed
            error = difference.std(ddof=1) / np.sqrt(difference.size)
            print(f"  the trunk's recipe costs {difference.mean():+.2%} ± {error:.2%}", flush=True)


if __name__ == "__main__":
    main()

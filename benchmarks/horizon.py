"""What a trunk costs: one recipe for every horizon of a model, against a recipe for each.

    python benchmarks/horizon.py [--seeds 8] [--params 1e4] [--ratios 0.1667 6]

For a model of about N parameters, D is taken at stated multiples of the trunk's reference horizon
(20 tokens per parameter) and trained with the recipe of that D and with the recipe of the
reference. Printed: mean held-out loss of each, its standard error, and the difference in percent
of the loss, on the corpus of the quickstart.
"""

import argparse
import time
from concurrent.futures import Future, ProcessPoolExecutor

import numpy as np
from calibrate import Trained, prepare, train

from scaling.ledger.machine import name_processor
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.ladder import list_ladder
from scaling.sweep.recipe_spec import RecipeSpec, ScheduleSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--params", type=float, nargs="+", default=[1e4])
    parser.add_argument("--ratios", type=float, nargs="+", default=[1 / 6, 6.0])
    asked = parser.parse_args()
    corpus = prepare(())
    ladder = list_ladder(256, 128, max_params=4 * max(asked.params))
    print(f"machine: {name_processor()}, {asked.seeds} seeds")
    for wished in asked.params:
        shape = min(ladder, key=lambda rung: abs(np.log(count_matmul_params(rung) / wished)))
        reference = ScheduleSpec().trunk_tokens_per_param * count_matmul_params(shape)
        for ratio in asked.ratios:
            losses, flops = [], ratio * reference * count_flops_per_token(shape)
            for name, horizon in (("own", None), ("reference", reference)):
                begun = time.monotonic()
                with ProcessPoolExecutor() as pool:
                    runs: list[Future[Trained]] = [
                        pool.submit(
                            train, shape, flops, RecipeSpec(),
                            seed=seed, corpus=corpus, horizon=horizon,
                        )
                        for seed in range(asked.seeds)
                    ]  # fmt: skip
                recipe = runs[0].result().run.recipe
                found = np.array([run.result().loss for run in runs])
                losses.append(found)
                error = found.std(ddof=1) / np.sqrt(found.size)
                print(
                    f"N {count_matmul_params(shape)} D/D_ref {ratio:.3g} recipe of {name:9s} "
                    f"batch {recipe.batch_sequences} steps {recipe.steps} warmup "
                    f"{recipe.warmup_steps} lr {recipe.learning_rate:.3g}: loss "
                    f"{found.mean():.4f} ± {error:.4f} ({time.monotonic() - begun:.0f} s)",
                    flush=True,
                )
            difference = np.log(losses[1] / losses[0])  # paired by seed
            error = difference.std(ddof=1) / np.sqrt(difference.size)
            print(f"  the trunk's recipe costs {difference.mean():+.2%} ± {error:.2%}", flush=True)


if __name__ == "__main__":
    main()

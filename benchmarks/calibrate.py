"""Loss of models at given budgets over a product of recipe values and seeds: the bracket by hand.

    python benchmarks/calibrate.py --cells 32x2@1e11 \
        --learning-rate 0.004 0.008 0.016 --batch 1 2 4 --seeds 0 1 2

    python benchmarks/calibrate.py --cells 48x3@6.5e10 24x2@1.4e11 --clip-norm 1 1e9 --seeds 8

    python benchmarks/calibrate.py --tokenizer bpe:2048 --seq-len 40 --cells 16x2@2e10 \
        --learning-rate-factor 0.5 1 2

    python benchmarks/calibrate.py --family lstm --cells 32x2@5e10 --learning-rate 0.004 0.008

A cell is WIDTHxLAYERS@FLOPS. Prints one row per cell and setting: mean and standard deviation of
the held-out loss over the seeds, the change against the cell's first setting with its standard
error (seeds paired), the share of steps clipped after warmup, and CPU seconds per run. It gave
docs/measurements/recipe-constants.md and recipe-corners.md.
"""

import argparse
import concurrent.futures
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from scaling.data.shards import PreparedCorpus, prepare_corpus
from scaling.ledger.machine import name_processor
from scaling.ledger.results import Measurement
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.execution import Execution
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape, make_shape
from scaling.units import Precision

CACHE = Path(tempfile.gettempdir()) / "scaling-calibration"
_NAMES = ("learning_rate", "batch_sequences", "beta2", "decay_fraction", "warmup_fraction")
_NAMES += ("clip_norm", "init_scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One run and its measurements.

    Attributes:
        run: The run.
        measured: Its result.
        clipped: Share of the steps after warmup whose gradient was clipped.
        seconds: CPU time.
        weights: The trained weights by name; None unless they were asked for.
    """

    run: RunSpec
    measured: Measurement
    clipped: float
    seconds: float
    weights: dict[str, torch.Tensor] | None

    @property
    def loss(self) -> float:
        """Held-out loss [nats/token]; NaN if the run diverged."""
        return math.nan if self.measured.loss is None else self.measured.loss


def prepare(text: Sequence[str], tokenizer: str = "bytes") -> PreparedCorpus:
    """Prepare the corpus of these files and folders; without any, the standard library's."""
    source = "text" if text else "python-stdlib"
    paths = [str(Path(path).resolve()) for path in text]
    return prepare_corpus(source, tokenizer=tokenizer, paths=paths, base=Path("/"), cache=CACHE)


def train(
    shape: ModelShape,
    flops: float,
    asked: RecipeSpec,
    *,
    seed: int,
    corpus: PreparedCorpus,
    precision: Precision = "float32",
    keep_weights: bool = False,
    horizon: float | None = None,
) -> Trained:
    """Train one model at one budget; the rules decide what `asked` leaves open, for D or for
    another horizon."""
    from scaling.training.trainer import train_run

    run = RunSpec(
        shape=shape,
        recipe=decide_recipe(shape, flops / count_flops_per_token(shape), asked, horizon=horizon),
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
            execution=Execution(keep_weights=keep_weights, precision=precision),
            should_stop=lambda: False,
            report=lambda tokens, loss: None,
        )
        rows = map(json.loads, (Path(attempt) / "metrics.jsonl").read_text().splitlines())
        shares = [row["clipped"] for row in rows if row["step"] > run.recipe.warmup_steps]
        weights = Path(attempt) / "weights.pt"
        kept = torch.load(weights, weights_only=True) if keep_weights else None
    return Trained(
        run=run,
        measured=measured,
        clipped=statistics.mean(shares) if shares else math.nan,
        seconds=time.process_time() - started,
        weights=kept,
    )


def compare(losses: Sequence[float], others: Sequence[float]) -> str:
    """Mean change against the others [%] and its standard error, paired by seed."""
    if losses is others:
        return "–"
    changes = [100 * math.log(a / b) for a, b in zip(losses, others, strict=True)]
    if len(changes) < 2:
        return f"{changes[0]:+.2f} %"
    error = statistics.stdev(changes) / math.sqrt(len(changes))
    return f"{statistics.mean(changes):+.2f} ± {error:.2f} %"


def _parse_cell(text: str) -> tuple[int, int, float]:
    shape, flops = text.split("@")
    width, layers = shape.split("x")
    return int(width), int(layers), float(flops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=_parse_cell, nargs="+", default=[(32, 2, 1e11)])
    parser.add_argument("--text", nargs="*", default=[], help="files and folders; none: python's")
    parser.add_argument("--tokenizer", default="bytes")
    parser.add_argument("--family", choices=MODEL_FAMILIES, default="transformer")
    parser.add_argument("--seq-len", type=int, default=128, help="tokens")
    parser.add_argument("--head-size", type=int, nargs="*", default=[16])
    parser.add_argument(
        "--learning-rate-factor", type=float, nargs="*", help="of the rule's, at the rule's batch"
    )
    for name in _NAMES:
        kind = int if name == "batch_sequences" else float
        option = "--batch" if kind is int else f"--{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, type=kind, nargs="*", default=[None])
    parser.add_argument("--precision", nargs="*", default=["float32"], help="float32, mixed")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    asked = parser.parse_args()
    corpus = prepare(asked.text, asked.tokenizer)
    vocabulary = corpus.facts.vocab_size
    print(f"{name_processor()}, {os.cpu_count()} CPUs; ", end="")
    print(f"{asked.tokenizer}, {asked.seeds} seeds", flush=True)
    print(
        "| cell | N | head | learning rate | batch | beta2 | decay | warmup | clip | init ", end=""
    )
    print("| precision | mean loss | sd | change | clipped | CPU s |\n|" + "---|" * 16)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for width, layers, flops in asked.cells:
            futures = {}
            for head, precision in itertools.product(asked.head_size, asked.precision):
                shape = make_shape(
                    vocabulary, asked.seq_len, d_model=width, n_layers=layers, head_size=head
                )
                if asked.family != shape.family:
                    shape = _make_other(asked.family, shape)
                for spec in _list_recipes(asked, shape, flops):
                    futures[head, precision, spec.model_dump_json()] = [
                        pool.submit(
                            train, shape, flops, spec, seed=seed, corpus=corpus, precision=precision
                        )
                        for seed in range(asked.seeds)
                    ]
            first: list[float] = []
            for (head, precision, _), runs in futures.items():
                rows = [future.result() for future in runs]
                losses = [row.loss for row in rows]
                first = first or losses
                recipe = rows[0].run.recipe
                spread = f"{statistics.stdev(losses):.4f}" if len(losses) > 1 else "–"
                print(
                    f"| {width}x{layers}@{flops:g} | {count_matmul_params(rows[0].run.shape)} "
                    f"| {head} | {recipe.learning_rate:g} | {recipe.batch_sequences} "
                    f"| {recipe.beta2:g} | {recipe.decay_steps / recipe.steps:.2f} "
                    f"| {recipe.warmup_steps}/{recipe.steps} | {recipe.clip_norm:g} "
                    f"| {recipe.init_scale:g} | {precision} | {statistics.mean(losses):.4f} "
                    f"| {spread} | {compare(losses, first)} "
                    f"| {statistics.mean(row.clipped for row in rows):.1%} "
                    f"| {statistics.mean(row.seconds for row in rows):.1f} |",
                    flush=True,
                )


def _make_other(family: str, like: ModelShape) -> ModelShape:
    """The shape of a family without settings that has the width and depth of another's."""
    return ModelShape(
        family=family,
        vocab_size=like.vocab_size,
        seq_len=like.seq_len,
        d_model=like.d_model,
        n_layers=like.n_layers,
    )


def _list_recipes(asked: argparse.Namespace, shape: ModelShape, flops: float) -> list[RecipeSpec]:
    rates = asked.learning_rate
    if asked.learning_rate_factor:
        tokens = flops / count_flops_per_token(shape)
        by_rule = decide_recipe(shape, tokens, RecipeSpec()).learning_rate
        rates = [factor * by_rule for factor in asked.learning_rate_factor]
    settings = itertools.product(rates, *(getattr(asked, name) for name in _NAMES[1:]))
    return [RecipeSpec(**dict(zip(_NAMES, values, strict=True))) for values in settings]


if __name__ == "__main__":
    main()

"""Which weights of a parent help or harm a run that starts from it.

    python benchmarks/warm_starts.py results/transfer-parent-shuffled [--seeds 2] [--only TEXT]

Trains the smallest model of the parent's sweep on 1e5 tokens of Python text in 4 passes, at the
learning rate of the recipe: from scratch, from the parent's weights, and from mixtures of these and
fresh weights. Prints the held-out loss of each start and its difference from scratch [nats/token].
Then it prints, for fresh and for the parent's weights on the same text,

    constant    share of the head's input that is the same for all tokens, |E x|² / E |x|²
    dead        share of the last block's ReLU² units that no token turns on: they get no gradient

`shrink`: 0.2 times the parent's weights plus fresh ones (Ash and Adams 2020, arXiv:1910.08475).
"""

import argparse
import dataclasses
import hashlib
import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scaling.data.shards import open_shards
from scaling.ledger.results import RunResult
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.execution import Execution
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.training.parametrization import build_model
from scaling.training.trainer import train_run
from scaling.training.weights import read_weights
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.stored import open_results

TARGET = Path("sweeps/transfer.yaml"), "transfer-scratch"
TEXT, TOKENS = 100_000, 400_000
SHRINK = 0.2
Weights = dict[str, Tensor]

# Names of the parameters that are taken from the parent; the others are fresh.
PARTS = {
    "parent": lambda name: True,
    "all but the blocks": lambda name: not name.startswith("blocks"),
    "blocks alone": lambda name: name.startswith("blocks"),
    "all but attention": lambda name: "attention" not in name and "qk" not in name,
    "all but MLPs": lambda name: "mlp" not in name,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parent", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="starts whose name contains this, and scratch")
    asked = parser.parse_args()
    stored = open_results(asked.parent)
    corpus = prepare_sweep(TARGET[0], root=Path(), name=TARGET[1]).corpus.folder
    smallest = sorted(
        stored.results.results.values(),
        key=lambda one: (count_matmul_params(one.run.shape), one.run.seed),
    )[: asked.seeds]
    for result in smallest:
        own = read_weights(stored.ledger, result)
        compare(make_child(result, corpus), own, corpus, asked.only)


def make_child(result: RunResult, corpus: Path) -> RunSpec:
    shape = result.run.shape
    return RunSpec(
        shape=shape,
        recipe=decide_recipe(shape, TOKENS, RecipeSpec()),
        data_digest=open_shards(corpus).facts.digest,
        seed=result.run.seed,
        unique_tokens=TEXT,
    )


def compare(run: RunSpec, own: Weights, corpus: Path, only: str) -> None:
    fresh = {name: value.clone() for name, value in build_model(run).state_dict().items()}
    starts = {
        title: {name: (own if takes(name) else fresh)[name] for name in fresh}
        for title, takes in PARTS.items()
    }
    starts["shrink"] = {
        name: SHRINK * own[name] + (1.0 if own[name].ndim > 1 else 1.0 - SHRINK) * fresh[name]
        for name in fresh
    }
    scratch = train(run, None, corpus)
    print(f"seed {run.seed}   scratch {scratch:.4f}", flush=True)
    for title, weights in starts.items():
        if only in title:
            loss = train(run, weights, corpus)
            print(f"  {title:20s} {loss:.4f}  {loss - scratch:+.4f}", flush=True)
    for title, weights in (("fresh", fresh), ("parent", own)):
        constant, dead = look_inside(run, weights, corpus)
        print(f"  {title:20s} constant {constant:.2f}  dead {dead:.2f}", flush=True)


def train(run: RunSpec, weights: Weights | None, corpus: Path) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder, parent = Path(name), None
        if weights is not None:
            buffer = io.BytesIO()
            torch.save(weights, buffer)
            digest = hashlib.sha256(buffer.getvalue()).hexdigest()
            parent = folder / f"{digest}.pt"
            parent.write_bytes(buffer.getvalue())
            run = dataclasses.replace(run, parent=digest)
        measured = train_run(
            run,
            corpus=corpus,
            attempt=folder,
            resume=(),
            execution=Execution(keep_weights=False),
            should_stop=lambda: False,
            report=lambda tokens, loss: None,
            parent=parent,
        )
    assert measured.loss is not None, measured.reason
    return measured.loss


def look_inside(run: RunSpec, weights: Weights, corpus: Path) -> tuple[float, float]:
    model = build_model(run)
    model.load_state_dict(weights)
    inputs: dict[str, Tensor] = {}
    head, last = model.get_submodule("head"), model.get_submodule("blocks")[-1].mlp_in  # type: ignore
    head.register_forward_pre_hook(lambda module, given: inputs.update(head=given[0]))
    last.register_forward_hook(lambda module, given, out: inputs.update(units=out))
    held_out = np.asarray(open_shards(corpus).validation[: 64 * run.shape.seq_len]).astype(np.int64)
    with torch.no_grad():
        model(torch.from_numpy(held_out).view(64, -1))
    read = inputs["head"].flatten(0, 1)
    constant = read.mean(0).square().sum() / read.square().sum(1).mean()
    dead = (inputs["units"].flatten(0, 1) <= 0).all(0).float().mean()
    return float(constant), float(dead)


if __name__ == "__main__":
    main()

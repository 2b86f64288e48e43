"""Share of the values that a model recalls from the same example (`data/pairs.py`).

    recall_accuracy    argmax of the logits is the value, where a key is asked for the second time

Examples are drawn for this with a stream of their own: none was trained on but by chance, and each
is read by itself. `pairs: 0` asks for each number of pairs that the corpus has. Guessing among the
values that an example named gives 1/pairs.
"""

from __future__ import annotations

import ast
import math

import numpy as np
import torch

from scaling.data import pairs
from scaling.errors import UsageError
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probing import TrainedRun
from scaling.units import FloatArray, IntArray

_AT_ONCE = 16  # windows


def measure_accuracy(trained: TrainedRun) -> Measured:
    """Share of values recalled and its standard error over examples, at each number of pairs alike;
    the curve has them apart."""
    kind, _, key = trained.shards.name.partition(" ")
    if kind != pairs.NAME:
        raise UsageError(f"this corpus asks for no values. Set corpus.source to {pairs.NAME}.")
    *_, vocab_size, of_corpus = ast.literal_eval(key)
    asked, count = int(trained.options["pairs"]), int(trained.options["samples"])
    rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 5]))
    numbers = [asked] if asked else sorted(set(of_corpus))
    means, errors = [], []
    for number in numbers:
        examples = pairs.draw_examples(rng, count, pairs=number, vocab_size=vocab_size)
        shares = _measure(trained, examples)
        means.append(float(shares.mean()))
        errors.append(float(shares.std(ddof=1)) / math.sqrt(count))
    curve = ProbeCurve(
        x_label="pairs in an example",
        y_label="share of values recalled",
        x=tuple(map(float, numbers)),
        y=tuple(means),
        errors=tuple(errors),
    )
    return float(np.mean(means)), math.hypot(*errors) / len(errors), curve


def _measure(trained: TrainedRun, examples: IntArray) -> FloatArray:
    parts = []
    for first in range(0, len(examples), _AT_ONCE):
        part = examples[first : first + _AT_ONCE]
        with torch.inference_mode():
            device = next(trained.model.parameters()).device
            logits = trained.model(torch.from_numpy(part[:, :-1]).to(device))
        parts.append(score_examples(logits.argmax(dim=-1).cpu().numpy(), part))
        trained.look_up()
    return np.concatenate(parts)


def score_examples(predicted: IntArray, examples: IntArray) -> FloatArray:
    """Share of each example's values that are predicted, shape (examples,).

    Args:
        predicted: Prediction of the token after each but the last, shape (examples, 4 · pairs).
        examples: Ids, shape (examples, 4 · pairs + 1).
    """
    asked = slice(examples.shape[1] // 2 + 1, None, 2)  # positions of the keys' second occurrence
    right = predicted[:, asked] == examples[:, 1:][:, asked]
    return np.asarray(right.mean(axis=1), dtype=np.float64)

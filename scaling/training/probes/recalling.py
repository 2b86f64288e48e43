"""Share of the values that a model recalls from the same example (`data/pairs.py`).

    recall_accuracy    argmax of the logits is the value, when a key occurs the second time

Examples are drawn from a separate random stream: none was trained on except by chance, and each is
read by itself. `pairs: 0` uses each number of pairs that the corpus has. Guessing among the values
that an example named gives 1/pairs.
"""

from __future__ import annotations

import ast
import math

import numpy as np

from scaling.data import pairs
from scaling.errors import UsageError
from scaling.sweep.probes import Measured
from scaling.training.probing import TrainedRun, average, draw_curve, read_logits
from scaling.units import FloatArray, IntArray

_AT_ONCE = 16  # windows


def measure_accuracy(trained: TrainedRun) -> Measured:
    """Share of values recalled, averaged over the numbers of pairs, and its standard error over
    examples; the curve shows each number of pairs."""
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
        shares = [
            score_examples(logits.argmax(dim=-1).cpu().numpy(), part.cpu().numpy())
            for part, logits in read_logits(trained, examples, at_once=_AT_ONCE)
        ]
        mean, error = average(np.concatenate(shares))
        means.append(mean)
        errors.append(error)
    axes = "pairs in an example", "share of values recalled"
    curve = draw_curve(axes, numbers, means, errors)
    return float(np.mean(means)), math.hypot(*errors) / len(errors), curve


def score_examples(predicted: IntArray, examples: IntArray) -> FloatArray:
    """Share of each example's values that are predicted, shape (examples,).

    Args:
        predicted: Prediction of the token after each but the last, shape (examples, 4 · pairs).
        examples: Ids, shape (examples, 4 · pairs + 1).
    """
    asked = slice(examples.shape[1] // 2 + 1, None, 2)  # positions of the keys' second occurrence
    right = predicted[:, asked] == examples[:, 1:][:, asked]
    return np.asarray(right.mean(axis=1), dtype=np.float64)

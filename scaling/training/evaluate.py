"""Held-out loss over one fixed set of windows, with a standard error clustered by document.

    loss = Σ_d S_d / Σ_d n_d,    SE² = G/(G−1) · Σ_d (S_d − loss · n_d)² / (Σ_d n_d)²

S_d and n_d are the summed loss and the predicted tokens of document d, G the documents. Tokens of
one document are not independent; treating them so understates the error several times over.
Source: ratio estimator with clusters, Cochran 1977, Sampling Techniques, sec. 9A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scaling.data.batches import list_validation_windows
from scaling.data.shards import Shards
from scaling.sweep.cost import count_evaluated_windows
from scaling.units import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out loss [nats/token] and its standard error, clustered by document.

    Attributes:
        by_position: Mean loss of each position of a window [nats/token], shape (seq_len,): how
            much a model gains from context.
    """

    loss: float
    loss_se: float
    by_position: tuple[float, ...] = ()


def evaluate_losses(
    measure_losses: Callable[[IntArray], FloatArray],
    shards: Shards,
    *,
    seq_len: int,
    first: int = 0,
    after_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Loss over every validation window; non-finite if the model's losses are.

    Args:
        measure_losses: Loss of every token [nats], shape (b, t), of ids of shape (b, t + 1).
        shards: Shards with the held-out text.
        seq_len: Number of tokens in a window.
        first: Position in a window from which losses count.
        after_batch: Called after each batch of windows; what it raises ends the evaluation.
    """
    starts, documents = list_validation_windows(shards, seq_len=seq_len)
    at_once = count_evaluated_windows(shards.facts.vocab_size, seq_len)
    sums, by_position = [], np.zeros(seq_len)
    for batch in np.array_split(starts, math.ceil(len(starts) / at_once)):
        windows = shards.validation[batch[:, None] + np.arange(seq_len + 1)].astype(np.int64)
        losses = measure_losses(windows)
        sums.append(losses[:, first:].sum(axis=1))
        by_position += losses.sum(axis=0)
        after_batch()
    summary = summarise_losses(np.concatenate(sums), documents, tokens_per_window=seq_len - first)
    positions = tuple(float(one) for one in by_position / len(starts))
    return replace(summary, by_position=positions)


def summarise_losses(
    sums: FloatArray, documents: IntArray, *, tokens_per_window: int
) -> Evaluation:
    """Mean and clustered standard error.

    Args:
        sums: Summed loss of each window [nats], shape (windows,).
        documents: Document of each window, shape (windows,).
        tokens_per_window: Predicted tokens in each window.
    """
    _, cluster = np.unique(documents, return_inverse=True)
    sum_d = np.bincount(cluster, weights=sums)
    tokens_d = np.bincount(cluster) * float(tokens_per_window)
    total = float(np.sum(tokens_d))
    loss = float(np.sum(sum_d)) / total
    groups = len(sum_d)
    if groups < 2:
        return Evaluation(loss, math.nan)
    spread = float(np.sum((sum_d - loss * tokens_d) ** 2)) * groups / (groups - 1)
    return Evaluation(loss, math.sqrt(spread) / total)

"""Held-out loss over one fixed set of windows, with a standard error clustered by document.

    loss = Σ_d S_d / Σ_d n_d,    SE² = G/(G−1) · Σ_d (S_d − loss · n_d)² / (Σ_d n_d)²

S_d and n_d are the summed loss and the predicted tokens of document d, G the documents. Tokens of
one document are not independent; treating them so understates the error several times over.
Source: ratio estimator with clusters, Cochran 1977, Sampling Techniques, sec. 9A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scaling.data.batches import list_validation_windows
from scaling.data.shards import Shards
from scaling.units import FloatArray, IntArray

_TOKENS_PER_FORWARD = 8192  # 8 MB of logits with bytes; larger batches gain nothing on a CPU


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out loss [nats/token] and its standard error, clustered by document."""

    loss: float
    loss_se: float


def evaluate_model(model: nn.Module, shards: Shards, *, seq_len: int) -> Evaluation:
    """Loss of `model` over every validation window; non-finite where the model is."""
    starts, documents = list_validation_windows(shards, seq_len=seq_len)
    sums = np.concatenate(
        [
            _sum_losses(model, shards, batch, seq_len)
            for batch in np.array_split(
                starts, math.ceil(len(starts) * seq_len / _TOKENS_PER_FORWARD)
            )
        ]
    )
    return summarise_losses(sums, documents, tokens_per_window=seq_len)


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


def _sum_losses(model: nn.Module, shards: Shards, starts: IntArray, seq_len: int) -> FloatArray:
    window = shards.validation[starts[:, None] + np.arange(seq_len + 1)].astype(np.int64)
    tokens_bt = torch.from_numpy(window)
    with torch.inference_mode():
        logits_btv = model(tokens_bt[:, :-1])
        loss_bt = F.cross_entropy(
            logits_btv.flatten(0, 1), tokens_bt[:, 1:].flatten(), reduction="none"
        ).view(len(starts), seq_len)
        return loss_bt.double().sum(dim=1).numpy()

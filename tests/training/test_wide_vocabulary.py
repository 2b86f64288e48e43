"""Vocabularies that two bytes cannot name are evaluated like any other."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scaling.data.batches import BatchOrder
from scaling.data.shards import Draft, open_shards, store_shards
from scaling.training.evaluate import evaluate_model

VOCABULARY = 70_000


class KnowsEveryOtherToken(nn.Module):
    """Half of the probability on the token that stands there, the rest spread evenly."""

    def forward(self, tokens_bt: torch.Tensor) -> torch.Tensor:
        logits_btv = torch.zeros(*tokens_bt.shape, VOCABULARY)
        following = (tokens_bt + 1)[..., None]
        return logits_btv.scatter_(2, following, math.log(VOCABULARY - 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ids = np.arange(VOCABULARY - 200, VOCABULARY, dtype=np.uint32)  # each is its neighbour plus 1
    draft = Draft(
        name="wide",
        vocab_size=VOCABULARY,
        train=ids,
        validation=ids,
        validation_documents=np.array([0, 100]),
        train_bytes=0,
        validation_bytes=0,
        overlap=0.0,
        tokenizer="none",
    )
    store_shards(tmp_path / "wide", draft)
    return tmp_path / "wide"


def test_ids_above_65535_reach_the_model_unchanged(folder: Path) -> None:
    shards = open_shards(folder)
    assert shards.validation.dtype == np.dtype("<u4")
    batch = BatchOrder(shards, seq_len=8, batch_sequences=4, seed=0).read_batch(0)
    assert batch.min() >= VOCABULARY - 200
    np.testing.assert_array_equal(np.diff(batch, axis=1), 1)


def test_their_loss_is_exact(folder: Path) -> None:
    evaluation = evaluate_model(KnowsEveryOtherToken(), open_shards(folder), seq_len=8)
    assert evaluation.loss == pytest.approx(math.log(2), rel=1e-4)  # 70,000 terms in float32

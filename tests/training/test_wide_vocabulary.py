"""Vocabularies whose ids need more than two bytes are evaluated like any other."""

import math
from pathlib import Path

import numpy as np
import pytest

from scaling.data.batches import BatchOrder
from scaling.data.shards import Draft, open_shards, store_shards
from scaling.training.evaluate import evaluate_losses
from scaling.units import FloatArray, IntArray

VOCABULARY = 70_000


def measure_half(tokens: IntArray) -> FloatArray:
    """Losses of a model that gives the token id + 1 probability one half and spreads the rest
    evenly; only ids that arrive unchanged are consecutive."""
    following = tokens[:, 1:] == tokens[:, :-1] + 1
    others = math.log(2 * (VOCABULARY - 1))
    return np.where(following & (tokens[:, 1:] < VOCABULARY), math.log(2), others)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ids = np.arange(VOCABULARY - 200, VOCABULARY, dtype=np.uint32)  # consecutive ids
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


def test_the_loss_over_a_wide_vocabulary_is_exact(folder: Path) -> None:
    evaluation = evaluate_losses(measure_half, open_shards(folder), seq_len=8)
    assert evaluation.loss == pytest.approx(math.log(2), rel=1e-12)

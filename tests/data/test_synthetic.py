"""The known source: exact filtering, and the floor over the windows used in evaluation."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from scaling.data import synthetic
from scaling.data.batches import BatchOrder, list_validation_windows
from scaling.data.shards import open_shards
from scaling.data.sources import prepare_synthetic
from scaling.data.synthetic import Source, draw_held_out, draw_training, filter_windows, make_source
from scaling.sweep.corpus_spec import CorpusSpec

TINY = make_source(3, vocab_size=3, topics=2, states=2)


def find_stationary(source: Source) -> np.ndarray:
    """π(z, x) as the eigenvector of the whole step, an independent way."""
    states, vocab = source.stationary.shape
    step = np.einsum("ij,jab->iajb", source.hidden, source.emission)
    values, vectors = np.linalg.eig(step.reshape(states * vocab, states * vocab).T)
    vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    return (vector / vector.sum()).reshape(states, vocab)


def sum_over_paths(source: Source, window: tuple[int, ...]) -> float:
    """p(window) by every path of the hidden state."""
    states = len(source.hidden)
    total = 0.0
    for path in itertools.product(range(states), repeat=len(window)):
        p = source.stationary[path[0], window[0]]
        for at in range(1, len(window)):
            p *= source.hidden[path[at - 1], path[at]]
            p *= source.emission[path[at], window[at - 1], window[at]]
        total += p
    return total


@pytest.mark.parametrize("source", [TINY, make_source(0)], ids=["tiny", "shipped"])
def test_the_stationary_distribution_agrees_with_the_whole_chains(source: Source) -> None:
    # Equal to rounding: the iteration ends at 1e-16.
    np.testing.assert_allclose(source.stationary, find_stationary(source), atol=1e-12)


@pytest.mark.slow
def test_filtering_equals_the_sum_over_every_hidden_path() -> None:
    windows = list(itertools.product(range(3), repeat=6))
    whole = {window: sum_over_paths(TINY, window) for window in windows}
    assert sum(whole.values()) == pytest.approx(1, abs=1e-12)
    losses = filter_windows(TINY, np.array(windows))
    for window, found in zip(windows, losses, strict=True):
        first = TINY.stationary[:, window[0]].sum()
        expected = -np.log(whole[window] / first)
        assert found.sum() == pytest.approx(expected, rel=1e-10)


def test_filtering_agrees_with_paths_on_a_few_windows() -> None:
    windows = [(0, 1, 2, 0), (2, 2, 2, 2), (1, 0, 0, 1)]
    losses = filter_windows(TINY, np.array(windows)).sum(axis=1)
    for window, found in zip(windows, losses, strict=True):
        first = TINY.stationary[:, window[0]].sum()
        assert found == pytest.approx(-np.log(sum_over_paths(TINY, window) / first), rel=1e-10)


def test_no_other_predictor_beats_the_filter() -> None:
    source = make_source(0)
    train, held_out = draw_training(source, 0, 400_000), draw_held_out(source, 0, 65_537)
    pairs = np.full((synthetic.VOCABULARY, synthetic.VOCABULARY), 0.01)
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    bigram = -np.log((pairs / pairs.sum(axis=1, keepdims=True))[held_out[:-1], held_out[1:]])
    floors = [
        filter_windows(
            source,
            held_out[np.arange(0, 65_536, seq_len)[:, None] + np.arange(seq_len + 1)].astype(
                np.int64
            ),
        ).mean()
        for seq_len in (8, 32, 128, 512)
    ]
    # A longer past always helps: the structure is longer than a window.
    assert bigram.mean() > floors[0] > floors[1] > floors[2] > floors[3]


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, *, seq_len: int = 64, **keys):
    monkeypatch.setattr(
        "scaling.data.synthetic.draw_held_out",
        # Short, so that the test takes a tenth of a second.
        lambda source, seed: draw_held_out(source, seed, 16_384),
    )
    corpus = CorpusSpec(source="synthetic", **({"tokens": 50_000} | keys))
    return prepare_synthetic(corpus, seq_len=seq_len, cache=folder)


def test_the_floor_is_averaged_over_the_evaluation_windows(tmp_path, monkeypatch) -> None:
    prepared = prepare(tmp_path, monkeypatch)
    shards = open_shards(prepared.folder)
    starts, _ = list_validation_windows(shards, seq_len=64)
    windows = np.asarray(shards.validation)[starts[:, None] + np.arange(65)].astype(np.int64)
    floor = filter_windows(make_source(0), windows).mean()
    assert prepared.facts.bayes_loss == pytest.approx(floor, rel=1e-12)
    assert prepared.facts.bayes_loss < prepared.facts.unigram_entropy


def test_equal_seeds_give_equal_tokens_and_different_seeds_different_ones(
    tmp_path, monkeypatch
) -> None:
    digests = [
        prepare(tmp_path / str(at), monkeypatch, seed=seed).facts.digest
        for at, seed in enumerate((0, 0, 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_another_window_length_changes_the_floor_and_the_digest(tmp_path, monkeypatch) -> None:
    short, long = (prepare(tmp_path, monkeypatch, seq_len=length).facts for length in (16, 128))
    assert short.bayes_loss > long.bayes_loss
    assert short.digest != long.digest


def test_a_run_of_all_tokens_reads_no_window_twice(tmp_path, monkeypatch) -> None:
    shards = open_shards(prepare(tmp_path, monkeypatch).folder)
    order = BatchOrder(shards, seq_len=64, batch_sequences=1, seed=0)
    assert order.windows_per_epoch * 64 >= 50_000


def test_a_topic_changes_at_the_rate_stated() -> None:
    hidden = make_source(0).hidden
    topic = np.arange(len(hidden)) // synthetic.STATES
    leave = 1 - hidden[0, topic == 0].sum()
    # A topic is drawn once in 512 tokens, and half of the time it is the old one.
    assert leave == pytest.approx((1 - 1 / synthetic.TOPICS) / synthetic.TOPIC_TOKENS)
    np.testing.assert_allclose(hidden.sum(axis=1), 1)

"""A run has diverged if its loss rose, not if it is merely short, and is not stopped half way."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from known_run import change_recipe
from test_trainer import train

from scaling.data.sources import prepare_synthetic
from scaling.sweep.corpus_spec import CorpusSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape
from scaling.training import trainer
from scaling.training.divergence import find_rise, has_exploded

STEPS = 120
RATE = 0.01


def falling(start, end, steps, *, noise=0.2, seed=0):
    """Step losses that fall linearly, with the scatter of one short sequence."""
    scatter = noise * np.random.default_rng(seed).standard_normal(steps)
    losses = np.linspace(start, end, steps) + scatter
    losses[0] = start
    return losses


def test_a_falling_loss_has_no_rise():
    assert find_rise(falling(5.5, 3.5, 250)) is None


def test_a_loss_that_falls_and_then_rises_has_a_rise():
    losses = np.r_[falling(5.5, 2.0, 150), 4.5 + falling(0.0, 0.0, 100, seed=1)]
    low, high = find_rise(losses)
    assert low == pytest.approx(2.2, abs=0.2)  # the last tenth before the rise
    assert high == pytest.approx(4.5, abs=0.1)


def test_a_stationary_loss_rises_by_chance_in_one_percent_of_runs():
    rose = sum(find_rise(falling(3.4, 3.4, 250, seed=seed)) is not None for seed in range(1000))
    assert rose <= 20  # binomial, 1000 × .01: twenty-one or more has probability .0015


def test_runs_of_fewer_than_forty_steps_have_no_rise():
    assert find_rise(np.linspace(3.0, 9.0, 39)) is None
    assert find_rise(np.linspace(3.0, 9.0, 40)) == pytest.approx((3.0, 7.5), abs=0.1)


@pytest.mark.parametrize(
    ("highest", "last", "exploded"),
    [(27.0, 9.0, False), (28.0, 9.0, True), (28.0, 5.0, False), (1e6, 5.54, True)],
)
def test_an_explosion_went_far_and_is_no_better_than_the_untrained_model(highest, last, exploded):
    losses = np.r_[5.545, highest, np.full(88, 5.0), np.full(10, last)]
    assert has_exploded(losses) is exploded


def test_a_burst_within_a_tenth_is_a_rise():
    """A model that dies in three steps ends at exactly the loss of guessing."""
    losses = np.r_[5.545, 950.0, 2e6, 1e4, np.full(396, 5.545)]
    assert find_rise(losses) == (5.545, 2e6)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    spec = CorpusSpec(source="synthetic", tokens=200_000, seed=3)
    return prepare_synthetic(spec, seq_len=32, cache=tmp_path_factory.mktemp("corpus"))


def train_short(corpus, folder: Path, *, seed: int, factor: float = 1.0):
    """One run of 120 steps of one sequence, half of them a decay."""
    rate = factor * RATE
    recipe = change_recipe(steps=STEPS, learning_rate=rate, warmup_steps=48, decay_steps=60)
    shape = make_shape(corpus.facts.vocab_size, 32, d_model=16, n_layers=2)
    run = RunSpec(shape=shape, recipe=recipe, data_digest=corpus.facts.digest, seed=seed)
    folder.mkdir()
    return run, train(run, corpus.folder, folder, keep_weights=False)


def test_no_short_run_is_stopped_half_way(corpus, tmp_path):
    """Six seeds of one cell, 3840 tokens each. When the decay begins, a tenth of the steps of some
    seeds is above the unigram entropy; all end below it, and all are kept."""
    entropy = corpus.facts.unigram_entropy
    above = []
    for seed in range(6):
        _, measured = train_short(corpus, tmp_path / str(seed), seed=seed)
        assert (measured.status, measured.reason) == ("finished", "")
        assert measured.loss < entropy
        rows = [json.loads(line) for line in (tmp_path / str(seed) / "metrics.jsonl").open()]
        window = [row["loss"] for row in rows if 48 < row["step"] <= 60]
        above.append(statistics.mean(window) > entropy)
    assert any(above)


def test_a_run_that_ends_above_the_unigram_entropy_without_a_rise_is_kept(corpus, tmp_path):
    """At a thousandth of the learning rate the loss neither falls nor rises."""
    _, measured = train_short(corpus, tmp_path / "a", seed=0, factor=1e-3)
    assert measured.loss > corpus.facts.unigram_entropy
    assert measured.status == "finished"


def test_a_loss_that_rose_and_stays_is_a_divergence(corpus, tmp_path, monkeypatch):
    """At a thousand times the learning rate, judged at the end only."""
    monkeypatch.setattr(trainer, "has_exploded", lambda losses: False)
    run, measured = train_short(corpus, tmp_path / "a", seed=0, factor=1000.0)
    assert measured.status == "diverged"
    assert "rose from" in measured.reason
    assert measured.loss > corpus.facts.unigram_entropy
    assert measured.flops_spent == run.flops


def test_an_explosion_stops_in_the_decay_and_not_before(corpus, tmp_path):
    run, measured = train_short(corpus, tmp_path / "a", seed=0, factor=3000.0)
    assert measured.status == "diverged"
    assert "no better than before its first step" in measured.reason
    assert run.flops / 2 <= measured.flops_spent < run.flops


def test_clipping_is_counted_after_warmup(corpus, tmp_path):
    _, measured = train_short(corpus, tmp_path / "a", seed=0, factor=100.0)
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").open()]
    # Rows hold one or two steps; the end of warmup may fall inside one.
    after = [row["clipped"] for row in rows if row["step"] > 48]
    assert measured.clipped_after_warmup == pytest.approx(statistics.mean(after), abs=0.03)

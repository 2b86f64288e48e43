"""Sequences with their own sources: exact predictors, held-out sources, one window each."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from drawn import parse, prepare
from scipy.stats import dirichlet, dirichlet_multinomial

from scaling.data import letter_maps, markov_chains
from scaling.data.batches import BatchOrder, list_validation_windows
from scaling.data.letter_maps import LetterMaps
from scaling.data.markov_chains import MarkovChains, draw_chains, walk_chains
from scaling.data.sequences import (
    BAYES,
    SIMPLE,
    TRAINED,
    UNIFORM,
    measure_divergence,
    open_sequences,
)
from scaling.data.shards import open_shards
from scaling.errors import SpecError, UsageError
from scaling.sweep.siblings import list_siblings

MARKOV = "source: markov_chains, tokens: 20e3, states: 3"
MAPS = "source: letter_maps, tokens: 20e3, letters: 4"


def draw(source, count=200, seed=0, trained=False):
    tokens, sources = source.draw(np.random.default_rng(seed), count, trained=trained)
    return tokens, sources, source.judge(tokens, sources)


# --- exact predictors ------------------------------------------------------------------------


def test_the_bayes_predictor_is_the_posterior_mean_over_chains() -> None:
    """Oracle: the ratio of marginal likelihoods of whole sequences, each a product over rows of
    Dirichlet-multinomial likelihoods."""
    tokens, _, judged = draw(MarkovChains(states=3, length=12), 5)

    def weigh(sequence) -> float:
        counts = np.zeros((3, 3), dtype=int)
        for one, other in itertools.pairwise(sequence):
            counts[one, other] += 1
        return sum(
            dirichlet_multinomial.logpmf(row, np.ones(3), row.sum())
            - math.lgamma(row.sum() + 1) + sum(math.lgamma(one + 1) for one in row)
            for row in counts if row.sum()
        )  # fmt: skip

    for row, sequence in enumerate(tokens.tolist()):
        for at in range(1, 12):
            before = weigh(sequence[:at])
            said = [math.exp(weigh([*sequence[:at], b]) - before) for b in range(3)]
            np.testing.assert_allclose(judged.predictors[BAYES][row, at - 1], said, rtol=1e-10)


def test_the_simple_predictor_is_the_posterior_mean_over_frequencies() -> None:
    """Oracle: an integral over frequencies, by importance sampling from the prior."""
    tokens, _, judged = draw(MarkovChains(states=3, length=9), 3)
    shares = dirichlet.rvs(np.ones(3), size=400_000, random_state=0)
    for row, sequence in enumerate(tokens):
        weight = shares[:, sequence[:8]].prod(axis=1)
        said = weight @ shares / weight.sum()
        # Weights of eight tokens leave some ten thousand effective draws: 3 of their errors.
        np.testing.assert_allclose(judged.predictors[SIMPLE][row, 7], said, atol=0.015)


def test_the_trained_predictor_is_the_posterior_mean_over_its_chains() -> None:
    trained = draw_chains(np.random.default_rng(1), 4, 3)
    tokens, _, judged = draw(MarkovChains(states=3, length=12, trained=trained), 6)
    for row, sequence in enumerate(tokens.tolist()):
        weight = np.ones(4)
        for at in range(1, 12):
            said = weight @ trained[:, sequence[at - 1]] / weight.sum()
            np.testing.assert_allclose(judged.predictors[TRAINED][row, at - 1], said, rtol=1e-10)
            weight = weight * trained[:, sequence[at - 1], sequence[at]]


def test_the_bayes_predictor_of_maps_counts_the_remaining_maps() -> None:
    source = LetterMaps(letters=4, length=15)
    tokens, maps, judged = draw(source, 20)
    every = np.array(list(itertools.permutations(range(4))))
    for row, sequence in enumerate(tokens.tolist()):
        left, known = every, {}
        for at, place in enumerate(judged.places.tolist()):
            query, told = sequence[place - 1] - 1, sequence[place] - 5
            assert maps[row, query] == told
            said = np.bincount(5 + left[:, query], minlength=9) / len(left)
            np.testing.assert_allclose(judged.predictors[BAYES][row, at], said, rtol=1e-12)
            alone = said if query in known else np.repeat([0, 0.25], [5, 4])
            np.testing.assert_allclose(judged.predictors[SIMPLE][row, at], alone, rtol=1e-12)
            left, known[query] = left[left[:, query] == told], told
    assert judged.places.tolist() == [2, 4, 6, 8, 10, 12, 14]
    assert judged.examples.tolist() == list(range(7))
    assert judged.truth.sum(axis=2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "source", [MarkovChains(states=4, length=65), LetterMaps(letters=6, length=65)]
)
def test_no_predictor_beats_bayes_on_new_sources_and_its_regret_falls(source) -> None:
    _, _, judged = draw(source, 2000)
    logs = {}
    for name, said in judged.predictors.items():
        assert said.sum(axis=2) == pytest.approx(1.0)
        with np.errstate(divide="ignore"):
            logs[name] = np.log(said)
    means = {name: measure_divergence(judged.truth, one).mean() for name, one in logs.items()}
    assert means[BAYES] < means[SIMPLE] < means[UNIFORM]
    regret = measure_divergence(judged.truth, logs[BAYES]).mean(axis=0)
    assert regret[0] > 1.4 * regret[16] > 1.4**2 * regret[-1]


def test_walks_follow_their_chains_from_a_uniform_start() -> None:
    chain = np.array([[[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [1 / 3, 1 / 3, 1 / 3]]])
    tokens = walk_chains(np.random.default_rng(0), np.repeat(chain, 20_000, axis=0), 4)
    assert np.bincount(tokens[:, 0]) / 20_000 == pytest.approx([1 / 3] * 3, abs=0.015)  # 4.5 errors
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (tokens[:, :-1].ravel(), tokens[:, 1:].ravel()), 1)
    np.testing.assert_allclose(pairs / pairs.sum(axis=1, keepdims=True), chain[0], atol=0.02)


def test_divergences_follow_the_definition_and_zeros_cost_nothing() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.75, 0.0])
    with np.errstate(divide="ignore"):
        found = measure_divergence(p, np.log(q))
    assert found == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-14)


# --- the corpus ------------------------------------------------------------------------------


def test_held_out_and_probe_sequences_have_new_chains(tmp_path) -> None:
    shards = open_shards(prepare(tmp_path, f"{MARKOV}, chains: 2", 64).folder)
    source = open_sequences(shards.name)
    train, held_out = (
        np.asarray(part).astype(np.int64).reshape(-1, 65)
        for part in (shards.train, shards.validation)
    )

    def explain(tokens):
        """Return ln p per token under the likelier of the two chains."""
        logs = np.log(source.trained)
        return logs[:, tokens[:, :-1], tokens[:, 1:]].sum(axis=2).max(axis=0) / 64

    def bound(tokens):
        """Return ln p per token under the sequence's own bigram table, which no chain exceeds."""
        counts = np.zeros((len(tokens), 3, 3))
        for at in range(64):
            np.add.at(counts, (np.arange(len(tokens)), tokens[:, at], tokens[:, at + 1]), 1)
        share = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
        return (counts * np.log(np.maximum(share, 1e-300))).sum(axis=(1, 2)) / 64

    # A sequence's own table has six parameters: 2 · 64 · (bound − truth) is χ² of six, mean 6.
    gap = (bound(train) - explain(train)).mean() * 128
    assert gap == pytest.approx(6.0, abs=1.5)
    assert (bound(held_out) - explain(held_out)).mean() * 128 > 30
    new, chains = source.draw(np.random.default_rng(0), 50, trained=False)
    assert abs(chains[:, None] - source.trained[None]).max(axis=(2, 3)).min() > 0.01
    assert new.shape == (50, 65)


@pytest.mark.parametrize("corpus", [MARKOV, MAPS])
def test_each_window_is_one_sequence_seen_once(tmp_path, corpus) -> None:
    shards = open_shards(prepare(tmp_path, corpus, 16).folder)
    rows = np.asarray(shards.train).reshape(-1, 17)
    order = BatchOrder(shards, seq_len=16, batch_sequences=10, seed=1)
    assert order.windows_per_epoch == len(rows) == 1250  # 20e3 tokens to predict
    read = np.concatenate([order.read_batch(step) for step in range(125)])
    assert sorted(map(tuple, read.tolist())) == sorted(map(tuple, rows.tolist()))
    assert order.mark_read(125).all()
    starts, documents = list_validation_windows(shards, seq_len=16)
    assert (starts == 17 * np.arange(len(starts))).all()
    assert (documents == np.arange(len(starts))).all()


def test_the_floor_is_the_bayes_predictors_held_out_loss(tmp_path) -> None:
    for corpus in (MARKOV, MAPS):
        shards = open_shards(prepare(tmp_path, corpus, 16).folder)
        source = open_sequences(shards.name)
        tokens = np.asarray(shards.validation).astype(np.int64).reshape(-1, 17)
        judged = source.judge(tokens, np.zeros((len(tokens), 3, 3)))
        said = judged.predictors[BAYES]
        at = np.take_along_axis(said, tokens[:, judged.places, None], axis=2)
        loss = -np.log(at).sum() / len(tokens)
        guessed = (16 - len(judged.places)) * math.log(4)
        assert shards.facts.bayes_loss == pytest.approx((loss + guessed) / 16, rel=1e-12)


def test_a_seed_fixes_the_corpus_and_each_setting_changes_it(tmp_path) -> None:
    digests = [
        prepare(tmp_path / str(at), f"{MARKOV}{more}", 16).facts.digest
        for at, more in enumerate(("", "", ", seed: 1", ", chains: 8", ", chains: 9"))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_more_training_chains_include_the_fewer_ones() -> None:
    few, many = (
        markov_chains.open_chains(["markov_chains", 1, 5, 20000, 16, 3, count]) for count in (4, 9)
    )
    np.testing.assert_array_equal(few.trained, many.trained[:4])


def test_each_number_of_chains_makes_a_sweep() -> None:
    spec = parse(f"{MARKOV}, chains: [4, 0]")
    assert [(one.name, one.corpus.chains) for one in list_siblings(spec)] == [
        ("a-chains-4", (4,)), ("a-chains-0", (0,)),
    ]  # fmt: skip


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [
        ("source: markov_chains, tokens: 20e3, states: 1", "corpus.states: expected at least 2"),
        ("source: markov_chains, tokens: 20e3, states: 65", "corpus.states: expected at most 64"),
        ("source: markov_chains, tokens: 20e3", "source markov_chains needs states"),
        (f"{MARKOV}, chains: -1", "corpus.chains.0: expected at least 0, got -1"),
        (f"{MARKOV}, chains: [4, 4]", "the number of chains 4 is given twice"),
        (f"{MARKOV}, chains: []", "corpus.chains: expected a list of at least 1"),
        ("source: letter_maps, tokens: 20e3, letters: 1", "corpus.letters: expected at least 2"),
        ("source: letter_maps, tokens: 20e3, letters: 4, chains: 2", "takes no chains. Remove it"),
    ],
)
def test_wrong_keys_are_named_with_valid_values(corpus, sentence) -> None:
    with pytest.raises(SpecError) as caught:
        parse(corpus)
    assert sentence in str(caught.value)


def test_other_corpora_have_no_sequences_with_sources() -> None:
    with pytest.raises(UsageError):
        open_sequences("pairs ['pairs', 1]")


def test_a_sequence_length_other_than_the_context_fails_an_assertion() -> None:
    shards = SimpleNamespace(train=np.zeros(100), sequence=10)
    with pytest.raises(AssertionError):
        BatchOrder(shards, seq_len=8, batch_sequences=1, seed=0)
    assert letter_maps.NAME == "letter_maps"

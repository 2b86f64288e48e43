"""Sequences that are each drawn from their own Markov chain.

    P[a, ·] ~ Dirichlet(1, …, 1)     rows of a chain of s states, independent
    x_0 uniform,  x_t ~ P[x_{t−1}, ·]     one sequence fills one context window

Let n(a, b) count the transitions from a to b so far, n(a) = Σ_b n(a, b), and m(b) the occurrences
of b among t tokens. The exact predictors of the token after a are

    bayes      (n(a, b) + 1) / (n(a) + s)     the posterior mean of P[a, b]
    simple     (m(b) + 1) / (t + s)           the posterior mean if tokens were independent
    uniform    1 / s
    trained    Σ_j w_j P_j[a, b]              given M training chains, w_j ∝ Π P_j[x_{i−1}, x_i]

With finitely many training chains (`chains`), `trained` is the best predictor on those and a bad
one on new chains. A model nearest to `trained` remembers; one nearest to `bayes` infers. Source:
in-context learning of Markov chains, Edelman et al. 2024, arXiv:2402.11004; few against many
training tasks, Raventos et al. 2023, arXiv:2306.15063; Dirichlet posterior, any textbook.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.data.sequences import (
    BAYES,
    SIMPLE,
    TRAINED,
    UNIFORM,
    Judged,
    SequenceSource,
    prepare_sequences,
)
from scaling.data.shards import PreparedCorpus
from scaling.errors import CorpusError
from scaling.units import FloatArray, IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

MARKOV_VERSION = 1  # raise it when the same seed gives other tokens
NAME = "markov_chains"
_TRAINED_STREAM = 3  # random stream; sequences use 1 and 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkovChains:
    """Draws sequences of Markov chains.

    Attributes:
        states: Number of states s.
        length: Tokens per sequence.
        trained: The training chains, shape (M, states, states); None if every training sequence
            has its own chain.
    """

    states: int
    length: int
    trained: FloatArray | None = None

    @property
    def vocab_size(self) -> int:
        return self.states

    def draw(
        self, rng: np.random.Generator, count: int, *, trained: bool
    ) -> tuple[IntArray, FloatArray]:
        """See `SequenceSource`; a source is a transition matrix."""
        if trained and self.trained is not None:
            chains = self.trained[rng.integers(len(self.trained), size=count)]
        else:
            chains = draw_chains(rng, count, self.states)
        return walk_chains(rng, chains, self.length), chains

    def judge(self, tokens: IntArray, sources: FloatArray) -> Judged:
        """See `SequenceSource`; every token but the first is scored."""
        predictors = {
            BAYES: predict_bigram(tokens, self.states),
            SIMPLE: predict_unigram(tokens, self.states),
        }
        predictors[UNIFORM] = np.full_like(predictors[BAYES], 1.0 / self.states)
        if self.trained is not None:
            predictors[TRAINED] = predict_trained(tokens, self.trained)
        places = np.arange(1, tokens.shape[1])
        return Judged(
            places=places,
            examples=places - 1,
            truth=sources[np.arange(len(tokens))[:, None], tokens[:, :-1]],
            predictors=predictors,
        )

    def measure_floor(self, tokens: IntArray) -> float:
        said = predict_bigram(tokens, self.states)
        return float(-np.log(np.take_along_axis(said, tokens[:, 1:, None], axis=2)).mean())


def draw_chains(rng: np.random.Generator, count: int, states: int) -> FloatArray:
    """Draw transition matrices, shape (count, states, states)."""
    each = np.asarray(rng.standard_exponential((count, states, states)))
    return np.asarray(each / each.sum(axis=2, keepdims=True))


def walk_chains(rng: np.random.Generator, chains: FloatArray, length: int) -> IntArray:
    """Draw one sequence per chain, shape (chains, length)."""
    count, states, _ = chains.shape
    summed, rows = np.cumsum(chains, axis=2), np.arange(count)
    drawn = np.empty((count, length), dtype=np.int64)
    drawn[:, 0] = rng.integers(states, size=count)
    for at in range(1, length):
        uniform = rng.random((count, 1))
        token = (uniform >= summed[rows, drawn[:, at - 1]]).sum(axis=1)
        drawn[:, at] = np.minimum(token, states - 1)  # rounding may leave the last sum below 1
    return drawn


def predict_bigram(tokens: IntArray, states: int) -> FloatArray:
    """Compute `bayes` for every token but the first, shape (sequences, tokens − 1, states)."""
    count, length = tokens.shape
    seen, rows = np.ones((count, states, states)), np.arange(count)
    said = np.empty((count, length - 1, states))
    for at in range(length - 1):
        if at:
            seen[rows, tokens[:, at - 1], tokens[:, at]] += 1.0
        said[:, at] = seen[rows, tokens[:, at]]
    return np.asarray(said / said.sum(axis=2, keepdims=True))


def predict_unigram(tokens: IntArray, states: int) -> FloatArray:
    """Compute `simple`, in the same shape."""
    said = 1.0 + np.cumsum(np.eye(states)[tokens[:, :-1]], axis=1)
    return np.asarray(said / said.sum(axis=2, keepdims=True))


def predict_trained(tokens: IntArray, chains: FloatArray) -> FloatArray:
    """Compute `trained`, in the same shape, for chains of shape (M, states, states)."""
    (count, length), states = tokens.shape, chains.shape[1]
    logs, weight = np.log(chains), np.zeros((count, len(chains)))
    said = np.empty((count, length - 1, states))
    for at in range(length - 1):
        if at:
            weight += logs[:, tokens[:, at - 1], tokens[:, at]].T
        share = np.exp(weight - weight.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        for state in range(states):
            here = tokens[:, at] == state
            said[here, at] = share[here] @ chains[:, state]
    return said


def prepare_markov_chains(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus.

    Raises:
        CorpusError: A chain has more transitions than the context has tokens.
    """
    (tokens, states), (chains,) = corpus.read_counts("tokens", "states"), corpus.chains
    if states**2 > seq_len:
        raise CorpusError(
            f"a chain of {states} states has {states**2} transitions, more than a context of "
            f"{seq_len} tokens shows. Set model.seq_len to {states**2} or more, or corpus.states "
            f"to {int(seq_len**0.5)} or fewer."
        )
    key = [NAME, MARKOV_VERSION, corpus.seed, tokens, seq_len, states, chains]
    return prepare_sequences(open_chains(key), key, cache=cache)


def open_chains(key: list[Any]) -> SequenceSource:
    """Rebuild the source of a corpus; see `sequences.open_sequences`."""
    _, _, seed, _, seq_len, states, chains = key
    rng = np.random.Generator(np.random.Philox(key=[seed, _TRAINED_STREAM]))
    trained = draw_chains(rng, chains, states) if chains else None
    return MarkovChains(states=states, length=seq_len + 1, trained=trained)

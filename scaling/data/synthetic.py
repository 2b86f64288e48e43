"""Tokens from a known source, and the lowest loss that any model of them can have.

    z_t    hidden, one of `topics` × `states`: with probability 1/TOPIC_TOKENS a new topic and
           state, else with probability 1/STATE_TOKENS a new state of the topic, else as before
    x_t    a token, drawn from P_z[x_{t−1}]: a table that all states share, one of the topic and
           one of the state, mixed

A topic outlives a window of a few hundred tokens, so what was read long ago goes on helping. The
best predictor of x_t from the tokens of its window is the posterior over z, filtered forward:

    α_0(z) ∝ π(z, x_0),    p(x_t | x_0 … x_{t−1}) = Σ_z (α_{t−1} A)(z) · P_z[x_{t−1}, x_t]

with π the stationary distribution of (z, x) and α_t each summand's share. Its mean −ln p is the
Bayes loss *of these windows*: a window cannot see what stands before it, so it lies above the
entropy rate. Source: the forward algorithm, Rabiner 1989, Proc. IEEE 77(2), sec. III.A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.units import FloatArray, IntArray

SOURCE_VERSION = 1  # raise when the same seed would give other tokens or another floor

VOCABULARY = 64
TOPICS, STATES = 4, 8
TOPIC_TOKENS, STATE_TOKENS = 512, 48  # mean life of a topic, and of a state within it
# Shares of the shared, the topic's and the state's table. The first is learnt from any two
# tokens, the last only by a model that finds out from the whole window which state it is in.
_SHARES = (0.3, 0.3, 0.4)
_POPULARITY = 0.7
_ZIPF = 2.0  # token of rank r after another: r^-1.5, about as skewed as bytes of text

HELD_OUT_TOKENS = 512 * 1024  # as much as is held out of text
HELD_OUT_BLOCKS = 64  # of which the standard error is clustered: 16 lives of a topic each
# Training text is that many independent stretches, drawn side by side: one after another would
# take minutes. One window in a thousand of 30M tokens holds a seam.
_STRETCHES = 256
_WINDOWS_AT_ONCE = 4096  # filtered together: 1 MB of posteriors


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The process.

    Attributes:
        hidden: A, probability of state j after i, shape (k, k).
        emission: P, probability of token b after a in state z, shape (k, v, v).
        stationary: π(z, x), shape (k, v); sums to 1.
    """

    hidden: FloatArray
    emission: FloatArray
    stationary: FloatArray


def make_source(
    seed: int, *, vocab_size: int = VOCABULARY, topics: int = TOPICS, states: int = STATES
) -> Source:
    """The process of one seed: tables of ranks permuted at random, Zipf-distributed."""
    rng = _make_rng(seed, 0)
    count = topics * states
    topic = np.arange(count) // states
    shared = _draw_tables(rng, 1, vocab_size)
    by_topic = _draw_tables(rng, topics, vocab_size)
    by_state = _draw_tables(rng, count, vocab_size)
    emission = _SHARES[0] * shared + _SHARES[1] * by_topic[topic] + _SHARES[2] * by_state
    same = (topic[:, None] == topic[None, :]) / states
    stay = (1 - 1 / STATE_TOKENS) * np.eye(count) + same / STATE_TOKENS
    hidden = (1 - 1 / TOPIC_TOKENS) * stay + 1 / (TOPIC_TOKENS * count)
    stationary = _find_stationary(hidden, emission)
    return Source(hidden=hidden, emission=emission, stationary=stationary)


def draw_training(source: Source, seed: int, tokens: int) -> NDArray[np.uint8]:
    """`tokens` tokens to train on."""
    length = -(-tokens // _STRETCHES)
    rng = _make_rng(seed, 1)
    return _draw(source, rng, chains=_STRETCHES, length=length).ravel()[:tokens]


def draw_held_out(source: Source, seed: int, tokens: int = HELD_OUT_TOKENS) -> NDArray[np.uint8]:
    """One stretch without a seam, so that every window of it is one of the process."""
    return _draw(source, _make_rng(seed, 2), chains=1, length=tokens).ravel()


def filter_windows(source: Source, windows: IntArray) -> FloatArray:
    """−ln p of every token but the first, given those before it in its window [nats].

    Args:
        source: The process.
        windows: Token ids, shape (windows, tokens).

    Returns:
        Shape (windows, tokens − 1).
    """
    losses = np.empty((len(windows), windows.shape[1] - 1))
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        part = windows[start : start + _WINDOWS_AT_ONCE]
        losses[start : start + len(part)] = _filter(source, part)
    return losses


def _filter(source: Source, windows: IntArray) -> FloatArray:
    posterior = source.stationary[:, windows[:, 0]].T
    posterior = posterior / posterior.sum(axis=1, keepdims=True)
    losses = np.empty((len(windows), windows.shape[1] - 1))
    for at in range(1, windows.shape[1]):
        likelihood = source.emission[:, windows[:, at - 1], windows[:, at]].T
        joint = (posterior @ source.hidden) * likelihood
        evidence = joint.sum(axis=1)
        losses[:, at - 1] = -np.log(evidence)
        posterior = joint / evidence[:, None]
    return losses


def _make_rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def _draw_tables(rng: np.random.Generator, count: int, vocab_size: int) -> FloatArray:
    """Shape (count, v, v). Only uniform numbers are drawn: numpy promises their stream."""
    ranks = np.argsort(rng.random((count, vocab_size, vocab_size)), axis=2)
    weights = (1.0 + ranks) ** -_ZIPF * (1.0 + np.arange(vocab_size)) ** -_POPULARITY
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def _find_stationary(hidden: FloatArray, emission: FloatArray) -> FloatArray:
    """π = π · step, by iteration from uniform; every step mixes tokens, so it converges fast."""
    states, vocab_size, _ = emission.shape
    here = np.full((states, vocab_size), 1.0 / (states * vocab_size))
    for _ in range(100_000):
        there = np.einsum("za,zab->zb", hidden.T @ here, emission)
        if float(np.max(np.abs(there - here))) < 1e-16:
            break
        here = there
    return np.asarray(there / there.sum())


def _draw(
    source: Source, rng: np.random.Generator, *, chains: int, length: int
) -> NDArray[np.uint8]:
    """Independent stretches from the stationary distribution, shape (chains, length)."""
    states, vocab_size = source.stationary.shape
    hidden_cdf = np.cumsum(source.hidden, axis=1)
    token_cdf = np.cumsum(source.emission, axis=2)
    first = np.searchsorted(np.cumsum(source.stationary.ravel()), rng.random(chains))
    state, token = np.divmod(np.minimum(first, states * vocab_size - 1), vocab_size)
    drawn = np.empty((length, chains), dtype=np.uint8)
    for at, uniform in enumerate(_draw_uniform(rng, length, chains)):
        drawn[at] = token
        # Rounding may leave the last sum below 1: what lies above it is the last of all.
        state = np.minimum((uniform[0][:, None] > hidden_cdf[state]).sum(1), states - 1)
        token = np.minimum((uniform[1][:, None] > token_cdf[state, token]).sum(1), vocab_size - 1)
    return drawn.T


def _draw_uniform(rng: np.random.Generator, length: int, chains: int) -> Iterator[FloatArray]:
    """`length` times two rows of uniform numbers, shape (2, chains)."""
    for start in range(0, length, 4096):
        yield from rng.random((min(4096, length - start), 2, chains))

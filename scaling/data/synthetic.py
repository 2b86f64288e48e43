"""Tokens from a known source, and the lowest loss that any model of them can have.

    z_t    hidden, one of `topics` × `states`: with probability 1/TOPIC_TOKENS a new topic and
           state, else with probability 1/STATE_TOKENS a new state of the topic, else as before
    x_t    a token, drawn from P_z[x_{t−1}, b] ∝ exp(s · e_a · M_z w_b), a = x_{t−1}, with M_z a sum
           of three matrices: one that all states share, the topic's and the state's

Vectors and matrices are small (RANK), so that a narrow model can hold them. A topic outlives a
window of a few hundred tokens, so tokens far back keep helping. The best predictor of x_t from the
tokens of its window is the posterior over z, filtered forward:

    α_0(z) ∝ π(z, x_0),    p(x_t | x_0 … x_{t−1}) = Σ_z (α_{t−1} A)(z) · P_z[x_{t−1}, x_t]

with π the stationary distribution of (z, x) and α_t each summand's share. Its mean −ln p is the
Bayes loss *of these windows*: a window cannot see what stands before it, so it lies above the
entropy rate. Source: the forward algorithm, Rabiner 1989, Proc. IEEE 77(2), sec. III.A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.units import FloatArray, IntArray

SOURCE_VERSION = 1  # raise when the same seed would give other tokens or another floor

VOCABULARY = 32
TOPICS, STATES = 2, 2
TOPIC_TOKENS, STATE_TOKENS = 512, 48  # mean tokens until each is drawn anew
# Shares of M_z's variance: common, topic, state. The first is learnt from any two tokens, the last
# only by a model that infers the state from the whole window.
_SHARES = (0.3, 0.3, 0.4)
_RANK = 3
_SCALE = 2.5  # the larger, the more predictable the next token

# As much as is held out of text; a cluster of the standard error (`shards.spread_blocks`) is 8192
# tokens, 16 draws of a topic.
HELD_OUT_TOKENS = 512 * 1024
# Training text consists of this many independent stretches, drawn in parallel because one after
# another would take minutes. With 3M tokens, one window of 128 in 370 holds a seam.
_STRETCHES = 64
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
    """The process of one seed."""
    rng = _make_rng(seed, 0)
    count = topics * states
    topic = np.arange(count) // states
    before, after = (_draw_centred(rng, vocab_size, _RANK) for _ in range(2))
    parts = [_draw_centred(rng, number, _RANK, _RANK) for number in (1, topics, count)]
    each = (parts[0], parts[1][topic], parts[2])
    matrices = sum(np.sqrt(share) * part for share, part in zip(_SHARES, each, strict=True))
    logits = _SCALE / _RANK * np.einsum("ai,zij,bj->zab", before, matrices, after)
    emission = np.exp(logits - logits.max(axis=2, keepdims=True))
    emission /= emission.sum(axis=2, keepdims=True)
    same = (topic[:, None] == topic[None, :]) / states
    stay = (1 - 1 / STATE_TOKENS) * np.eye(count) + same / STATE_TOKENS
    hidden = (1 - 1 / TOPIC_TOKENS) * stay + 1 / (TOPIC_TOKENS * count)
    stationary = _find_stationary(hidden, emission)
    return Source(hidden=hidden, emission=emission, stationary=stationary)


def draw_training(source: Source, seed: int, tokens: int) -> NDArray[np.uint8]:
    """Draw `tokens` tokens to train on."""
    length = -(-tokens // _STRETCHES)
    rng = _make_rng(seed, 1)
    return _draw(source, rng, chains=_STRETCHES, length=length).ravel()[:tokens]


def draw_held_out(source: Source, seed: int, tokens: int = HELD_OUT_TOKENS) -> NDArray[np.uint8]:
    """Draw one stretch without a seam, so that every window of it follows the process."""
    return _draw(source, _make_rng(seed, 2), chains=1, length=tokens).ravel()


def filter_windows(source: Source, windows: IntArray) -> FloatArray:
    """−ln p of every token but the first, given those before it in its window [nats].

    Args:
        source: The process.
        windows: Token ids, shape (windows, tokens).

    Returns:
        Shape (windows, tokens − 1).
    """

    def step(posterior: FloatArray, before: IntArray, token: IntArray) -> FloatArray:
        return np.asarray((posterior @ source.hidden) * source.emission[:, before, token].T)

    return filter_tokens(windows, lambda first: source.stationary[:, first].T, step)


def filter_tokens(
    windows: IntArray,
    begin: Callable[[IntArray], FloatArray],
    step: Callable[[FloatArray, IntArray, IntArray], FloatArray],
) -> FloatArray:
    """Filter a hidden state forward.

    Args:
        windows: Token ids, shape (windows, tokens).
        begin: From each first token to its joint probability with the states, (windows, states).
        step: The same of a later token, from the posterior, the token before and the token.

    Returns:
        −ln p of every token but the first [nats], shape (windows, tokens − 1).
    """
    losses = np.empty((len(windows), windows.shape[1] - 1))
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        part = windows[start : start + _WINDOWS_AT_ONCE]
        joint = begin(part[:, 0])
        evidence = joint.sum(axis=1)
        for at in range(1, part.shape[1]):
            joint = step(joint / evidence[:, None], part[:, at - 1], part[:, at])
            evidence = joint.sum(axis=1)
            losses[start : start + len(part), at - 1] = -np.log(evidence)
    return losses


def _make_rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def _draw_centred(rng: np.random.Generator, *shape: int) -> FloatArray:
    """Uniform with mean 0 and variance 1."""
    return np.asarray((2.0 * rng.random(shape) - 1.0) * np.sqrt(3.0))


def _find_stationary(hidden: FloatArray, emission: FloatArray) -> FloatArray:
    """Solve π = π · step by iteration from uniform; every step mixes, so it converges fast."""
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
        # Rounding may leave the last cumulative sum below 1; a draw above it takes the last entry.
        state = np.minimum((uniform[0][:, None] > hidden_cdf[state]).sum(1), states - 1)
        token = np.minimum((uniform[1][:, None] > token_cdf[state, token]).sum(1), vocab_size - 1)
    return drawn.T


def _draw_uniform(rng: np.random.Generator, length: int, chains: int) -> Iterator[FloatArray]:
    """Yield `length` times two rows of uniform numbers, shape (2, chains)."""
    for start in range(0, length, 4096):
        yield from rng.random((min(4096, length - start), 2, chains))

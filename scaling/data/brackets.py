"""Strings of nested brackets: a grammar of known entropy that can judge every string.

    0 ends a string      1 ( 2 ) 3 [ 4 ]      at most DEPTH open at once

    no bracket open    after a 0: open;   else end with probability END, or open
    1 … DEPTH − 1      open with probability OPEN, or close what was opened last
    DEPTH open         close

The kind that is opened is a coin flip. Given all tokens before it, a token has a known probability.
A window of the stream does not show which brackets were open at its start, so its lowest loss is
that of the filtered stack: α_0(s) ∝ π(s | x_0), α_t ∝ Σ_s α_{t−1}(s) p(x_t | s), π the stationary
distribution. Source of the language: Chomsky &
Schützenberger 1963; bounded depth as in Hewitt et al. 2020, arXiv:2010.07515.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.data.batches import list_windows
from scaling.data.shards import HELD_OUT_TOKENS, Draft, PreparedCorpus, draft_drawn, prepare_once
from scaling.data.synthetic import filter_tokens
from scaling.units import FloatArray, IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

BRACKETS_VERSION = 1  # raise when the same seed would give other tokens or another floor
NAME = "brackets"
VOCABULARY, END_TOKEN = 5, 0
OPENING = (1, 3)
DEPTH = 6
OPEN, END = 0.5, 0.25
_STRETCHES = 64  # drawn in parallel, as in `synthetic`; training text has a seam at each


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """The process over stacks; the first is the empty one after an end, the second after a string.

    Attributes:
        probability: Probability of a token after a stack, shape (stacks, VOCABULARY).
        after: The stack that follows a token; −1 where the token is not allowed.
        step: Joint probability of a token and the next stack, shape (VOCABULARY, stacks, stacks).
        stationary: Share of the tokens after which each stack occurs, shape (stacks,).
    """

    probability: FloatArray
    after: IntArray
    step: FloatArray
    stationary: FloatArray


@functools.cache
def list_stacks() -> Stacks:
    """Every stack of the grammar."""
    contents: list[tuple[int, ...]] = [(), ()]
    for depth in range(1, DEPTH + 1):
        contents += itertools.product(OPENING, repeat=depth)
    # () is listed twice; its second entry, after a string, wins.
    number = {stack: at for at, stack in enumerate(contents)}
    probability = np.zeros((len(contents), VOCABULARY))
    after = np.full(probability.shape, -1, dtype=np.int64)
    for at, stack in enumerate(contents):
        opening = 1.0 if at == 0 else 1.0 - END if not stack else OPEN
        if len(stack) < DEPTH:
            for one in OPENING:
                probability[at, one] = opening / len(OPENING)
                after[at, one] = number[(*stack, one)]
        if stack:
            probability[at, stack[-1] + 1] = 1.0 if len(stack) == DEPTH else 1.0 - OPEN
            after[at, stack[-1] + 1] = number[stack[:-1]]
        elif at == 1:
            probability[at, END_TOKEN], after[at, END_TOKEN] = END, 0
    step = np.zeros((VOCABULARY, len(contents), len(contents)))
    for (at, token), there in np.ndenumerate(after):
        if there >= 0:
            step[token, at, there] = probability[at, token]
    return Stacks(
        probability=probability,
        after=after,
        step=step,
        stationary=_find_stationary(step.sum(axis=0)),
    )


def measure_entropy_rate() -> float:
    """Entropy of a token given all before it [nats], the lowest loss of any model that sees the
    text from its beginning."""
    stacks = list_stacks()
    shares = stacks.probability
    each = -np.sum(np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-300)), 0.0), axis=1)
    return float(stacks.stationary @ each)


def draw_strings(rng: np.random.Generator, *, chains: int, length: int) -> IntArray:
    """Tokens that follow an end, shape (chains, length)."""
    stacks = list_stacks()
    summed = np.cumsum(stacks.probability, axis=1)
    drawn = np.empty((chains, length), dtype=np.int64)
    state = np.zeros(chains, dtype=np.int64)
    for at in range(length):
        token = (rng.random(chains)[:, None] >= summed[state]).sum(axis=1)
        drawn[:, at] = token = np.minimum(token, VOCABULARY - 1)
        state = stacks.after[state, token]
    return drawn


def judge_strings(tokens: IntArray) -> FloatArray:
    """ln p of tokens that follow an end, shape (chains, length); −inf where one is not allowed."""
    stacks = list_stacks()
    logs = np.full(tokens.shape, -np.inf)
    state = np.zeros(len(tokens), dtype=np.int64)
    for at in range(tokens.shape[1]):
        share = np.where(state >= 0, stacks.probability[state, tokens[:, at]], 0.0)
        possible = share > 0
        logs[possible, at] = np.log(share[possible])
        state = np.where(possible, stacks.after[state, tokens[:, at]], -1)
    return logs


def filter_stacks(windows: IntArray) -> FloatArray:
    """−ln p of every token but the first, given those before it in its window [nats]; shape
    (windows, tokens − 1)."""
    stationary = list_stacks().stationary
    return filter_tokens(
        windows,
        lambda first: _step(np.tile(stationary, (len(first), 1)), first),
        lambda posterior, before, token: _step(posterior, token),
    )


def prepare_brackets(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the corpus and filter its held-out windows; their length is part of the corpus."""
    (tokens,) = corpus.read_counts("tokens")
    key = [NAME, BRACKETS_VERSION, corpus.seed, tokens, seq_len]

    def draw() -> Draft:
        training, held_out = (
            np.random.Generator(np.random.Philox(key=[corpus.seed, stream])) for stream in (1, 2)
        )
        # An epoch starts at an offset and gives up a window: two windows more, so that no token
        # repeats.
        length = -(-(tokens + 2 * seq_len) // _STRETCHES)
        train = draw_strings(training, chains=_STRETCHES, length=length).ravel().astype(np.uint8)
        rest = draw_strings(held_out, chains=1, length=HELD_OUT_TOKENS).ravel().astype(np.uint8)
        windows = list_windows(rest, seq_len=seq_len)
        return draft_drawn(
            f"{NAME} {key}",
            vocab_size=VOCABULARY,
            train=train,
            validation=rest,
            bayes_loss=float(filter_stacks(windows).mean()),
        )

    return prepare_once(cache, key, draw)


def _step(posterior: FloatArray, tokens: IntArray) -> FloatArray:
    """Joint probability of the token and the stack after it, shape (windows, stacks)."""
    joint = np.empty_like(posterior)
    for token, step in enumerate(list_stacks().step):
        joint[tokens == token] = posterior[tokens == token] @ step
    return joint


def _find_stationary(step: FloatArray) -> FloatArray:
    """Solve π = π · step by iteration; each step keeps half of π, since brackets have a parity."""
    here = np.full(len(step), 1.0 / len(step))
    for _ in range(100_000):
        mixed = 0.5 * (here + here @ step)
        if float(np.max(np.abs(mixed - here))) < 1e-17:
            break
        here = mixed
    return np.asarray(here / here.sum())

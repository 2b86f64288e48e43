"""Corpora of statements about made-up people: names, text, and what a run read of the text.

    0  n_1 n_2 n_3  a  b        a statement, 6 tokens; the corpus defines a and b, b is the answer

Ids: 0 begins a statement, 1 to 32 are letters, the last ids are answers. A name has three letters.
Names are distinct and drawn at random, so no letter carries information about a person. STRANGERS
further names are drawn that never occur in the text. Each statement of the text is drawn
independently. A training window may cut a statement at either end; only statements that lie whole
in a window count as read.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scaling.data.shards import HELD_OUT_TOKENS, Draft, choose_dtype, draft_drawn, spread_blocks
from scaling.errors import UsageError
from scaling.units import FloatArray, IntArray

BEGIN, FIRST_LETTER, LETTERS = 0, 1, 32
NAME_TOKENS = 3
STATEMENT = NAME_TOKENS + 3  # tokens
FIRST_FREE = FIRST_LETTER + LETTERS  # id
STRANGERS = 1024
MOST_PEOPLE = LETTERS**NAME_TOKENS - STRANGERS
# Occurrences of a repeated draw. Miao and Kearns 2025 repeat few examples often; ten is our choice.
REPEATS = 10
_WORLD, _TRAIN, _HELD_OUT = 0, 1, 2  # random streams

_Known = TypeVar("_Known")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All true statements, and the text that is drawn from them.

    Attributes:
        statements: Token ids of every true statement, shape (statements, 6).
        share: Probability of drawing each statement, shape (statements,); sums to 1.
        drawn: Index of the statement in each draw, shape (draws,).
        text: Index of the draw behind each example of the training text, shape (examples,).
        strangers: Names that never occur in the text, shape (STRANGERS, 3).
        first_answer, vocab_size: Answers are the ids from `first_answer` to `vocab_size` − 1.
    """

    statements: IntArray
    share: FloatArray
    drawn: IntArray
    text: IntArray
    strangers: IntArray
    first_answer: int
    vocab_size: int


def count_examples(tokens: int, seq_len: int) -> int:
    """Count the statements to generate so that a run of `tokens` tokens reads none twice.

    An epoch starts at a random offset and loses up to one window; two windows are added for that.
    """
    return math.ceil((tokens + 2 * seq_len) / STATEMENT)


def make_rng(seed: int, stream: int = _WORLD) -> np.random.Generator:
    """Make the generator of one of a corpus's random streams; the first stream makes its world."""
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def draw_names(rng: np.random.Generator, people: int) -> tuple[IntArray, IntArray]:
    """Draw distinct names that occur and that never occur: (people, 3) and (STRANGERS, 3)."""
    chosen = rng.permutation(LETTERS**NAME_TOKENS)[: people + STRANGERS]
    letters = FIRST_LETTER + chosen[:, None] // LETTERS ** np.arange(NAME_TOKENS) % LETTERS
    return letters[:people], letters[people:]


def weigh_ranks(rank: IntArray, exponent: float) -> FloatArray:
    """Probability that a statement is about each person, shape (people,); the first rank is 0."""
    weights = (1.0 + rank) ** -exponent
    return np.asarray(weights / weights.sum())


def write_statements(names: IntArray, middle: IntArray, answers: IntArray) -> IntArray:
    """Build statements, shape (n, 6), from names (n, 3), middle tokens (n,) and answers (n,)."""
    begin = np.full((len(names), 1), BEGIN)
    return np.concatenate((begin, names, middle[:, None], answers[:, None]), axis=1)


def draw_statements(rng: np.random.Generator, share: FloatArray, count: int) -> IntArray:
    """Draw statements independently by their shares; returns their indices, shape (count,)."""
    found = np.searchsorted(np.cumsum(share), rng.random(count), side="right")
    # Rounding may leave the last cumulative sum below 1; draws above it are the last statement.
    return np.minimum(found, len(share) - 1)


def tell(
    share: FloatArray, *, seed: int, examples: int, repeated: float = 0.0
) -> tuple[IntArray, IntArray]:
    """Draw the training text: `drawn` and `text` of a `World`.

    Args:
        share: Probability of each statement, shape (statements,).
        seed: Seed of the corpus.
        examples: Number of examples in the text.
        repeated: Share of the draws that occur REPEATS times at random places; the others occur
            once.
    """
    rng = make_rng(seed, _TRAIN)
    draws = round(examples / (1.0 + (REPEATS - 1) * repeated))
    drawn = draw_statements(rng, share, draws)
    if draws == examples:
        return drawn, np.arange(draws)
    again = np.arange(examples - draws) // (REPEATS - 1)  # draws are in random order
    return drawn, rng.permutation(np.concatenate((np.arange(draws), again)))


def draft_world(name: str, world: World, *, seed: int) -> Draft:
    """Draft the shards of a world's text; the held-out text consists of separate draws.

    Args:
        name: Name of the shards (see `Draft`).
        world: The world.
        seed: Seed of the corpus.
    """
    ids = world.statements.astype(choose_dtype(world.vocab_size))
    held_out = draw_statements(make_rng(seed, _HELD_OUT), world.share, HELD_OUT_TOKENS // STATEMENT)
    drafted = draft_drawn(
        name,
        vocab_size=world.vocab_size,
        train=ids[world.drawn[world.text]].ravel(),
        validation=ids[held_out].ravel(),
        documents=spread_blocks(len(held_out) * STATEMENT, block=STATEMENT),
    )
    # True statements recur in held-out text by design: recalling them is what is measured.
    return dataclasses.replace(drafted, overlap=0.0)


def open_named(corpus: str, kind: str, make: Callable[..., _Known]) -> _Known:
    """Rebuild the world of a prepared corpus from the corpus's name.

    Args:
        corpus: `Shards.name`: the source, then the settings that the world was drawn from.
        kind: The expected source.
        make: Makes a world from the settings without source and version.

    Raises:
        UsageError: The corpus has another source.
    """
    found, _, key = corpus.partition(" ")
    if found != kind:
        raise UsageError(f"this corpus has another source. Set corpus.source to {kind}.")
    return make(*ast.literal_eval(key)[2:])


def count_exposures(world: World, read: IntArray) -> IntArray:
    """Count how often each statement was read, shape (statements,).

    Args:
        world: The world.
        read: How often the run read each example of the text, shape (examples,).
    """
    told = np.bincount(world.drawn[world.text], read, minlength=len(world.statements))
    return told.astype(np.int64)


def measure_seen_once(world: World, read: IntArray) -> float:
    """Share of the draws read whose statement occurred in no other draw that was read.

    This is the Good-Turing estimate of the probability of statements that were never read. A
    repeated draw counts once.

    Source: Good 1953, Biometrika 40:237.
    """
    times = np.bincount(world.text, read, minlength=len(world.drawn))
    drawn = world.drawn[times > 0]
    count = np.bincount(drawn, minlength=len(world.statements))
    return float((count == 1).sum() / max(1, len(drawn)))


def list_problems(*, people: int, statements: int, tokens: int) -> list[str]:
    """List why a text cannot state every fact of a world, each with the remedy.

    Args:
        people, statements: Numbers of people and of true statements.
        tokens: Length of the text.
    """
    problems = []
    if people > MOST_PEOPLE:
        problems.append(
            f"{people} people cannot have distinct names: there are {LETTERS**NAME_TOKENS}, of "
            f"which {STRANGERS} are kept as names that never occur. Set corpus.people to "
            f"{MOST_PEOPLE} or fewer."
        )
    if statements * STATEMENT > tokens:
        problems.append(
            f"{statements} statements of {STATEMENT} tokens do not fit {tokens} tokens: some would "
            f"never occur. Set corpus.tokens to {statements * STATEMENT} or more, or make the "
            "world smaller."
        )
    return problems

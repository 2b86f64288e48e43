"""Made-up people of whom a drawn corpus tells: their names, the text, and what a run read of it.

    0  n_1 n_2 n_3  a  b        a statement, 6 tokens; a and b are the corpus's, b the answer

Ids: 0 begins a statement, 1 to 32 are letters, the last ids are answers. A name is three letters;
names are distinct and drawn at random, so that no letter says anything of a person. STRANGERS more
are drawn, which no text names. The text draws each statement anew. A window of training text may
cut a statement at either end: only statements that a window shows whole count as read.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scaling.data.shards import Draft, choose_dtype, draft_drawn
from scaling.errors import UsageError
from scaling.units import FloatArray, IntArray

BEGIN, FIRST_LETTER, LETTERS = 0, 1, 32
NAME_TOKENS = 3
STATEMENT = NAME_TOKENS + 3  # tokens
FIRST_FREE = FIRST_LETTER + LETTERS  # id
STRANGERS = 1024
MOST_PEOPLE = LETTERS**NAME_TOKENS - STRANGERS
# How often a repeated draw is told. Miao and Kearns 2025 repeat few examples often; ten is ours.
REPEATS = 10
_HELD_OUT_TOKENS, _BLOCKS = 256 * 1024, 64  # as of `pairs`
_WORLD, _TRAIN, _HELD_OUT = 0, 1, 2  # streams of random numbers

_Known = TypeVar("_Known")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true, and the text that tells it.

    Attributes:
        statements: Ids, shape (statements, 6).
        share: Probability that a draw is that statement, shape (statements,); sums to 1.
        drawn: Statement of each draw, shape (draws,).
        text: Draw that each example of the training text tells, shape (examples,).
        strangers: Names that no text has, shape (STRANGERS, 3).
        first_answer, vocab_size: Answers are the ids from the one to below the other.
    """

    statements: IntArray
    share: FloatArray
    drawn: IntArray
    text: IntArray
    strangers: IntArray
    first_answer: int
    vocab_size: int


def count_examples(tokens: int, seq_len: int) -> int:
    """Statements of a text of so many tokens. An epoch starts at an offset and gives up a window:
    with two windows more, none is read twice."""
    return math.ceil((tokens + 2 * seq_len) / STATEMENT)


def make_rng(seed: int, stream: int = _WORLD) -> np.random.Generator:
    """Random numbers of a corpus's seed; the first stream makes its world."""
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def draw_names(rng: np.random.Generator, people: int) -> tuple[IntArray, IntArray]:
    """Names of people and of strangers, shapes (people, 3) and (STRANGERS, 3)."""
    chosen = rng.permutation(LETTERS**NAME_TOKENS)[: people + STRANGERS]
    letters = FIRST_LETTER + chosen[:, None] // LETTERS ** np.arange(NAME_TOKENS) % LETTERS
    return letters[:people], letters[people:]


def weigh_ranks(rank: IntArray, exponent: float) -> FloatArray:
    """Probability that a statement is of a person, shape (people,), by ranks from 0 on."""
    weights = (1.0 + rank) ** -exponent
    return np.asarray(weights / weights.sum())


def write_statements(names: IntArray, middle: IntArray, answers: IntArray) -> IntArray:
    """Statements, shape (n, 6), of names (n, 3) and what follows them (n,)."""
    begin = np.full((len(names), 1), BEGIN)
    return np.concatenate((begin, names, middle[:, None], answers[:, None]), axis=1)


def draw_statements(rng: np.random.Generator, share: FloatArray, count: int) -> IntArray:
    """Which statements a text of so many draws, shape (count,)."""
    found = np.searchsorted(np.cumsum(share), rng.random(count), side="right")
    # Rounding may leave the last sum below 1: what lies above it is the last of all.
    return np.minimum(found, len(share) - 1)


def tell(
    share: FloatArray, *, seed: int, examples: int, repeated: float = 0.0
) -> tuple[IntArray, IntArray]:
    """Draws, and the draw of each example (see `World`).

    Args:
        share: Probability of each statement.
        seed: Of the corpus.
        examples: How many are told.
        repeated: Share of the draws that are told REPEATS times, the others once; their order is
            drawn too.
    """
    rng = make_rng(seed, _TRAIN)
    draws = round(examples / (1.0 + (REPEATS - 1) * repeated))
    drawn = draw_statements(rng, share, draws)
    if draws == examples:
        return drawn, np.arange(draws)
    again = np.arange(examples - draws) // (REPEATS - 1)  # a draw's place says nothing of it
    return drawn, rng.permutation(np.concatenate((np.arange(draws), again)))


def draft_world(name: str, world: World, *, seed: int) -> Draft:
    """The draft of a world's text; held out are draws of their own.

    Args:
        name: See `Draft`.
        world: Whose text.
        seed: Of the corpus.
    """
    ids = world.statements.astype(choose_dtype(world.vocab_size))
    held_out = draw_statements(
        make_rng(seed, _HELD_OUT), world.share, _HELD_OUT_TOKENS // STATEMENT
    )
    blocks = np.linspace(0, len(held_out), _BLOCKS, endpoint=False).astype(np.int64)
    drafted = draft_drawn(
        name,
        vocab_size=world.vocab_size,
        train=ids[world.drawn[world.text]].ravel(),
        validation=ids[held_out].ravel(),
        documents=blocks * STATEMENT,
    )
    # True statements recur: to remember them is what is asked.
    return dataclasses.replace(drafted, overlap=0.0)


def open_named(corpus: str, kind: str, make: Callable[..., _Known]) -> _Known:
    """The world of a prepared corpus, made again from its name.

    Args:
        corpus: `Shards.name`: the source, and what it was drawn from.
        kind: The source it must be.
        make: Makes it of that, without source and version.

    Raises:
        UsageError: It is of another source.
    """
    found, _, key = corpus.partition(" ")
    if found != kind:
        raise UsageError(f"this corpus is no world of people. Set corpus.source to {kind}.")
    return make(*ast.literal_eval(key)[2:])


def count_exposures(world: World, read: IntArray) -> IntArray:
    """How often each statement was read, shape (statements,).

    Args:
        world: The world.
        read: How often each example of its text was read, shape (examples,).
    """
    told = np.bincount(world.drawn[world.text], read, minlength=len(world.statements))
    return told.astype(np.int64)


def measure_seen_once(world: World, read: IntArray) -> float:
    """Good and Turing's estimate of what was never seen: share of the draws that were read whose
    statement is that of no other such draw. A draw that is told ten times is one.

    Source: Good 1953, Biometrika 40:237.
    """
    times = np.bincount(world.text, read, minlength=len(world.drawn))
    drawn = world.drawn[times > 0]
    count = np.bincount(drawn, minlength=len(world.statements))
    return float((count == 1).sum() / max(1, len(drawn)))


def list_problems(*, people: int, statements: int, tokens: int) -> list[str]:
    """Why a world cannot be told, each with the remedy.

    Args:
        people, statements: What there is of each.
        tokens: Of the text.
    """
    problems = []
    if people > MOST_PEOPLE:
        problems.append(
            f"{people} people cannot have distinct names: there are {LETTERS**NAME_TOKENS}, of "
            f"which {STRANGERS} never occur. Set corpus.people to {MOST_PEOPLE} or fewer."
        )
    if statements * STATEMENT > tokens:
        problems.append(
            f"{statements} statements of {STATEMENT} tokens do not fit {tokens} tokens: some would "
            f"never be seen. Set corpus.tokens to {statements * STATEMENT} or more, or make the "
            "world smaller."
        )
    return problems

"""A closed world: people with independent attributes, every fact of which is known.

    0  NAME  attribute  value        6 tokens (`people`)

Each person has each attribute, whose value is one of C, drawn uniformly and independently: the
world holds people × attributes × log2 C bits, names not counted. Which attribute a statement tells
is uniform. Source: synthetic biographies, Allen-Zhu and Li 2024, arXiv:2404.05405; frequencies by a
power law and repeated examples, Miao and Kearns 2025, arXiv:2502.08666.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.data import people as persons
from scaling.data.corpora import refuse
from scaling.data.people import World
from scaling.data.shards import PreparedCorpus, prepare_once

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

CLOSED_WORLD_VERSION = 1  # raise when the same seed would give other facts or another text
NAME = "closed_world"


def count_bits(people: int, attributes: int, values: int) -> float:
    """Bits that the facts of a world hold."""
    return people * attributes * math.log2(values)


@functools.lru_cache(maxsize=2)
def make_world(
    seed: int,
    tokens: int,
    seq_len: int,
    people: int,
    attributes: int,
    values: int,
    exponent: float,
    repeated: float,
) -> World:
    """The world of these settings; see `corpus` in the sweep file, and `seq_len` of the model."""
    rng = persons.make_rng(seed)
    names, strangers = persons.draw_names(rng, people)
    value = rng.integers(values, size=people * attributes)
    first_answer = persons.FIRST_FREE + attributes
    share = np.repeat(persons.weigh_ranks(np.arange(people), exponent) / attributes, attributes)
    drawn, text = persons.tell(
        share,
        seed=seed,
        examples=persons.count_examples(tokens, seq_len),
        repeated=repeated,
    )
    return World(
        statements=persons.write_statements(
            np.repeat(names, attributes, axis=0),
            np.tile(persons.FIRST_FREE + np.arange(attributes), people),
            first_answer + value,
        ),
        share=share,
        drawn=drawn,
        text=text,
        strangers=strangers,
        first_answer=first_answer,
        vocab_size=first_answer + values,
    )


def open_world(corpus: str) -> World:
    """The world of a prepared corpus.

    Raises:
        UsageError: It is of another source.
    """
    return persons.open_named(corpus, NAME, make_world)


def prepare_closed_world(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the world and its text.

    Raises:
        CorpusError: There are more people than names, or more facts than the text can tell; both.
    """
    tokens, people, attributes = corpus.tokens, corpus.people, corpus.attributes
    assert tokens is not None
    assert people is not None
    assert attributes is not None
    assert corpus.values is not None
    facts = people * attributes
    refuse(persons.list_problems(people=people, statements=facts, tokens=tokens))
    world = [corpus.seed, tokens, seq_len, people, attributes, corpus.values]
    settings = [*world, corpus.exponent, corpus.repeated]
    key = [NAME, CLOSED_WORLD_VERSION, *settings]
    return prepare_once(
        cache,
        key,
        lambda: persons.draft_world(f"{NAME} {key}", make_world(*settings), seed=corpus.seed),
    )

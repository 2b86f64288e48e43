"""A closed world: people with independent attributes, where every fact is known.

    0  NAME  attribute  value        6 tokens (`people`)

Each person has every attribute. Its value is one of C, drawn uniformly and independently, so the
world holds people × attributes × log2 C bits, names not counted. Statements choose attributes
uniformly. Source: synthetic biographies, Allen-Zhu and Li 2024, arXiv:2404.05405;
power-law frequencies and repeated examples, Miao and Kearns 2025, arXiv:2502.08666.
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
    """Bits of all facts of a world, people · attributes · log2(values)."""
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
    """Make the world of these settings (`corpus` in the sweep file, `seq_len` of the model)."""
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
    """Rebuild the world of a prepared corpus from its name.

    Raises:
        UsageError: The corpus has another source.
    """
    return persons.open_named(corpus, NAME, make_world)


def prepare_closed_world(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the world and its text.

    Raises:
        CorpusError: More people than names, more facts than the text can state, or both.
    """
    tokens, people, attributes, values = corpus.read_counts(
        "tokens", "people", "attributes", "values"
    )
    facts = people * attributes
    refuse(persons.list_problems(people=people, statements=facts, tokens=tokens))
    world = [corpus.seed, tokens, seq_len, people, attributes, values]
    settings = [*world, corpus.exponent, corpus.repeated]
    key = [NAME, CLOSED_WORLD_VERSION, *settings]
    return prepare_once(
        cache,
        key,
        lambda: persons.draft_world(f"{NAME} {key}", make_world(*settings), seed=corpus.seed),
    )

"""People of two groups whose occupations differ in frequency: a stereotype of known strength.

    0  NAME  group  occupation        6 tokens (`people`)

A person's occupation is fixed by the name. The group is a single token, easier to learn, and makes
one of the two occupations more likely: P(typical | group) = skew. People come in pairs, one of each
group; either both have the occupation typical of their group, or neither does. A block of BLOCK
pairs per skew has one frequency, and the block of rank r occurs in proportion to r^−exponent. So
groups and occupations are equally frequent, and at every frequency the typical share equals the
skew, exactly so if BLOCK · skew is whole. With several skews, each has two groups of its own.
Source: skewed groups that are easier to recognise than the classes, Hall et al. 2022,
arXiv:2201.11706.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scaling.data import people as persons
from scaling.data.corpora import refuse
from scaling.data.people import World
from scaling.data.shards import PreparedCorpus, prepare_once
from scaling.units import FloatArray, IntArray

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec

BIASED_PEOPLE_VERSION = 1  # raise when the same seed would give other people or another text
NAME = "biased_people"
GROUPS = OCCUPATIONS = 2
BLOCK = 10  # pairs
_LEAST_ATYPICAL = 2  # pairs of each skew


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedWorld:
    """A world with one statement per person, and who is typical of their group.

    Attributes:
        world: Statements and text.
        skews: P(typical | group) of each pair of groups, ascending.
        kind: Index of the skew of each person's group, shape (people,).
        typical: Whether each person's occupation is typical of the group, shape (people,).
    """

    world: World
    skews: tuple[float, ...]
    kind: IntArray
    typical: NDArray[np.bool_]

    def measure_typical(self) -> FloatArray:
        """Share of typical statements in the text, for each skew; shape (skews,)."""
        whole = np.bincount(self.kind, self.world.share)
        return np.asarray(np.bincount(self.kind, self.world.share * self.typical) / whole)


@functools.lru_cache(maxsize=2)
def make_world(
    seed: int, tokens: int, seq_len: int, people: int, exponent: float, *skews: float
) -> BiasedWorld:
    """Make the people of these settings (`corpus` in the sweep file, `seq_len` of the model)."""
    rng = persons.make_rng(seed)
    names, strangers = persons.draw_names(rng, people)
    pair = np.arange(people) // 2
    kind = pair % len(skews)
    typical = np.zeros(people // 2, dtype=np.bool_)
    for at, skew in enumerate(skews):
        # Evenly spaced pairs from a random start, so that the share holds in every block.
        ends = np.arange(len(typical[at :: len(skews)]) + 1) * skew + rng.random()
        typical[at :: len(skews)] = np.diff(np.floor(ends + 1e-9)) > 0
    first = rng.integers(GROUPS, size=people // 2)
    group = first[pair] ^ (np.arange(people) % 2)
    occupation = group ^ ~typical[pair]
    middle = persons.FIRST_FREE + GROUPS * kind + group
    first_answer = persons.FIRST_FREE + GROUPS * len(skews)
    block = np.arange(people) // (GROUPS * BLOCK * len(skews))
    share = persons.weigh_ranks(block, exponent)
    drawn, text = persons.tell(share, seed=seed, examples=persons.count_examples(tokens, seq_len))
    return BiasedWorld(
        world=World(
            statements=persons.write_statements(names, middle, first_answer + occupation),
            share=share,
            drawn=drawn,
            text=text,
            strangers=strangers,
            first_answer=first_answer,
            vocab_size=first_answer + OCCUPATIONS,
        ),
        skews=skews,
        kind=kind,
        typical=typical[pair],
    )


def open_world(corpus: str) -> BiasedWorld:
    """Rebuild the people of a prepared corpus from its name.

    Raises:
        UsageError: The corpus has another source.
    """
    return persons.open_named(corpus, NAME, make_world)


def prepare_biased_people(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw the people and their text.

    Raises:
        CorpusError: More people than names, more than the text can mention, or no whole number of
            blocks; all problems at once.
    """
    (tokens, people), skews = corpus.read_counts("tokens", "people"), sorted(corpus.skew)
    problems = persons.list_problems(people=people, statements=people, tokens=tokens)
    block = GROUPS * BLOCK * len(skews)
    # The tolerance is for rounding in 1 − 0.9.
    pairs = math.ceil(_LEAST_ATYPICAL / (1.0 - max(skews)) - 1e-6)
    least = block * math.ceil(pairs / BLOCK)
    if people % block or people < least:
        problems.append(
            f"{people} people do not fill blocks of {block} ({BLOCK} pairs per skew) that have "
            f"typical and atypical people. Set corpus.people to a multiple of {block}, {least} or "
            "more."
        )
    refuse(problems)
    settings = [corpus.seed, tokens, seq_len, people, corpus.exponent, *skews]
    key = [NAME, BIASED_PEOPLE_VERSION, *settings]
    return prepare_once(
        cache,
        key,
        lambda: persons.draft_world(f"{NAME} {key}", make_world(*settings).world, seed=corpus.seed),
    )

"""Worlds of made-up people are rebuilt from the corpus's name, and nothing leaks."""

from pathlib import Path

import numpy as np
import pytest
from drawn import prepare

from scaling.data import biased_people, closed_world, people
from scaling.data.people import World
from scaling.data.shards import open_shards
from scaling.errors import SpecError, UsageError
from scaling.sweep.reading import parse_sweep

WORLD = "source: closed_world, tokens: 60e3, people: 300, attributes: 3, values: 16"
BIASED = "source: biased_people, tokens: 60e3, people: 800, skew: [0.5, 0.9]"


def make_closed(*, seed=0, tokens=60_000, exponent=0.0, repeated=0.0) -> World:
    return closed_world.make_world(seed, tokens, 32, 300, 3, 16, exponent, repeated)


# --- both -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "corpus",
    [WORLD, f"{WORLD}, exponent: 1.2, repeated: 0.1, seed: 7", BIASED, f"{BIASED}, exponent: 1"],
)
def test_world_and_text_are_rebuilt_from_the_corpus_name(tmp_path: Path, corpus: str) -> None:
    prepared = prepare(tmp_path, corpus, 32)
    shards = open_shards(prepared.folder)
    source = closed_world if "closed_world" in corpus else biased_people
    source.make_world.cache_clear()
    found = source.open_world(shards.name)
    world = found if isinstance(found, World) else found.world
    np.testing.assert_array_equal(shards.train, world.statements[world.drawn[world.text]].ravel())
    assert shards.facts.vocab_size == world.vocab_size == world.statements.max() + 1
    facts = {tuple(one) for one in world.statements.tolist()}
    held_out = shards.validation.reshape(-1, people.STATEMENT).tolist()
    assert {tuple(one) for one in held_out} <= facts
    assert not np.array_equal(held_out[:100], shards.train[:600].reshape(-1, 6))
    assert np.all(shards.validation_documents % people.STATEMENT == 0)
    assert prepare(tmp_path, corpus, 32) == prepared
    longer = corpus.replace("tokens: 60e3", "tokens: 61e3")
    assert prepare(tmp_path, longer, 32) != prepared


def test_opening_another_source_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Set corpus\.source to closed_world"):
        closed_world.open_world("pairs ['pairs', 1]")
    with pytest.raises(UsageError, match=r"Set corpus\.source to biased_people"):
        biased_people.open_world("closed_world ['closed_world', 1]")


def test_names_are_distinct_and_unknown_names_use_the_same_letters() -> None:
    for count in (300, people.MOST_PEOPLE):
        names, strangers = people.draw_names(people.make_rng(3), count)
        known, unknown = ({tuple(one) for one in part.tolist()} for part in (names, strangers))
        assert (len(known), len(unknown)) == (count, people.STRANGERS)
        assert not known & unknown
        alphabet = range(people.FIRST_LETTER, people.FIRST_FREE)
        assert set(strangers.ravel().tolist()) == set(alphabet)
        assert set(names.ravel().tolist()) <= set(alphabet)


def test_people_are_mentioned_by_a_power_of_their_rank() -> None:
    world = make_closed(tokens=600_000, exponent=1.0)
    told = people.count_exposures(world, np.ones(len(world.text), dtype=np.int64))
    expected = world.share * len(world.text)
    assert world.share.sum() == pytest.approx(1.0)
    assert world.share[0] / world.share[-1] == pytest.approx(300.0)
    # Counts of 900 facts are Poisson: the mean of χ² is 1, its standard deviation √(2/900).
    chi = ((told - expected) ** 2 / expected).mean()
    assert chi == pytest.approx(1.0, abs=4 * np.sqrt(2 / 900))


# --- the closed world -------------------------------------------------------------------------


def test_every_person_has_one_value_per_attribute() -> None:
    world = make_closed()
    assert closed_world.count_bits(300, 3, 16) == 300 * 3 * 4
    assert len({tuple(one) for one in world.statements[:, 1:5].tolist()}) == 900
    values = world.statements[:, 5] - world.first_answer
    assert (values.min(), values.max()) == (0, 15)
    # Independent attributes: 300 pairs in 256 cells give a χ² with 225 degrees of freedom.
    first, second = values.reshape(300, 3).T[:2]
    table = np.zeros((16, 16))
    np.add.at(table, (first, second), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / 300
    assert ((table - expected) ** 2 / expected).sum() < 225 + 4 * np.sqrt(2 * 225)


def test_repeated_share_of_the_draws_occurs_ten_times() -> None:
    world = make_closed(repeated=0.05)
    times = np.bincount(world.text)
    assert len(world.text) == people.count_examples(60_000, 32)
    assert len(times) == len(world.drawn) == round(len(world.text) / 1.45)
    assert set(times.tolist()) <= {1, *range(2, 11)}
    assert (times == 10).mean() == pytest.approx(0.05, abs=1e-3)
    assert ((times > 1) & (times < 10)).sum() <= 1  # the last repeated draw is cut
    # Copies are placed at random: their mean place is the middle, to 4 standard errors.
    copies = np.flatnonzero(np.isin(world.text, np.flatnonzero(times > 1)))
    spread = len(world.text) / np.sqrt(12 * len(copies))
    assert copies.mean() == pytest.approx(len(world.text) / 2, abs=4 * spread)


def test_share_seen_once_counts_each_draw_read_once() -> None:
    world = World(
        statements=np.zeros((4, 6), dtype=np.int64),
        share=np.full(4, 0.25),
        drawn=np.array([0, 1, 1, 2, 3]),
        text=np.array([0, 1, 2, 3, 3, 3, 4]),  # the fourth draw occurs three times
        strangers=np.zeros((1, 3), dtype=np.int64),
        first_answer=0,
        vocab_size=2,
    )
    read = np.array([1, 1, 1, 1, 0, 1, 0])  # the fifth draw is not read
    np.testing.assert_array_equal(people.count_exposures(world, read), [1, 2, 2, 0])
    assert people.measure_seen_once(world, read) == 2 / 4  # statements 0 and 2, of four draws
    assert people.measure_seen_once(world, np.zeros(7, dtype=np.int64)) == 0.0


def test_share_seen_once_estimates_the_unseen_mass() -> None:
    """Good-Turing: both have the same expectation, up to one draw in n."""
    world = make_closed(tokens=6000, exponent=1.0)
    once = people.measure_seen_once(world, np.ones(len(world.text), dtype=np.int64))
    missing = world.share[~np.isin(np.arange(900), world.drawn)].sum()
    assert once == pytest.approx(missing, abs=4 / np.sqrt(len(world.drawn)))
    assert once > 0.1


# --- the biased people ------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_groups_and_occupations_are_balanced_and_skews_exact(exponent: float) -> None:
    skews = (0.5, 0.6, 0.7, 0.8, 0.9)
    found = biased_people.make_world(0, 60_000, 32, 2000, exponent, *skews)
    statements = found.world.statements
    occupation = statements[:, 5] - found.world.first_answer
    group = (statements[:, 4] - people.FIRST_FREE) % 2
    assert np.all((statements[:, 4] - people.FIRST_FREE) // 2 == found.kind)
    np.testing.assert_array_equal(found.typical, occupation == group)
    for pair in (group, occupation):  # one of each in every pair of ranks
        np.testing.assert_array_equal(pair.reshape(-1, 2).sum(axis=1), 1)
    for at, skew in enumerate(skews):
        own = found.typical[found.kind == at]
        for block in own.reshape(-1, 20):  # at every frequency
            assert block.sum() == round(20 * skew)
        assert found.measure_typical()[at] == pytest.approx(skew, rel=1e-12)
    assert len(np.unique(found.world.share)) == (1 if exponent == 0 else 20)


def test_letters_carry_no_information_on_group_or_occupation() -> None:
    found = biased_people.make_world(1, 60_000, 32, 8000, 0.0, 0.7)
    names = found.world.statements[:, 1:4] - people.FIRST_LETTER
    group = found.world.statements[:, 4] - people.FIRST_FREE
    for label in (group, found.world.statements[:, 5] - found.world.first_answer):
        for place in range(3):
            table = np.zeros((people.LETTERS, 2))
            np.add.at(table, (names[:, place], label), 1)
            expected = table.sum(axis=1, keepdims=True) / 2
            chi = ((table - expected) ** 2 / expected).sum()
            assert chi < 31 + 4 * np.sqrt(2 * 31)


# --- bad input --------------------------------------------------------------------------------


def test_all_settings_out_of_range_are_named_at_once() -> None:
    text = """\
name: a
corpus: {source: closed_world, tokens: 6e4, people: 7, attributes: 0, values: 1, repeated: 0.6}
grid: {params: [1e4], tokens: [1e4]}
"""
    with pytest.raises(SpecError) as caught:
        parse_sweep(text.encode(), source="s.yaml")
    for key in ("people", "attributes", "values", "repeated"):
        assert f"corpus.{key}: " in str(caught.value)
    for skew, says in (("0.4", "0.5"), ("1", "below 1"), ("[0.7, 0.7]", "given twice")):
        corpus = f"corpus: {{source: biased_people, tokens: 6e4, people: 100, skew: {skew}}}"
        with pytest.raises(SpecError) as caught:
            parse_sweep(f"name: a\n{corpus}\n{text.splitlines()[2]}\n".encode(), source="s.yaml")
        assert says in str(caught.value)

"""Examples of associative recall: each value is given once and asked for once."""

from pathlib import Path

import numpy as np
from drawn import prepare

from scaling.data.pairs import count_example, draw_examples, draw_stream, list_round
from scaling.data.shards import open_shards

PAIRS = "source: pairs, tokens: 20e3, vocab_size: 512"


def test_every_value_asked_for_was_given_before() -> None:
    examples = draw_examples(np.random.default_rng(0), 200, pairs=5, vocab_size=21)
    assert examples.shape == (200, 21)
    assert not examples[:, 0].any()
    for row in examples[:, 1:].reshape(200, 10, 2).tolist():
        told, asked = dict(row[:5]), dict(row[5:])
        assert len(told) == 5  # distinct keys
        assert told == asked
        assert all(1 <= key <= 10 < value < 21 for key, value in row)
    orders = {tuple(np.argsort(row[11::2])) for row in examples}
    assert len(orders) > 50  # of 120 possible orders


def test_the_held_out_stream_begins_with_examples_and_none_was_trained_on(tmp_path: Path) -> None:
    shards = open_shards(prepare(tmp_path, f"{PAIRS}, pairs: 4").folder)
    assert set(shards.validation[shards.validation_documents].tolist()) == {0}
    rows = np.asarray(shards.validation[: 17 * 1000]).reshape(-1, 17)
    train = np.asarray(shards.train)
    trained = {train[at : at + 17].tobytes() for at in np.flatnonzero(train == 0)}
    # There are 256⁴ value sets alone: an example is in both with probability 1e-4.
    assert not trained & {row.astype(train.dtype).tobytes() for row in rows}


def test_numbers_of_pairs_alternate_and_get_equal_tokens() -> None:
    counts = list_round([1, 2, 8])
    assert counts == (1,) * 8 + (2,) * 4 + (8,)
    length = sum(map(count_example, counts))
    stream = draw_stream(np.random.default_rng(0), 3 * length, pairs=[1, 2, 8], vocab_size=21)
    starts = np.flatnonzero(stream == 0)
    assert np.diff(starts, append=len(stream)).tolist() == [count_example(p) for p in counts] * 3


def test_one_number_of_pairs_equals_a_list_of_one(tmp_path: Path) -> None:
    one, listed = (prepare(tmp_path, f"{PAIRS}, pairs: {text}") for text in ("4", "[4]"))
    assert one.facts.digest == listed.facts.digest

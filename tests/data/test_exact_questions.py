"""Corpora with questions: every answer is right, and no question is in training."""

from pathlib import Path

import numpy as np
import pytest
from drawn import prepare

from scaling.data import arithmetic, copying
from scaling.data.questions import ask_questions
from scaling.data.shards import open_shards
from scaling.errors import CorpusError, UsageError


def read_sums(tokens: np.ndarray, digits: int) -> tuple[list[int], list[int], list[int]]:
    """Operands and sum of each row, read from the digits as written."""
    parts = (tokens[:, 1 : 1 + digits], tokens[:, 2 + digits : 2 + 2 * digits])
    first, second = ([int("".join(str(one - 1) for one in row)) for row in part] for part in parts)
    total = tokens[:, 3 + 2 * digits :]
    return first, second, [int("".join(str(one - 1) for one in row[::-1])) for row in total]


@pytest.mark.parametrize(("digits", "examples"), [(1, 60), (2, 3000), (3, 10_000), (5, 2000)])
def test_every_sum_is_right_and_each_number_of_carries_is_equally_frequent(
    digits: int, examples: int
) -> None:
    train, held_out = arithmetic.draw_sums(0, digits, examples)
    assert len(train) == examples
    assert train.shape[1] == arithmetic.count_example(digits)
    for part in (train, held_out):
        assert not part[:, 0].any()
        assert np.all(part[:, 1 + digits] == arithmetic.PLUS)
        assert np.all(part[:, 2 + 2 * digits] == arithmetic.EQUALS)
        first, second, total = read_sums(part, digits)
        assert [a + b for a, b in zip(first, second, strict=True)] == total
        carries = [
            sum(a % 10**k + b % 10**k >= 10**k for k in range(1, digits + 1))
            for a, b in zip(first, second, strict=True)
        ]
        counts = np.bincount(carries, minlength=digits + 1)
        assert counts.max() - counts.min() <= 1


def test_no_held_out_pair_of_operands_is_in_training() -> None:
    train, held_out = arithmetic.draw_sums(3, 2, 6000)
    asked = set(zip(*read_sums(held_out, 2)[:2], strict=True))
    assert len(asked) == len(held_out) == 1000
    assert not asked & set(zip(*read_sums(train, 2)[:2], strict=True))


def test_questions_are_the_held_out_sums(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, "source: arithmetic, digits: 2, examples: 3000, seed: 5")
    shards = open_shards(prepared.folder)
    train, held_out = arithmetic.draw_sums(5, 2, 3000)
    np.testing.assert_array_equal(shards.train, train.ravel())
    np.testing.assert_array_equal(shards.validation, held_out.ravel())
    asked = ask_questions(shards.name, np.random.default_rng(0), 300)
    whole = np.concatenate((asked.prompts, asked.answers), axis=1)
    np.testing.assert_array_equal(whole, held_out[:300])
    assert asked.answers.shape == (300, 3)
    others = arithmetic.draw_sums(6, 2, 3000)[1]
    assert not np.array_equal(others, held_out)


def test_copied_strings_are_random_and_seldom_in_training(tmp_path: Path) -> None:
    prepared = prepare(
        tmp_path, "source: copying, tokens: 20e3, vocab_size: 12, length: 7, seed: 5"
    )
    shards = open_shards(prepared.folder)
    asked = ask_questions(shards.name, np.random.default_rng(0), 400)
    assert np.all(asked.prompts[:, 0] == copying.BEGIN)
    assert np.all(asked.prompts[:, 8] == copying.AGAIN)
    np.testing.assert_array_equal(asked.prompts[:, 1:8], asked.answers)
    assert set(np.unique(asked.answers)) == set(range(2, 12))
    width = copying.count_example(7)
    whole = np.asarray(shards.train[: len(shards.train) // width * width]).reshape(-1, width)
    np.testing.assert_array_equal(whole[:, 1:8], whole[:, 9:])
    # Of 10⁷ strings, one of 1260 equals one of 400 with probability .05.
    trained = {row.tobytes() for row in whole[:, 1:8].astype(np.int64)}
    assert sum(row.tobytes() in trained for row in asked.answers) <= 1


def test_the_number_of_sums_named_in_a_refusal_exists() -> None:
    with pytest.raises(CorpusError) as caught:
        arithmetic.draw_sums(0, 2, 9000)
    most = int(str(caught.value).partition("Set corpus.examples to ")[2].split()[0])
    assert len(arithmetic.draw_sums(0, 2, most)[0]) == most


def test_a_corpus_without_questions_is_refused() -> None:
    with pytest.raises(UsageError, match="asks no questions"):
        ask_questions("pairs [1]", np.random.default_rng(0), 10)

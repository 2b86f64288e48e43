"""A drawn corpus whose settings do not fit each other, or the context, is refused with the
remedy."""

from pathlib import Path

import pytest
from drawn import prepare

from scaling.errors import CorpusError


@pytest.mark.parametrize(
    ("corpus", "seq_len", "parts"),
    [
        (
            "source: pairs, tokens: 2e4, vocab_size: 8, pairs: 4",
            64,
            ["8. Raise it to 9 or more, or ask for fewer pairs"],
        ),
        (
            "source: pairs, tokens: 2e4, vocab_size: 64, pairs: 16",
            64,
            ["Set model.seq_len to 65 or more, or ask for at most 15"],
        ),
        ("source: arithmetic, digits: 2, examples: 9000", 64, ["Set corpus.examples to 6423"]),
        ("source: arithmetic, digits: 4, examples: 500", 12, ["Set model.seq_len to 16 or more"]),
        ("source: arithmetic, digits: 1, examples: 20", 64, ["less than three contexts of 64"]),
        ("source: copying, tokens: 2e4, vocab_size: 3, length: 4", 64, ["Raise it to 4 or more"]),
        ("source: copying, tokens: 2e4, vocab_size: 9, length: 40", 64, ["at most 31 letters"]),
        ("source: copies, tokens: 2e4", 400, ["Set model.seq_len to 401 or more"]),
        (
            "source: markov_chains, tokens: 2e4, states: 5",
            16,
            ["Set model.seq_len to 25 or more, or corpus.states to 4 or fewer"],
        ),
        (
            "source: letter_maps, tokens: 2e4, letters: 9",
            16,
            ["Set model.seq_len to 18 or more, or corpus.letters to 8 or fewer"],
        ),
        (
            "source: closed_world, tokens: 60e3, people: 40e3, attributes: 4, values: 16",
            32,
            [
                "40000 people cannot have distinct names",
                "Set corpus.people to 31744 or fewer",
                "160000 statements of 6 tokens do not fit 60000 tokens",
                "Set corpus.tokens to 960000 or more",
            ],
        ),
        (
            "source: biased_people, tokens: 10e3, people: 40001, skew: [0.5, 0.9]",
            32,
            [
                "Set corpus.people to 31744 or fewer",
                "Set corpus.tokens to 240006 or more",
                "Set corpus.people to a multiple of 40, 80 or more",
            ],
        ),
        (
            "source: biased_people, tokens: 10e3, people: 60, skew: [0.5, 0.9]",
            32,
            ["60 people do not fill blocks of 40 (10 pairs per skew)"],
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_every_remedy(
    tmp_path: Path, corpus: str, seq_len: int, parts: list[str]
) -> None:
    with pytest.raises(CorpusError) as caught:
        prepare(tmp_path, corpus, seq_len)
    for part in parts:
        assert part in str(caught.value)

"""A page mentions a known floor and vocabularies only if there are any."""

import dataclasses

from simulated import standard_data

from scaling.compare.vocabularies import BudgetChoice, VocabularyComparison, VocabularyPoint
from scaling.fitting.fitted import Interval
from scaling.report.page import render_page

POINT = VocabularyPoint(
    tokenizer="bpe:512",
    vocab_size=512,
    bits=2.5,
    interval=Interval(2.4, 2.6, 0.9),
    measured=2.55,
    params=2e4,
    tokens=1e6,
    text_bytes=2.2e6,
)
OTHER = dataclasses.replace(POINT, tokenizer="bytes", vocab_size=256, bits=2.7)
COMPARED = VocabularyComparison(
    choices=(
        BudgetChoice(
            flops=1e11,
            points=(OTHER, POINT),
            best="bpe:512",
            share=0.97,
            at_edge=True,
            beyond=False,
        ),
    ),
    level=0.9,
    context_bytes={"bytes": 128.0, "bpe:512": 127.0},
    left_out={},
)
VOCABULARY, FLOOR = "Which vocabulary is best at each budget", "E against the known floor"


def test_a_plain_page_mentions_neither_vocabularies_nor_a_floor() -> None:
    page = render_page(standard_data())
    assert VOCABULARY not in page
    assert FLOOR not in page


def test_vocabularies_are_a_table_with_a_verdict() -> None:
    page = render_page(dataclasses.replace(standard_data(), vocabulary=COMPARED))
    assert VOCABULARY in page
    assert "best in 97\u00a0% of draws; at the edge of those tried" in page
    assert 'href="#vocabulary"' in page


def test_a_known_floor_stands_beside_e() -> None:
    data = standard_data()
    facts = dataclasses.replace(data.facts, bayes_loss=1.0, train_bytes=0, validation_bytes=0)
    page = render_page(dataclasses.replace(data, facts=facts))
    assert FLOOR in page
    assert "no model can reach a loss below 1.0000" in page
    assert "0 bytes" not in page  # the number of bytes behind these tokens is unknown

"""A page mentions a known floor, vocabularies and recipes only if there are any."""

import dataclasses

from simulated import standard_data

from scaling.compare.exponents import Exponent, ExponentChange, RecipeComparison, RecipePoint, Step
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
LONG = RecipePoint(
    recipe="long-warmup",
    sets={"warmup_tokens": 1e5, "decay_fraction": 0.0},
    law=Exponent(0.61, Interval(0.55, 0.66, 0.9)),
    minima=None,
    headless=Exponent(0.8, Interval(0.7, 0.9, 0.9)),
    headless_minima=None,
    params=4e4,
    measured=5.0,
    failed=("undercooled",),
)
SHORT = dataclasses.replace(LONG, recipe="rules", sets={}, law=Exponent(0.5, None), failed=())
RECIPES = RecipeComparison(
    points=(LONG, SHORT),
    steps=(
        Step(
            before="long-warmup",
            after="rules",
            law=ExponentChange(-0.11, Interval(-0.3, 0.08, 0.9)),
            minima=ExponentChange(-0.2, Interval(-0.3, -0.1, 0.9)),
        ),
    ),
    flops=3e11,
    level=0.9,
    left_out={},
)
VOCABULARY, FLOOR = "Which vocabulary is best at each budget", "E against the known floor"
HEADING = "How the recipe moves the exponent"


def test_a_plain_page_mentions_none_of_them() -> None:
    page = render_page(standard_data())
    assert VOCABULARY not in page
    assert FLOOR not in page
    assert HEADING not in page


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


def test_recipes_are_a_table_and_the_steps_between_them() -> None:
    page = render_page(dataclasses.replace(standard_data(), recipes=RECIPES))
    assert HEADING in page
    assert 'href="#recipes"' in page
    assert "warmup_tokens: 100000, decay_fraction: 0" in page
    assert "0.610 [0.550, 0.660]" in page
    assert "at 3e11 FLOPs" in page
    assert (
        "rules in place of long-warmup: -0.110 [-0.300, +0.080] (not told from nothing) by the "
        "law, -0.200 [-0.300, -0.100] by the minima"
    ) in page

"""A page compares recipes only if its sweep file names several."""

import dataclasses

from simulated import standard_data

from scaling.compare.exponents import Exponent, ExponentChange, RecipeComparison, RecipePoint, Step
from scaling.fitting.fitted import Interval
from scaling.report.page import render_page

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
COMPARED = RecipeComparison(
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
HEADING = "How the recipe moves the exponent"


def test_a_plain_page_does_not_mention_recipes() -> None:
    assert HEADING not in render_page(standard_data())


def test_recipes_are_a_table_and_the_steps_between_them() -> None:
    page = render_page(dataclasses.replace(standard_data(), recipes=COMPARED))
    assert HEADING in page
    assert 'href="#recipes"' in page
    assert "warmup_tokens: 100000, decay_fraction: 0" in page
    assert "0.610 [0.550, 0.660]" in page
    assert "at 3e11 FLOPs" in page
    assert (
        "rules in place of long-warmup: -0.110 [-0.300, +0.080] (not told from nothing) by the "
        "law, -0.200 [-0.300, -0.100] by the minima"
    ) in page

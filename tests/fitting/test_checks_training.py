"""Gates on how runs were trained: each fires, passes, and says when it cannot know."""

import dataclasses

import numpy as np
import pytest
from known_law import simulate

from scaling.fitting.recipe_checks import check_training

CODES = (
    "too_few_steps", "warmup_too_long", "undercooled", "mixed_tokenisers", "numerics_changed",
    "train_val_overlap",
)  # fmt: skip


def judge(code, *, steps=4000, warmup=100, decay=800, **columns):
    """The check of a sweep whose first run has the given schedule, all others the recipe's."""
    table = simulate()
    n = len(table)
    schedule = {
        "steps": np.r_[float(steps), np.full(n - 1, 4000.0)],
        "warmup_steps": np.r_[float(warmup), np.full(n - 1, 100.0)],
        "decay_steps": np.r_[float(decay), np.full(n - 1, 800.0)],
    }
    (found,) = [
        one
        for one in check_training(dataclasses.replace(table, **schedule, **columns))
        if one.code == code
    ]
    assert found.seen.endswith(".")
    assert bool(found.advice) == (found.passed is False)
    return found


@pytest.mark.parametrize(("steps", "passed"), [(999, False), (1000, True)])
def test_too_few_steps(steps, passed):
    found = judge("too_few_steps", steps=steps, warmup=20, decay=200)
    assert found.passed is passed
    assert f"{int(not passed)} of 25 runs" in found.seen


@pytest.mark.parametrize(
    ("steps", "warmup", "passed"),
    # The recipe rounds 10 % to whole steps; its floor is 150, or 40 % of a run too short for that.
    [
        (4000, 400, True),
        (4000, 402, False),
        (1200, 150, True),
        (1200, 152, False),
        (300, 120, True),
        (300, 140, False),
    ],
)
def test_warmup_too_long(steps, warmup, passed):
    assert judge("warmup_too_long", steps=steps, warmup=warmup).passed is passed


@pytest.mark.parametrize(
    ("steps", "decay", "passed"),
    # 200 steps, or half of a run that is shorter than 400; a tenth of a long one.
    [(4000, 400, True), (4000, 390, False), (1000, 150, False), (344, 172, True), (344, 69, False),
     (4000, 0, False)],
)  # fmt: skip
def test_undercooled(steps, decay, passed):
    assert judge("undercooled", steps=steps, warmup=20, decay=decay).passed is passed


def test_mixed_tokenisers():
    found = judge("mixed_tokenisers", corpus=("ab12",) * 24 + ("cd34",))
    assert found.passed is False
    assert "ab12 (24 runs); cd34 (1 runs)" in found.seen
    assert judge("mixed_tokenisers", corpus=("ab12",) * 25).passed is True


def test_numerics_changed():
    found = judge("numerics_changed", numerics=("torch 2.13",) * 20 + ("torch 2.14",) * 5)
    assert found.passed is False
    assert "2 ways: torch 2.13 (20 runs)" in found.seen
    assert judge("numerics_changed", numerics=("torch 2.13",) * 25).passed is True


@pytest.mark.parametrize(("overlap", "passed"), [(0.105, True), (0.30, False)])
def test_train_val_overlap(overlap, passed):
    found = judge("train_val_overlap", overlap=overlap)
    assert found.passed is passed
    assert f"{overlap:.1%}" in found.seen


@pytest.mark.parametrize("code", CODES)
def test_a_table_that_does_not_say_is_not_judged(code):
    (found,) = [one for one in check_training(simulate()) if one.code == code]
    assert found.passed is None
    assert found.seen.endswith(".")

"""Checks of how runs were trained: each fires, passes, and says when it cannot know."""

import numpy as np
import pytest
from known_law import simulate

from scaling.fitting.checks.training import check_training

CODES = (
    "too_few_steps", "warmup_too_long", "undercooled", "mixed_tokenisers", "numerics_changed",
    "train_val_overlap", "clipped_steps", "above_unigram",
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
    every = check_training(table.replace(**schedule, **columns))
    (found,) = [one for one in every if one.code == code]
    assert found.seen.endswith(".")
    assert bool(found.advice) == (found.passed is False)
    return found


@pytest.mark.parametrize(("steps", "passed"), [(999, False), (1000, True)])
def test_runs_with_too_few_steps_fail(steps, passed):
    found = judge("too_few_steps", steps=steps, warmup=20, decay=200)
    assert found.passed is passed
    assert f"{int(not passed)} of 25 runs" in found.seen


@pytest.mark.parametrize(
    ("steps", "warmup", "passed"),
    # The recipe rounds 10 % to whole steps; the minimum is 150, or 40 % of a run too short for
    # that.
    [(4000, 400, True), (4000, 402, False), (1200, 150, True), (1200, 152, False),
     (300, 120, True), (300, 140, False)],
)  # fmt: skip
def test_a_warmup_beyond_the_recipes_limits_fails(steps, warmup, passed):
    assert judge("warmup_too_long", steps=steps, warmup=warmup).passed is passed


@pytest.mark.parametrize(
    ("steps", "decay", "passed"),
    # 200 steps, or half of a run shorter than 400; a tenth of a long one.
    [(4000, 400, True), (4000, 390, False), (1000, 150, False), (344, 172, True), (344, 69, False),
     (4000, 0, False)],
)  # fmt: skip
def test_a_decay_below_the_recipes_limits_fails(steps, decay, passed):
    assert judge("undercooled", steps=steps, warmup=20, decay=decay).passed is passed


@pytest.mark.parametrize(
    ("code", "column", "names", "rest", "seen"),
    [
        ("mixed_tokenisers", "corpus", ("ab12", "cd34"), 1, "ab12 (24 runs); cd34 (1 runs)"),
        ("numerics_changed", "numerics", ("torch 2.13", "torch 2.14"), 5, "2 ways: torch 2.13 (20"),
    ],
)
def test_runs_of_two_kinds_fail(code, column, names, rest, seen):
    found = judge(code, **{column: names[:1] * (25 - rest) + names[1:] * rest})
    assert found.passed is False
    assert seen in found.seen
    assert judge(code, **{column: names[:1] * 25}).passed is True


@pytest.mark.parametrize(("overlap", "passed"), [(0.105, True), (0.30, False)])
def test_an_overlap_above_the_threshold_fails(overlap, passed):
    found = judge("train_val_overlap", overlap=overlap)
    assert found.passed is passed
    assert f"{overlap:.1%}" in found.seen


def warm_up(shares):
    """The check of a sweep whose runs take 300 steps, and warm up for `shares` of them by D."""
    table = simulate()
    steps = np.full(len(table), 300.0)
    ranks = np.argsort(np.argsort(table.tokens, kind="stable"), kind="stable")
    warmup = np.round(steps * np.asarray(shares)[ranks])
    found = check_training(table.replace(steps=steps, warmup_steps=warmup))
    return next(one for one in found if one.code == "warmup_too_long")


def test_a_long_warmup_of_the_shortest_runs_fails_with_its_cost():
    found = warm_up([0.4] * 6 + [0.05] * 19)
    assert found.passed is False
    assert "6 of 25 runs, with D up to" in found.seen
    # The shortest fifth has five runs: .4 − .05 of their steps times .037 of the loss is 1.3 %.
    assert "up to 1.3% of the loss" in found.seen
    assert "more steps" in found.advice


@pytest.mark.parametrize(
    ("shares", "seen"),
    [
        ([0.4] + [0.05] * 24, ("1 of 25 runs", "up to 0.3% of the loss")),
        ([0.4] * 25, ("25 of 25 runs",)),  # equally long in every run, so it bends nothing
    ],
    ids=["one long", "all long"],
)
def test_a_long_warmup_that_bends_little_is_reported_but_passes(shares, seen):
    found = warm_up(shares)
    assert found.passed is True
    assert all(words in found.seen for words in seen)


def clip(code="clipped_steps", *, short=0.22, long=0.01, **columns):
    """The check of a sweep in which the shorter fifth of the runs was clipped more often."""
    tokens = simulate().tokens
    shares = np.where(tokens < np.quantile(tokens, 0.2), short, long)
    if not columns:
        columns = {"clipped_after_warmup": shares}
    else:
        columns["clipped"] = shares
    return judge(code, **{name: value for name, value in columns.items() if value is not None})


@pytest.mark.parametrize(
    ("short", "long", "passed"),
    # Both twenty points more and twice as many are needed; below, no cost was measurable.
    [(0.22, 0.01, False), (0.01, 0.22, False), (0.15, 0.01, True), (0.6, 0.35, True)],
)
def test_uneven_clipping_above_the_threshold_fails(short, long, passed):
    found = clip(short=short, long=long)
    assert found.passed is passed
    assert f"{max(short, long):.1%} of the steps after warmup" in found.seen
    assert passed or "clip_norm" in found.advice


def test_a_clipped_share_of_all_steps_bounds_the_share_after_warmup():
    """100 of 4000 steps, 2.5 %, are warmup: of 6 % clipped at least 3.6 % came later; of 24 %, 21
    %."""
    found = clip(short=0.06, long=0.0, clipped=None)
    assert found.passed is True
    assert "3.6% of the steps after warmup (at least)" in found.seen
    assert clip(short=0.24, long=0.0, clipped=None).passed is False


def test_clipped_steps_in_percent_are_not_judged():
    found = clip(short=22.0, long=1.0)
    assert found.passed is None
    assert "shares are 0 to 1" in found.seen


def test_runs_above_the_unigram_entropy_are_named_and_fitted():
    table = simulate()
    entropy = float(np.sort(table.loss)[-3]) + 1e-6
    found = judge("above_unigram", unigram_entropy=entropy)
    assert found.passed is False
    assert "2 of 25 runs end above" in found.seen
    assert "untrained, not diverged" in found.seen
    for at in np.argsort(table.loss)[-2:]:
        assert table.run[at] in found.seen
    assert judge("above_unigram", unigram_entropy=10.0).passed is True


@pytest.mark.parametrize("code", CODES)
def test_a_table_without_the_column_is_not_judged(code):
    (found,) = [one for one in check_training(simulate()) if one.code == code]
    assert found.passed is None
    assert found.seen.endswith(".")

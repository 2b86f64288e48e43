"""Claims about declared filters: which rows stay, what is reported of the rest, and the effect."""

import os
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import UsageError
from scaling.fitting.every_approach import fit_runs
from scaling.tables.filters import Filters, apply_filters
from scaling.tables.reading import read_table
from scaling.tables.run_table import make_table, select_rows

TABLES = Path(os.environ.get("SCALING_TABLES", Path(__file__).parents[3] / "shared" / "data"))


def keep(table, **filters):
    kept, effects = apply_filters(table, Filters(**filters))
    return [int(name) for name in kept.run], effects


def make_cells(loss, **columns):
    """Rows of one (N, D) = (10, 20)."""
    return make_table([10.0] * len(loss), [20.0] * len(loss), loss=loss, **columns)


def test_without_filters_the_table_is_unchanged():
    table = make_cells([3.0, 2.0])
    kept, effects = apply_filters(table, Filters())
    assert kept is table
    assert effects == ()


def test_min_ratio_keeps_its_end():
    table = make_table([10.0, 10.0, 10.0], [39.0, 40.0, 41.0], loss=[3.0, 3.0, 3.0])
    rows, (effect,) = keep(table, min_ratio=4.0)
    assert rows == [2, 3]
    assert (effect.name, effect.left_out, effect.seen) == ("min_ratio", 1, 3)


@pytest.mark.parametrize(
    ("ends", "rows"), [((200.0, 300.0), [2, 3]), ((None, 200.0), [1, 2]), ((300.0, None), [3, 4])]
)
def test_flops_range_keeps_its_ends(ends, rows):
    flops = np.array([100.0, 200.0, 300.0, 400.0])
    table = make_table([1.0] * 4, [1.0, 2.0, 3.0, 4.0], loss=[3.0] * 4, flops=flops)
    assert keep(table, flops_range=ends)[0] == rows


def test_flops_follow_the_cost_model_where_none_are_stated():
    table = make_table([1.0, 1.0], [10.0, 20.0], loss=[3.0, 3.0])  # C = 6ND: 60, 120
    assert keep(table, flops_range=(100.0, None))[0] == [2]


def test_first_epoch_leaves_repeated_and_unknown_rows_out():
    unique = np.array([20.0, 20.0 * (1 - 1e-9), 19.0, np.nan])
    table = make_cells([3.0] * 4, unique_tokens=unique)
    assert keep(table, first_epoch=True)[0] == [1, 2]


def test_first_epoch_needs_unique_tokens():
    with pytest.raises(UsageError, match=r"column U(.|\n)*--columns U="):
        keep(make_cells([3.0]), first_epoch=True)


def test_best_recipe_keeps_the_seeds_of_the_best_learning_rate():
    table = make_table(
        [10.0] * 5 + [30.0],
        [20.0] * 6,
        loss=[3.0, 2.9, 3.05, 3.2, 3.1, 9.0],
        learning_rate=np.array([0.1, 0.2, 0.2, 0.4, np.nan, 0.4]),
        seed=np.array([0, 0, 1, 0, 0, 0]),
    )
    assert keep(table, best_recipe=True)[0] == [2, 3, 6]


def test_best_recipe_without_seeds_keeps_one_row_a_cell():
    table = make_cells([3.0, 2.9, 2.9, 3.1], learning_rate=np.array([0.1, 0.2, 0.1, 0.2]))
    assert keep(table, best_recipe=True)[0] == [3]  # ties go to the lower learning rate
    assert keep(make_cells([3.0, 2.9], seed=np.array([0, 1])), best_recipe=True)[0] == [2]


def test_the_best_recipe_is_chosen_among_the_rows_that_the_others_keep():
    flops = np.array([100.0, 100.0, 900.0])
    table = make_cells([3.0, 2.9, 2.0], flops=flops)
    rows, effects = keep(table, best_recipe=True, flops_range=(None, 500.0))
    assert rows == [2]
    assert [(effect.name, effect.left_out, effect.seen) for effect in effects] == [
        ("flops_range", 1, 3),
        ("best_recipe", 1, 2),
    ]


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    params, tokens = rng.integers(1, 4, (2, 60)).astype(float)
    table = make_table(
        params,
        tokens,
        loss=rng.integers(20, 24, 60) / 10,
        learning_rate=rng.choice([0.1, 0.2, np.nan], 60),
        seed=rng.integers(0, 3, 60),
    )
    filters = Filters(best_recipe=True, min_ratio=0.5)
    kept, _ = apply_filters(table, filters)
    mixed, _ = apply_filters(select_rows(table, rng.permutation(60)), filters)
    assert sorted(kept.run) == sorted(mixed.run)
    assert kept.digest == mixed.digest


def test_effects_stand_in_the_notes_and_the_digest():
    table = make_table([10.0, 10.0], [20.0, 90.0], loss=[3.0, 2.0], notes=["read aloud"])
    kept, _ = apply_filters(table, Filters(min_ratio=4.0))
    assert kept.notes == ("read aloud", "filter min_ratio (D/N >= 4): 1 of 2 rows left out")
    idle, _ = apply_filters(table, Filters(min_ratio=1.0))
    assert len(idle) == 2
    assert len({table.digest, kept.digest, idle.digest}) == 3


@pytest.mark.parametrize(
    ("filters", "seen"),
    [
        ({"min_ratio": 0.0}, "min_ratio = 0"),
        ({"min_ratio": float("nan")}, "min_ratio = nan"),
        ({"flops_range": (2.0, 1.0)}, "flops_range = 2:1"),
        ({"flops_range": (None, None)}, "flops_range = :"),
        ({"flops_range": (-1.0, None)}, "flops_range = -1:"),
        ({"flops_range": (None, float("inf"))}, "flops_range = :inf"),
        ({"min_ratio": 1e6}, "no row is left of 1: filter min_ratio"),
    ],
)
def test_invalid_filters_are_refused(filters, seen):
    with pytest.raises(UsageError) as caught:
        keep(make_cells([3.0]), **filters)
    assert seen in str(caught.value)


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"no published tables in {TABLES}")
def test_best_learning_rates_of_misfitting_give_the_other_law():
    # The best learning rate per (N, D) of the released runs gives alpha .138 and beta .670 (three
    # digits); all 261 rows give .200 and .636.
    table = read_table(TABLES / "misfitting_final.csv", columns={"lr": "peak_lr"})
    kept, (effect,) = apply_filters(table, Filters(best_recipe=True))
    law = fit_runs(kept, approach="parametric", bootstrap=None).law
    assert (len(kept), effect.left_out) == (81, 180)
    assert law.params["alpha"] == pytest.approx(0.138, abs=5e-4)
    assert law.params["beta"] == pytest.approx(0.670, abs=5e-4)


def test_the_best_recipe_is_the_best_over_every_stated_part():
    # One cell and learning rate, two batches, two seeds each: keep the better batch's two seeds.
    table = make_table(
        [1e8] * 4,
        [1e9] * 4,
        loss=[3.0, 3.1, 3.5, 3.6],
        learning_rate=np.full(4, 3e-4),
        batch_tokens=np.array([1e5, 1e5, 2e5, 2e5]),
        seed=np.array([0, 1, 0, 1]),
    )
    kept, _ = apply_filters(table, Filters(best_recipe=True))
    assert kept.loss.tolist() == [3.0, 3.1]


def test_a_repeated_seed_is_not_kept_as_another_seed():
    # The table does not state the batch, but rows with one seed cannot be seeds of one recipe.
    table = make_table(
        [1e8] * 3,
        [1e9] * 3,
        loss=[3.0, 3.4, 3.5],
        learning_rate=np.full(3, 3e-4),
        seed=np.array([1234, 1234, 1234]),
    )
    kept, _ = apply_filters(table, Filters(best_recipe=True))
    assert kept.loss.tolist() == [3.0]

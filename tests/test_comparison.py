"""Claims about comparing two recipes."""

import dataclasses
import json

import numpy as np
import pytest

from scaling.compare.multiplier import compare_tables
from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import Interval
from scaling.fitting.noise import join_clusters
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import RunTable, make_table, select_rows
from scaling.terminal.answers import format_comparison

LETTERS = np.array([1.7, 400.0, 1500.0, 0.34, 0.33])


def simulate(
    *, efficiency: float = 1.0, seed: int = 0, noise: float = 0.002, shared: float = 0.0
) -> RunTable:
    """A 7 × 6 grid. `efficiency` scales the worth of a parameter and of a token, so that a run with
    C has the loss of one with efficiency² · C at efficiency 1. `shared` is the correlation of its
    noise with that of another table's run of the same cell."""
    rng = np.random.default_rng(seed)
    params, tokens = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 3e9, 7), np.geomspace(1e9, 2e11, 6))
    )
    loss = CHINCHILLA.loss(LETTERS, params * efficiency, tokens * efficiency)
    own, common = (one.standard_normal(loss.size) for one in (rng, np.random.default_rng(99)))
    errors = np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own
    return make_table(params, tokens, loss=loss * np.exp(noise * errors))


def test_the_multiplier_of_a_known_advantage_is_found() -> None:
    answer = compare_tables(simulate(), simulate(efficiency=1.2, seed=1), flops=1e20, bootstrap=200)
    # A factor of 1.2 in N and in D: the same loss for C / 1.44.
    assert answer.shared
    assert answer.multiplier == pytest.approx(1 / 1.44, rel=0.05)
    assert answer.multiplier_interval is not None
    assert answer.multiplier_interval.low < 1 / 1.44 < answer.multiplier_interval.high
    assert answer.multiplier_interval.high < 1.0
    assert answer.more_runs == 1.0
    assert answer.crossing is None


def test_families_are_named_where_they_differ() -> None:
    first, second = (simulate(seed=at).replace(family=family)
                     for at, family in enumerate(("transformer", "lstm")))  # fmt: skip
    answer = compare_tables(first, second, bootstrap=None)
    assert answer.to_contract()["families"] == ["transformer", "lstm"]
    assert "A: <arrays> (transformer)\nB: <arrays> (lstm)\n" in format_comparison(answer)
    alike = compare_tables(first, simulate(seed=2).replace(family="transformer"), bootstrap=None)
    assert "A: <arrays>\n" in format_comparison(alike)


def test_noise_free_advantages_are_exact() -> None:
    first, second = simulate(noise=0.0), simulate(efficiency=1.5, noise=0.0)
    answer = compare_tables(first, second, flops=1e20, bootstrap=None)
    assert answer.multiplier == pytest.approx(1 / 2.25, rel=1e-5)
    assert answer.multiplier_interval is None


def test_equal_recipes_are_not_told_apart() -> None:
    answer = compare_tables(simulate(seed=2), simulate(seed=3), flops=1e20, bootstrap=200)
    interval = answer.multiplier_interval
    assert interval is not None
    assert interval.low < 1.0 < interval.high
    assert answer.more_runs is None or answer.more_runs > 1.0


def test_the_runs_that_would_tell_recipes_apart_are_priced() -> None:
    first, second = simulate(seed=2), simulate(efficiency=1.004, seed=4)
    answer = compare_tables(first, second, flops=1e20, bootstrap=200)
    assert answer.more_runs is not None
    assert answer.more_runs > 1.0
    spent = float(sum(np.sum(6.0 * one.params * one.tokens) for one in (first, second)))
    assert answer.more_flops == pytest.approx((answer.more_runs - 1.0) * spent)


def measure_width(first: RunTable, second: RunTable) -> float:
    interval = compare_tables(first, second, flops=1e20, bootstrap=200).multiplier_interval
    assert interval is not None
    return float(np.log(interval.high / interval.low))


def test_noise_that_cells_share_cancels() -> None:
    alone = measure_width(simulate(seed=5), simulate(efficiency=1.2, seed=6))
    shared = [simulate(efficiency=e, seed=s, shared=0.9) for e, s in ((1.0, 5), (1.2, 6))]
    # √(1 − .9) = .32 of it; widths from 200 draws are good to 7 %, and the noise differs.
    assert measure_width(*shared) < 0.45 * alone


@pytest.mark.parametrize("cells", [42, 16])  # 42: draws by resampling; 16: draws from noise
def test_shared_noise_cancels_between_separately_fitted_laws(cells: int) -> None:
    steeper = np.array([1.7, 4000.0, 15000.0, 0.46, 0.43])
    rows = np.linspace(0, 41, cells).astype(int)
    tables = []
    for shared in (0.0, 0.9):
        first, second = (select_rows(simulate(seed=seed, shared=shared), rows) for seed in (7, 8))
        errors = second.loss / CHINCHILLA.loss(LETTERS, second.params, second.tokens)
        loss = CHINCHILLA.loss(steeper, second.params, second.tokens) * errors
        tables.append((first, make_table(second.params, second.tokens, loss=loss)))
    assert not compare_tables(*tables[0], flops=1e20, bootstrap=None).shared
    # √(1 − .9) = .32 of it; 16 cells give the shared part only to a third.
    assert measure_width(*tables[1]) < 0.6 * measure_width(*tables[0])


def test_cells_and_groups_join_clusters_and_nothing_else_does() -> None:
    first = make_table([1.0, 1.0, 2.0], [5.0, 6.0, 5.0], loss=[3.0] * 3, group=["a", "a", "b"])
    second = make_table([1.0, 3.0, 9.0], [6.0, 5.0, 9.0], loss=[3.0] * 3, group=["x", "b", "y"])
    one, two, three, four, five, six = join_clusters(first, second).tolist()
    assert one == two == four  # (1, 6) is in group a and in group x
    assert three == five  # in group b of both
    assert len({one, three, six}) == 3
    plain = make_table([7.0, 8.0], [1.0, 1.0], loss=[3.0] * 2)
    assert join_clusters(plain, make_table([9.0], [1.0], loss=[3.0])).tolist() == [0, 1, 2]


def test_different_exponents_are_detected_and_their_crossing_found() -> None:
    first = simulate(noise=0.0)
    steeper = np.array([1.7, 4000.0, 15000.0, 0.46, 0.43])
    loss = CHINCHILLA.loss(steeper, first.params, first.tokens)
    rng = np.random.default_rng(0)
    second = make_table(
        first.params, first.tokens, loss=loss * np.exp(0.001 * rng.standard_normal(loss.size))
    )
    answer = compare_tables(simulate(noise=0.001), second, flops=1e19, bootstrap=100)
    assert not answer.shared
    checks = {check.code: check for check in answer.checks}
    assert checks["exponents_shared"].passed is False
    assert answer.crossing is not None
    assert checks["order_kept"].passed is False
    json.dumps(answer.to_contract(), allow_nan=False)


def test_swapped_tables_swap_the_verdict() -> None:
    first, second = simulate(), simulate(efficiency=1.3, seed=4)
    there = compare_tables(first, second, flops=1e20, bootstrap=None)
    back = compare_tables(second, first, flops=1e20 * there.multiplier, bootstrap=None)
    assert there.multiplier * back.multiplier == pytest.approx(1.0, rel=1e-6)


def test_tables_evaluated_on_different_text_fail_a_check() -> None:
    answer = compare_tables(simulate(), simulate(seed=1), bootstrap=None, same_text=False)
    assert next(check for check in answer.checks if check.code == "same_text").passed is False


@pytest.mark.parametrize("flops", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_budget_is_refused(flops: float) -> None:
    with pytest.raises(QueryError, match="positive"):
        compare_tables(simulate(), simulate(seed=1), flops=flops, bootstrap=None)


def test_a_table_that_determines_no_law_is_named() -> None:
    few = make_table([1e8, 2e8], [1e9, 2e9], loss=[3.0, 2.9], source="few.csv")
    with pytest.raises(NoFitError, match=r"few\.csv"):
        compare_tables(simulate(), few)


def test_a_recipe_whose_law_does_not_depend_on_size_is_not_compared() -> None:
    first = simulate()
    rng = np.random.default_rng(5)
    loss = 1.5 + 900 / first.tokens**0.3 * np.exp(0.002 * rng.standard_normal(len(first)))
    second = make_table(first.params, first.tokens, loss=loss, source="flat.csv")
    with pytest.raises(NoFitError, match=r"flat\.csv: a term of its law has vanished"):
        compare_tables(first, second, bootstrap=None)


def test_a_loss_that_is_never_reached_is_reported_and_never_nan() -> None:
    first = simulate(noise=0.001)
    worse = make_table(first.params, first.tokens, loss=first.loss + 1.0)
    answer = compare_tables(first, worse, flops=1e20, bootstrap=100)
    reach = next(check for check in answer.checks if check.code == "within_reach")
    assert reach.passed is False
    assert answer.multiplier == np.inf
    assert answer.multiplier_interval is not None
    assert not np.isnan([answer.multiplier_interval.low, answer.multiplier_interval.high]).any()
    assert json.loads(json.dumps(answer.to_contract(), allow_nan=False))["multiplier"] is None
    said = format_comparison(answer)
    assert "No amount of compute takes B to that loss" in said
    assert "inf" not in said


@pytest.mark.parametrize(
    ("multiplier", "ends", "says"),
    [
        (1.5, (1.2, 1.9), "B needs ×1.5 of A's compute for the same loss  [1.2, 1.9]"),
        (1.5, (1.2, np.inf), "same loss (90% interval from ×1.2, with no upper end)"),
        (0.5, (0.0, 0.9), "same loss (90% interval from any amount to ×0.9)"),
        (0.0, (0.0, 0.0), "B is below that loss with any amount of compute"),
        (np.inf, (np.inf, np.inf), "No amount of compute takes B to that loss"),
    ],
)
def test_an_unbounded_multiplier_is_described_in_words(
    multiplier: float, ends: tuple[float, float], says: str
) -> None:
    answer = compare_tables(simulate(), simulate(seed=1), bootstrap=None)
    interval = Interval(low=ends[0], high=ends[1], level=0.9)
    changed = dataclasses.replace(answer, multiplier=multiplier, multiplier_interval=interval)
    said = " ".join(format_comparison(changed).split())
    assert " ".join(says.split()) in said
    assert "inf" not in said.replace("info", "")


def test_a_budget_far_from_the_data_needs_far() -> None:
    with pytest.raises(QueryError, match="--far"):
        compare_tables(simulate(), simulate(seed=1), flops=1e28, bootstrap=None)
    assert (
        compare_tables(simulate(), simulate(seed=1), flops=1e28, far=True, bootstrap=None).flops
        == 1e28
    )

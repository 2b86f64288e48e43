"""Claims about which runs to add."""

from itertools import combinations

import numpy as np
import pytest
from sweeps_known import PRIOR

from scaling.design.suggestion import _PRIOR_WIDTHS, LEAST_CELLS, Points, _Search, suggest_runs
from scaling.errors import QueryError

SIGMA, RATE = 0.01, 0.05
LAWS = PRIOR.letters[None]
TARGET = Points(params=np.array([1e5]), tokens=np.array([4e6]), flops=np.array([2.4e12]))


def make_points(params: np.ndarray, tokens: np.ndarray) -> Points:
    return Points(params=params, tokens=tokens, flops=6.0 * params * tokens)


def make_grid(sizes: int, horizons: int, low: float = 1.0) -> Points:
    grids = np.meshgrid(np.geomspace(5e3, 5e4, sizes), low * np.geomspace(2e5, 3e6, horizons))
    return make_points(*(grid.ravel() for grid in grids))


DONE = make_grid(4, 4)
MORE = make_grid(4, 3, low=1.7)


def make_search(rate: float = RATE, spend: float = 1e13) -> _Search:
    return _Search(MORE, TARGET, DONE, laws=LAWS, sigma=SIGMA, rate=rate, spend=spend)


def test_the_error_is_that_of_weighted_least_squares_with_the_prior() -> None:
    search = make_search()
    rows = np.array([*range(16), 17, 21])
    design, goal = search._slopes[0][rows], search._goals[0][0]
    variance = search._variance[rows]
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((40_000, 5)) * _PRIOR_WIDTHS
    seen = truth @ design.T + np.sqrt(variance) * rng.standard_normal((40_000, rows.size))
    inner = (design.T / variance) @ design + np.diag(_PRIOR_WIDTHS**-2.0)
    found = np.linalg.solve(inner, (design.T / variance) @ seen.T).T
    simulated = np.mean(((found - truth) @ goal) ** 2)
    # 40,000 draws of a squared Gaussian: ±0.7 %; four of those.
    assert search.measure([17, 21]) == pytest.approx(simulated, rel=0.03)


def test_the_error_with_one_more_run_is_that_of_the_enlarged_set() -> None:
    search = make_search()
    others = np.array([18, 22, 26])
    each = search.measure_each([17, 21], others)
    assert each == pytest.approx([search.measure([17, 21, row]) for row in others], rel=1e-9)


def test_one_more_run_never_raises_the_expected_error() -> None:
    search = make_search()
    others = np.arange(16, 16 + len(MORE))
    assert np.all(search.measure_each([], others) < search.measure([]))


def test_exchange_comes_within_five_percent_of_the_best_set() -> None:
    spend = float(np.sort(MORE.flops)[-3:].sum())
    search = make_search(spend=spend)
    rows = range(16, 16 + len(MORE))
    best = min(
        search.measure(chosen)
        for size in range(len(MORE) + 1)
        for chosen in combinations(rows, size)
        if MORE.flops[[row - 16 for row in chosen]].sum() <= spend
    )
    # A local optimum among 4096 sets: 5 % of the error is 10 % of its square.
    assert search.measure(search.improve(search.grow())) <= 1.05 * best


def test_the_spend_is_kept_and_no_affordable_run_is_left_out() -> None:
    spend = float(0.3 * MORE.flops.sum())
    found = suggest_runs(MORE, TARGET, spend=spend, laws=LAWS, sigma=SIGMA, rate=RATE, done=DONE)
    assert found.flops <= spend
    left = np.delete(MORE.flops, list(found.chosen))
    assert spend - found.flops < left.min()
    assert found.error_before is not None
    assert found.error_after < found.error_before


def test_with_model_error_runs_near_the_forecast_are_preferred() -> None:
    spend = float(MORE.flops.max())

    def reach(rate: float) -> float:
        found = suggest_runs(
            MORE, TARGET, spend=spend, laws=LAWS, sigma=SIGMA, rate=rate, done=DONE
        )
        return float(MORE.flops[list(found.chosen)].max())

    assert reach(0.3) >= reach(0.0)


def test_a_first_design_has_the_cells_that_a_law_needs() -> None:
    pool = make_grid(8, 8)
    spend = float(np.sort(pool.flops)[: LEAST_CELLS + 4].sum())
    found = suggest_runs(pool, TARGET, spend=spend, laws=LAWS, sigma=SIGMA, rate=RATE)
    assert len(found.chosen) >= LEAST_CELLS
    assert found.error_before is None


def test_a_spend_that_pays_for_no_run_is_refused() -> None:
    with pytest.raises(QueryError, match="pay for no run"):
        suggest_runs(MORE, TARGET, spend=1.0, laws=LAWS, sigma=SIGMA, done=DONE)


def test_a_spend_below_what_a_law_needs_is_refused() -> None:
    pool = make_grid(8, 8)
    spend = float(np.sort(pool.flops)[:3].sum())
    with pytest.raises(QueryError, match="a law needs"):
        suggest_runs(pool, TARGET, spend=spend, laws=LAWS, sigma=SIGMA)

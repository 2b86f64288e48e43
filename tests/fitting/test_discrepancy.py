"""Claims about model error: absent if the law is right, found if it is not."""

import dataclasses

import numpy as np
import pytest
from known_law import NOISE, TRUTH, design_isoflop, simulate

from scaling.allocation import allocate
from scaling.fitting.discrepancy import DriftMember, assume_discrepancy, measure_discrepancy
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Discrepancy
from scaling.fitting.parametric import fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import RunTable, make_table, sort_rows

WIDE = {"budgets": 7, "sizes": 7, "ends": (1e11, 1e14)}


def measure(table: RunTable) -> Discrepancy:
    table = sort_rows(table)
    fit = fit_parametric(table, CHINCHILLA, delta=1.345 * NOISE)
    alone = DriftMember(fit=fit, rows=np.arange(len(table)), weight=1.0)
    return measure_discrepancy(table, (alone,))


def bend(table: RunTable, rate: float) -> RunTable:
    """The table with ln loss raised by `rate`·(decades of C above the lowest)², which no law of
    fixed exponents follows."""
    decades = np.log10(table.params * table.tokens)
    decades -= decades.min()
    loss = table.loss * np.exp(rate * decades**2)
    return make_table(table.params, table.tokens, loss=loss, budget=table.budget)


def find_quantile(found: Discrepancy, share: float) -> float:
    return found.rates[int(share * len(found.rates))]


def test_a_right_law_without_noise_has_no_model_error() -> None:
    found = measure(simulate(noise=0.0, **WIDE))
    assert max(found.rates) == 0.0


def test_a_right_law_with_noise_has_less_model_error_than_the_prior() -> None:
    prior = assume_discrepancy().rates
    found = [measure(simulate(seed=seed, **WIDE)) for seed in range(10)]
    # Every sweep narrows it; the median sweep's 95 % point is a third of the prior's.
    highest = [find_quantile(one, 0.95) for one in found]
    assert max(highest) < prior[190]
    assert np.median(highest) < prior[190] / 3.0


@pytest.mark.parametrize("rate", [0.03, -0.03])
def test_losses_that_depart_from_the_law_give_model_error(rate: float) -> None:
    found = measure(bend(simulate(**WIDE), rate))
    # A decade above the fitted runs ln L is off by rate·(2d + 1), where d (1 to 2.5) is the decades
    # they span: .09 to .18, most of which a refitted law absorbs.
    assert find_quantile(found, 0.05) > 0.01
    assert 0.01 < find_quantile(found, 0.5) < 0.15


def test_windows_report_runs_miss_and_expected_error() -> None:
    found = measure(bend(simulate(**WIDE), 0.02))
    assert {window.axis for window in found.windows} == {"C", "N", "D"}
    last = [window for window in found.windows if window.axis == "C"][-1]
    assert last.fitted + last.held == 49
    assert last.miss > 0.0  # measured above forecast
    assert last.expected < 0.01


def test_a_table_too_small_to_hold_out_runs_gets_the_prior() -> None:
    table = simulate(budgets=3, sizes=3)
    found = measure(table)
    assert found.windows == ()
    assert found.rates == assume_discrepancy().rates
    assert found.rates[0] == 0.0
    assert find_quantile(found, 0.75) == pytest.approx(0.05, rel=0.1)  # the slab's median


def test_answers_within_the_data_contain_no_model_error() -> None:
    fit = fit_runs(bend(simulate(**WIDE), 0.02), bootstrap=100, family="chinchilla")
    inside, beyond = allocate(fit, 1e13), allocate(fit, 1e15)
    assert inside.loss_interval is not None
    assert beyond.loss_interval is not None
    assert inside.loss_interval.high / inside.loss_interval.low < 1.05
    assert beyond.loss_interval.high / beyond.loss_interval.low > 1.05


def test_runs_below_their_forecasts_are_likelier_than_runs_above() -> None:
    fit = fit_runs(bend(simulate(**WIDE), 0.02), bootstrap=400, family="chinchilla")
    assert fit.discrepancy is not None
    assert fit.discrepancy.below == 0.83  # share of plain fits that over-predict (decision 0050)
    even = dataclasses.replace(fit, discrepancy=dataclasses.replace(fit.discrepancy, below=0.5))
    skewed, either = (allocate(one, 1e15).loss_interval for one in (fit, even))
    assert skewed is not None
    assert either is not None
    assert skewed.low < either.low
    assert skewed.high < either.high


def test_model_error_does_not_depend_on_the_order_of_rows() -> None:
    table = simulate(**WIDE)
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = make_table(
        table.params[order],
        table.tokens[order],
        loss=table.loss[order],
        budget=None if table.budget is None else table.budget[order],
    )
    assert measure(shuffled) == measure(table)


@pytest.mark.slow
def test_a_right_law_is_covered_at_its_level_ten_times_beyond_the_data() -> None:
    params, tokens, budget = design_isoflop(budgets=5, sizes=7, ends=(1e11, 1e13))
    far = np.array([1e14])
    best, seen = find_frontier(CHINCHILLA, TRUTH, flops=far, cost=SIX_ND)
    lowest = float(CHINCHILLA.loss(TRUTH, best, seen)[0])
    covered = []
    for seed in range(100):
        noise = np.exp(NOISE * np.random.default_rng(seed).standard_normal(params.size))
        loss = CHINCHILLA.loss(TRUTH, params, tokens) * noise
        table = make_table(params, tokens, loss=loss, budget=budget)
        fit = fit_runs(table, bootstrap=200, huber_delta=1.345 * NOISE, family="chinchilla")
        answer = allocate(fit, 1e14, far=True, anyway=True)
        pairs = ((answer.loss_interval, lowest), (answer.params_interval, float(best[0])))
        covered.append([one is not None and one.low <= true <= one.high for one, true in pairs])
    share = np.mean(covered, axis=0)
    # Decision 0047 asks for 86–94 % at nominal 90; two standard errors of 100 sweeps are 6 %.
    assert (share >= 0.84).all()
    assert (share <= 0.99).all()


def test_later_points_of_a_run_do_not_count_as_held_out() -> None:
    table = simulate(**WIDE)
    names = [f"{size:.6g}" for size in table.params]
    along = table.replace(trajectory=tuple(names))
    assert {window.axis for window in measure(along).windows} <= {"N"}

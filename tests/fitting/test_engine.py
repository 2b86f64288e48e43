"""Claims about fit_runs: known laws recovered, invariances, designs that determine no answer."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from known_law import NOISE, TRUTH, cross, design_isoflop, fit_law, simulate

from scaling.errors import UsageError
from scaling.fitting.every_approach import fit_runs
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import make_table, select_rows

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])
LAWS = {
    "hoffmann": (HOFFMANN, (1e7, 1e10), (1e9, 1e12)),
    "bytes": (TRUTH, (3e3, 1e5), (1e5, 1e7)),
    "steep": (np.array([2.0, 5e4, 3e5, 0.6, 0.55]), (1e6, 1e9), (1e8, 1e11)),
}


def make_grid(law, params_ends, tokens_ends, side=7):
    params, tokens = cross(params_ends, tokens_ends, side)
    return params, tokens, CHINCHILLA.loss(law, params, tokens)


@pytest.mark.parametrize("name", LAWS)
def test_a_noise_free_law_is_recovered(name):
    law, params_ends, tokens_ends = LAWS[name]
    params, tokens, loss = make_grid(law, params_ends, tokens_ends)
    fit = fit_law(make_table(params, tokens, loss=loss))
    assert fit.status == "converged"
    found = np.array([fit.law.params[key] for key in CHINCHILLA.param_names])
    np.testing.assert_allclose(found, law, rtol=1e-5)
    # A decade beyond the data in N and D, the forecast is right to 1e-6.
    far = np.array(params_ends[1] * 10), np.array(tokens_ends[1] * 10)
    assert CHINCHILLA.loss(found, *far) == pytest.approx(CHINCHILLA.loss(law, *far), rel=1e-6)
    assert fit.frontier.a == pytest.approx(law[4] / (law[3] + law[4]), rel=1e-5)


def test_a_noisy_law_lies_within_its_intervals():
    table = simulate(NOISE, seed=3, budgets=7, sizes=9, ends=(3e10, 3e12))
    fit = fit_law(table, bootstrap=1000, level=0.99)
    for at, name in enumerate(CHINCHILLA.param_names):
        interval = fit.law.intervals[name]
        assert interval.low <= TRUTH[at] <= interval.high, name
    assert interval.level == 0.99


def test_row_order_does_not_change_a_digit():
    table = simulate()
    order = np.random.default_rng(0).permutation(len(table))
    assert fit_runs(select_rows(table, order), bootstrap=50) == fit_runs(table, bootstrap=50)


def test_equal_seeds_give_equal_fits_and_other_seeds_other_draws():
    table = simulate()
    first = fit_runs(table, bootstrap=50, seed=1)
    assert fit_runs(table, bootstrap=50, seed=1) == first
    other = fit_runs(table, bootstrap=50, seed=2)
    assert other.draws != first.draws
    assert other.law.params == first.law.params


def test_units_of_loss_and_tokens_only_rescale_the_fit():
    table = simulate()
    bits = make_table(table.params, table.tokens, loss=table.loss / math.log(2.0))
    plain = make_table(table.params, table.tokens, loss=table.loss)
    one, two = fit_law(plain), fit_law(bits)
    assert two.law.params["E"] == pytest.approx(one.law.params["E"] / math.log(2.0), rel=1e-6)
    assert two.law.params["alpha"] == pytest.approx(one.law.params["alpha"], rel=1e-6)
    assert two.objective.sum == pytest.approx(one.objective.sum, rel=1e-9)
    billions = make_table(table.params, table.tokens / 1e9, loss=table.loss)
    three = fit_law(billions)
    assert three.law.params["alpha"] == pytest.approx(one.law.params["alpha"], rel=1e-6)
    assert three.objective.sum == pytest.approx(one.objective.sum, rel=1e-9)


def test_one_huge_outlier_hardly_moves_the_law():
    params, tokens, loss = make_grid(*LAWS["hoffmann"])
    loss[10] = 900.0
    fit = fit_law(make_table(params, tokens, loss=loss))
    # One row of 49 pulls with at most δ: exponents move by less than a thousandth.
    assert fit.law.params["alpha"] == pytest.approx(0.34, abs=1e-3)
    assert fit.law.params["beta"] == pytest.approx(0.28, abs=1e-3)


def test_a_law_without_a_floor_hits_the_bound_and_reports_it():
    params, tokens = cross((1e6, 1e9), (1e8, 1e11), 6)
    rng = np.random.default_rng(1)
    loss = (40 / params**0.05 + 410 / tokens**0.28) * np.exp(0.01 * rng.standard_normal(36))
    fit = fit_law(make_table(params, tokens, loss=loss), bootstrap=20)
    assert fit.status == "bound_hit"
    assert fit.law.params["E"] == 0.0
    assert "E = 0" in fit.reason


def test_delta_comes_from_replicates_of_any_table():
    params, tokens, _ = design_isoflop()
    params, tokens = np.tile(params, 2), np.tile(tokens, 2)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(50)
    loss = CHINCHILLA.loss(TRUTH, params, tokens) * np.exp(NOISE * noise)
    seeds = np.repeat([0, 1], 25)
    own = make_table(params, tokens, loss=loss, seed=seeds, convention="matmul")
    foreign = make_table(params, tokens, loss=loss, seed=seeds)
    fit = fit_law(own)
    pairs = NOISE * (noise[:25] - noise[25:])
    assert fit.replicate_sigma == pytest.approx(math.sqrt(np.mean(pairs**2) / 2), rel=1e-9)
    assert fit.objective.delta == pytest.approx(1.345 * fit.replicate_sigma)
    assert fit_law(foreign).objective == fit.objective
    unsaid = make_table(params, tokens, loss=loss, convention="matmul")  # may be duplicate rows
    assert fit_law(unsaid).objective.delta == 1e-3
    other = make_table(params, tokens, loss=loss, seed=seeds, batch_tokens=1e4 * (1.0 + seeds))
    assert fit_law(other).objective.delta == 1e-3  # these differ in more than the seed


def degenerate():
    sizes = np.geomspace(1e6, 1e8, 20)
    rng = np.random.default_rng(0)
    loss = rng.uniform(2, 3, 20)
    yield "no rows", [], [], [], "No run is usable"
    for count in (1, 2, 3):
        yield f"{count} rows", sizes[:count], sizes[:count] * 20, loss[:count], "at least 10"
    yield "identical rows", [1e6] * 20, [1e8] * 20, [3.0] * 20, "at least 10"
    yield "one N", [1e6] * 20, sizes * 20, loss, "distinct N"
    yield "one D", sizes, [1e8] * 20, loss, "distinct D"
    yield "one ratio", sizes, sizes * 20, loss, "one ratio"
    yield "one budget", sizes, 1e16 / sizes, loss, "one budget"


@pytest.mark.parametrize(
    ("params", "tokens", "loss", "reason"),
    [case[1:] for case in degenerate()],
    ids=[case[0] for case in degenerate()],
)
@pytest.mark.parametrize("approach", ["all", "isoflop", "parametric"])
def test_design_without_an_answer_fails_with_a_reason(params, tokens, loss, reason, approach):
    fit = fit_runs(make_table(params, tokens, loss=loss), approach=approach)
    assert fit.status == "failed"
    assert fit.law is None
    assert fit.objective is None
    assert fit.reason.endswith((".", "column."))
    if approach != "isoflop":
        assert reason in fit.reason
    contract = fit.to_contract()
    assert contract["law"] is None
    json.dumps(contract, allow_nan=False)


def test_all_diverged_is_a_failed_fit():
    fit = fit_runs(make_table([], [], loss=[], diverged=("a", "b")))
    assert fit.status == "failed"
    assert "all 2 runs diverged" in fit.reason


def test_fitting_pure_noise_never_raises_and_never_gives_nan():
    rng = np.random.default_rng(5)
    for _ in range(5):
        table = make_table(
            np.exp(rng.uniform(10, 20, 30)),
            np.exp(rng.uniform(10, 20, 30)),
            loss=np.exp(rng.standard_normal(30)),
        )
        json.dumps(fit_runs(table, bootstrap=30).to_contract(), allow_nan=False)


def test_contract_has_the_keys_scripts_rely_on():
    contract = fit_runs(simulate(), bootstrap=50).to_contract()
    assert contract["schema_version"] == 1
    assert contract["n"] == 25
    assert list(contract["law"]) == ["family", "params", "intervals"]
    assert list(contract["law"]["params"]) == ["E", "A", "B", "alpha", "beta"]
    assert contract["objective"]["name"] == "huber_log"
    assert set(contract["approaches"]) == {
        "parametric", "projection", "isoflop", "akima", "cubic"
    }  # fmt: skip
    for key in ("a", "b", "k_n", "k_d", "cost_model", "range", "intervals"):
        assert contract["frontier"][key] is not None
    assert contract["frontier"] == contract["approaches"]["parametric"]
    for check in contract["checks"]:
        assert list(check) == ["code", "passed", "seen", "advice"]


def test_without_bootstrap_there_are_no_intervals():
    fit = fit_runs(simulate(), bootstrap=None)
    assert fit.law.intervals is None
    assert fit.frontier.intervals is None
    assert fit.draws == ()


@pytest.mark.parametrize(
    "option",
    [{"level": 0.0}, {"level": 1.0}, {"bootstrap": 1}, {"huber_delta": 0.0},
     {"huber_delta": math.nan}, {"approach": "envelope"}],
)  # fmt: skip
def test_options_out_of_range_are_refused(option):
    with pytest.raises(UsageError):
        fit_runs(simulate(), **option)


def test_points_of_the_frontier_cost_their_budget():
    fit = fit_law(simulate())
    for one in fit.approaches.values():
        assert one.a + one.b == pytest.approx(1.0, abs=1e-9)  # because C = 6ND
        assert 6 * one.k_n * one.k_d == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "scaling.fitting.fitted, scaling.fitting.store, scaling.allocation",
            ("scipy", "pandas", "torch", "ray", "matplotlib"),
        ),
        ("scaling.tables.run_table", ("pandas",)),
    ],
    ids=["a fit", "a table"],
)
def test_reading_imports_no_heavy_library(modules, heavy):
    program = f"import sys, {modules}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""Claims about Approach 1: a known law is recovered from its curves; other tables have no
envelope."""

import json
import re

import numpy as np
import pytest
from known_law import TRUTH, fit_law

from scaling.allocation import allocate
from scaling.errors import UsageError
from scaling.fitting.envelope import fit_envelope
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.isoflop import fit_power_line
from scaling.fitting.noise import list_clusters
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.reading import read_table
from scaling.tables.run_table import make_table, select_rows
from scaling.terminal.answers import format_fit

# N* ∝ C^a of TRUTH with C = 6ND: a = beta / (alpha + beta).
SLOPE = TRUTH[4] / (TRUTH[3] + TRUTH[4])
NOISE = 0.0064  # seed noise, σ of ln loss, shared by all points of a run (decision 0047)


def simulate(
    sizes=8, ratio=2.0, points=24, reach=8.0, seeds=1, noise=0.0, own=0.0, seed=0,
    schedule="cooldown",
):  # fmt: skip
    """Curves of TRUTH: each size from 1 % of the tokens for which it is optimal up to `reach` times
    as many; ln loss has noise per run and per point."""
    rng = np.random.default_rng(seed)
    params, tokens, loss, run = [], [], [], []
    flops = np.geomspace(1e7, 1e20, 4000)
    best_n, best_d = find_frontier(CHINCHILLA, TRUTH, flops=flops, cost=SIX_ND)
    for at in range(sizes):
        size = 3e3 * ratio**at
        optimal = float(np.exp(np.interp(np.log(size), np.log(best_n), np.log(best_d))))
        along = np.geomspace(0.01 * optimal, reach * optimal, points)
        for name in range(seeds):
            errors = noise * rng.standard_normal() + own * rng.standard_normal(points)
            law = CHINCHILLA.loss(TRUTH, np.full(points, size), along)
            params += [size] * points
            tokens += along.tolist()
            loss += (law * np.exp(errors)).tolist()
            run += [f"{at}-{name}"] * points
    return make_table(params, tokens, loss=loss, trajectory=run, schedule=[schedule] * len(run))


def slope_of(envelope):
    optima = envelope.optima
    return float(fit_power_line(np.log(optima.flops), np.log(optima.params))[0])


@pytest.mark.parametrize(("ratio", "points"), [(1.5, 8), (2.0, 24), (4.0, 100)])
def test_the_exponent_is_recovered_from_noise_free_curves(ratio, points):
    found = fit_envelope(simulate(ratio=ratio, points=points, reach=20.0))
    # The rest is interpolation between eight points, and a valley that is not quite a parabola.
    assert slope_of(found) == pytest.approx(SLOPE, abs=1e-3)
    optima = found.optima
    params, tokens = find_frontier(CHINCHILLA, TRUTH, flops=optima.flops, cost=SIX_ND)
    assert optima.params == pytest.approx(params, rel=0.02)
    lowest = CHINCHILLA.loss(TRUTH, params, tokens)
    # Sizes ×4 apart bend more than a parabola, by 1 %; the crossing itself is 1.6 % above.
    assert optima.loss == pytest.approx(lowest, rel=0.01 if ratio == 4.0 else 2e-3)


def test_the_envelope_passes_between_neighbouring_sizes_once():
    found = fit_envelope(simulate())
    assert found.optima.flops.size == 7
    assert found.rejected == ()
    sizes = 3e3 * 2.0 ** np.arange(8)
    assert found.optima.params == pytest.approx(np.sqrt(sizes[:-1] * sizes[1:]), rel=1e-9)


def test_the_interval_from_noisy_curves_covers_the_truth():
    held = []
    for seed in range(20):
        found = fit_envelope(simulate(seeds=2, noise=NOISE, own=0.001, seed=seed), count=200)
        low, high = np.quantile(found.lines[:, 0], [0.05, 0.95])
        held.append(low <= SLOPE <= high)
        # 4 σ: the sd over 150 such sets is .013.
        assert slope_of(found) == pytest.approx(SLOPE, abs=0.06)
    assert sum(held) >= 15  # of 20 at .9; fewer has probability .04


def test_the_end_of_a_run_is_not_a_crossing():
    table = simulate(reach=20.0)
    size = np.unique(table.params)[3]
    flops = 6.0 * table.params * table.tokens
    # This size stops while it is the best one, so that its smaller neighbour is the lowest again.
    along = np.geomspace(1e7, 1e20, 4000)
    best, _ = find_frontier(CHINCHILLA, TRUTH, flops=along, cost=SIX_ND)
    middle = np.exp(np.interp(np.log(size), np.log(best), np.log(along)))
    kept = (table.params != size) | (flops < middle)
    found = fit_envelope(select_rows(table, np.flatnonzero(kept)))
    (sentence,) = found.rejected
    assert "changes from N = 24k to 12k because a run ends or begins" in sentence
    # The envelope passes from 12k to 24k, and from 12k to 48k, whose midpoint is 24k.
    assert any(np.isclose(found.optima.params, np.sqrt(12e3 * 24e3)))
    assert any(np.isclose(found.optima.params, 24e3))
    assert slope_of(found) == pytest.approx(SLOPE, abs=1e-3)


def test_parts_with_only_the_smallest_or_largest_size_are_left_out():
    found = fit_envelope(simulate(reach=20.0))
    flops = 6.0 * simulate(reach=20.0).params * simulate(reach=20.0).tokens
    assert found.optima.flops.min() > 30 * flops.min()
    assert found.optima.flops.max() < flops.max() / 10


def test_rows_of_one_run_are_one_cluster():
    table = simulate(seeds=2)
    assert np.unique(list_clusters(table)).size == 16
    noisy = simulate(seeds=3, noise=NOISE, seed=1)
    apart = noisy.replace(trajectory=None, schedule=None)
    widths = []
    for one in (noisy, apart):
        interval = fit_law(one, approach="parametric", bootstrap=200).law.intervals["alpha"]
        widths.append(interval.high - interval.low)
    # 24 points share each run's noise: if taken as independent, the interval is √24 times too
    # narrow.
    assert widths[0] > 2.0 * widths[1]


def test_all_three_approaches_stand_side_by_side():
    fit = fit_law(simulate(seeds=2, noise=0.002), bootstrap=100)
    contract = json.loads(json.dumps(fit.to_contract(), allow_nan=False))
    envelope = contract["approaches"]["envelope"]
    assert envelope["a"] == pytest.approx(SLOPE, abs=0.05)
    assert envelope["a"] + envelope["b"] == pytest.approx(1.0, abs=1e-9)
    assert envelope["intervals"]["a"][0] < envelope["a"] < envelope["intervals"]["a"][1]
    assert len(envelope["optima"]) >= 3
    assert "\nenvelope: N* = " in format_fit(fit)
    (agree,) = [one for one in fit.checks if one.code == "methods_disagree"]
    assert agree.passed is True
    assert "Approach 1: a = " in agree.seen


def test_the_envelope_can_answer_alone():
    fit = fit_runs(simulate(), approach="envelope", bootstrap=100)
    assert (fit.status, fit.law) == ("converged", None)
    assert "7 handovers of the envelope" in fit.reason
    answer = allocate(fit, 1e12)
    params = float(find_frontier(CHINCHILLA, TRUTH, flops=np.array([1e12]), cost=SIX_ND)[0][0])
    assert answer.approach == "envelope"
    assert answer.params == pytest.approx(params, rel=0.01)
    assert answer.params_interval is not None


def test_a_constant_learning_rate_fails_the_check_of_decay():
    fit = fit_law(simulate(schedule="Constant"))
    assert "envelope" in fit.approaches
    (found,) = [one for one in fit.checks if one.code == "undercooled"]
    assert found.passed is False
    assert "undecayed" in found.seen
    assert found in allocate(fit, 1e12).checks


def test_cooldown_branches_are_not_called_undecayed():
    fit = fit_law(simulate())
    assert [one.passed for one in fit.checks if one.code == "undercooled"] == [None]
    assert [one.passed for one in fit.checks if one.code == "mid_run_points"] == [True]


def test_the_order_of_rows_changes_nothing():
    table = simulate(noise=NOISE)
    mixed = select_rows(table, np.random.default_rng(0).permutation(len(table)))
    first, second = (fit_law(one, bootstrap=50).to_contract() for one in (table, mixed))
    assert first == second


# --- refusals --------------------------------------------------------------------------------


def refuse(table):
    with pytest.raises(UsageError) as caught:
        fit_runs(table, approach="envelope")
    assert "Or ask for all, parametric or isoflop." in str(caught.value)
    return str(caught.value)


def test_finished_runs_have_no_envelope():
    table = simulate().replace(trajectory=None, schedule=None)
    assert "Each row is a finished run of its own" in refuse(table)
    assert "envelope" not in fit_law(table).approaches


@pytest.mark.parametrize(
    ("schedule", "decay", "said"),
    [
        (None, None, "does not state a schedule"),
        (("",), None, "does not state a schedule"),
        (("cosine",), None, "The column schedule says cosine"),
        (("constant", "cooldown"), None, "says constant, cooldown"),
        (("constant", ""), None, "says nothing, constant"),
        (("constant",), 100.0, "said to be constant, yet 192 rows have decay_steps above 0"),
        (("cooldown",), 0.0, "said to end a cooldown, yet 192 rows have decay_steps 0"),
    ],
)
def test_points_that_do_not_compare_have_no_envelope(schedule, decay, said):
    table = simulate()
    words = None if schedule is None else (schedule * len(table))[: len(table)]
    steps = None if decay is None else np.full(len(table), decay)
    table = table.replace(schedule=words, decay_steps=steps)
    assert said in refuse(table)
    fit = fit_law(table)
    assert "envelope" not in fit.approaches
    (found,) = [one for one in fit.checks if one.code == "mid_run_points"]
    assert found.passed is False
    assert said in found.seen


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (simulate(sizes=3), "passes 2 times from one size to another"),
        (simulate(points=2), "a curve needs 3"),
    ],
)
def test_an_envelope_of_too_few_points_is_a_failed_fit(table, said):
    fit = fit_runs(table, approach="envelope", bootstrap=50)
    assert fit.status == "failed"
    assert said in fit.reason


def test_a_column_with_the_whole_runs_compute_is_reported():
    table = simulate()
    whole = table.replace(flops=np.full(len(table), 1e12))
    assert "C/D differs by" in fit_envelope(whole).problem


def test_too_many_runs_are_refused():
    count = 2001
    params, tokens = np.repeat(1e6 + np.arange(count), 2), np.tile([1e8, 2e8], count)
    names = np.repeat(np.arange(count), 2).astype(str)
    table = make_table(params, tokens, loss=np.full(2 * count, 3.0), trajectory=names.tolist())
    assert "at most 2000" in fit_envelope(table).problem


@pytest.mark.parametrize("seed", range(15))
def test_curves_of_pure_noise_are_fitted_or_refused_but_never_raise(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 60))
    runs = rng.integers(0, max(1, rows // int(rng.integers(1, 8))), rows)
    size = np.exp(rng.uniform(5, 20, 60))[runs] if rng.random() < 0.7 else np.full(rows, 1e6)
    table = make_table(
        size,
        np.exp(rng.uniform(5, 25, rows)),
        loss=np.exp(rng.choice([0.0, 0.01, 1.0]) * rng.standard_normal(rows)),
        trajectory=[f"r{one}" for one in runs],
        schedule=["constant"] * rows,
    )
    fit = fit_runs(table, approach="envelope", bootstrap=20)
    json.dumps(fit.to_contract(), allow_nan=False)
    assert fit.status == ("failed" if fit.frontier is None else "converged")


# --- reading ---------------------------------------------------------------------------------


def test_a_table_names_its_runs_and_their_schedule(tmp_path):
    table = simulate()
    path = tmp_path / "curves.csv"
    rows = zip(table.trajectory, table.params, table.tokens, table.loss, strict=True)
    text = "".join(f"{r},{n},{d},{loss},cooldown\n" for r, n, d, loss in rows)
    path.write_text(f"trunk,N,D,loss,schedule\n{text}")
    fit = fit_runs(read_table(path, columns={"run": "trunk"}), approach="envelope", bootstrap=None)
    assert fit.frontier.a == pytest.approx(SLOPE, abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ("a,1e6,1e8\nb,1e6,2e8\n", ""),  # two runs
        ("a,1e6,1e8\na,1e6,1e8\n", ""),  # a duplicate row
        ("a,1e6,1e8\na,2e6,2e8\n", "run: 1 names stand for rows of several N (a)"),
        ("a,1e6,1e8\na,1e6,2e8\n,2e6,2e8\n", "1 rows state no run"),
    ],
)
def test_a_name_that_is_not_a_training_run_makes_no_curve(tmp_path, rows, note):
    path = tmp_path / "runs.csv"
    path.write_text("run,N,D,loss\n" + re.sub("\n", ",3\n", rows))
    table = read_table(path)
    assert (table.trajectory is None) == ("state no run" not in note)
    assert note in "".join(table.notes)
    assert bool(table.notes) == bool(note)

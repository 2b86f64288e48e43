"""Published tables give the published numbers. The tables are others' work and not in this
repository: they are read from the folder SCALING_TABLES, by default ../shared/data beside it."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import huber

from scaling.allocation import allocate, predict
from scaling.fitting import akima, cubic
from scaling.fitting.budgets import group_budgets, list_flops
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.isoflop import fit_curves, fit_power_line, locate_optima
from scaling.fitting.parametric import fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.compute import COMPUTE
from scaling.laws.data_constrained import DataConstrained
from scaling.laws.power_sum import PowerSum, Term
from scaling.tables.reading import judge_table, read_table
from scaling.tables.run_table import make_table, select_rows, sort_rows

TABLES = Path(
    os.environ.get("SCALING_TABLES", Path(__file__).resolve().parents[1] / ".." / "shared" / "data")
)

# The published numbers are for Chinchilla's law alone.
fit_plain = partial(fit_runs, family="chinchilla", bootstrap=None)

# Porian et al. 2024, arXiv:2406.19146, table of a: RefinedWeb, with corrections added one by one.
PORIAN = {
    "rw|base|long|kaplan|kaplan|train": 0.835,
    "rw|base|long|kaplan|standard|val": 0.706,
    "rw|base|short|kaplan|standard|val": 0.602,
    "rw|base|short|chinchilla|standard|val": 0.571,
    "rw|tuned|short|const|standard|val": 0.497,
}


def find_table(name):
    path = TABLES / name
    if not path.is_file():
        pytest.skip(f"{path} is absent; set SCALING_TABLES to the folder of published tables")
    return path


def read_epoch(dropped=5):
    table = read_table(find_table("epoch_chinchilla.csv"))
    keep = np.argsort(table.loss, kind="stable")[: len(table) - dropped]
    return select_rows(table, np.sort(keep))


@pytest.fixture(scope="module")
def epoch():
    """Chinchilla's law alone, for which the numbers were published."""
    return fit_runs(read_epoch(), bootstrap=4000, level=0.95, family="chinchilla")


def test_epochs_points_give_the_published_optimum(epoch):
    # Besiroglu et al. 2024, arXiv:2404.10102, notebook cell 18; objective: the lowest known.
    assert epoch.status == "converged"
    assert epoch.n == 240
    assert epoch.objective.sum <= 0.0010182740178 * (1 + 1e-9)
    law = epoch.law.params
    assert law["E"] == pytest.approx(1.8172, abs=5e-5)
    assert law["alpha"] == pytest.approx(0.34731, abs=5e-6)
    assert law["beta"] == pytest.approx(0.36717, abs=5e-6)
    assert law["A"] == pytest.approx(477.8, abs=0.05)
    # A and B lie on a ridge: they differ by .03 % between solvers that agree on the objective.
    assert law["B"] == pytest.approx(2143.4, rel=5e-4)


def test_epochs_bootstrap_intervals_are_the_published_ones(epoch):
    # Notebook cell 26, 4000 pairs, 95 %. Interval ends from 4000 draws scatter by about .05 of the
    # width.
    published = {"E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
    for name, (low, high) in published.items():
        slack = 0.05 * (high - low)
        assert epoch.law.intervals[name].low == pytest.approx(low, abs=slack)
        assert epoch.law.intervals[name].high == pytest.approx(high, abs=slack)
    assert epoch.frontier.a == pytest.approx(0.513, abs=0.002)  # cell 59
    assert np.std(np.array(epoch.frontier.draws)[:, 0]) == pytest.approx(0.020, abs=0.001)
    # A and B have long upper tails: interval ends scatter by a few percent.
    for name, ends in {"A": (285, 744), "B": (1042, 5810)}.items():
        found = epoch.law.intervals[name]
        assert (found.low, found.high) == pytest.approx(ends, rel=0.07)


def test_every_refit_of_epochs_points_converges(epoch):
    assert len(epoch.draws) == 4000


def test_chinchillas_budget_takes_18_tokens_per_parameter_by_epochs_points(epoch):
    answer = allocate(epoch, 5.76e23)
    assert answer.tokens_per_param == pytest.approx(17.9, abs=0.05)  # Besiroglu et al. 2024
    assert answer.params == pytest.approx(73.2e9, rel=1e-3)
    assert answer.tokens == pytest.approx(1.312e12, rel=1e-3)
    assert allocate(epoch, 1e24).params == pytest.approx(97.2e9, rel=1e-3)


def test_a_change_of_epochs_loss_costs_the_computed_share_of_compute(epoch):
    # By Epoch's law .3 % of the loss is worth 4 / 8 / 27 % of compute at 1e18 / 1e21 / 1e24.
    for flops, share in ((1e18, 0.04), (1e21, 0.08), (1e24, 0.27)):
        here = allocate(epoch, flops).loss
        there = allocate(epoch, flops * (1 + share)).loss
        assert here / there - 1 == pytest.approx(0.003, abs=5e-4)


@pytest.mark.parametrize(
    ("dropped", "law", "within"),  # A, B, E, alpha, beta
    [
        (5, (482.00, 2085.43, 1.81686, 0.34781, 0.36585), (0.01, 0.05, 1e-5, 1e-5, 1e-5)),
        (0, (463.3, 12530, 1.8854, 0.3454, 0.4519), (0.05, 2, 5e-5, 5e-5, 5e-5)),
    ],
    ids=["headline", "all rows"],
)
def test_least_absolute_deviation_on_epochs_points_gives_known_values(dropped, law, within):
    fit = fit_plain(read_epoch(dropped=dropped), huber_delta=1e-7)
    assert fit.status == "converged"
    for name, value, tolerance in zip(("A", "B", "E", "alpha", "beta"), law, within, strict=True):
        assert fit.law.params[name] == pytest.approx(value, abs=tolerance), name


def test_epochs_points_with_all_rows_take_7_tokens_per_parameter():
    # Epoch's points with the five highest losses kept.
    fit = fit_plain(read_epoch(dropped=0))
    assert allocate(fit, 5.76e23).tokens_per_param == pytest.approx(6.8, abs=0.05)


# Their values as in published code: logarithms of A, B and E, then alpha and beta.
HOFFMANN = [np.log(406.4), np.log(410.7), np.log(1.69), 0.34, 0.28]


def measure_misfit(theta, logs, reduce):
    """Huber's losses of ln loss about a law, by logarithms of N, D and the loss."""
    a, b, e, alpha, beta = theta
    log_n, log_d, log_loss = logs
    law = np.logaddexp(np.logaddexp(a - alpha * log_n, b - beta * log_d), e)
    return reduce(huber(1e-3, log_loss - law))


def test_a_mean_objective_stops_early_on_epochs_points_and_ours_does_not():
    # A trap in published code: a mean objective under default tolerances stops near Hoffmann's
    # values, 14 % above the optimum, and reports success.
    table = read_epoch()
    logs = np.log(np.stack((table.params, table.tokens, table.loss)))
    found = minimize(measure_misfit, HOFFMANN, args=(logs, np.mean), method="L-BFGS-B")
    assert found.success
    assert measure_misfit(found.x, logs, np.sum) > 1.05 * 0.0010182740178
    fit = fit_plain(table)
    params = fit.law.params
    ours = [np.log(params["A"]), np.log(params["B"]), np.log(params["E"])]
    theta = [*ours, params["alpha"], params["beta"]]
    assert measure_misfit(theta, logs, np.sum) == pytest.approx(fit.objective.sum, rel=1e-9)


def test_all_rows_of_misfitting_give_known_exponents_and_checks():
    table = read_table(find_table("misfitting_final.csv"), columns={"lr": "peak_lr"})
    fit = fit_plain(table)
    assert fit.n == 261
    assert fit.objective.sum <= 0.0050216542 * (1 + 1e-8)
    assert fit.law.params["alpha"] == pytest.approx(0.2002, abs=1e-4)
    assert fit.law.params["beta"] == pytest.approx(0.6357, abs=1e-4)
    checks = {check.code: check for check in fit.checks}
    assert checks["duplicate_cells"].seen.startswith("180 of 261 rows")
    assert checks["several_recipes_per_cell"].seen.startswith("80 of 81 (N, D)")


def test_tied_exponents_on_misfitting_give_the_published_objective():
    table = read_table(find_table("misfitting_final.csv"))
    fit = fit_runs(table, family="tied", bootstrap=None)
    assert fit.objective.sum == pytest.approx(0.0052437, abs=5e-8)  # from the table's metadata


def test_misfitting_compute_beyond_64_bits_is_read():
    # pandas reads this column as text.
    path = find_table("misfitting_final.csv")
    assert pd.read_csv(path).C.dtype == object
    table = read_table(path)
    assert np.all(table.flops > 0)
    assert float(table.flops.max()) > 2.0**63


def test_best_learning_rates_of_misfitting_give_the_published_law():
    table = read_table(find_table("misfitting_final.csv"))
    frame = pd.DataFrame({"N": table.params, "D": table.tokens, "loss": table.loss})
    best = select_rows(table, frame.groupby(["N", "D"]).loss.idxmin().to_numpy())
    law = fit_plain(best).law.params
    assert law["E"] == pytest.approx(1.398, abs=1e-3)
    assert law["alpha"] == pytest.approx(0.138, abs=5e-4)
    assert law["beta"] == pytest.approx(0.670, abs=5e-4)


def test_renamed_columns_of_kyos_subset_give_the_same_law(tmp_path):
    path = tmp_path / "foreign.csv"
    frame = pd.read_csv(find_table("kyo_chinchilla_subset.csv"))
    frame.rename(columns={"N": "params", "D": "tokens seen", "loss": "eval/loss"}).to_csv(path)
    columns = {"N": "params", "D": "tokens seen", "loss": "eval/loss"}
    found = fit_plain(read_table(path, columns=columns))
    same = fit_plain(read_table(find_table("kyo_chinchilla_subset.csv")))
    assert found.law.params == same.law.params


def test_kyos_subset_gives_the_published_law():
    law = fit_plain(read_table(find_table("kyo_chinchilla_subset.csv"))).law.params
    assert law["E"] == pytest.approx(1.784, abs=5e-4)
    assert law["A"] == pytest.approx(442, abs=0.5)
    assert law["alpha"] == pytest.approx(0.343, abs=5e-4)
    assert law["beta"] == pytest.approx(0.342, abs=5e-4)


@pytest.mark.parametrize("source", PORIAN)
def test_weighted_regression_of_porians_optima_gives_the_published_slopes(source):
    frame = pd.read_csv(find_table("porian_optima.csv"))
    rows = frame[(frame.source == source) & frame.logN_star_std.notna()]
    slope, _ = fit_power_line(
        np.log(rows.C.to_numpy()),
        np.log(rows.N_star.to_numpy()),
        1 / rows.logN_star_std.to_numpy() ** 2,
    )
    assert slope == pytest.approx(PORIAN[source], abs=5e-4)


def test_porian_without_a_filter_hits_a_bound_and_says_so():
    frame = pd.read_csv(find_table("porian_isoflop.csv"))
    rows = frame[(frame.source == "owt2|base|long|kaplan|kaplan|train") & (frame.C <= 1e18)]
    fit = fit_plain(make_table(rows.N, rows.D, loss=rows.loss, flops=rows.C))
    assert fit.status == "bound_hit"
    assert fit.law.params["alpha"] > 0
    assert "At its bound: E = 0" in fit.reason


@pytest.mark.parametrize("data", ["comma", "dclm"])
def test_marin_has_seven_budgets_among_85_costs(data):
    path = find_table("marin_isoflop_comma_dclm.csv")
    frame = pd.read_csv(path)
    mine = (frame.data == data) & ~frame.validation_optimal.astype(bool)
    regular = select_rows(read_table(path), np.flatnonzero(mine.to_numpy()))
    assert np.unique(regular.flops).size == 85
    assert len(group_budgets(regular)) == 7


def test_marin_products_beyond_64_bits_stay_positive():
    frame = pd.read_csv(find_table("marin_isoflop_comma_dclm.csv"))
    assert (6 * frame.N * frame.D < 0).any()  # pandas' integers overflow
    table = make_table(frame.N, frame.D, loss=frame.loss)
    np.testing.assert_allclose(list_flops(table), 6.0 * frame.N.astype(float) * frame.D, rtol=1e-12)


def test_marin_conventions_of_flops_are_named():
    # Regular runs state three times the C of validation runs of the same name.
    notes = read_table(find_table("marin_isoflop_comma_dclm.csv"))
    frame = pd.read_csv(find_table("marin_isoflop_comma_dclm.csv"))
    ratio = frame.C / frame.budget_name.astype(float)
    by_kind = ratio.groupby(frame.validation_optimal.astype(bool)).median()
    assert by_kind[False] / by_kind[True] == pytest.approx(3.0, rel=0.01)
    kappa = notes.flops / (6.0 * notes.params * notes.tokens)
    assert 0.6 < kappa.min() < kappa.max() < 1.5  # C is counted the same way in both


def test_marin_validation_runs_lie_within_their_intervals():
    path = find_table("marin_isoflop_comma_dclm.csv")
    table = read_table(path)
    frame = pd.read_csv(path)
    mine = (frame.data == "comma").to_numpy()
    held_out = frame.validation_optimal.to_numpy(dtype=bool)
    regular = select_rows(table, np.flatnonzero(mine & ~held_out))
    assert len(group_budgets(regular)) >= 6  # 85 distinct C, 7 budgets
    fit = fit_runs(regular)
    assert len(fit.approaches["isoflop"].optima) >= 6
    rows = np.flatnonzero(mine & held_out)
    answers = [predict(fit, params=table.params[i], tokens=table.tokens[i]) for i in rows]
    inside = [
        one.new_run_interval.low <= table.loss[i] <= one.new_run_interval.high
        for one, i in zip(answers, rows, strict=True)
    ]
    # The runs share the error of one fit, so this is one sample rather than len(rows).
    assert np.mean(inside) >= 0.5


# The tables' README, extrapolation protocol: plain Chinchilla (Huber 1e-3, no filter), mean
# absolute error [%] on the top decile of C, fitted up to the quantiles .25, .5 and .75 of C.
PROTOCOL = {
    "epoch": (3.02, 1.57, 1.43),
    "marin comma": (3.44, 2.46, 1.53),
    "marin dclm": (3.93, 2.64, 1.54),
    "misfitting": (15.4, 12.3, 0.46),
    "datablations": (32.0, 5.89, 0.60),
    "porian rw": (21.4, 16.4, 13.0),
}


def read_case(name):
    """(N, D, C, loss) of a table of the protocol."""
    if name == "epoch":
        frame = pd.read_csv(find_table("epoch_chinchilla.csv")).nsmallest(240, "loss")
    elif name.startswith("marin"):
        frame = pd.read_csv(find_table("marin_isoflop_comma_dclm.csv"))
        frame = frame[(frame.data == name.split()[1]) & ~frame.validation_optimal.astype(bool)]
    elif name == "misfitting":
        frame = pd.read_csv(find_table("misfitting_final.csv"))
        frame = frame.loc[frame.groupby(["N", "D"]).loss.idxmin()].assign(C=lambda one: one.C_6ND)
    elif name == "datablations":
        frame = pd.read_csv(find_table("datablations_182.csv"))
        frame = frame[frame.epochs <= 1.0001]
    else:
        frame = pd.read_csv(find_table("porian_isoflop.csv"))
        frame = frame[frame.source == "rw|tuned|short|const|standard|val"]
    return [frame[column].to_numpy(dtype=float) for column in ("N", "D", "C", "loss")]


def forecast_top_decile(columns, quantile, *, cut=None):
    params, tokens, flops, loss = columns
    low = flops <= (np.quantile(flops, quantile) if cut is None else cut)
    top = flops >= np.quantile(flops, 0.9)
    table = sort_rows(make_table(params[low], tokens[low], loss=loss[low]))
    found = fit_parametric(table, CHINCHILLA, delta=1e-3)
    predicted = CHINCHILLA.loss(found.coefficients, params[top], tokens[top])
    return 100 * float(np.mean(np.abs(predicted / loss[top] - 1)))


@pytest.mark.parametrize("name", PROTOCOL)
def test_plain_forecasts_miss_as_published(name):
    columns = read_case(name)
    errors = [forecast_top_decile(columns, quantile) for quantile in (0.25, 0.5, 0.75)]
    for found, published in zip(errors, PROTOCOL[name], strict=True):
        assert found == pytest.approx(published, abs=0.05 if published > 10 else 0.005)


def test_porian_forecasts_miss_less_from_runs_with_enough_tokens():
    columns = read_case("porian rw")
    params, tokens, flops, _ = columns
    fed = tokens >= 4 * params
    # The tables' README, on its own split: from all runs up to the quantile of the runs with enough
    # tokens, and from those runs alone.
    every = forecast_top_decile(columns, 0.75, cut=np.quantile(flops[fed], 0.75))
    alone = forecast_top_decile([one[fed] for one in columns], 0.75)
    assert every == pytest.approx(10.0, abs=0.05)
    assert alone == pytest.approx(4.1, abs=0.05)


def list_tables():
    """Sixteen tables to be fitted separately, by name."""
    epoch = pd.read_csv(find_table("epoch_chinchilla.csv"))
    misfitting = pd.read_csv(find_table("misfitting_final.csv"))
    repeats = pd.read_csv(find_table("datablations_182.csv"))
    marin = pd.read_csv(find_table("marin_isoflop_comma_dclm.csv"))
    porian = pd.read_csv(find_table("porian_isoflop.csv"))
    web = ("owt2|tuned|short|const|standard|val", "owt2|base|short|chinchilla|standard|val")
    return {
        "epoch": epoch.nsmallest(240, "loss"),
        "epoch, every row": epoch,
        "misfitting": misfitting,
        "misfitting, best rates": misfitting.loc[misfitting.groupby(["N", "D"]).loss.idxmin()],
        "datablations": repeats,
        "datablations, one epoch": repeats[repeats.epochs <= 1.0001],
        "kyo": pd.read_csv(find_table("kyo_chinchilla_subset.csv")),
        **{f"marin {name}": marin[marin.data == name] for name in ("comma", "dclm")},
        **{source: porian[porian.source == source] for source in (*PORIAN, *web)},
    }


def test_sixteen_tables_reach_a_proven_optimum_and_one_start_does_not():
    # The "0 of 16" and "16 of 16" of the tables' README are other fits, which are not listed there;
    # nor are the 30 published fits, 5 of them above their optimum (datablations' is tested below).
    gaps = []
    for frame in list_tables().values():
        columns = [frame[name].to_numpy(dtype=float) for name in ("N", "D", "loss")]
        table = sort_rows(make_table(*columns[:2], loss=columns[2]))
        fit = fit_parametric(table, CHINCHILLA, delta=1e-3)
        assert fit.converged
        asked = (np.log(columns), np.sum)
        found = minimize(measure_misfit, HOFFMANN, args=asked, method="L-BFGS-B")
        gaps.append(found.fun / fit.objective - 1.0)
    assert len(gaps) == 16
    assert min(gaps) > -1e-9
    # Numeric gradients from Hoffmann's values ended 5e-4 to 107 % above in 14 of them.
    assert np.sum(np.array(gaps) > 1e-4) >= 10


# RMSLE of held-out points, mean over models, of a power law by least squares and of one with a
# floor by Huber's loss (the tables' README, revisiting_lang).
CURVES = {
    ("LM", "power"): (0.0140, 10.0),
    ("NMT", "power"): (0.222, 10.0),
    ("LM", "floor"): (0.0011, 1e-3),
    ("NMT", "floor"): (0.042, 1e-3),
}


def read_curves():
    frame = pd.read_csv(find_table("revisiting_lang.csv"))
    assert len(frame) - len(frame.drop_duplicates()) == 687
    return frame.drop_duplicates().rename(columns={"Seen Examples": "seen"})


@pytest.mark.parametrize(("domain", "law"), CURVES)
def test_loss_curves_are_forecast_as_published(domain, law):
    published, delta = CURVES[domain, law]
    terms = (Term(letter="A", factors=(("alpha", "ND"),)),)
    family = COMPUTE if law == "floor" else PowerSum("power", equation="", terms=terms, floor=0.0)
    misses = []
    frame = read_curves()
    for _, curve in frame[frame.Domain == domain].groupby("Model"):
        train, test = (curve[curve.Training == part] for part in (1, 0))
        seen, loss = train.seen.to_numpy(dtype=float), train.Loss.to_numpy(dtype=float)
        found = fit_parametric(make_table(np.ones_like(seen), seen, loss=loss), family, delta=delta)
        held = test.seen.to_numpy(dtype=float)
        predicted = family.loss(found.coefficients, np.ones_like(held), held)
        misses.append(np.sqrt(np.mean(np.log(predicted / test.Loss.to_numpy()) ** 2)))
    # Published to two or three digits.
    assert np.mean(misses) == pytest.approx(published, rel=0.04)


def test_the_fit_of_repeated_data_is_deeper_than_the_published_minimum():
    table = read_table(find_table("datablations_182.csv"))
    # Constants of Muennighoff et al. 2023 at full precision. They fitted (R_D, R_N): published is
    # (15.39, 5.31) at .0158259, a local minimum; the best known is (95.365, 1.7059).
    scales = [float(np.exp(power)) for power in (0.6254804, 6.255414, 7.3049974)]
    law = DataConstrained((scales[0], scales[1], scales[2], 0.3526596, 0.3526596))
    fit = fit_parametric(table, law, delta=1e-3)
    assert fit.converged
    assert fit.objective == pytest.approx(0.0158046625, rel=1e-6)
    np.testing.assert_allclose(fit.coefficients, [95.365, 1.7059], rtol=1e-3)
    local = law.loss(
        np.array([15.387756, 5.309743]), table.params, table.tokens, table.unique_tokens
    )
    published = float(huber(1e-3, np.log(local / table.loss)).sum())
    assert published == pytest.approx(0.0158259, abs=5e-8)
    assert fit.objective < published


def read_porian(source):
    frame = pd.read_csv(find_table("porian_isoflop.csv"))
    rows = frame[frame.source == source]
    columns = {name: rows[name].to_numpy(dtype=float) for name in ("N", "D", "C", "loss")}
    return make_table(
        columns["N"], columns["D"], loss=columns["loss"], flops=columns["C"], budget=columns["C"]
    )


@pytest.mark.parametrize("source", PORIAN)
@pytest.mark.parametrize(
    ("find", "within"),
    [
        # By the table's metadata Akima and ordinary least squares are within .008 of the published
        # a.
        (lambda *asked: akima.draw_minima(*asked)[0], 0.0085),
        # Parabolas are within .028 (decision 0042); cubics within .023 here.
        (lambda *asked: cubic.draw_minima(*asked)[0], 0.025),
        # The tables' README: a parabola is up to .03 off on these wide grids.
        (lambda *asked: locate_optima(fit_curves(*asked[:2]), asked[2]), 0.03),
    ],
    ids=["akima", "cubics", "parabolas"],
)
def test_curves_on_porians_grids_give_the_published_slopes(source, find, within):
    table = read_porian(source)
    optima = find(table, group_budgets(table), table.cost)
    slope, _ = fit_power_line(np.log(optima.flops), np.log(optima.params))
    assert float(slope) == pytest.approx(PORIAN[source], abs=within)


@pytest.mark.parametrize(
    "name",
    [
        "epoch_chinchilla.csv", "misfitting_final.csv", "datablations_182.csv",
        "marin_isoflop_comma_dclm.csv", "porian_isoflop.csv", "kyo_chinchilla_subset.csv",
    ],
)  # fmt: skip
def test_no_published_table_is_suspected_of_another_unit(name):
    assert judge_table(read_table(find_table(name), drop_bad=True)) == ()

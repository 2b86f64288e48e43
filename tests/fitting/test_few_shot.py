"""Few-shot fits: the law in examples, its trends over N and D, the diversity boundary."""

import json
import math

import numpy as np
import pytest

from scaling.data.markov_chains import MarkovChains
from scaling.data.sequences import BAYES, measure_divergence
from scaling.fitting.few_shot.boundary import find_boundary
from scaling.fitting.few_shot.judged import FewShot, ShotSweep
from scaling.fitting.few_shot.runs import ShotRun
from scaling.fitting.few_shot.shots import ShotLaw, describe_shots, fit_bound, fit_shots
from scaling.sweep.probes import ProbeCurve
from scaling.terminal.few_shot import format_few_shot
from scaling.training.probes.few_shot import bin_examples

X = tuple(float(one) for one in (1, 2, 3, 4.5, 6.5, 9, 13, 19, 27, 38, 54, 77, 108))
SIZES, CHAINS = (1e3, 4e3, 16e3, 64e3, 256e3), (4, 16, 64, 256, 1024)


START = 12.0


def make_curve(e=0.02, a=0.8, c=0.7):
    y = tuple(e + a * (1 + x / START) ** -c for x in X)
    return ProbeCurve(x_label="k", y_label="r", x=X, y=y, y_log=True)


def make_run(n=1e4, d=1e6, *, c=0.7, a=0.8, phase=0.9, chains=0, **more):
    return ShotRun(
        params=n, tokens=d, chains=chains, phase=phase, regret=make_curve(a=a, c=c),
        bound=make_curve(e=0.0, a=0.4, c=0.95), **more,
    )  # fmt: skip


# --- the law in examples -----------------------------------------------------------------------


BOUND = ShotLaw(0.0, 0.4, 0.95, START)


@pytest.mark.parametrize("law", [(0.02, 0.8, 0.7), (0.1, 2.0, 1.3), (0.0, 0.5, 0.6)])
def test_an_exact_curve_gives_back_its_coefficients(law) -> None:
    found = fit_shots(make_curve(*law), BOUND)
    assert found is not None
    # c is found to 1e-9, or where the sum of squares is flat in double precision: 1e-8.
    assert (found.floor, found.scale, found.exponent) == pytest.approx(law, rel=1e-6, abs=1e-6)


def test_the_best_predictors_law_gives_k0() -> None:
    found = fit_bound(make_curve(0.0, 0.4, 0.95))
    assert found is not None
    # The simplex stops at 1e-14 of the sum of squares, which is flat to the root of that.
    assert (found.scale, found.exponent, found.start) == pytest.approx((0.4, 0.95, START), rel=1e-4)


def test_the_best_predictor_of_chains_has_exponent_one() -> None:
    """To first order its regret is s(s−1) / 2k for s states: a Dirichlet posterior mean loses
    (s−1) / 2n in a row seen n times."""
    tokens, sources = (source := MarkovChains(states=4, length=513)).draw(
        np.random.default_rng(0), 400, trained=False
    )
    judged = source.judge(tokens, sources)
    each = measure_divergence(judged.truth, np.log(judged.predictors[BAYES]))
    x, y, _ = bin_examples(each, judged.examples)
    found = fit_bound(ProbeCurve(x_label="k", y_label="r", x=tuple(x), y=tuple(y)))
    assert found is not None
    assert 0.8 < found.exponent < 1.2
    assert found.scale * (1 + 400 / found.start) ** -found.exponent == pytest.approx(
        6 / 400, rel=0.15
    )


def test_a_flat_curve_has_no_law() -> None:
    flat = make_curve(e=1.0, a=0.2)  # a model that takes nothing from examples
    assert fit_shots(flat, BOUND) is None
    assert fit_bound(flat) is None
    assert fit_shots(None, BOUND) is None
    assert fit_shots(make_curve(), None) is None
    short = ProbeCurve(x_label="k", y_label="r", x=X[:5], y=(5.0, 4.0, 3.0, 2.0, 1.0))
    assert fit_shots(short, BOUND) is None


def make_trend(last=0.0, *, phase=0.9):
    """Runs with c = .6 + .05 ln(N/1e3) + .02 ln(D/1e6) and seed noise .01; `last` is added to c at
    the largest N."""
    rng = np.random.default_rng(0)
    runs = []
    for n in SIZES:
        for d in (1e6, 4e6):
            for _ in range(3):
                c = 0.6 + 0.05 * math.log(n / 1e3) + 0.02 * math.log(d / 1e6)
                c += last * (n == SIZES[-1]) + 0.01 * rng.standard_normal()
                runs.append(make_run(n, d, c=c, phase=phase))
    return runs


def test_trends_are_recovered_and_the_largest_size_forecast() -> None:
    cells, (trend, scale) = describe_shots(make_trend())
    assert len(cells) == 10
    assert all(one.fitted == one.inferring == 3 for one in cells)
    assert cells[0].bound_exponent == pytest.approx(0.95, rel=1e-3)
    for name, truth in (("N", 0.05), ("D", 0.02)):
        value, interval = trend.slopes[name]
        assert interval.low <= truth <= interval.high
        assert value == pytest.approx(truth, abs=0.02)
    assert [one.inside for one in trend.forecasts] == [True, True]
    assert scale.slopes["N"][0] == pytest.approx(0.0, abs=0.02)  # a is the same everywhere


def test_a_break_of_the_trend_falls_outside_the_forecast() -> None:
    _, (trend, _) = describe_shots(make_trend(last=0.3))
    assert [one.inside for one in trend.forecasts] == [False, False]


def test_runs_that_do_not_infer_give_no_trend() -> None:
    cells, (trend, _) = describe_shots(make_trend(phase=0.1))
    assert all(one.inferring == 0 for one in cells)
    assert "0 N and 0 D have runs that infer" in trend.reason
    assert trend.slopes == {}
    assert trend.forecasts == ()


def test_three_sizes_give_a_trend_but_no_forecast() -> None:
    runs = [one for one in make_trend() if one.params <= 16e3]
    _, (trend, _) = describe_shots(runs)
    assert "N" in trend.slopes
    assert "4 are needed" in trend.refused


# --- the boundary ------------------------------------------------------------------------------


def draw_runs(rng, *, b=0.5, at=64.0, slope=3.0, seeds=5, sizes=SIZES, chains=CHAINS):
    """Draw runs that infer with the law's probability, M*(16e3) = at, and remember otherwise."""
    runs = []
    for n in sizes:
        for m in chains:
            eta = slope * (math.log(m / at) - b * math.log(n / 16e3))
            for _ in range(seeds):
                infers = rng.random() < 0.5 * (1 + math.tanh(0.5 * eta))
                runs.append(make_told(n, m, infers))
    return runs


def make_told(n, m, infers):
    seen = 0.05 if infers else -0.2
    return ShotRun(
        params=n, tokens=1e6, chains=m, phase=0.95 if infers else 0.0,
        excess=0.05 if infers else 0.6, seen=seen,
    )  # fmt: skip


def draw_step(b=0.5, at=60.0, **more):
    return draw_runs(np.random.default_rng(0), b=b, at=at, slope=200.0, **more)


def test_intervals_cover_the_boundary() -> None:
    """At least 22 of 30 90 % intervals must: P = .002 for fewer under binomial(30, .9)."""
    rng, hits = np.random.default_rng(1), [0, 0]
    for _ in range(30):
        found = find_boundary(draw_runs(rng, sizes=(4e3, 16e3, 64e3)), draws=40)
        assert found.reason == ""
        hits[0] += found.interval.low <= 0.5 <= found.interval.high
        hits[1] += found.threshold_interval.low <= 64.0 <= found.threshold_interval.high
    assert min(hits) >= 22


def test_if_all_seeds_agree_the_grid_gaps_set_the_interval() -> None:
    """Each range of M* spans a factor of 4, and every line through all ranges is possible."""
    found = find_boundary(draw_step())
    ranges = [(one.below, one.above) for one in found.crossings]
    assert ranges == [(4, 16), (16, 64), (16, 64), (64, 256), (64, 256)]
    x = np.log(np.array(SIZES) / found.at_params)
    low, high = np.log(np.array(ranges)).T
    slopes = np.linspace(-1, 2, 3001)
    fits = [s for s in slopes if np.max(low - s * x) <= np.min(high - s * x)]
    assert found.interval.low <= min(fits) + 1e-3
    assert found.interval.high >= max(fits) - 1e-3
    assert found.interval.low > 0.0  # that it grows with N is certain here
    assert found.threshold_interval.low <= 60.0 <= found.threshold_interval.high


def test_a_constant_boundary_has_zero_in_its_interval() -> None:
    found = find_boundary(draw_step(b=0.0))
    assert found.interval.low <= 0.0 <= found.interval.high


def test_ranges_beyond_the_grid_are_open() -> None:
    found = find_boundary(draw_step(b=2.0))
    ends = [(one.below, one.above) for one in found.crossings]
    assert ends[0] == (None, 4)
    assert ends[-1] == (1024, None)
    assert found.interval.low <= 2.0 <= found.interval.high


def test_the_largest_size_is_forecast_and_scored() -> None:
    forecast = find_boundary(draw_step()).forecast
    assert forecast.inside
    moved = [one for one in draw_step() if one.params < SIZES[-1]]
    moved += [make_told(SIZES[-1], m, infers=True) for m in CHAINS for _ in range(5)]
    broken = find_boundary(moved).forecast
    assert not broken.inside
    assert broken.error < 0  # the forecast was too high


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([make_told(n, m, infers=True) for n in SIZES for m in CHAINS], "no run remembers"),
        ([make_told(n, m, infers=False) for n in SIZES for m in CHAINS], "no run infers"),
        (draw_step(sizes=SIZES[:2]), "2 model sizes and 5 numbers of chains; 3 and 2 are needed"),
        (
            [make_told(n, m, infers=m < 60) for n in SIZES for m in CHAINS],
            "do not infer more often",
        ),
        (
            [make_run(n, chains=m, phase=0.2) for n in SIZES for m in CHAINS],
            "at 0 model sizes and 0",
        ),
        ([make_told(n, 0, infers=True) for n in SIZES], "at 0 model sizes and 0"),  # each its own
    ],
)
def test_a_missing_boundary_has_a_reason(runs, sentence) -> None:
    found = find_boundary(runs, draws=20)
    assert found.exponent is None
    assert sentence in found.reason
    assert found.forecast is None
    assert found.refused


def test_runs_that_do_neither_are_left_out_and_counted() -> None:
    stray = ShotRun(params=SIZES[0], tokens=1e6, chains=4, phase=0.0, excess=0.5, seen=0.5)
    assert not stray.infers
    assert not stray.remembers
    runs = draw_step()
    with_it, without = (find_boundary(some, draws=20) for some in ([*runs, stray], runs))
    assert with_it.exponent == without.exponent
    assert with_it.cells[0].neither == 1


# --- JSON and text ------------------------------------------------------------------------------


def test_json_and_text_name_every_part() -> None:
    cells, trends = describe_shots(make_trend())
    sweep = ShotSweep(name="a", chains=0, cells=cells, trends=trends, phase=None)
    found = FewShot(sweeps=(sweep,), boundary=find_boundary(draw_step(b=2.0)))
    said = json.loads(json.dumps(found.to_contract(), allow_nan=False))
    assert said["schema_version"] == 1
    assert said["sweeps"][0]["cells"][0]["law"]["c"] == pytest.approx(0.6, abs=0.02)
    assert said["boundary"]["crossings"][0] == {"params": 1e3, "below": None, "above": 4}
    text = format_few_shot(found)
    assert "30 of 30 runs learn from examples" in text
    assert "c changes by +0.0" in text
    assert "2 of 2 forecasts of the largest N from the smaller ones hold" in text
    assert "M* ∝ N^" in text
    assert "M* without a lower end in the grid, at most 4" in text
    assert "more than 1024, without an upper end in the grid" in text
    assert found.fitted
    assert not FewShot(reason="nothing").fitted

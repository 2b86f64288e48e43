"""Claims about laws of one variable: exact without noise, covered with it, and a speed-up from few
points."""

import json

import numpy as np
import pytest
from commands import call

from scaling.errors import NoFitError, QueryError
from scaling.fitting.one_variable import fit_curve

X = np.geomspace(1e17, 1e21, 12)
E, A, ALPHA = 1.7, 2600.0, 0.186


def evaluate(x, scale=A, floor=E):
    return floor + scale * x**-ALPHA


def test_a_law_is_recovered_from_noise_free_points():
    found = fit_curve([X], [evaluate(X)], variable="C", bootstrap=None)
    assert (found.law.floor, found.law.exponent) == pytest.approx((E, ALPHA), rel=1e-6)
    assert float(found.law.loss(1e22)) == pytest.approx(evaluate(1e22), rel=1e-7)


def test_a_law_without_a_floor_is_a_straight_line_in_logarithms():
    # For small residuals Huber's objective is the least squares of ln L on ln x.
    noise = 1e-4 * np.random.default_rng(0).standard_normal(X.size)
    loss = evaluate(X, floor=0.0) * np.exp(noise)
    found = fit_curve([X], [loss], variable="N", floor=0.0, bootstrap=None)
    slope, height = np.polyfit(np.log(X), np.log(loss), 1)
    assert found.law.exponent == pytest.approx(-slope, rel=1e-6)
    assert np.log(found.law.scale[0]) == pytest.approx(height, rel=1e-6)


def test_the_interval_covers_the_truth_at_its_level():
    # 40 tables at 90 %: fewer than 29 hits have probability 1/4000.
    hits, rng = 0, np.random.default_rng(1)
    for _ in range(40):
        loss = evaluate(X) * np.exp(0.002 * rng.standard_normal(X.size))
        found = fit_curve([X], [loss], variable="C", bootstrap=30)
        low, high = found.find_interval([one.exponent for one in found.draws])
        hits += low <= ALPHA <= high
    assert hits >= 29


def test_a_speed_up_of_few_points_is_that_of_the_law():
    # B reaches every loss with 1/1.6 of A's tokens; four points each, and the exponent is pinned.
    some = X[:4]
    a, b = evaluate(some), evaluate(some * 1.6)
    found = fit_curve([some, some], [a, b], variable="D", exponent=ALPHA, bootstrap=200)
    value, interval = found.speed_up()
    assert value == pytest.approx(1.6, rel=1e-6)
    assert interval is not None
    free = fit_curve([X, X], [evaluate(X), evaluate(X * 1.6)], variable="D", bootstrap=None)
    assert free.speed_up()[0] == pytest.approx(1.6, rel=1e-4)


def test_too_few_points_are_refused_with_what_to_pin():
    with pytest.raises(NoFitError, match="--floor VALUE, --exponent VALUE"):
        fit_curve([X[:2]], [evaluate(X[:2])], variable="C")
    # No residual to estimate noise from.
    assert fit_curve([X[:3]], [evaluate(X[:3])], variable="C").draws == ()


def test_a_distant_forecast_and_a_floor_above_the_data_are_refused():
    found = fit_curve([X], [evaluate(X)], variable="C", bootstrap=None)
    with pytest.raises(QueryError, match="insist with --far"):
        found.forecast(1e25)
    assert found.forecast(1e25, far=True).extrapolation_decades == pytest.approx(4.0)
    with pytest.raises(QueryError, match="below the lowest loss"):
        fit_curve([X], [evaluate(X)], variable="C", floor=9.0)


def test_the_command_line_fits_what_a_table_states(tmp_path):
    for name, speed in (("a.csv", 1.0), ("b.csv", 1.6)):
        rows = "".join(f"{x!r},{evaluate(x * speed)!r}\n" for x in X.tolist())
        (tmp_path / name).write_text("C,loss\n" + rows)
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert "--of C" in call("fit", paths[0]).errors
    words = ["--of", "C", "--no-bootstrap", "--json"]
    found = json.loads(call("fit", paths[0], *words, "--at", "10^22").out)
    assert found["law"]["params"]["alpha"] == pytest.approx(ALPHA, rel=1e-6)
    (forecast,) = found["forecasts"]
    assert forecast["loss"] == pytest.approx(evaluate(1e22), rel=1e-7)
    both = json.loads(call("compare", *paths, *words).out)
    assert both["speed_up"] == pytest.approx(1.6, rel=1e-4)


# Marin's compute-optimal mixture-of-experts runs: (C [FLOP], Paloma macro loss [nats/token]).
MARIN = ((1e18, 3.5273), (3e18, 3.3398), (1e19, 3.1494), (3e19, 3.0066), (1e20, 2.8509),
         (3e20, 2.7222))  # fmt: skip


def test_a_published_law_with_a_pinned_floor_is_found_again():
    """Source: github.com/marin-community/marin, experiments/grug/moe/README.md:
    1.6 + 95.18 C^-0.0941, projected 2.606 at 1e21 and 2.252 at 1e23 (measured at 1e21: 2.599)."""
    x, loss = (np.array(column) for column in zip(*MARIN, strict=True))
    found = fit_curve([x], [loss], variable="C", floor=1.6, bootstrap=None)
    # They minimise squares, we Huber's objective on ln L: their last digit is not determined.
    assert found.law.exponent == pytest.approx(0.0941, abs=6e-4)
    assert found.law.scale[0] == pytest.approx(95.18, rel=0.03)
    assert found.forecast(1e21).loss == pytest.approx(2.606, abs=4e-3)
    assert found.forecast(1e23).loss == pytest.approx(2.252, abs=4e-3)


@pytest.mark.parametrize(
    ("flops", "baseline", "variant", "published"),
    [(3.82e17, 3.566663, 3.544176, 1.1300), (2.81e18, 3.227240, 3.208981, 1.1274)],
)
def test_a_published_speed_up_is_found_again(flops, baseline, variant, published):
    """Source: github.com/marin-community/marin, issue 7409: floor 1.6 and exponent .0941 held,
    ((baseline - 1.6)/(variant - 1.6))^(1/.0941), one run of each recipe."""
    x = [np.array([flops]), np.array([flops])]
    loss = [np.array([baseline]), np.array([variant])]
    found = fit_curve(x, loss, variable="C", floor=1.6, exponent=0.0941, bootstrap=None)
    assert found.speed_up()[0] == pytest.approx(published, abs=6e-5)  # to the digits printed


def test_four_runs_of_each_recipe_give_a_speed_up_of_1_729(tmp_path):
    """With floor and exponent pinned the speed-up is (A1/A2)^(1/alpha). Four budgets each; the
    second recipe has the losses of 1.729 times the compute."""
    law = lambda c: 1.6 + 95.18 * c**-0.0941  # noqa: E731
    for name, factor in (("a.csv", 1.0), ("b.csv", 1.729)):
        rows = "".join(f"{c!r},{law(factor * c)!r}\n" for c in (2.19e17, 1.70e18, 9e18, 2.83e19))
        (tmp_path / name).write_text("C,loss\n" + rows)
    words = ["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--of", "C"]
    held = [*words, "--floor", "1.6", "--exponent", "0.0941"]
    # With pinned values, and with all five coefficients from eight runs.
    for asked in (held, words):
        found = json.loads(call(*asked, "--json").out)
        assert found["speed_up"] == pytest.approx(1.729, rel=1e-6)
        low, high = found["interval"]
        assert low * (1 - 1e-9) <= 1.729 <= high * (1 + 1e-9)
    said = call(*held).out
    assert "a speed-up of 1.729" in said


def test_beyond_three_decades_the_named_remedy_works(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("C,loss\n" + "".join(f"{c!r},{loss!r}\n" for c, loss in MARIN))
    words = ["fit", str(path), "--of", "C", "--floor", "1.6", "--at", "1e25", "--no-bootstrap"]
    assert "--far" in call(*words).errors
    assert "at C = 1e25: " in call(*words, "--far").out

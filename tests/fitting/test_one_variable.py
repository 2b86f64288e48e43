"""Claims about laws of one variable: exact without noise, honest with it, and a speed-up from few
points."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from scaling.cli import cli
from scaling.errors import NoFitError, QueryError
from scaling.fitting.one_variable import fit_curve

X = np.geomspace(1e17, 1e21, 12)
E, A, ALPHA = 1.7, 2600.0, 0.186


def evaluate(x, scale=A, floor=E):
    return floor + scale * x**-ALPHA


def test_a_law_without_noise_is_found_to_many_digits():
    found = fit_curve([X], [evaluate(X)], variable="C", bootstrap=None)
    assert (found.law.floor, found.law.exponent) == pytest.approx((E, ALPHA), rel=1e-6)
    assert float(found.law.loss(1e22)) == pytest.approx(evaluate(1e22), rel=1e-7)


def test_a_law_without_a_floor_is_a_straight_line_in_logarithms():
    # The least squares of ln L on ln x, which Huber's objective is for small residuals.
    noise = 1e-4 * np.random.default_rng(0).standard_normal(X.size)
    loss = evaluate(X, floor=0.0) * np.exp(noise)
    found = fit_curve([X], [loss], variable="N", floor=0.0, bootstrap=None)
    slope, height = np.polyfit(np.log(X), np.log(loss), 1)
    assert found.law.exponent == pytest.approx(-slope, rel=1e-6)
    assert np.log(found.law.scale[0]) == pytest.approx(height, rel=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    # 40 tables, 90 %: fewer than 29 hits would happen once in four thousand times.
    hits, rng = 0, np.random.default_rng(1)
    for _ in range(40):
        loss = evaluate(X) * np.exp(0.002 * rng.standard_normal(X.size))
        found = fit_curve([X], [loss], variable="C", bootstrap=30)
        low, high = found.find_interval([one.exponent for one in found.draws])
        hits += low <= ALPHA <= high
    assert hits >= 29


def test_a_speed_up_of_few_points_is_that_of_the_law():
    # B reaches every loss with 1/1.6 of A's tokens; four points each and a pinned exponent.
    some = X[:4]
    a, b = evaluate(some), evaluate(some * 1.6)
    found = fit_curve([some, some], [a, b], variable="D", exponent=ALPHA, bootstrap=200)
    value, interval = found.speed_up()
    assert value == pytest.approx(1.6, rel=1e-6)
    assert interval is not None
    free = fit_curve([X, X], [evaluate(X), evaluate(X * 1.6)], variable="D", bootstrap=None)
    assert free.speed_up()[0] == pytest.approx(1.6, rel=1e-4)


def test_too_few_points_say_what_to_hold():
    with pytest.raises(NoFitError, match="--floor VALUE, --exponent VALUE"):
        fit_curve([X[:2]], [evaluate(X[:2])], variable="C")
    assert fit_curve([X[:3]], [evaluate(X[:3])], variable="C").draws == ()  # nothing tells noise


def test_a_forecast_far_away_is_refused_and_a_floor_above_the_data_too():
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
    missing = CliRunner().invoke(cli, ["fit", paths[0]])
    assert "--of C" in str(missing.exception)
    words = ["--of", "C", "--no-bootstrap", "--json"]
    found = json.loads(CliRunner().invoke(cli, ["fit", paths[0], *words, "--at", "10^22"]).stdout)
    assert found["law"]["params"]["alpha"] == pytest.approx(ALPHA, rel=1e-6)
    (forecast,) = found["forecasts"]
    assert forecast["loss"] == pytest.approx(evaluate(1e22), rel=1e-7)
    both = json.loads(CliRunner().invoke(cli, ["compare", *paths, *words]).stdout)
    assert both["speed_up"] == pytest.approx(1.6, rel=1e-4)

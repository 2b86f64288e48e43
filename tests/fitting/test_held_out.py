"""Claims about scoring laws by their forecasts."""

import json

import numpy as np
import pytest
from known_law import cross

from scaling.fitting.backtest import backtest_families
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, make_table, select_rows, sort_rows


def simulate(name: str, letters: list[float], noise: float = 0.001) -> RunTable:
    params, tokens = cross((1e7, 3e9), (1e9, 3e11), 8)
    rng = np.random.default_rng(0)
    loss = find_family(name).loss(np.array(letters), params, tokens)
    table = make_table(params, tokens, loss=loss * np.exp(noise * rng.standard_normal(64)))
    return sort_rows(table)


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("tied", [1.7, 400.0, 1500.0, 0.35]),
        ("chinchilla", [1.7, 400.0, 20_000.0, 0.3, 0.5]),
        ("kaplan", [32.108, 31.62, 0.076, 0.095]),
    ],
)
def test_the_law_that_generated_the_runs_is_chosen(name: str, letters: list[float]) -> None:
    scored = backtest_families(
        simulate(name, letters), ("chinchilla", "tied", "no_floor", "kaplan"), delta=1e-3
    )
    assert scored.chosen == name


def test_errors_are_those_of_a_fit_below_and_runs_above() -> None:
    table = simulate("chinchilla", [1.7, 400.0, 1500.0, 0.34, 0.33])
    (score,) = backtest_families(table, ("chinchilla",), delta=1e-3).scores
    assert [one.axis for one in score.forecasts] == ["C"] * 3 + ["N"] * 3 + ["D"] * 3
    for one in score.forecasts:
        assert one.fitted + one.held <= len(table)
        assert one.error is not None
        assert one.bias is not None
        assert abs(one.bias) <= one.error
    fitted = [one.fitted for one in score.forecasts[:3]]
    assert fitted == sorted(fitted)
    errors = [one.error for one in score.forecasts[:3] if one.error is not None]
    assert score.score == pytest.approx(float(np.exp(np.mean(np.log(errors)))))


def test_too_few_runs_are_not_scored() -> None:
    table = select_rows(simulate("tied", [1.7, 400.0, 1500.0, 0.35]), np.arange(0, 64, 6))
    scored = backtest_families(table, ("chinchilla", "tied"), delta=1e-3)
    assert scored.chosen is None
    assert json.loads(json.dumps(scored.to_contract(), allow_nan=False))["chosen"] is None


def test_the_chosen_law_is_compared_with_the_simpler_one() -> None:
    table = simulate("chinchilla", [1.7, 400.0, 20_000.0, 0.3, 0.5])
    scored = backtest_families(table, ("chinchilla", "tied"), delta=1e-3)
    by_name = {one.family: one.score for one in scored.scores}
    assert scored.chosen == "chinchilla"
    assert by_name["tied"] is not None
    assert by_name["chinchilla"] is not None
    # With two laws, the best of the others is the parent.
    assert scored.over_parent == ("tied", by_name["tied"] / by_name["chinchilla"])
    assert scored.over_parent == scored.margin
    alone = backtest_families(table, ("chinchilla", "no_floor"), delta=1e-3)
    assert alone.over_parent is None

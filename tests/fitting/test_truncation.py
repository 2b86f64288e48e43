"""Claims about forecasts of the most expensive runs from fewer and fewer of the others."""

import dataclasses
import json

import numpy as np
import pytest
from commands import call

from scaling.fitting.truncation import Truncated, Truncation, TruncationCurve, truncate_runs
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, make_table, sort_rows

LETTERS = np.array([1.7, 400.0, 1500.0, 0.34, 0.33])


def simulate(*, noise: float = 0.0, held_noise: float = 0.0, bend: float = 0.0) -> RunTable:
    """Six budgets of seven sizes; the smaller half of all sizes is `bend` above the law per factor
    e of N, and the largest budget, which is held out, has its own noise."""
    budgets = np.geomspace(1e18, 1e20, 6)
    sizes = 0.1 * np.sqrt(budgets)[:, None] * np.geomspace(0.25, 4.0, 7)
    flops = np.repeat(budgets, 7)
    params = sizes.ravel()
    tokens = flops / 6.0 / params
    rng = np.random.default_rng(0)
    error = np.where(flops == budgets[-1], held_noise, noise) * rng.standard_normal(42)
    error += bend * np.maximum(0.0, np.log(np.median(params) / params))
    loss = find_family("chinchilla").loss(LETTERS, params, tokens) * np.exp(error)
    return sort_rows(make_table(params, tokens, loss=loss, flops=flops, budget=flops))


def curve(found: Truncation, drops: str) -> TruncationCurve:
    (one,) = [one for one in found.curves if one.drops == drops]
    return one


def test_every_curve_begins_with_all_runs_and_drops_from_its_end() -> None:
    table = simulate(noise=0.003, held_noise=0.003)
    found = truncate_runs(table, "chinchilla", delta=1e-3)
    assert (found.held, found.fitted) == (7, 35)
    for one in found.curves:
        first = one.steps[0]
        assert (first.fitted, first.change, first.change_error) == (35, 0.0, 0.0)
        fitted = [step.fitted for step in one.steps]
        assert fitted == sorted(fitted, reverse=True)
        assert len(set(fitted)) == len(fitted)
        assert first.flops == pytest.approx(7 * np.geomspace(1e18, 1e20, 6)[:-1].sum())
    edges = [step.edge for step in curve(found, "budgets").steps]
    assert edges == pytest.approx(np.geomspace(1e18, 1e20, 6)[:-1])
    assert [step.edge for step in curve(found, "largest").steps] == pytest.approx(edges[::-1])
    assert curve(found, "largest").steps[-1].error is None  # one budget determines no law


def test_with_exact_fitted_runs_the_error_is_the_held_out_noise() -> None:
    """The fitted runs lie on the law, so what is left is the mean of |noise| over seven runs."""
    table = simulate(held_noise=0.01)
    whole = truncate_runs(table, "chinchilla", delta=1e-3).curves[0].steps[0]
    held = table.flops == table.flops.max()  # type: ignore[union-attr]
    law = find_family("chinchilla").loss(LETTERS, table.params, table.tokens)
    miss = np.abs(np.log(law / table.loss))[held]
    assert whole.error == pytest.approx(miss.mean(), rel=1e-4)  # 1e-4: rounding of the fit
    assert whole.standard_error == pytest.approx(miss.std(ddof=1) / np.sqrt(7), rel=1e-3)


def test_leaving_out_sizes_that_bend_lowers_the_error() -> None:
    table = simulate(noise=0.001, held_noise=0.001, bend=0.05)
    found = truncate_runs(table, "chinchilla", delta=1e-2)
    whole, *others = [step.error for step in curve(found, "sizes").steps if step.error is not None]
    assert min(others) < whole / 2  # without half of the sizes the rest is on the law


def test_a_part_is_enough_until_its_error_may_have_doubled() -> None:
    step = Truncated(edge=1.0, fitted=20, flops=1.0, error=0.02, change=0.0, change_error=0.0)
    noisy = dataclasses.replace(step, edge=2.0, change_error=0.009)
    noisier = dataclasses.replace(step, edge=3.0, change_error=0.011)
    worse = dataclasses.replace(step, edge=4.0, error=0.05, change=0.03)
    absent = Truncated(edge=5.0, fitted=3, flops=1.0)
    assert [one.is_enough for one in (step, noisy, noisier, worse, absent)] == [
        True, True, False, False, False,
    ]  # fmt: skip
    found = TruncationCurve(drops="sizes", steps=(step, noisy, noisier, step))
    assert found.smallest == noisy
    assert TruncationCurve(drops="sizes", steps=(absent,)).smallest is None


def test_backtest_shows_the_curves_and_refuses_idle_options(tmp_path) -> None:
    table = simulate(noise=0.003, held_noise=0.003)
    lines = [f"{n!r},{d!r},{loss!r},{c!r}" for n, d, loss, c in
             zip(table.params.tolist(), table.tokens.tolist(), table.loss.tolist(),
                 table.flops.tolist(), strict=True)]  # type: ignore[union-attr]  # fmt: skip
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["N,D,loss,C", *lines]) + "\n")
    words = ["backtest", str(path), "--families", "chinchilla"]
    answer = json.loads(call(*words, "--json").out)["truncation"]
    assert answer["law"] == "chinchilla"
    assert [one["drops"] for one in answer["curves"]] == ["sizes", "budgets", "largest"]
    assert answer["held"] == 7
    said = call(*words).out
    assert "How small may the others be?" in said
    assert f"{answer['curves'][0]['steps'][0]['error']:.2%} ±" in said
    assert "largest budget: C ≤" in said
    for option in ("--bootstrap", "--level", "--family", "--approach", "--seed"):
        assert "No such option" in call(*words, option, "1").errors
    assert call(*words, "--huber-delta", "0").code != 0

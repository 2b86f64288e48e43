"""Hostile tables: no traceback, no warning of numpy's, no NaN or Infinity in an answer."""

import json
import warnings

import numpy as np
import pytest

from scaling.allocation import allocate, predict
from scaling.errors import ScalingError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.fitting.store import read_fit, write_fit
from scaling.tables.run_table import make_table

COUNTS = (1, 2, 3, 9, 10, 11, 15, 20, 40)


def spoil(kind, rng):
    """(N, D, loss) of a random design with one thing wrong with it."""
    count = int(rng.choice(COUNTS))
    params, tokens = np.exp(rng.uniform(10, 20, count)), np.exp(rng.uniform(10, 25, count))
    match kind:
        case "huge range":
            params = np.exp(rng.uniform(0, 60, count))
        case "two sizes":
            params = rng.choice([1e6, 2e6], count)
        case "nearly one ratio":
            tokens = 20 * params * np.exp(0.03 * rng.standard_normal(count))
        case "three budgets":
            tokens = rng.choice([1e12, 1e13, 1e14], count) / 6 / params
    loss = 1.5 + 50 / params**0.3 + 80 / tokens**0.25
    match kind:
        case "absurd losses":
            loss = np.exp(rng.uniform(-600, 600, count))
        case "constant":
            return params, tokens, np.full(count, 2.5)
        case "unrelated":
            loss = np.sort(rng.uniform(1, 5, count))
        case "exploded":
            loss = loss * np.where(rng.random(count) < 0.3, 1000, 1)
        case "inverted":
            loss = 3 + params**0.05 - tokens**-0.1
    return params, tokens, loss * np.exp(0.01 * rng.standard_normal(count))


KINDS = (
    "huge range", "two sizes", "nearly one ratio", "three budgets", "absurd losses", "constant",
    "unrelated", "exploded", "inverted",
)  # fmt: skip


@pytest.mark.parametrize("delta", [1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_table_gets_a_status(kind, delta, tmp_path):
    rng = np.random.default_rng(KINDS.index(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            params, tokens, loss = spoil(kind, rng)
            table = make_table(params, tokens, loss=loss)
            fit = fit_runs(table, bootstrap=10, huber_delta=delta)
            json.dumps(fit.to_contract(), allow_nan=False)
            write_fit(tmp_path / "fit.json", fit)
            assert read_fit(tmp_path / "fit.json") == fit
            assert fit.reason
            answer_all(fit)


def answer_all(fit: Fit) -> None:
    for flops in (1e12, 1e20):
        for approach in (None, "isoflop"):
            try:
                answer = allocate(fit, flops, approach=approach, far=True, anyway=True)
            except ScalingError:
                continue
            json.dumps(answer.to_contract(), allow_nan=False)
    try:
        forecast = predict(fit, params=1e6, tokens=1e9, far=True, anyway=True)
    except ScalingError:
        return
    json.dumps(forecast.to_contract(), allow_nan=False)

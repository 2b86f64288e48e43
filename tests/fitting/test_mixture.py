"""Claims about mixtures of laws."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from scaling.allocation import allocate, predict
from scaling.fitting.engine import fit_runs
from scaling.fitting.store import read_fit, write_fit
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.droppo import DROPPO
from scaling.laws.family import LawFamily
from scaling.laws.mixture import MIXTURE
from scaling.ledger.tables import RunTable, make_table
from scaling.units import FloatArray

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])
SHARP = np.array([1.7, 27.63, 27.63, 0.12, 0.15, 0.25])


def simulate(law: LawFamily, letters: FloatArray, noise: float = 0.001) -> RunTable:
    params, tokens = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 3e9, 7), np.geomspace(1e9, 2e11, 7))
    )
    rng = np.random.default_rng(0)
    loss = law.loss(letters, params, tokens) * np.exp(noise * rng.standard_normal(params.size))
    return make_table(params, tokens, loss=loss)


def test_weights_are_shares_and_letters_are_named() -> None:
    fit = fit_runs(simulate(CHINCHILLA, HOFFMANN), family="mixture", bootstrap=None)
    assert fit.status == "converged"
    assert sum(member.weight for member in fit.members) == pytest.approx(1.0)
    assert fit.law is not None
    assert list(fit.law.params) == list(MIXTURE.param_names)
    assert fit.law.params["chinchilla.alpha"] == pytest.approx(0.34, abs=0.02)
    contract = json.loads(json.dumps(fit.to_contract(), allow_nan=False))
    assert [one["name"] for one in contract["members"]] == [m.name for m in MIXTURE.members]


def test_a_law_that_forecasts_worse_counts_less() -> None:
    fit = fit_runs(simulate(DROPPO, SHARP, noise=0.0005), family="mixture", bootstrap=None)
    weight = {member.name: member.weight for member in fit.members}
    assert weight["droppo"] > 2 * weight["tied"]


def test_nothing_leaves_chinchillas_law_without_a_lead() -> None:
    fit = fit_runs(simulate(CHINCHILLA, HOFFMANN, noise=0.005), family="mixture", bootstrap=None)
    assert [member.weight for member in fit.members] == [1.0, 0, 0, 0, 0, 0]


def test_starved_runs_are_left_to_members_that_leave_them_out() -> None:
    table = simulate(CHINCHILLA, HOFFMANN, noise=0.005)
    starved = table.tokens < 4.0 * table.params
    assert starved.any()
    spoiled = dataclasses.replace(table, loss=table.loss * np.where(starved, 1.15, 1.0))
    fit = fit_runs(spoiled, family="mixture", bootstrap=None)
    weight = {member.name: member.weight for member in fit.members}
    assert sum(weight[name] for name in weight if name.endswith("/4")) > 0.8
    # On runs that it describes a law that left the starved ones out errs as on a clean table.
    clean = fit_runs(table, family="mixture", bootstrap=None)
    assert fit.members[1].errors == clean.members[1].errors


def test_the_forecast_lies_between_its_members() -> None:
    fit = fit_runs(simulate(CHINCHILLA, HOFFMANN), family="mixture", bootstrap=None)
    assert fit.law is not None
    point = np.array(2e10), np.array(1e12)
    letters = np.array(list(fit.law.params.values()))
    each = [
        float(member.family.loss(letters[part], *point))
        for member, part in zip(MIXTURE.members, MIXTURE.slices, strict=True)
    ]
    answer = predict(fit, params=2e10, tokens=1e12)
    assert min(each) <= answer.loss <= max(each)
    assert answer.loss == pytest.approx(float(CHINCHILLA.loss(HOFFMANN, *point)), rel=0.01)


def test_it_answers_like_any_law_and_comes_back_from_disk(tmp_path: Path) -> None:
    fit = fit_runs(simulate(CHINCHILLA, HOFFMANN), family="mixture", bootstrap=60)
    write_fit(tmp_path / "fit.json", fit)
    again = read_fit(tmp_path / "fit.json")
    assert again == fit
    answer, stored = allocate(fit, 1e22), allocate(again, 1e22)
    assert answer.params == stored.params
    assert answer.params_interval is not None
    assert answer.params_interval.low < answer.params < answer.params_interval.high
    assert 6 * answer.params * answer.tokens == pytest.approx(1e22, rel=1e-6)
    # Hoffmann et al.'s law at 1e22: the closed form.
    truth = CHINCHILLA.optimal_params(HOFFMANN, np.array(1e22), np.array(6.0))
    assert answer.params == pytest.approx(float(truth), rel=0.15)


def test_runs_too_few_to_hold_some_out_leave_chinchillas_law() -> None:
    table = simulate(CHINCHILLA, HOFFMANN)
    rows = np.arange(0, 49, 5)
    few = make_table(table.params[rows], table.tokens[rows], loss=table.loss[rows])
    fit = fit_runs(few, family="mixture", bootstrap=None)
    assert [member.weight for member in fit.members] == [1.0, 0, 0, 0, 0, 0]


def test_draws_of_one_member_are_evaluated_as_that_member() -> None:
    rng = np.random.default_rng(1)
    rows = np.abs(rng.normal(1.0, 0.2, (12, len(MIXTURE.param_names))))
    count = len(MIXTURE.members)
    rows[:, -count:] = np.eye(count)[rng.integers(0, count, 12)]
    params, tokens = np.array([3.0, 5.0]), np.array([7.0, 9.0])
    together = MIXTURE.loss(rows[:, None, :], params, tokens)
    for row, values in zip(rows, together, strict=True):
        at = int(np.argmax(row[-count:]))
        alone = MIXTURE.members[at].family.loss(row[MIXTURE.slices[at]], params, tokens)
        np.testing.assert_allclose(values, alone, rtol=1e-12)

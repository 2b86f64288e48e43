"""Claims about the ensemble of laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from known_law import cross

from scaling.allocation import allocate, predict
from scaling.fitting.ensemble.members import fit_member
from scaling.fitting.ensemble.weights import SHARE, open_windows, weigh_members
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit, MemberScore
from scaling.fitting.store import read_fit, write_fit
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.coupled import COUPLED
from scaling.laws.ensemble import ENSEMBLE
from scaling.laws.family import LawFamily
from scaling.laws.frontier import find_frontier
from scaling.laws.kaplan import KAPLAN
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import RunTable, make_table, select_rows, sort_rows
from scaling.units import FloatArray

HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])
# On the frontier the exponents are like Hoffmann's, but the terms are joined more smoothly.
SMOOTH = np.array([1.2, 3e4, 3e4, 0.5, 0.48, 0.45])
NAMES = [member.name for member in ENSEMBLE.members]


def simulate(law: LawFamily, letters: FloatArray, noise: float = 0.001) -> RunTable:
    params, tokens = cross((1e7, 3e9), (1e9, 2e11), 7)
    rng = np.random.default_rng(0)
    loss = law.loss(letters, params, tokens) * np.exp(noise * rng.standard_normal(params.size))
    return make_table(params, tokens, loss=loss)


def weigh(table: RunTable) -> dict[str, float]:
    fit = fit_runs(table, approach="parametric", bootstrap=None)
    return {member.name: member.weight for member in list_members(fit)}


def list_members(fit: Fit) -> tuple[MemberScore, ...]:
    assert fit.answer is not None
    return fit.answer.members


@pytest.fixture(scope="module")
def drawn() -> Fit:
    """Hoffmann's law with a seed's noise at large scale, and draws."""
    return fit_runs(
        simulate(CHINCHILLA, HOFFMANN, noise=0.002), approach="parametric", bootstrap=60
    )


def test_the_fit_keeps_chinchillas_law_beside_the_ensemble(drawn: Fit) -> None:
    assert drawn.law is not None
    assert drawn.law.family == "chinchilla"
    contract = json.loads(json.dumps(drawn.to_contract(), allow_nan=False))
    assert contract["law"]["family"] == "chinchilla"
    assert contract["answer"]["family"] == "ensemble"
    assert [one["name"] for one in contract["answer"]["members"]] == NAMES
    assert sum(one["weight"] for one in contract["answer"]["members"]) == pytest.approx(1.0)
    assert contract["frontier"]["a"] != contract["answer"]["frontier"]["a"]


def test_answers_name_their_law_and_chinchillas_beside_it(drawn: Fit) -> None:
    answer, plain = allocate(drawn, 1e23), allocate(drawn.plain, 1e23)
    assert answer.family == "ensemble"
    assert answer.chinchilla is not None
    assert (answer.chinchilla.params, answer.chinchilla.loss) == (plain.params, plain.loss)
    contract = answer.to_contract()
    assert contract["chinchilla"] == {
        "params": plain.params,
        "tokens": plain.tokens,
        "loss": plain.loss,
    }
    said = predict(drawn, params=1e9, tokens=1e11)
    assert (said.family, said.chinchilla is not None) == ("ensemble", True)


def test_a_law_asked_for_by_name_answers_alone() -> None:
    table = simulate(CHINCHILLA, HOFFMANN)
    fit = fit_runs(table, approach="parametric", family="tied", bootstrap=None)
    assert fit.answer is None
    assert fit.to_contract()["answer"] is None
    answer = allocate(fit, 1e23)
    assert (answer.family, answer.chinchilla) == ("tied", None)
    plain = fit_runs(table, approach="parametric", family="chinchilla", bootstrap=None)
    assert allocate(plain, 1e23).family == "chinchilla"


def test_the_ensembles_former_name_still_selects_it() -> None:
    table = simulate(CHINCHILLA, HOFFMANN)
    default = fit_runs(table, approach="parametric", bootstrap=None)
    named = fit_runs(table, approach="parametric", family="mixture", bootstrap=None)
    assert named.law is not None
    assert named.law.family == "mixture"
    assert list(named.law.params) == list(ENSEMBLE.param_names)
    assert named.members == list_members(default)
    assert allocate(named, 1e23).params == allocate(default, 1e23).params
    drawn = [
        allocate(fit_runs(table, approach="parametric", family=family, bootstrap=50), 1e23)
        for family in (None, "mixture")
    ]
    assert drawn[0].loss_interval == drawn[1].loss_interval


def test_a_law_that_forecasts_worse_gets_less_weight() -> None:
    weight = weigh(simulate(COUPLED, SMOOTH, noise=0.0005))
    assert weight["coupled"] > 2 * weight["tied"]
    assert weight["coupled"] > 2 * weight["chinchilla"]


def test_every_scored_member_keeps_its_part_of_the_shared_weight() -> None:
    # No member's error is three times another's.
    weight = weigh(simulate(COUPLED, SMOOTH, noise=0.02))
    assert min(weight.values()) >= SHARE / len(NAMES) * (1 - 1e-12)


def test_members_that_leave_out_bad_starved_runs_get_most_of_the_weight() -> None:
    table = simulate(CHINCHILLA, HOFFMANN, noise=0.005)
    starved = table.tokens < 4.0 * table.params
    assert starved.any()
    spoiled = table.replace(loss=table.loss * np.where(starved, 1.15, 1.0))
    weight = weigh(spoiled)
    assert sum(weight[name] for name in weight if name.endswith("/4")) > 0.8
    # A member that leaves out starved runs has the same errors on the others as on a clean table.
    both = [
        list_members(fit_runs(one, approach="parametric", bootstrap=None))[1].errors
        for one in (spoiled, table)
    ]
    assert both[0] == both[1]


def test_the_forecast_lies_between_its_members(drawn: Fit) -> None:
    law = drawn.answering.law
    assert law is not None
    point = np.array(2e10), np.array(1e12)
    letters = np.array(list(law.params.values()))
    each = [
        float(member.family.loss(letters[part], *point))
        for member, part in zip(ENSEMBLE.members, ENSEMBLE.slices, strict=True)
    ]
    answer = predict(drawn, params=2e10, tokens=1e12)
    assert min(each) <= answer.loss <= max(each)
    # Kaplan's law, without a floor, gets part of the shared weight: 1 % of ln L two decades out.
    assert answer.loss == pytest.approx(float(CHINCHILLA.loss(HOFFMANN, *point)), rel=0.015)


def test_an_ensemble_round_trips_through_its_file(drawn: Fit, tmp_path: Path) -> None:
    write_fit(tmp_path / "fit.json", drawn)
    again = read_fit(tmp_path / "fit.json")
    assert again == drawn
    answer, stored = allocate(drawn, 1e22), allocate(again, 1e22)
    assert answer.params == stored.params
    assert answer.params_interval is not None
    assert answer.params_interval.low < answer.params < answer.params_interval.high
    assert 6 * answer.params * answer.tokens == pytest.approx(1e22, rel=1e-6)
    # Hoffmann et al.'s law at 1e22 in closed form. Other laws fit these runs as well and give up to
    # a third more or less, where the loss is flat to .05 % (tested below).
    truth = CHINCHILLA.optimal_params(HOFFMANN, np.array(1e22), np.array(6.0))
    assert answer.params == pytest.approx(float(truth), rel=0.35)
    sizes = np.array([answer.params, float(truth)])
    loss = CHINCHILLA.loss(HOFFMANN, sizes, 1e22 / 6.0 / sizes)
    assert loss[0] / loss[1] - 1.0 < 5e-4


def test_with_too_few_runs_to_hold_out_chinchillas_law_has_all_the_weight() -> None:
    table = simulate(CHINCHILLA, HOFFMANN)
    rows = np.arange(0, 49, 5)
    few = make_table(table.params[rows], table.tokens[rows], loss=table.loss[rows])
    assert list(weigh(few).values()) == [1.0, *[0.0] * (len(NAMES) - 1)]


def test_each_draw_reweights_the_members(drawn: Fit) -> None:
    for member in list_members(drawn):
        interval = member.weight_interval
        assert interval is not None
        assert interval.low <= interval.high
    widest = max(
        one.weight_interval.high - one.weight_interval.low
        for one in list_members(drawn)
        if one.weight_interval is not None
    )
    assert widest > 0.1  # nine held-out runs cannot decide which of eight laws forecasts best


def test_a_draw_equal_to_the_table_has_the_tables_weights() -> None:
    table = sort_rows(simulate(COUPLED, SMOOTH, noise=0.002))
    windows = open_windows(table, (True,) * len(NAMES), delta=1e-3)
    once = weigh_members(table, windows, np.ones((3, len(table))))
    # At the optimum the step is zero, up to the solver's remaining gradient.
    np.testing.assert_allclose(once, np.tile(weigh_members(table, windows), (3, 1)), atol=1e-3)


def test_draws_shift_a_window_as_a_refit_would() -> None:
    """Doubling some rows changes the held-out error as a refit to them does."""
    table = sort_rows(simulate(CHINCHILLA, HOFFMANN, noise=0.004))
    plain = ENSEMBLE.members[0]
    window = open_windows(table, (True, *[False] * (len(NAMES) - 1)), delta=0.02)[0]
    fitted = window.fits[0]
    assert fitted is not None
    counts = np.ones((1, len(table)))
    counts[0, fitted.rows[::3]] = 2.0
    doubled = np.concatenate((np.arange(len(table)), fitted.rows[::3]))
    more = select_rows(table, doubled)
    from scaling.fitting.ensemble.weights import _step

    moved = _step(fitted, counts[:, fitted.rows])[0]
    within = np.flatnonzero(np.isin(doubled, fitted.rows))
    again = fit_member(more, plain, delta=0.02, within=within)
    assert again is not None
    family, axes = plain.family, fitted.fit.task.axes
    refitted = family.to_theta(again.fit.coefficients[None], axes)[0]
    change = refitted - fitted.fit.theta
    # One linear step for a third more weight covers most of the way.
    assert np.linalg.norm(moved - refitted) < 0.35 * np.linalg.norm(change)


def test_draws_of_one_member_are_evaluated_as_that_member() -> None:
    rng = np.random.default_rng(1)
    rows = np.abs(rng.normal(1.0, 0.2, (12, len(ENSEMBLE.param_names))))
    count = len(ENSEMBLE.members)
    rows[:, -count:] = np.eye(count)[rng.integers(0, count, 12)]
    params, tokens = np.array([3.0, 5.0]), np.array([7.0, 9.0])
    together = ENSEMBLE.loss(rows[:, None, :], params, tokens)
    best = ENSEMBLE.optimal_params(rows, np.array(1e3), np.array(6.0))
    enough = ENSEMBLE.tokens_for_loss(rows, np.array(3.0), together[:, 0])
    for at_row, (row, values) in enumerate(zip(rows, together, strict=True)):
        at = int(np.argmax(row[-count:]))
        family, letters = ENSEMBLE.members[at].family, row[ENSEMBLE.slices[at]]
        np.testing.assert_allclose(values, family.loss(letters, params, tokens), rtol=1e-12)
        alone = family.optimal_params(letters, np.array(1e3), np.array(6.0))
        assert best[at_row] == pytest.approx(float(alone), rel=1e-12)
        assert enough[at_row] == pytest.approx(7.0, rel=1e-6)


@pytest.mark.parametrize(
    ("law", "letters"),
    [(KAPLAN, np.array([33.0, 31.0, 0.08, 0.1])), (COUPLED, SMOOTH)],
    ids=["kaplan", "coupled"],
)
def test_the_closed_form_frontier_is_the_minimum(law: LawFamily, letters: FloatArray) -> None:
    best, _ = find_frontier(law, letters, flops=np.array(1e22), cost=SIX_ND)
    sizes = float(best) * np.exp(np.linspace(-1.0, 1.0, 20_001))
    loss = law.loss(letters, sizes, 1e22 / 6.0 / sizes)
    # A parabola's lowest point is flat to rounding over some 1e-4 of ln N.
    assert sizes[int(np.argmin(loss))] == pytest.approx(float(best), rel=5e-4)


def test_tokens_of_several_laws_at_once_reach_the_loss(drawn: Fit) -> None:
    law = drawn.answering.law
    assert law is not None
    letters = np.array(list(law.params.values()))
    sizes = np.array([1e8, 1e10])
    loss = ENSEMBLE.loss(letters, sizes, np.array([3e10, 3e11]))
    tokens = ENSEMBLE.tokens_for_loss(letters, sizes, loss)
    np.testing.assert_allclose(tokens, [3e10, 3e11], rtol=1e-7)
    assert np.isinf(ENSEMBLE.tokens_for_loss(letters, sizes, np.array(1e-3))).all()


def test_runs_that_follow_one_law_exactly_are_answered_by_it():
    """Without noise no other law gets weight: N* under C = 6ND is Hoffmann's eq. 4."""
    E, A, B, alpha, beta = 1.69, 406.4, 410.7, 0.34, 0.28
    params, tokens = np.meshgrid([7e7, 1.6e8, 4.1e8, 1e9, 2.8e9], [2e9, 1e10, 3e10, 1e11])
    params, tokens = params.ravel(), tokens.ravel()
    loss = E + A / params**alpha + B / tokens**beta
    fit = fit_runs(make_table(params=params, tokens=tokens, loss=loss), bootstrap=None)
    ratio = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    best = ratio * (1e22 / 6) ** (beta / (alpha + beta))
    # 1e-4: E is what two powers leave over, and its last digits move N* a decade out.
    assert allocate(fit, 1e22).params == pytest.approx(best, rel=1e-4)

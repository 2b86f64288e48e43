"""Several families make several sweeps; several learning rates make several runs of a cell."""

import pytest
from known_run import FACTS

from scaling.errors import SpecError
from scaling.sweep.families.recurrent import LSTM, RNN
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.siblings import list_siblings
from scaling.sweep.spec import count_cells

SWEEP = """\
name: pair
corpus: {source: python-stdlib}
grid: {params: [2e4, 4e4], tokens: [4e5, 8e5]}
families: [transformer, lstm, rnn]
rates: [0.5, 1, 2]
"""


def parse(text: str):
    return parse_sweep(text.encode(), source="s.yaml")


def test_each_family_gets_a_sweep_with_its_own_ladder_and_recipe() -> None:
    siblings = list_siblings(parse(SWEEP))
    assert [one.name for one in siblings] == ["pair-transformer", "pair-lstm", "pair-rnn"]
    for one, family in zip(siblings[1:], (LSTM, RNN), strict=True):
        runs = [cell.run for cell in plan_sweep(one, FACTS).cells]
        assert {run.shape.family for run in runs} == {family.name}
        assert {run.recipe.init_scale for run in runs} == {family.reference.init_scale}


def test_every_cell_is_trained_at_every_rate_and_adding_one_changes_no_run() -> None:
    spec = list_siblings(parse(SWEEP))[1]
    plan = plan_sweep(spec, FACTS)
    assert len(plan.cells) == count_cells(spec) == 4 * 3
    cells: dict[object, list[float]] = {}
    for cell in plan.cells:
        cells.setdefault((cell.run.shape, cell.run.tokens), []).append(
            cell.run.recipe.learning_rate
        )
    for rates in cells.values():
        low, middle, high = sorted(rates)
        assert low == pytest.approx(middle / 2, rel=1e-3)  # four significant digits
        assert high == pytest.approx(2 * middle, rel=1e-3)
    alone = plan_sweep(list_siblings(parse(SWEEP.replace("rates: [0.5, 1, 2]\n", "")))[1], FACTS)
    assert {cell.run.run_id for cell in alone.cells} < {cell.run.run_id for cell in plan.cells}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("[transformer, lstm, rnn]", "[lstm]"), "one family is nothing to compare"),
        (("[transformer, lstm, rnn]", "[lstm, lstm]"), "the family lstm is given twice"),
        (("[transformer, lstm, rnn]", "[lstm, gru]"), "'lstm' or 'rnn', got 'gru'"),
        (("name: pair\n", "name: pair\nmodel: {family: rnn}\n"), "families and model.family are"),
        (("name: pair\n", "name: pair\nrecipes: {a: {}, b: {beta1: 0.8}}\n"), "compared alone"),
        (("[0.5, 1, 2]", "[1]"), "one rate is no choice"),
        (("[0.5, 1, 2]", "[1, 1]"), "the rate 1.0 is given twice"),
        (("name: pair\n", "name: pair\nreplicates: 2\n"), "Say seeds: [0, 1]"),
        (("name: pair\n", "name: pair\nbracket: true\n"), "Remove bracket"),
    ],
)
def test_axes_that_cannot_be_compared_are_refused(change: tuple[str, str], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(SWEEP.replace(*change))
    assert sentence in str(caught.value)

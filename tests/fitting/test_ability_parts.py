"""Claims about the parts of an ability: which digit of a sum is learnt first."""

import numpy as np
import pytest
from ability_worlds import SIZES, independent, make_runs, score, tabulate

from scaling.fitting.abilities.ability import judge_ability
from scaling.fitting.abilities.parts import find_parts
from scaling.report.abilities import show_abilities
from scaling.sweep.probes import ProbeCurve
from scaling.terminal.abilities import format_ability

SEEDS = 4
TABLE = make_runs(independent, seeds=SEEDS)


def make_curves(places=(1.0, 2.0, 3.0), runs=TABLE.run, sizes=TABLE.params):
    """Place p is right in .95 of the answers from SIZES[2 p] on, and in a tenth below."""
    curves = {}
    for run, n in zip(runs, sizes, strict=True):
        shares = tuple(0.95 if n >= SIZES[2 * int(at)] else 0.1 for at in places)
        curves[run] = ProbeCurve(
            x_label="place in the answer", y_label="share right", x=places, y=shares
        )
    return {"answer_accuracy": curves}


def test_each_part_has_an_onset_of_its_own():
    parts = find_parts(score(TABLE), make_curves())
    assert (parts.name, parts.label) == ("answer_accuracy", "place in the answer")
    assert [one.at for one in parts.parts] == [1.0, 2.0, 3.0]
    for one in parts.parts:
        (onset,) = one.onsets
        first = 2 * int(one.at)
        assert (onset.below, onset.above) == (SIZES[first - 1], SIZES[first])
        assert one.means == pytest.approx([0.1] * first + [0.95] * (SIZES.size - first))


def test_means_are_over_the_seeds_of_a_cell_whatever_the_order_of_rows():
    """Half of the seeds of each size are right throughout, half nowhere; fewer rows than curves."""
    n = np.repeat(SIZES, 2)[::-1]
    table = tabulate(n, np.full(n.size, 0.5), seeds=2)
    curves = {
        run: ProbeCurve(x_label="place", y_label="share", x=(1.0, 2.0), y=(at % 2, 1.0 - at % 2))
        for at, run in enumerate((*table.run, "another"))
    }
    parts = find_parts(score(table), {"answer_accuracy": curves})
    assert [one.means for one in parts.parts] == [(0.5,) * SIZES.size] * 2


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"answer_loss": make_curves()["answer_accuracy"]},
        make_curves(places=(1.0,)),
        make_curves(runs=TABLE.run[1:], sizes=TABLE.params[1:]),
        {
            "answer_accuracy": make_curves()["answer_accuracy"]
            | {TABLE.run[0]: make_curves(places=(1.0, 3.0))["answer_accuracy"][TABLE.run[0]]}
        },
    ],
    ids=["none", "of another score", "one part", "a run without", "other parts"],
)
def test_without_the_same_parts_of_every_run_none_are_compared(curves):
    assert find_parts(score(TABLE), curves) is None


def test_parts_are_said_on_terminal_and_page_and_in_json():
    ability = judge_ability(score(TABLE), curves=make_curves(), count=20)
    said = format_ability(ability)
    assert "most seeds reach 0.9 in answer_accuracy by place in the answer: 1 from N 17.8k" in said
    (shown,) = show_abilities((ability,))
    assert shown.parts[0] == ("N", "D", "runs", "1", "2", "3")
    assert shown.parts[-1][3:] == ("0.950", "0.950", "0.950")
    assert any("by place in the answer: 1 from N 17.8k" in one for one in shown.sentences)
    stated = ability.to_contract()["parts"]
    assert (stated["of"], stated["by"]) == ("answer_accuracy", "place in the answer")
    assert stated["parts"][0]["onsets"][0]["above"] == SIZES[2]
    without = judge_ability(score(TABLE), count=20)
    assert "by place" not in format_ability(without)
    assert show_abilities((without,))[0].parts == []
    assert without.to_contract()["parts"] is None

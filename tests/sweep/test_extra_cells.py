"""Claims about cells beside a grid."""

import pytest
from test_plan import FACTS

from scaling.errors import SpecError
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep

SWEEP = """\
name: a
corpus: {source: python-stdlib}
grid: {budgets: [2e10, 4e10], sizes: 3}
"""
EXTRA = "extra_cells: [{params: 2e5, tokens: 3e6}]\n"


def list_runs(text: str) -> dict[str, float]:
    plan = plan_sweep(parse_sweep(text.encode(), source="a.yaml"), FACTS)
    return {c.run.run_id: float(count_matmul_params(c.run.shape)) for c in plan.cells}


def test_extra_cells_join_the_grid_and_change_none_of_its_runs() -> None:
    grid, more = list_runs(SWEEP), list_runs(SWEEP + EXTRA)
    assert grid.items() <= more.items()
    (params,) = [more[run_id] for run_id in more.keys() - grid.keys()]
    assert params == pytest.approx(2e5, rel=0.25)  # rungs are at most ×1.5 apart, half a step


def test_extra_cells_do_not_move_brackets() -> None:
    grid, more = (list_runs(SWEEP + "bracket: true\n" + extra) for extra in ("", EXTRA))
    assert len(more) == len(grid) + 1
    assert grid.items() <= more.items()


def test_an_unknown_key_of_an_extra_cell_is_named_at_its_place() -> None:
    text = SWEEP + "extra_cells: [{params: 2e5, token: 3e6}]\n"
    with pytest.raises(SpecError) as caught:
        parse_sweep(text.encode(), source="a.yaml")
    assert any("a.yaml:4:" in one and "Did you mean 'tokens'?" in one for one in
               caught.value.problems)  # fmt: skip


def test_an_unknown_key_of_the_schedule_is_named() -> None:
    with pytest.raises(SpecError, match="Did you mean 'trunk'"):
        parse_sweep((SWEEP + "schedule: {trunks: true}\n").encode(), source="a.yaml")

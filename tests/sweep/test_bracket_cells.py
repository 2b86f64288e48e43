"""Claims about bracket runs: which ones there are, and that they change no other run."""

import math

from test_plan import GRID, ids, plan

from scaling.sweep.counting import count_matmul_params

SWEEP = GRID.format(budgets="[1e11, 2e11, 4e11]", sizes=5)


def test_brackets_add_runs_without_changing_any() -> None:
    plain, bracketed = plan(SWEEP), plan(SWEEP, rest="bracket: true\nreplicates: 2")
    assert ids(plain) == ids(bracketed)
    assert ids(bracketed, "bracket")
    assert not ids(bracketed, "bracket") & (ids(bracketed) | ids(bracketed, "replicate"))
    assert ids(plan(SWEEP, rest="replicates: 2"), "replicate") == ids(bracketed, "replicate")


def test_brackets_are_at_the_extremes_and_middle_of_tokens_per_parameter() -> None:
    planned = plan(SWEEP, rest="bracket: true")
    grid = {cell.run.run_id: cell.run for cell in planned.cells if cell.role == "grid"}

    def ratio(run_id: str) -> float:
        return grid[run_id].tokens / count_matmul_params(grid[run_id].shape)

    corners = {cell.varied[1] for cell in planned.cells if cell.varied is not None}
    assert len(corners) == 3
    assert max(corners, key=ratio) == max(grid, key=ratio)
    assert min(corners, key=ratio) == min(grid, key=ratio)


def test_a_bracket_varies_one_setting_of_its_corner() -> None:
    planned = plan(SWEEP, rest="bracket: true")
    runs = {cell.run.run_id: cell.run for cell in planned.cells}
    seen = set()
    for cell in planned.cells:
        if cell.varied is None:
            continue
        what, name, factor = cell.varied
        run, corner = cell.run, runs[name]
        seen.add((what, factor))
        assert run.shape == corner.shape
        assert run.seed == corner.seed
        rate = run.recipe.learning_rate / corner.recipe.learning_rate
        batch = run.recipe.batch_sequences / corner.recipe.batch_sequences
        if what == "learning_rate":
            assert (batch, run.tokens) == (1.0, corner.tokens)
            assert math.isclose(rate, factor, rel_tol=1e-3)  # four significant digits
        else:
            assert batch == factor
            assert math.isclose(run.tokens, corner.tokens, rel_tol=0.01)  # rounding to whole steps
            # The recipe's rule for the batch at this D.
            assert math.isclose(rate, math.sqrt(factor), rel_tol=0.02)
    assert {("learning_rate", factor) for factor in (0.25, 0.5, 2.0, 4.0)} <= seen
    assert ("batch", 2.0) in seen


def test_a_fixed_learning_rate_is_bracketed_too() -> None:
    planned = plan(SWEEP, rest="bracket: true\nrecipe: {learning_rate: 0.004, batch_sequences: 2}")
    rates = {cell.run.recipe.learning_rate for cell in planned.cells if cell.role == "bracket"}
    assert {0.001, 0.002, 0.008, 0.016} <= rates

"""Claims about step times: from a few measured configurations to every run."""

import dataclasses

import pytest
from known_run import plan_run

from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.sweep.throughput import MAX_PIVOTS, StepTime, Throughput, choose_pivots

HELD_OUT = 500_000


def time_step(shape: ModelShape, batch: int) -> float:
    tokens = 128 * batch
    flops = tokens * count_flops_per_token(shape)
    return 5e-4 + 6e-4 * shape.n_layers + 1e-6 * shape.n_layers * tokens + flops / 5e10


def time_token(shape: ModelShape) -> float:
    return 1e-6 + 5e-7 * shape.n_layers + count_flops_per_token(shape) / 1e11


def measure(run: RunSpec) -> StepTime:
    batch = run.recipe.batch_sequences
    return StepTime(
        shape=run.shape,
        batch_sequences=batch,
        start_seconds=0.02,
        step_seconds=time_step(run.shape, batch),
        evaluation_seconds=time_token(run.shape),
    )


RUNS = [plan_run(w, n, d) for w, n in ((8, 2), (16, 3), (32, 2), (48, 4)) for d in (2e5, 1e6)]
KNOWN = Throughput(device="a device", measured_at="2026-01-01", points=tuple(map(measure, RUNS)))


def test_a_device_that_follows_the_form_is_predicted_exactly() -> None:
    run = plan_run(24, 5, 4e6)
    recipe = run.recipe
    expected = (
        0.02
        + recipe.steps * time_step(run.shape, recipe.batch_sequences)
        + HELD_OUT * time_token(run.shape)
    )
    # Least squares on eight exact points leaves only rounding.
    assert KNOWN.estimate_seconds(run, held_out=HELD_OUT) == pytest.approx(expected, rel=1e-6)


def test_steps_that_a_trunk_has_trained_cost_nothing() -> None:
    run = RUNS[0]
    whole = KNOWN.estimate_seconds(run, held_out=0)
    half = KNOWN.estimate_seconds(run, held_out=0, first_step=run.recipe.steps // 2)
    steps = run.recipe.steps - run.recipe.steps // 2
    assert half == pytest.approx(
        0.02 + steps * time_step(run.shape, run.recipe.batch_sequences), rel=1e-6
    )
    assert half < whole


def test_odd_measurements_predict_no_negative_time() -> None:
    small, large = measure(plan_run(8, 2, 3e5)), measure(plan_run(64, 4, 3e5))
    # A small step measured slower than a large one, as on a busy machine.
    odd = dataclasses.replace(small, step_seconds=10 * large.step_seconds)
    throughput = dataclasses.replace(KNOWN, points=(odd, large))
    for run in (*RUNS, plan_run(256, 16, 1e8)):
        assert throughput.estimate_seconds(run, held_out=0) > 0


def test_one_measured_configuration_predicts_itself() -> None:
    run = RUNS[0]
    throughput = dataclasses.replace(KNOWN, points=(measure(run),))
    step = time_step(run.shape, run.recipe.batch_sequences)
    assert throughput.estimate_seconds(run, held_out=0) == pytest.approx(
        0.02 + run.recipe.steps * step
    )


def test_pivots_include_the_cheapest_and_the_most_expensive_step() -> None:
    runs = [plan_run(8 * at, 2, 3e5) for at in range(1, 20)]
    pivots = choose_pivots([*runs, *runs])
    assert len(pivots) == MAX_PIVOTS
    assert {runs[0].shape, runs[-1].shape} <= {run.shape for run in pivots}
    assert len(choose_pivots(runs[:3])) == 3

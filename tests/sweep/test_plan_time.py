"""Claims about the cost of a plan: time, money and disk."""

from pathlib import Path

import pytest
from test_throughput import HELD_OUT, KNOWN, RUNS

from scaling.ledger.commit import Ledger
from scaling.sweep.cost import estimate_disk, estimate_time
from scaling.sweep.counting import count_total_params
from scaling.sweep.runspec import RunSpec
from scaling.sweep.target import Target

CODE = Path(__file__).parents[2] / "results" / "code"


def estimate(run: RunSpec, first_step: int) -> float:
    return KNOWN.estimate_seconds(run, held_out=HELD_OUT, first_step=first_step)


def test_the_price_is_that_of_the_machine_for_the_makespan() -> None:
    time = estimate_time(RUNS, estimate, slots=2, price_per_hour=7.2)
    assert time.price == pytest.approx(7.2 * time.makespan_seconds / 3600)
    assert time.runs == len(RUNS)
    assert time.seconds / 2 <= time.makespan_seconds <= time.seconds
    assert time.critical_path_seconds == max(estimate(run, 0) for run in RUNS)


def test_without_a_price_per_hour_no_price_is_stated() -> None:
    assert estimate_time(RUNS, estimate, slots=2).price is None


def test_a_finished_plan_takes_no_time() -> None:
    time = estimate_time([], estimate, slots=2, price_per_hour=1.0)
    assert (time.runs, time.flops, time.makespan_seconds, time.price) == (0, 0, 0.0, 0.0)


def test_on_a_target_a_branch_takes_only_its_remaining_steps() -> None:
    run = RUNS[0]
    two = Target(
        device="a", source="", peak_flops=1e12, mfu=0.5, mfu_source="", devices=2, devices_per_run=2
    )
    assert two.estimate_seconds(run) == pytest.approx(run.flops / 1e12)
    middle = run.recipe.steps // 3
    left = 1 - middle / run.recipe.steps
    assert two.estimate_seconds(run, middle) == pytest.approx(left * run.flops / 1e12)


def test_a_finished_sweep_uses_the_estimated_disk_space() -> None:
    runs = [one.run for one in Ledger.open(CODE).read_results().results.values()]
    found = sum(p.stat().st_size for p in (CODE / "runs").rglob("*") if p.is_file())
    blocks = 4096 * sum(1 for path in (CODE / "runs").rglob("*") if path.is_dir())
    kept = estimate_disk(runs, keep_weights=False, slots=0)
    # Curve files differ in length by the digits of their numbers.
    assert kept == pytest.approx(found + blocks, rel=0.15)


def test_kept_weights_are_four_bytes_a_parameter() -> None:
    weights = 4 * sum(count_total_params(run.shape) for run in RUNS)
    with_them = estimate_disk(RUNS, keep_weights=True, slots=0)
    assert with_them - estimate_disk(RUNS, keep_weights=False, slots=0) == weights

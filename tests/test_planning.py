"""Claims about planning through the command line: expected answers, and what to train next."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from commands import CODE, call
from test_plan_text import make_sweep

from scaling.errors import QueryError
from scaling.fitting.checks.training import ENOUGH_STEPS
from scaling.ledger.commit import Ledger
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.terminal.plan import format_plan
from scaling.workflow import preparing, simulating
from scaling.workflow.preparing import find_run_memory
from scaling.workflow.simulating import list_forecasts, simulate_sweep
from scaling.workflow.stored import open_results
from scaling.workflow.suggesting import suggest_cells, write_sweep

GRID = "{budgets: [2e10, 4e10, 8e10], sizes: 5, span: 6}"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(CODE, tmp_path_factory.mktemp("results") / "code")


def test_a_suggested_sweep_keeps_every_finished_run(code: Path) -> None:
    found = suggest_cells(code, spend=2e11, forecast=3.2e12, root=code.parent)
    text = write_sweep(found, question="what next?")
    stored = open_results(code)
    spec = parse_sweep(text.encode(), source="next.yaml")
    recorded = [result.run for result in stored.ledger.read_results().results.values()]
    planned = plan_sweep(spec, stored.ledger.corpus, recorded=recorded).cells
    # Validation runs belong to the folder's forecasts, not to the sweep file.
    before = {cell.run.run_id for cell in stored.plan.cells if cell.role != "validation"}
    added = [cell.run for cell in planned if cell.run.run_id not in before]
    assert before <= {cell.run.run_id for cell in planned}
    assert sum(run.flops for run in added) == found.suggestion.flops <= 2e11
    assert [line[0] for line in text.splitlines()[:3]] == ["#"] * 3


@pytest.mark.parametrize(("spend", "forecast"), [(2e11, 3.2e12), (2e12, 6e12), (3e15, 1e17)])
def test_suggested_runs_can_be_trained_and_fail_no_check(
    code: Path, spend: float, forecast: float
) -> None:
    found = suggest_cells(code, spend=spend, forecast=forecast, root=code.parent)
    facts = Ledger.open(code).corpus
    asked = found.spec.model_copy(update={"replicates": 0})
    plan = plan_sweep(asked, facts, memory_bytes=find_run_memory())
    assert plan.rejected == ()
    told = {(params, tokens) for params, tokens, _ in found.cells}
    added = [
        cell.run
        for cell in plan.cells
        if (count_matmul_params(cell.run.shape), cell.run.tokens) in told
    ]
    assert len(added) == len(found.cells)
    assert min(run.recipe.steps for run in added) >= ENOUGH_STEPS
    assert max(run.tokens for run in added) <= facts.train_tokens


def test_a_spend_that_pays_for_too_few_steps_is_refused_with_the_remedy(code: Path) -> None:
    with pytest.raises(
        QueryError, match=r"a spend of 1e8 FLOPs(.|\n)*takes 1000 steps(.|\n)*smaller context"
    ):
        suggest_cells(code, spend=1e8, forecast=1e12, root=code.parent)


def test_a_suggestion_from_results_lowers_the_expected_error(code: Path) -> None:
    small, large = (
        suggest_cells(code, spend=spend, forecast=3.2e12, root=code.parent).suggestion
        for spend in (2e11, 3e12)
    )
    assert small.error_before is not None
    # The weak prior is centred on all points, candidates included.
    assert small.error_before == pytest.approx(large.error_before, rel=0.01)
    assert large.error_after < small.error_before


@pytest.mark.parametrize("words", [("0", "1e12"), ("1e12", "-1"), ("nan", "1e12"), ("1e400", "1")])
def test_an_invalid_spend_exits_2(code: Path, words: tuple[str, str]) -> None:
    done = call("suggest", code, f"--spend={words[0]}", f"--forecast={words[1]}")
    assert done.code == 2
    assert "positive number" in done.errors


def test_a_spend_below_the_cheapest_run_is_refused(code: Path) -> None:
    done = call("suggest", code, "--spend", 1e3, "--forecast", 3.2e12)
    assert done.code == 2
    assert "a spend of 1e3 FLOPs leaves no run" in done.errors


def test_an_existing_file_is_not_overwritten(code: Path, tmp_path: Path) -> None:
    kept = tmp_path / "next.yaml"
    kept.write_text("mine")
    done = call("suggest", code, "--spend", 2e11, "--forecast", 3.2e12, "--output", kept)
    assert done.code == 2
    assert kept.read_text() == "mine"


def test_suggest_prints_json(code: Path) -> None:
    words = ("suggest", code, "--spend", 2e11, "--forecast", 3.2e12)
    done = call(*words, "--json")
    said = json.loads(done.out)
    assert said["schema_version"] == 1
    assert sum(cell["flops"] for cell in said["cells"]) == said["flops"] <= 2e11
    assert "expected error of the loss" in done.errors


def test_a_simulated_plan_reports_expected_answers(
    tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The text does not depend on the number of draws.
    few = partial(simulating.simulate_design, draws=4)
    monkeypatch.setattr(simulating, "simulate_design", few)
    sweep = make_sweep(tmp_path, GRID)
    assert list_forecasts(sweep.spec, sweep.plan) == (
        10.0 * max(cell.run.flops for cell in sweep.plan.cells),
    )
    said = simulate_sweep(sweep, prior_law=code, noise=0.006).to_contract()
    assert said["prior"]["noise"] == 0.006
    assert str(code.name) in said["prior"]["source"]
    json.dumps(said, allow_nan=False)
    plan = {
        "cells": [],
        "totals": {
            "runs": 0, "flops": 0, "flops_spent": 0, "tokens": 0, "cached": 0, "peak_bytes": 0,
            "disk_bytes": 0, "device_memory_bytes": None,
        },
        "target": None, "throughput": None, "rejected": [], "warnings": [], "reference": "",
        "simulation": said,
    }  # fmt: skip
    text = format_plan(plan)
    assert "expected 90% intervals" in text
    assert "checks that would fail" in text
    assert "every cell with another seed" in text


def test_a_prior_law_without_simulate_exits_2(tmp_path: Path) -> None:
    done = call("plan", tmp_path / "a.yaml", "--prior-law", tmp_path)
    assert done.code == 2
    assert "--simulate" in done.errors


@pytest.mark.parametrize("option", ["--price-per-hour=nan", "--price-per-hour=-1", "--noise=nan"])
def test_an_invalid_price_or_noise_exits_2(tmp_path: Path, option: str) -> None:
    assert call("plan", tmp_path / "a.yaml", "--simulate", option).code == 2


def test_without_a_benchmark_no_time_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(tmp_path, GRID)
    monkeypatch.setattr(preparing, "prepare_sweep", lambda *_, **__: sweep)
    words = ("plan", sweep.path, "--root", tmp_path, "--no-benchmark")
    said = json.loads(call(*words, "--json").out)
    assert {cell["seconds"] for cell in said["cells"]} == {None}
    assert said["totals"]["left"] is None
    assert "time: not measured" in call(*words).out

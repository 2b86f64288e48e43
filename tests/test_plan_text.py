"""What `plan` and `run` print about a plan before training."""

import dataclasses
from pathlib import Path

import pytest
from commands import CODE, call

from scaling.data.shards import PreparedCorpus
from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import load_sweep
from scaling.terminal.plan import format_plan
from scaling.workflow import preparing, training
from scaling.workflow.describing import describe_plan
from scaling.workflow.preparing import Sweep


def make_sweep(folder: Path, grid: str) -> Sweep:
    path = folder / "a.yaml"
    path.write_text(f"name: a\ncorpus: {{source: python-stdlib}}\ngrid: {grid}\n")
    spec, facts = load_sweep(path), Ledger.open(CODE).corpus
    corpus = PreparedCorpus(folder=folder, facts=facts)
    plan = plan_sweep(spec, facts)
    return Sweep(path=path, text=path.read_text(), spec=spec, corpus=corpus, plan=plan)


def test_two_wishes_for_one_run_are_noted(tmp_path: Path) -> None:
    described = describe_plan(
        make_sweep(tmp_path, "{params: [1e4, 1.05e4, 3e4], tokens: [3e5]}"), root=tmp_path, slots=2
    )
    assert len({cell["run_id"] for cell in described["cells"]}) == 2
    repeats = [cell for cell in described["cells"] if cell["repeats"]]
    assert [cell["why"] for cell in repeats] == ["same run as the row above"]
    assert described["totals"]["runs"] == 2
    assert format_plan(described).count("same run as the row above") == 1


def test_a_finished_run_that_two_wishes_share_is_done_once(tmp_path: Path) -> None:
    described = describe_plan(
        make_sweep(tmp_path, "{params: [1e4, 1.05e4], tokens: [3e5]}"), root=tmp_path, slots=2
    )
    first, second = described["cells"]
    done = [cell | {"cached": True} for cell in (first, second)]
    lines = format_plan(described | {"cells": done}).splitlines()
    assert lines[1].endswith("done")
    assert lines[2].endswith("same run as the row above")


def test_bracket_rows_are_marked(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "{budgets: [2e10, 4e10]}\nbracket: true")
    described = describe_plan(sweep, root=tmp_path, slots=2)
    marked = [line for line in format_plan(described).splitlines() if "bracket, to train" in line]
    roles = [cell["role"] for cell in described["cells"]]
    assert len(marked) == roles.count("bracket") > 0


def test_plan_shows_everything_that_the_recipe_decided(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "{params: [1e4], tokens: [3e5]}")
    (cell,) = describe_plan(sweep, root=tmp_path, slots=2)["cells"]
    assert cell["recipe"] == dataclasses.asdict(sweep.plan.cells[0].run.recipe)
    assert {"warmup_steps", "decay_steps", "beta2", "weight_decay"} <= cell["recipe"].keys()


def test_run_and_plan_write_a_rejected_cell_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(
        tmp_path, "{cells: [{params: 1e4, tokens: 1000}, {params: 1e4, tokens: 3e5}]}"
    )

    def stop(*_: object, **__: object) -> None:
        raise UsageError("stop here")

    monkeypatch.setattr(preparing, "prepare_sweep", lambda *_, **__: sweep)
    monkeypatch.setattr(training, "open_ledger", stop)
    said = call("run", sweep.path, "--executor", "inline").errors
    described = format_plan(describe_plan(sweep, root=tmp_path, slots=2))
    assert "not trained: N 10.2k, D 1k: " in said
    assert "rejected: N 10.2k, D 1k: " in described


def test_equal_lines_are_merged_and_counted(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "{params: [1e4, 3e4], tokens: [3e5]}\nseeds: [0, 1, 2, 3, 4]")
    lines = format_plan(describe_plan(sweep, root=tmp_path, slots=2)).splitlines()
    assert sum("(5 runs alike)" in line for line in lines) == 2
    assert sum("×" in line and "runs alike" not in line for line in lines[1:4]) == 0

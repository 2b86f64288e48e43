"""scaling init writes a sweep that says what was asked, and nothing that cannot be run."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scaling.cli import cli
from scaling.sweep.draft import SHARE, Wish, draft_sweep
from scaling.sweep.grids import IsoflopGrid
from scaling.sweep.reading import load_sweep, parse_sweep


def init(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["init", *words], standalone_mode=False, input=stdin)


@pytest.mark.parametrize("total", [1e10, 4e12, 3.3e20])
def test_the_drafted_sweep_takes_the_compute_that_was_asked_for(total: float) -> None:
    text = draft_sweep(Wish(name="mine", total_flops=total))
    spec = parse_sweep(text.encode(), source="mine.yaml")
    assert isinstance(spec.grid, IsoflopGrid)
    mean = sum(spec.grid.budgets) / len(spec.grid.budgets)
    asked = spec.grid.sizes * sum(spec.grid.budgets) + spec.replicates * mean
    assert asked == pytest.approx(total, rel=0.05)  # budgets have two digits


def test_the_largest_run_is_the_one_asked_for_and_the_forecast_ten_times_it() -> None:
    text = draft_sweep(Wish(name="mine", run_flops=2e11))
    spec = parse_sweep(text.encode(), source="mine.yaml")
    assert isinstance(spec.grid, IsoflopGrid)
    assert max(spec.grid.budgets) == 2e11
    assert spec.forecast == (2e12,)
    assert f"{2e11 * SHARE:.1e}"[:3] in text


@pytest.mark.parametrize(("total", "warned"), [("2e12", True), ("4e12", False)])
def test_a_sweep_too_small_for_its_largest_models_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: str, warned: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    done = init("mine", "--total-flops", total)
    assert done.exception is None
    assert ("few optimiser steps" in done.stderr) == warned


def test_shipped_style_three_lines_of_comment_come_first() -> None:
    lines = draft_sweep(Wish(name="mine", run_flops=2e11)).splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["# Question", "# Cost", "# Expect"]


def test_paths_are_named_from_the_sweep_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my text").mkdir()
    assert init("mine", "--text", "my text", "--run-flops", "2e11").exception is None
    spec = load_sweep(tmp_path / "sweeps" / "mine.yaml")
    assert spec.corpus.paths == ("../my text",)


@pytest.mark.parametrize("hostile", ['a"b\n# c', "x: {y}", "\x1b]0;z", "'; - !!python"])
def test_a_hostile_file_name_stays_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / hostile).write_text("text")
    done = init("mine", "--text", hostile, "--run-flops", "2e11", "--output", "mine.yaml")
    if done.exception is None:
        assert load_sweep(tmp_path / "mine.yaml").corpus.paths == (hostile,)
    else:  # a character that no sweep file may hold
        assert not (tmp_path / "mine.yaml").exists()


def test_without_a_terminal_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Which name?" in str(init(stdin="mine\n").exception)
    assert "How much compute?" in str(init("mine", stdin="4e12\n").exception)


def test_on_a_terminal_four_questions_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )
    done = init(stdin="\n8e12\n\nother\n")
    assert done.exception is None
    spec = load_sweep(tmp_path / "sweeps" / "other.yaml")
    assert spec.corpus.source == "python-stdlib"
    assert isinstance(spec.grid, IsoflopGrid)
    assert max(spec.grid.budgets) == pytest.approx(8e12 / SHARE, rel=0.05)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mine", "--run-flops", "1e11", "--total-flops", "1e12"], "both are given"),
        (["mine", "--run-flops", "-1"], "--run-flops is -1 FLOPs"),
        (["mine", "--total-flops", "nan"], "--total-flops is nan"),
        (["mine", "--total-flops", "1e400"], "--total-flops is inf"),
        (["../up", "--run-flops", "1e11"], "name"),
        (["mine", "--run-flops", "1e11", "--text", "nowhere"], "there is nothing"),
    ],
)
def test_what_cannot_be_drafted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in str(init(*words).exception)
    assert not list(tmp_path.rglob("*.yaml"))


def test_a_file_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert init("mine", "--run-flops", "2e11").exception is None
    assert "--force" in str(init("mine", "--run-flops", "3e11").exception)
    assert init("mine", "--run-flops", "3e11", "--force").exception is None
    assert "3e11" in (tmp_path / "sweeps" / "mine.yaml").read_text()

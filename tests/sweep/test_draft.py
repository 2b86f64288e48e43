"""scaling init writes a sweep that says what was asked, and nothing that cannot be run."""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scaling.cli import cli
from scaling.errors import UsageError
from scaling.sweep.draft import SHARE, Wish, draft_sweep
from scaling.sweep.grids import IsoflopGrid
from scaling.sweep.reading import load_sweep, parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.throughput import StepTime, Throughput
from scaling.workflow.describing import describe_plan
from scaling.workflow.devices import count_slots
from scaling.workflow.preparing import find_run_memory, prepare_sweep
from scaling.workflow.timing import obtain_throughput


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora that are prepared once for all tests."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: str, root: Path = Path(), stdin: str | None = None) -> Result:
    asked = ["init", *words, "--root", str(root)]
    return CliRunner().invoke(cli, asked, standalone_mode=False, input=stdin)


def write_text(folder: Path, lines: int = 300) -> Path:
    """64 documents that have little in common, 8 kB each unless said otherwise."""
    folder.mkdir(parents=True)
    for at in range(64):
        text = "".join(f"{at} {(at + 7) ** 3 * line * line} words\n" for line in range(lines))
        (folder / f"{at}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("total", [1e10, 4e12, 3.3e20])
def test_the_drafted_sweep_takes_the_requested_compute(total: float) -> None:
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
    here: Path, root: Path, total: str, warned: bool
) -> None:
    done = init("mine", "--total-flops", total, root=root)
    assert done.exception is None
    assert ("few optimiser steps" in done.stderr) == warned


def test_a_draft_begins_with_three_lines_of_comment() -> None:
    lines = draft_sweep(Wish(name="mine", run_flops=2e11)).splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["# Question", "# Cost", "# Expect"]


def test_paths_are_named_from_the_sweep_file(here: Path) -> None:
    write_text(here / "my text")
    assert init("mine", "--text", "my text", "--total-flops", "1e11").exception is None
    spec = load_sweep(here / "sweeps" / "mine.yaml")
    assert spec.corpus.paths == ("../my text",)


@pytest.mark.parametrize("hostile", ['a"b\n# c', "x: {y}", "\x1b]0;z", "'; - !!python"])
def test_a_hostile_folder_name_stays_a_path(here: Path, hostile: str) -> None:
    write_text(here / hostile)
    done = init("mine", "--text", hostile, "--total-flops", "1e11", "--output", "mine.yaml")
    if done.exception is None:
        assert load_sweep(here / "mine.yaml").corpus.paths == (hostile,)
    else:  # a character that a sweep file must not contain
        assert not (here / "mine.yaml").exists()


def test_without_a_terminal_nothing_is_asked(here: Path) -> None:
    said = str(init(stdin="mine\n").exception)
    assert "Which name?" in said
    assert "How much compute?" in said


def test_on_a_terminal_four_questions_are_asked(
    here: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )
    done = init(stdin="\n8e12\n\nother\n", root=root)
    assert done.exception is None
    spec = load_sweep(here / "sweeps" / "other.yaml")
    assert spec.corpus.source == "python-stdlib"
    assert isinstance(spec.grid, IsoflopGrid)
    assert max(spec.grid.budgets) == pytest.approx(8e12 / SHARE, rel=0.05)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mine", "--run-flops", "1e11", "--total-flops", "1e12"], "both are given"),
        (["mine", "--run-flops", "1e11", "--minutes", "5"], "--minutes decides"),
        (["mine", "--run-flops", "-1"], "--run-flops is -1 FLOPs"),
        (["mine", "--total-flops", "nan"], "--total-flops is nan"),
        (["mine", "--total-flops", "1e400"], "--total-flops is inf"),
        (["../up", "--run-flops", "1e11"], "name"),
        (["mine", "--run-flops", "1e11", "--text", "nowhere"], "there is nothing"),
    ],
)
def test_impossible_requests_are_refused(here: Path, words: list[str], sentence: str) -> None:
    assert sentence in str(init(*words).exception)
    assert not list(here.rglob("*.yaml"))


def test_every_problem_is_reported_at_once(here: Path) -> None:
    said = str(
        init(
            "a b", "--text", "no", "--text", "nor", "--total-flops", "nan", "--forecast", "-1"
        ).exception
    ).splitlines()
    begins = ("--text no:", "--text nor:", "--total-flops is nan", "--forecast is -1", "name:")
    assert [line.startswith(one) for line, one in zip(said, begins, strict=True)] == [True] * 5


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("latin.txt", "caf\xe9".encode("latin-1"), "is not UTF-8 text. Convert the file"),
        ("binary.txt", b"a\0b", "holds a NUL byte"),
        ("empty.txt", b"", "holds no text"),
        ("one.txt", b"a few words", "too few to hold any out. Add text."),
        ("rows.jsonl", b'{"body": "words"}\n', "no text under 'text'"),
    ],
)
def test_text_is_read_before_its_sweep_is_written(
    here: Path, name: str, content: bytes, sentence: str
) -> None:
    (here / name).write_bytes(content)
    done = init("mine", "--text", name, "--total-flops", "1e11")
    assert isinstance(done.exception, UsageError)  # exit 2
    assert sentence in str(done.exception)
    assert not list(here.rglob("*.yaml"))


def test_every_file_that_is_not_text_is_named(here: Path) -> None:
    for name in ("a", "b"):
        (here / name).write_bytes(b"\xff")
    said = str(init("mine", "--text", "a", "--text", "b", "--total-flops", "1e11").exception)
    assert len(said.splitlines()) == 2


def test_text_too_small_for_the_compute_is_refused_with_the_most_it_allows(
    here: Path, root: Path
) -> None:
    said = str(init("mine", "--total-flops", "1e15", root=root).exception)
    assert "passes" in said
    found = re.search(r"at most --total-flops (\S+)\.$", said)
    assert init("mine", "--total-flops", found[1], root=root).exception is None
    above = f"{1.2 * float(found[1]):g}"
    assert "passes" in str(init("more", "--total-flops", above, root=root).exception)


def test_compute_too_small_for_any_cell_is_refused_with_the_least(here: Path, root: Path) -> None:
    said = str(init("mine", "--total-flops", "1e10", root=root).exception)
    assert "optimiser steps" in said
    assert said.splitlines()[-1].startswith("Ask for more: --total-flops 1.95e12")


def test_text_too_small_for_a_sweep_of_these_minutes_is_refused(here: Path) -> None:
    write_text(here / "text")
    said = str(init("mine", "--text", "text", "--minutes", "5").exception)
    assert "Add text: even the smallest sweep needs more." in said


def test_an_existing_file_is_not_overwritten(here: Path, root: Path) -> None:
    assert init("mine", "--run-flops", "2e11", root=root).exception is None
    assert "--force" in str(init("mine", "--run-flops", "3e11", root=root).exception)
    assert init("mine", "--run-flops", "3e11", "--force", root=root).exception is None
    assert "3e11" in (here / "sweeps" / "mine.yaml").read_text()


SPEEDS = (1e8, 1e9, 1e11)  # FLOP/s of one core


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A machine of a set speed, since the real one's depends on its load."""

    def set_speed(rate: float) -> None:
        def measure(runs: Iterable[RunSpec], *, device: str, **_: object) -> Throughput:
            points = tuple(
                StepTime(
                    shape=run.shape,
                    batch_sequences=run.recipe.batch_sequences,
                    start_seconds=0.1,
                    step_seconds=run.flops / run.recipe.steps / rate,
                    evaluation_seconds=run.flops / run.tokens / rate / 3,
                )
                for run in runs
            )
            return Throughput(device=device, measured_at="2026-01-01T00:00:00+00:00", points=points)

        monkeypatch.setattr("scaling.training.throughput.measure_throughput", measure)

    return set_speed


@pytest.mark.parametrize("rate", SPEEDS)
@pytest.mark.parametrize("minutes", [1.0, 30.0, 3000.0])
def test_a_sweep_of_given_minutes_keeps_to_time_text_and_memory(
    here: Path, root: Path, timed: Callable[[float], None], rate: float, minutes: float
) -> None:
    timed(rate)
    # The corpus is prepared but nothing is measured.
    shutil.copytree(root / "results", here / "results")
    done = init("mine", "--minutes", f"{minutes:g}")
    path = here / "sweeps" / "mine.yaml"
    if done.exception is not None:
        assert "the smallest sweep is planned to take" in str(done.exception)
        assert minutes * 60 * rate < 4e12
        return
    sweep = prepare_sweep(path, root=here)
    assert not [cell for cell in sweep.plan.rejected if "steps" not in cell.reason]
    throughput, measured = obtain_throughput(sweep, root=here, precision="float32")
    assert measured == 0  # `plan` uses what `init` measured
    described = describe_plan(
        sweep, root=here, slots=count_slots(sweep.spec), throughput=throughput
    )
    planned = described["totals"]["left"]["makespan_seconds"]
    epochs = max(cell.run.tokens for cell in sweep.plan.cells) / sweep.corpus.facts.train_tokens
    assert planned <= 60 * minutes
    assert epochs <= 1
    assert max(cell["memory_bytes"] for cell in described["cells"]) <= find_run_memory()
    # Budgets have two digits, so a sweep is within a few percent of the largest that fits.
    assert planned > 0.8 * 60 * minutes or epochs > 0.9
    head = path.read_text().splitlines()[:7]
    assert any(line.startswith("# Assumed: no text is read twice") for line in head)
    assert any("planned to train for" in line for line in head)

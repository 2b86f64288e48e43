"""What the shell offers after Tab: sweep files, devices, laws and runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from commands import CODE

from scaling.allocation.datasheets import DEVICES
from scaling.cli import cli
from scaling.laws.registry import FAMILIES

RUNS = sorted(path.name for path in (CODE / "runs").iterdir())


def offer(*words: str, begun: str = "") -> list[str]:
    """What Tab offers after `scaling WORDS BEGUN`."""
    shell = BashComplete(cli, {}, "scaling", "_SCALING_COMPLETE")
    return [one.value for one in shell.get_completions(list(words), begun)]


@pytest.mark.parametrize("verb", ["plan", "run", "submit"])
def test_sweep_files_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    for name in ("sweeps/mine.yaml", "sweeps/mine.csv", "sweeps/.hidden.yaml", "other.yml"):
        (tmp_path / name).touch()
    assert offer(verb) == ["other.yml", "sweeps/"]
    assert offer(verb, begun="sw") == ["sweeps/"]
    assert offer(verb, begun="sweeps/") == ["sweeps/mine.yaml"]
    assert offer(verb, begun=f"{tmp_path}/o") == [f"{tmp_path}/other.yml"]


@pytest.mark.parametrize(
    "words", [("plan", "sweep.yaml", "--target"), ("allocate", "runs.csv", "--device")]
)
def test_devices_are_completed(words: tuple[str, ...]) -> None:
    assert offer(*words) == list(DEVICES)
    assert offer(*words, begun="h1") == [name for name in DEVICES if name.startswith("h1")]


@pytest.mark.parametrize("verb", ["fit", "allocate", "predict", "report"])
def test_laws_are_completed(verb: str) -> None:
    assert offer(verb, "runs.csv", "--family") == ["ensemble", *FAMILIES]
    assert offer(verb, "runs.csv", "--family", begun="chin") == ["chinchilla"]


@pytest.mark.parametrize(
    "words",
    [
        ("logs", str(CODE)),
        ("cancel", str(CODE)),
        ("retry", str(CODE)),
        ("sample", str(CODE), "--run"),
        ("export", str(CODE), "--run"),
    ],
)
def test_runs_of_the_folder_are_completed(words: tuple[str, ...]) -> None:
    assert offer(*words) == RUNS
    assert offer(*words, begun=RUNS[0][:6]) == RUNS[:1]


def test_retry_offers_no_run_twice() -> None:
    assert offer("retry", str(CODE), RUNS[0]) == RUNS[1:]


def test_a_folder_without_results_offers_no_runs(tmp_path: Path) -> None:
    assert offer("logs", str(tmp_path)) == offer("logs", str(tmp_path / "nowhere")) == []


def test_the_command_answers_the_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'scaling'; "
         "from scaling.__main__ import main; main()"],
        env={"_SCALING_COMPLETE": "bash_complete", "COMP_WORDS": "scaling fit t.csv --family ka",
             "COMP_CWORD": "4", "PYTHONPATH": str(CODE.parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,kaplan"]

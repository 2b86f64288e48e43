"""An executor from outside the package: opened by name, given the sweep's needs, and driven."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from scaling.cli import cli
from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors.inline import InlineExecutor
from scaling.orchestration.executors.registry import EXECUTORS, ExecutorKind, find_executor
from scaling.verbs import running
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.training import open_ledger, train_sweep

OPENED: list[Needs] = []


class PatientExecutor(InlineExecutor):
    """The inline executor under another name."""


def open_executor(needs: Needs) -> PatientExecutor:
    OPENED.append(needs)
    return PatientExecutor()


PATIENT = ExecutorKind(name="patient", words="in no hurry", guarded=False, home=__name__)

SWEEP = """\
name: outside
corpus: {source: text, paths: [text], tokenizer: characters}
model: {seq_len: 16, head_size: 8}
grid: {params: [400], tokens: [30e3]}
recipe: {batch_sequences: 8}
resources: {cpus_per_run: 3}
"""


def test_an_added_executor_trains_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "patient", PATIENT)
    (tmp_path / "text").mkdir()
    for at in range(64):
        line = " ".join("abcdefgh"[(at * k) % 8 :][:3] for k in range(1, 200))
        (tmp_path / "text" / f"{at}.txt").write_text(f"{at} {line}\n" * 2)
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    outcome = train_sweep(sweep, ledger, executor="patient")
    assert not outcome.failed
    assert len(Ledger.open(ledger.folder).read_results().results) == 1
    (needs,) = OPENED
    assert (needs.cpus_per_run, needs.address) == (3, None)
    assert needs.shared == (ledger.folder, sweep.corpus.folder)


def test_the_command_line_offers_what_the_registry_holds() -> None:
    (option,) = (one for one in running.run.params if one.name == "executor")
    assert tuple(option.type.choices) == tuple(EXECUTORS)
    assert option.help == ("ray: all cores; inline: one run after another in this process.")


@pytest.mark.parametrize(("guarded", "called"), [(True, ["guard"]), (False, [])])
def test_an_executor_says_whether_it_is_guarded(
    monkeypatch: pytest.MonkeyPatch, guarded: bool, called: list[str]
) -> None:
    kind = ExecutorKind(name="inline", words="", guarded=guarded, home=__name__)
    monkeypatch.setitem(EXECUTORS, "inline", kind)
    seen: list[str] = []
    monkeypatch.setattr(
        "scaling.orchestration.guardian.guard", lambda work, resume: seen.append("guard") or 0
    )
    words = ["run", "nowhere.yaml", "--executor", "inline"]
    CliRunner().invoke(cli, words, standalone_mode=False)
    assert seen == called


def test_an_unknown_executor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="executor 'slurm' is unknown; there are ray, inline"):
        find_executor("slurm")

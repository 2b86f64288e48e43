"""The user's own trainer: what it is given, what it must do, and each way to fail that."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from own import GOOD, MANY, attempt, prepare
from synthetic import wait_until

from scaling.cli import cli
from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import verify
from scaling.ledger.marked import list_marked, name_mark
from scaling.ledger.probes import read_probes
from scaling.ledger.results import RunResult
from scaling.orchestration.orphans import end_orphans
from scaling.workflow.keeping import renew_runs
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.stored import open_results, read_runs
from scaling.workflow.training import open_ledger, train_sweep


def read_only_result(ledger: Ledger) -> RunResult:
    (result,) = ledger.read_results().results.values()
    return result


def living(ledger: Ledger) -> list[str]:
    return [process.name() for process in list_marked(name_mark(ledger.folder))]


def test_a_sweep_with_a_users_trainer_is_trained_fitted_and_reported(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path, rest=MANY)
    outcome = train_sweep(sweep, ledger, executor="inline")
    planned = {cell.run.run_id for cell in sweep.plan.cells}
    assert set(outcome.finished) == planned
    assert len(planned) >= 10
    assert not living(ledger)
    ledger = Ledger.open(ledger.folder)
    assert verify(ledger, open_results(ledger.folder).plan.cells) == ()
    table, stored = read_runs(ledger.folder)
    assert len(table) == len(planned)
    assert {cell.run.run_id for cell in stored.plan.cells} == planned
    assert table.cost.name == "6ND"
    assert table.convention is None  # its N is counted by an unknown convention
    assert table.steps is None  # its recipe is unknown
    values = read_probes(ledger, stored.results.results).values
    assert {one.value for each in values.values() for one in each} == {0.5}
    again = train_sweep(sweep, ledger, executor="inline")
    assert (again.trained, set(again.finished)) == (0, planned)


@pytest.mark.ray
def test_a_sweep_with_a_users_trainer_is_trained_on_ray(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path, rest=MANY)
    outcome = train_sweep(sweep, ledger, executor="ray")
    assert {cell.run.run_id for cell in sweep.plan.cells} == set(outcome.finished)
    assert not living(ledger)


def test_a_trainer_is_given_its_run_file_environment_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("PASSED", "on")
    told = "json.dump([run, sys.argv[1:], os.getcwd(), dict(os.environ)], open(folder + '/t', 'w'))"
    keys = "  env: {MINE: 'a b', PASSED: null}\n"
    sweep, ledger = prepare(tmp_path, told + "\n" + GOOD, keys=keys)
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    folder = ledger.attempt_folder(result.run.run_id, result.attempt_id)
    described, words, cwd, environment = json.loads((folder / "run" / "t").read_text())
    assert words == [str(folder / "run" / "run.json")]
    assert cwd == str(folder / "work")  # its own copy, removed at the end
    assert not Path(cwd).exists()
    assert described["schema_version"] == 1
    assert described["settings"] == {"n_layer": 2}
    assert (described["model"], described["params"], described["tokens"]) == ("a", 10**7, 10**6)
    assert (described["seed"], described["budget"]) == (0, 6 * 10**13)
    assert described["recipe"] is described["batch_sequences"] is described["corpus"] is None
    assert environment["MINE"] == "a b"
    assert environment["PASSED"] == "on"
    assert "SECRET_TOKEN" not in environment


def test_a_requested_recipe_is_passed_to_the_trainer(tmp_path: Path) -> None:
    rest = "grid: {params: [10e6], tokens: [1e8]}\nrecipe: {batch_sequences: 64}"
    sweep, ledger = prepare(tmp_path, rest=rest)
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    folder = ledger.attempt_folder(result.run.run_id, result.attempt_id)
    described = json.loads((folder / "run" / "run.json").read_text())
    assert (described["batch_sequences"], described["sequence_length"]) == (64, 128)
    assert described["learning_rate"] == described["recipe"]["learning_rate"] > 0
    assert described["tokens"] == 64 * 128 * described["recipe"]["steps"]


FUNCTION = """\
import scaling
def train(run):
    for step in range(3):
        run.report(step, run.tokens * (step + 1) // 3, 3.0)
    return scaling.Measured(loss=2.5, tokens=run.tokens, params=run.params)
"""


def test_a_python_function_can_be_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    (tmp_path / "mine.py").write_text(FUNCTION)
    path.write_text(
        "name: mine\ntrainer:\n  python: mine:train\n  files: [mine.py]\n  data: shelf\n"
        "  models: [{name: a, params: 10e6}]\ngrid: {params: [10e6], tokens: [1e6]}\n"
    )
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    assert (result.loss, result.tokens) == (2.5, 10**6)


@pytest.mark.parametrize(
    ("unit", "said", "nats", "error"),
    [("bits", 4.0, 4 * math.log(2), 0.01 * math.log(2)), ("ppl", 20.0, math.log(20), 0.01 / 20)],
)
def test_losses_in_other_units_are_converted_to_nats(
    tmp_path: Path, unit: str, said: float, nats: float, error: float
) -> None:
    sweep, ledger = prepare(tmp_path, f"measured(loss={said})", keys=f"  loss_unit: {unit}\n")
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    assert (result.loss, result.loss_se) == pytest.approx((nats, error), rel=1e-12)


def test_tokens_within_the_tolerance_are_accepted_and_recorded_as_reported(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path, "measured(tokens=1005000, flops=7e13)")
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    assert (result.tokens, result.flops) == (1_005_000, 7 * 10**13)


@pytest.mark.parametrize(
    "body",
    [
        "measured(loss=float('nan'))",
        "step(1, loss=float('nan'))\nsys.exit(1)",
        "measured(loss=None)",
    ],
)
def test_a_loss_that_is_not_finite_has_diverged(tmp_path: Path, body: str) -> None:
    sweep, ledger = prepare(tmp_path, body)
    assert attempt(sweep, ledger).kind == "diverged"
    assert read_only_result(ledger).reason == "the loss is not finite"


DAEMON = """\
import subprocess
subprocess.Popen(["sleep", "600"], start_new_session=True)
measured()
"""


FULL = "print('OSError: [Errno 28] No space left on device'); sys.exit(1)"


@pytest.mark.parametrize(
    ("body", "cause", "why"),
    [
        ("print('so far')", "exception", "ended well (exit code 0) without writing measured.json"),
        ("print('no such file'); sys.exit(3)", "exception", "ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "crash", "was ended by signal 9"),
        ("measured(params=N + 1)", "exception", "trained 10000001 parameters, asked for were 1000"),
        ("measured(tokens=D * 1.02)", "exception", "trained on 1020000.0 tokens, asked for were"),
        ("measured(tokens=float('nan'))", "exception", "trained on nan tokens"),
        ("measured(loss='low')", "exception", "loss is 'low', which is no number"),
        ("measured(loss=-1)", "exception", "a loss of -1 nats is none that a model can have"),
        ("measured(loss_se=-1)", "exception", "loss_se is -1"),
        ("measured(params='absent')", "exception", "params is missing"),
        ("measured(los=1)", "exception", "the key los is unknown; known: loss, loss_se"),
        ("measured(unit='bits')", "exception", "in bits, and trainer.loss_unit is nats"),
        ("measured(probes={'A b': 1})", "exception", "probe 'A b' is not as"),
        ("open(folder + '/measured.json', 'w').write('[1')", "exception", "is not JSON"),
        ("open(folder + '/measured.json', 'w').write('[1]')", "exception", "is not an object"),
        (DAEMON, "exception", "left processes behind, which were killed: sleep"),
        (FULL, "environment", "No sp"),
    ],
    ids=lambda value: value[:30],
)
def test_a_trainer_that_breaks_the_protocol_fails_with_the_reason(
    tmp_path: Path, body: str, cause: str, why: str
) -> None:
    sweep, ledger = prepare(tmp_path, "print('the last line', flush=True)\n" + body)
    outcome = attempt(sweep, ledger)
    assert (outcome.kind, outcome.cause) == ("failed", cause)
    assert why in outcome.message
    run_id = sweep.plan.cells[0].run.run_id
    failure = ledger.read_failure(run_id, ledger.list_attempts(run_id)[0])
    assert cause == "environment" or "the last line" in failure.traceback
    assert not ledger.read_results().results
    assert not living(ledger)


def test_a_command_that_has_disappeared_is_named(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path)
    tool = tmp_path / "sweep.yaml"
    (tmp_path / "tool").write_text("#!/nowhere/at/all\n")
    (tmp_path / "tool").chmod(0o755)
    text = tool.read_text().replace("[train.py]", "[train.py, tool]")
    tool.write_text(text.replace(json.dumps(sys.executable), "./tool").replace("mine", "other"))
    sweep = prepare_sweep(tool, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    outcome = attempt(sweep, ledger)
    assert outcome.cause == "exception"
    assert "its command cannot be started" in outcome.message


LONG = """\
start = 0
if resume:
    start = int(open(resume + "/checkpoint").read())
for at in range(start + 1, 401):
    step(at, of=400)
    with open(folder + "/new", "w") as file:
        file.write(str(at))
    os.rename(folder + "/new", folder + "/checkpoint")
    %s
measured()
"""


def test_a_run_resumes_from_its_checkpoint_with_a_complete_curve(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path, LONG % "if at == 5 and not resume: os.kill(os.getpid(), 9)")
    assert attempt(sweep, ledger).cause == "crash"
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    folder = ledger.attempt_folder(result.run.run_id, result.attempt_id)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]
    assert steps == list(range(1, 401))
    assert result.flops_spent == result.flops * 395 // 400  # the first attempt took five steps
    assert (folder / "run" / "checkpoint").exists()  # keep_weights
    before = ledger.list_attempts(result.run.run_id)[1]
    assert not (ledger.attempt_folder(result.run.run_id, before) / "run").exists()


def test_a_trainer_is_asked_to_stop_and_may_checkpoint(tmp_path: Path) -> None:
    body = LONG % "time.sleep(0.05)"
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + body
    sweep, ledger = prepare(tmp_path, body, rest="grid: {params: [10e6], tokens: [1e6]}\n"
                            "resources: {time_limit: 0.7}")  # fmt: skip
    outcome = attempt(sweep, ledger)
    assert (outcome.kind, outcome.cause) == ("failed", "time_limit")
    assert not living(ledger)


def test_a_running_trainer_is_cancelled_and_resumes_later(tmp_path: Path) -> None:
    asked = (
        "signal.signal(signal.SIGTERM, lambda *_: [open(folder + '/asked', 'w'), sys.exit(0)])\n"
    )
    body = asked + LONG.replace("401", "101").replace("400", "100") % (
        "time.sleep(0 if resume or N == 20000000 else 0.1)"
    )
    rest = "grid: {params: [10e6, 20e6], tokens: [1e6]}"
    sweep, ledger = prepare(tmp_path, body, rest=rest, grace=20)
    (slow,) = (c.run.run_id for c in sweep.plan.cells if c.run.shape.name == "a")
    words = [sys.executable, Path(__file__).with_name("own.py"), tmp_path, "inline"]
    driver = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(ledger.folder.glob(f"runs/{slow}/attempts/*/run/checkpoint")))
    assert CliRunner().invoke(cli, ["cancel", str(ledger.folder), slow]).exit_code == 0
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert list(ledger.folder.glob(f"runs/{slow}/attempts/*/run/asked"))
    assert set(ledger.read_results().results) == {c.run.run_id for c in sweep.plan.cells} - {slow}
    assert not living(ledger)
    assert renew_runs(ledger.folder, failed=True).allowed == (slow,)
    assert subprocess.run(words, capture_output=True).returncode == 0
    result = ledger.read_results().results[slow]
    assert result.flops_spent < result.flops


def test_sigterm_that_is_ignored_is_followed_by_sigkill(tmp_path: Path) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(60)"
    sweep, ledger = prepare(tmp_path, body, rest="grid: {params: [10e6], tokens: [1e6]}\n"
                            "resources: {time_limit: 0.7}")  # fmt: skip
    outcome = attempt(sweep, ledger)
    assert outcome.cause == "time_limit"
    run_id = sweep.plan.cells[0].run.run_id
    failure = ledger.read_failure(run_id, ledger.list_attempts(run_id)[0])
    assert "its trainer ignored SIGTERM and was killed" in failure.message
    assert not living(ledger)


def test_edited_code_makes_another_run_and_is_reported_first(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path)
    assert attempt(sweep, ledger).kind == "finished"
    (tmp_path / "train.py").write_text((tmp_path / "train.py").read_text() + "# edited\n")
    edited = prepare_sweep(tmp_path / "sweep.yaml", root=tmp_path)
    assert edited.plan.cells[0].run.run_id != sweep.plan.cells[0].run.run_id
    with pytest.raises(UsageError, match="1 finished runs were trained by another version"):
        open_ledger(edited, root=tmp_path, retrain=False)


def test_a_file_edited_after_planning_does_not_reach_a_run(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path)
    (tmp_path / "train.py").write_text("raise SystemExit(7)")
    assert attempt(sweep, ledger).kind == "finished"


def test_stored_code_that_was_changed_is_refused(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path)
    (stored,) = (ledger.folder / "trainer").glob("*/train.py")
    stored.write_text("raise SystemExit(7)")
    outcome = attempt(sweep, ledger)
    assert outcome.cause == "exception"
    assert "the trainer's files were changed" in outcome.message


@pytest.mark.parametrize("victim", ["worker", "trainer"])
def test_killing_a_worker_or_trainer_loses_no_run_and_leaves_no_process(
    tmp_path: Path, victim: str
) -> None:
    child = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    body = LONG % "time.sleep(0 if resume else 0.05)"
    sweep, ledger = prepare(tmp_path, f"if not resume:\n    {child.splitlines()[0]}\n"
                            f"    {child.splitlines()[1]}\n{body}")  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("own.py"), tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any(ledger.folder.glob("runs/*/attempts/*/run/checkpoint")))
    trainers = [one for one in list_marked(name_mark(ledger.folder)) if one.name() != "sleep"]
    assert [one.name() for one in list_marked(name_mark(ledger.folder))].count("sleep") == 1
    os.kill(worker.pid if victim == "worker" else trainers[0].pid, signal.SIGKILL)
    said, _ = worker.communicate(timeout=60)
    if victim == "trainer":
        assert said.strip() == "crash"
        assert not living(ledger)  # its worker ended the processes it had started
    else:
        trainers[0].wait(timeout=10)  # the kernel kills it with its worker
        end_orphans(ledger)  # as the driver does
        assert not living(ledger)
    assert attempt(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    assert result.flops_spent < result.flops
    assert [one.kind for one in verify(ledger)] == ["index"]  # only a driver writes the index

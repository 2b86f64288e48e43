"""Claims about watching and ending a running sweep through its files alone."""

import dataclasses
import json
import os
import shutil
import socket
import time
from pathlib import Path

import psutil
import pytest
from commands import CODE, call, tell

from scaling.errors import LockedError, UsageError
from scaling.ledger.cancelling import cancel_run, cancel_sweep, is_cancelled, is_sweep_cancelled
from scaling.ledger.commit import Ledger
from scaling.ledger.results import Measurement
from scaling.ledger.signs import Heartbeat
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape
from scaling.terminal.status import format_status
from scaling.units import format_count
from scaling.words.runs import name_run
from scaling.workflow.keeping import renew_runs
from scaling.workflow.stored import open_results
from scaling.workflow.watching import SweepWatch, find_newest_run, find_run, is_over, read_log

KEPT = 43  # of its 46 runs, 4 of which were validation runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sweep on code without its three longest runs."""
    folder = shutil.copytree(CODE, tmp_path / "code")
    for run in list_longest(folder, 3):
        shutil.rmtree(folder / "runs" / run.run_id)
    return folder


def list_longest(folder: Path, count: int) -> list[RunSpec]:
    cells = open_results(folder).plan.cells
    # Validation runs are in the plan because the folder contains their forecasts.
    runs = {cell.run.run_id: cell.run for cell in cells if cell.role != "validation"}
    return list(runs.values())[:count]


def begin_attempt(
    ledger: Ledger, run: RunSpec, *, host: str = "", at: float | None = None, share: float = 0.25
) -> str:
    """An attempt of the current term whose process is this one, or one on another host."""
    attempt = ledger.name_attempt(run.run_id, term=ledger.read_term())
    ledger.create_attempt(run.run_id, attempt)
    beat = Heartbeat(
        host=host or socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        tokens=int(share * run.tokens),
        loss=2.0,
        seconds=1.0,
        tokens_per_second=1000.0,
        at=time.time() if at is None else at,
    )
    ledger.beat(run.run_id, attempt, beat)
    return attempt


# --- status -----------------------------------------------------------------------------------


def test_a_running_run_is_shown_with_tokens_rate_and_time_left(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    attempt = begin_attempt(ledger, run)
    status = SweepWatch(folder).describe()
    assert status["counts"] == {"finished": KEPT, "running": 1, "missing": 2}
    (live,) = [one["live"] for one in status["runs"] if one["live"]]
    assert (live["attempt"], live["tokens_total"]) == (attempt, run.tokens)
    assert live["seconds_left"] == pytest.approx((run.tokens - live["tokens"]) / 1000)
    assert 0 <= live["heartbeat_seconds_ago"] < 60
    assert status["tokens_per_second"] == 1000
    others = sum(one.flops for one in list_longest(folder, 3)) - run.flops
    left = others + run.flops - live["tokens"] * run.flops / run.tokens
    assert status["seconds_left"] == pytest.approx(left / (1000 * run.flops / run.tokens))
    name = name_run(run)
    assert f"\n  {name} running: 25% of" in format_status(status)
    assert f"\n  {run.run_id} {name} running: 25% of" in format_status(status, verbose=True)
    assert json.dumps(status, allow_nan=False)


def test_an_attempt_of_an_older_term_or_of_a_silent_host_is_not_running(folder: Path) -> None:
    ledger, (first, second, third) = Ledger.open(folder), list_longest(folder, 3)
    begin_attempt(ledger, first)
    ledger.advance_term()
    begin_attempt(ledger, second, host="elsewhere", at=time.time() - 3600)
    begin_attempt(ledger, third, host="elsewhere")
    counts = SweepWatch(folder).describe()["counts"]
    assert counts == {"finished": KEPT, "running": 1, "missing": 2}


def test_a_watch_notices_a_new_result_and_its_end(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    attempt = begin_attempt(ledger, run)
    watch = SweepWatch(folder)
    assert not is_over(watch.describe())
    shutil.rmtree(ledger.attempt_folder(run.run_id, attempt).parent.parent)
    shutil.copytree(CODE / "runs" / run.run_id, folder / "runs" / run.run_id)
    after = watch.describe()
    assert after["counts"] == {"finished": KEPT + 1, "missing": 2}
    assert is_over(after)


def test_the_driver_of_a_sweep_is_named_while_it_runs(folder: Path) -> None:
    with Ledger.open(folder).lock():
        driver = SweepWatch(folder).describe()["driver"]
        assert (driver["pid"], driver["host"]) == (os.getpid(), socket.gethostname())
    assert SweepWatch(folder).describe()["driver"] is None
    # This pid, but of a process that started long before.
    dead = {"pid": os.getpid(), "started": 1e9, "host": socket.gethostname(), "since": "2001"}
    (folder / ".lock-holder").write_text(json.dumps(dead))
    assert SweepWatch(folder).describe()["driver"] is None


def test_a_damaged_result_has_its_state_and_the_exit_code(folder: Path) -> None:
    path = next(folder.glob("runs/*/result.json"))
    path.write_text(path.read_text().replace('"loss": ', '"loss": 1'))
    done = call("status", folder, "--json")
    assert done.code == 7
    assert json.loads(done.out)["counts"]["damaged"] == 1


def test_watch_writes_one_object_a_line_and_ends_when_nothing_runs(folder: Path) -> None:
    (line,) = tell("status", folder, "--watch", "--json").splitlines()
    assert json.loads(line)["counts"] == {"finished": KEPT, "missing": 3}


def test_control_characters_in_foreign_text_do_not_reach_the_terminal(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    hostile = "\x1b]0;owned\x07 \u202e\x9b31m"
    attempt = begin_attempt(ledger, run)
    ledger.fail(run.run_id, attempt, RuntimeError(hostile), "exception")
    path = ledger.attempt_folder(run.run_id, attempt)
    (path / "log.txt").write_text(f"first {hostile}\n")
    (path / "metrics.jsonl").write_text(json.dumps({"step": 1, hostile: 2.0}) + "\n" + hostile)
    holder = {"pid": os.getpid(), "started": 1e9, "host": hostile, "since": hostile}
    (folder / ".lock-holder").write_text(json.dumps(holder))
    for words in (("status", folder), ("logs", folder, run.run_id)):
        said = call(*words).out
        assert "owned" in said
        assert not any(character in said for character in "\x1b\x07\x9b\u202e")


# --- logs -------------------------------------------------------------------------------------


def test_logs_without_a_run_show_the_one_that_wrote_last(folder: Path) -> None:
    ledger, runs = Ledger.open(folder), list_longest(folder, 3)
    attempts = [(run, begin_attempt(ledger, run)) for run in runs]
    for at, (run, attempt) in enumerate(attempts):  # the second attempt wrote last
        path = ledger.attempt_folder(run.run_id, attempt)
        os.utime(path, (4e9 - abs(at - 1), 4e9 - abs(at - 1)))
    assert find_newest_run(folder)[1] == runs[1]
    done = call("logs", folder)
    assert done.out.startswith(f"attempt {attempts[1][1]}\n")
    assert f"run {runs[1].run_id}: {name_run(runs[1])}" in done.errors


def test_logs_of_a_sweep_that_has_not_begun_say_so(folder: Path) -> None:
    shutil.rmtree(folder / "runs")
    done = call("logs", folder)
    assert (done.code, done.out) == (2, "")
    assert "no run has begun yet" in done.errors


def test_a_run_is_named_by_its_model_and_its_size(folder: Path) -> None:
    run = dataclasses.replace(list_longest(folder, 1)[0], seed=3)
    shape = make_shape(256, 128, d_model=48, n_layers=3)
    named = name_run(dataclasses.replace(run, shape=shape))
    assert named == f"48×3, 95.2k on {format_count(run.tokens)}, seed 3"


def test_logs_end_with_the_traceback_of_a_failure(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    attempt = begin_attempt(ledger, run)
    try:
        raise ValueError("the reason")
    except ValueError as error:
        ledger.fail(run.run_id, attempt, error, "exception")
    lines = list(read_log(ledger, run))
    assert lines[0] == f"attempt {attempt}"
    assert any(line.startswith("failed (exception) at 20") for line in lines)
    assert lines[-1] == "ValueError: the reason"


def test_logs_of_a_finished_run_show_its_curve_and_its_loss(folder: Path) -> None:
    run = list_longest(folder, 6)[-1]
    said = tell("logs", folder, run.run_id[:12])
    assert "step " in said
    assert "nats/token" in said.splitlines()[-1]


def test_logs_say_how_fast_a_run_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, run = Ledger.open(folder), list_longest(folder, 6)[-1]
    result = ledger.find_result(run.run_id)
    assert result is not None
    fast = dataclasses.replace(result, tokens_per_second=12_345.0, mfu=0.421, clipped=0.03)
    monkeypatch.setattr(Ledger, "find_result", lambda *args, **kwargs: fast)
    last = list(read_log(ledger, run))[-1]
    assert last.startswith("12.3k tokens/s, MFU 42.1%")
    assert last.endswith("3.0% of steps clipped")


def test_followed_logs_continue_with_the_next_attempt_and_end_with_the_run(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    with ledger.lock():
        first = begin_attempt(ledger, run)
        ledger.fail(run.run_id, first, ValueError("once"), "exception")
        lines = read_log(ledger, run, follow=True)
        assert next(lines) == f"attempt {first}"
        second = begin_attempt(ledger, run)
        seen = []
        for line in lines:
            seen.append(line)
            if line == f"attempt {second}":
                cancel_run(ledger, run.run_id)  # no attempt will follow
    assert "ValueError: once" in seen
    assert seen[-1] == "cancelled"


@pytest.mark.parametrize("prefix", ["", "zz"])
def test_a_run_that_is_not_planned_is_named(folder: Path, prefix: str) -> None:
    with pytest.raises(UsageError, match="no planned run begins with"):
        find_run(folder, prefix)


# --- cancel and retry -------------------------------------------------------------------------


def test_cancelling_a_sweep_asks_its_driver_and_no_later_one(folder: Path) -> None:
    ledger = Ledger.open(folder)
    term = ledger.advance_term()
    with ledger.lock():
        assert cancel_sweep(ledger)
    assert is_sweep_cancelled(ledger, term)
    assert not is_sweep_cancelled(ledger, ledger.advance_term())


def test_cancelling_a_sweep_without_a_driver_ends_what_a_dead_one_left(folder: Path) -> None:
    ledger = Ledger.open(folder)
    term = ledger.read_term()
    assert not cancel_sweep(ledger)
    assert ledger.read_term() == term + 1


def test_a_cancelled_run_stays_cancelled_until_retry(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    assert call("cancel", folder, run.run_id).code == 0
    assert SweepWatch(folder).describe()["counts"]["cancelled"] == 1
    renewed = renew_runs(folder, failed=True)
    assert renewed.allowed == (run.run_id,)
    assert not is_cancelled(ledger, run.run_id)


def test_a_run_is_cancelled_where_the_folder_of_runs_is_gone(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    shutil.rmtree(folder / "runs")
    assert call("cancel", folder, run.run_id).code == 0
    assert is_cancelled(ledger, run.run_id)


def test_a_run_with_a_result_is_not_cancelled(folder: Path) -> None:
    run = list_longest(folder, 6)[-1]
    done = call("cancel", folder, run.run_id)
    assert "has its result already" in done.errors
    assert not is_cancelled(Ledger.open(folder), run.run_id)


def test_retry_failed_names_what_the_next_run_tries_again(folder: Path) -> None:
    ledger, (run, *_) = Ledger.open(folder), list_longest(folder, 1)
    attempt = begin_attempt(ledger, run)
    ledger.fail(run.run_id, attempt, ValueError("no"), "exception")
    done = call("retry", folder, "--failed")
    assert done.code == 0, done.errors
    assert f"{run.run_id} will be tried again" in done.errors


def test_retry_diverged_sets_aside_only_diverged_runs(folder: Path) -> None:
    ledger = Ledger.open(folder)
    kept, run = list_longest(folder, 4)[-1], list_longest(folder, 1)[0]
    attempt_id = begin_attempt(ledger, run)
    attempt = ledger.attempt_folder(run.run_id, attempt_id)
    (attempt / "metrics.jsonl").write_text(json.dumps({"step": run.recipe.steps}) + "\n")
    result = ledger.find_result(kept.run_id)
    assert result is not None
    names = {one.name for one in dataclasses.fields(Measurement)}
    values = {name: getattr(result, name) for name in names}
    values |= {"status": "diverged", "reason": "not finite", "loss": None}
    values |= {"files": ("metrics.jsonl",), "flops_spent": 1}
    ledger.commit(run, attempt_id, Measurement(**values))
    done = call("retry", folder, "--diverged")
    assert done.code == 0, done.errors
    assert "1 result(s) set aside" in done.errors
    assert ledger.find_result(run.run_id) is None
    assert ledger.find_result(kept.run_id) is not None


@pytest.mark.parametrize(
    "words", [("../../x",), ("0" * 16,), ("--failed", "0" * 16), ("--diverged", "0" * 16)]
)
def test_retry_of_an_unknown_run_exits_2(folder: Path, words: tuple[str, ...]) -> None:
    done = call("retry", folder, *words)
    assert done.code == 2
    assert "Traceback" not in done.errors


def test_results_are_not_set_aside_while_a_driver_runs(folder: Path) -> None:
    run = list_longest(folder, 6)[-1]
    with Ledger.open(folder).lock(), pytest.raises(LockedError):
        renew_runs(folder, [run.run_id])

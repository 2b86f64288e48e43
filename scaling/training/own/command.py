"""train_run of somebody's own trainer: the same promises as the built-in one.

    attempt/work/   a copy of its files; where it runs
    attempt/run/    run.json for it; metrics.jsonl, measured.json and checkpoints of its own

An attempt that is resumed reads the newest earlier `run/` that holds more than those three files.
A function is called by a process of its own (`function.py`), so that both kinds are one here.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scaling.errors import EnvironmentFault
from scaling.files.durable import blaming_machine
from scaling.ledger.marked import VARIABLE, end_marked, name_mark
from scaling.ledger.probes import REPORTED_FILE
from scaling.ledger.results import Measurement, RunInterrupted, TrainerFault
from scaling.ledger.trainer_code import copy_code
from scaling.ledger.trunk_cache import TrunkCache
from scaling.sweep.execution import Execution, OwnExecution
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import NamedModel
from scaling.sweep.trainer_spec import fill_command
from scaling.training.own.process import TrainerProcess, make_environment
from scaling.training.own.protocol import (
    MEASURED_FILE,
    METRICS_FILE,
    RUN_FILE,
    WRITTEN_FILES,
    Reported,
    describe_run,
    join_rows,
    parse_row,
    read_measured,
    read_rows,
    write_rows,
)

WORK_FOLDER, RUN_FOLDER = "work", "run"
_HISTORY_FILE = "history.jsonl"  # the curve of the attempts that this one continues
_DISK_FULL = "No space left on device"
_CALLER = "scaling.training.own.function"

_journal = logging.getLogger("scaling.journal")


def train_run(
    run: RunSpec,
    *,
    corpus: Path,
    attempt: Path,
    resume: Sequence[Path],
    execution: Execution,
    should_stop: Callable[[], bool],
    report: Callable[[int, float | None], None],
    trunk: TrunkCache | None = None,
    cache: Path | None = None,
) -> Measurement:
    """Run somebody's own trainer to its end; see `orchestration.attempt.Trainer`.

    Raises:
        RunInterrupted: It was asked to stop, and did.
        TrainerFault: It broke a promise of docs/own-trainer.md.
        EnvironmentFault: The disk is full.
    """
    assert run.own is not None
    begun, how = time.monotonic(), execution.own or OwnExecution()
    folder, earlier = attempt / RUN_FOLDER, _find_resumable(resume)
    end_marked(name_mark(attempt.parents[3], run.run_id))  # of an attempt whose worker is gone
    with blaming_machine(attempt):
        copy_code(attempt.parents[3], run.own.files, attempt / WORK_FOLDER)
        folder.mkdir()
        _write_history(attempt, earlier)
        described = describe_run(
            run,
            folder=folder,
            resume=earlier and earlier / RUN_FOLDER,
            corpus=corpus if any(corpus.iterdir()) else None,
            execution=execution,
        )
        (folder / RUN_FILE).write_text(json.dumps(described, indent=1))
    try:
        process = _start(run, attempt, described, how)
    except OSError as error:
        raise TrainerFault(f"its command cannot be started: {error}") from error
    curve = _Curve(folder / METRICS_FILE, report)
    try:
        code = process.wait(lambda: curve.look() or should_stop(), grace=how.grace)
        curve.look()
    finally:
        left = process.end()
    return _judge(run, attempt, execution, process, code, left, curve, time.monotonic() - begun)


def _judge(
    run: RunSpec,
    attempt: Path,
    execution: Execution,
    process: TrainerProcess,
    code: int | None,
    left: Sequence[str],
    curve: _Curve,
    seconds: float,
) -> Measurement:
    """What its end means."""
    folder, tail = attempt / RUN_FOLDER, process.read_tail()
    if code is None or (code == 0 and process.was_asked and not (folder / MEASURED_FILE).exists()):
        how = "ignored SIGTERM and was killed" if process.ignored_sigterm else "has stopped"
        raise RunInterrupted(f"run {run.run_id}: its trainer {how}")
    if code != 0 and _DISK_FULL in tail:
        raise EnvironmentFault(f"{attempt}: the trainer says {_DISK_FULL!r}.")
    if code < 0:
        what = f"its trainer was ended by signal {-code}"
        raise TrainerFault(what, tail=tail, cause="crash")
    if code > 0 and not curve.is_lost:
        raise TrainerFault(f"its trainer ended with exit code {code}", tail=tail)
    if code == 0 and left:
        names = ", ".join(sorted(set(left)))[:100]
        what = f"its trainer left processes behind, which were killed: {names}"
        raise TrainerFault(what, tail=tail)
    reported = None
    if code == 0:
        reported = read_measured(folder, run, execution.own or OwnExecution(), tail=tail)
    return _measure(run, attempt, reported, seconds)


def _measure(run: RunSpec, attempt: Path, reported: Reported | None, seconds: float) -> Measurement:
    history = read_rows(attempt, _HISTORY_FILE)
    rows = join_rows(history, read_rows(attempt / RUN_FOLDER))
    files = [METRICS_FILE]
    with blaming_machine(attempt):
        (attempt / METRICS_FILE).write_text(write_rows(rows))
        if reported is not None:
            files.append(MEASURED_FILE)
            (attempt / MEASURED_FILE).write_bytes(
                (attempt / RUN_FOLDER / MEASURED_FILE).read_bytes()
            )
            if reported.probes:
                files.append(REPORTED_FILE)
                (attempt / REPORTED_FILE).write_text(json.dumps(reported.probes))
    tokens = run.tokens if reported is None else reported.tokens
    flops = (reported and reported.flops) or round(run.flops * tokens / run.tokens)
    before = int(history[-1]["tokens"]) if history else 0
    finished = reported is not None and reported.loss is not None
    assert run.own is not None
    return Measurement(
        status="finished" if finished else "diverged",
        loss=reported.loss if reported is not None else None,
        loss_se=reported.loss_se if reported is not None else None,
        bits_per_byte=None,
        train_loss=reported.train_loss if reported is not None else None,
        flops_spent=max(0, flops * (tokens - before) // tokens),
        seconds=seconds,
        reason="" if finished else "the loss is not finite",
        numerics={"trainer": run.own.command[:200], "version": run.own.version},
        files=tuple(files),
        unique_tokens=tokens,
        epochs=1.0,
        tokens=tokens,
        flops=flops,
    )


def _start(
    run: RunSpec, attempt: Path, described: dict[str, object], how: OwnExecution
) -> TrainerProcess:
    assert run.own is not None
    folder, resume = attempt / RUN_FOLDER, described["resume_folder"] or ""
    values = described | {
        "run_file": folder / RUN_FILE,
        "run_dir": folder,
        "resume_dir": resume,
        "gpus": f"{described['gpus']:g}",
        "model": run.shape.name if isinstance(run.shape, NamedModel) else run.shape.family,
    }
    if run.own.command.startswith("["):
        words = fill_command(run.own.command, values)
    else:
        words = [sys.executable, "-m", _CALLER, run.own.command]
    own = {
        "SCALING_RUN_FILE": str(folder / RUN_FILE),
        "SCALING_RUN_DIR": str(folder),
        "SCALING_RESUME_DIR": str(resume),
        VARIABLE: name_mark(attempt.parents[3], run.run_id, attempt.name),
    }
    environment = make_environment(how.env, own, cpus=how.cpus)
    package = str(Path(__file__).parents[3])
    paths = [package, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return TrainerProcess(
        words, cwd=attempt / WORK_FOLDER, environment=environment, log=attempt / "log.txt"
    )


def _find_resumable(resume: Sequence[Path]) -> Path | None:
    """The newest earlier attempt whose trainer left something of its own."""
    for attempt in resume:
        folder = attempt / RUN_FOLDER
        if folder.is_dir() and {one.name for one in folder.iterdir()} - WRITTEN_FILES:
            return attempt
    return None


def _write_history(attempt: Path, earlier: Path | None) -> None:
    if earlier is not None:
        _journal.info("continues attempt %s", earlier.name)
        rows = join_rows(read_rows(earlier, _HISTORY_FILE), read_rows(earlier / RUN_FOLDER))
        (attempt / _HISTORY_FILE).write_text(write_rows(rows))


class _Curve:
    """metrics.jsonl while it grows: each new row is a sign of life."""

    def __init__(self, path: Path, report: Callable[[int, float | None], None]) -> None:
        self._path, self._report = path, report
        self._read, self._rest = 0, b""
        self.is_lost = False

    def look(self) -> bool:
        """Report what is new; False, so that others may say whether to stop."""
        try:
            if self._path.stat().st_size == self._read:
                return False
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return False
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        rows = [row for row in map(parse_row, lines) if row is not None]
        if rows:
            self.is_lost = not math.isfinite(rows[-1]["loss"])
            self._report(int(rows[-1]["tokens"]), rows[-1]["loss"])
        return False

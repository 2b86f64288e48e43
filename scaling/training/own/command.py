"""train_run of somebody's own trainer: the same promises as the built-in one.

    attempt/work/   a copy of its files; where it runs
    attempt/run/    run.json for it; metrics.jsonl, measured.json and checkpoints of its own

An attempt that is resumed reads the newest earlier `run/` that holds more than those three files.
A function is called by a process of its own (`function.py`), so that both kinds are one here. Of a
run on several nodes this is the first; the others are in `member.py`.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.data.shards import open_shards
from scaling.files.durable import blaming_machine
from scaling.ledger.marked import end_marked, name_mark
from scaling.ledger.probes import REPORTED_FILE
from scaling.ledger.results import Measurement, RunInterrupted, TrainerFault
from scaling.ledger.team import NodeEnd, Team
from scaling.ledger.trainer_code import copy_code
from scaling.ledger.trunk_cache import TrunkCache
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.execution import Execution, OwnExecution
from scaling.sweep.runspec import RunSpec
from scaling.training.own.ending import describe_end, explain_failure
from scaling.training.own.process import TrainerProcess
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
from scaling.training.own.starting import RUN_FOLDER, WORK_FOLDER, start_trainer

_HISTORY_FILE = "history.jsonl"  # curve of the attempts that this one continues
_END_SECONDS = 5.0  # for another node to kill processes that did not stop, and to report it

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
        IntegrityError: A file of its corpus was changed.
        EnvironmentFault: The disk is full.
    """
    begun, how = time.monotonic(), execution.own or OwnExecution()
    end_marked(name_mark(attempt.parents[3], run.run_id))  # left by an attempt whose worker died
    described = _prepare(run, attempt, resume, corpus, execution)
    team = Team(attempt, how.nodes)
    try:
        process = start_trainer(run, attempt, described, how, team.open(how.address))
    except OSError as error:
        raise TrainerFault(f"its command cannot be started: {error}") from error
    curve = _Curve(attempt / RUN_FOLDER / METRICS_FILE, report)

    def is_over() -> bool:
        curve.look()
        if over := should_stop() or team.has_failed():
            team.stop()
        return over

    try:
        code = process.wait(is_over, grace=how.grace)
        curve.look()
    finally:
        left = process.end()
    ends = _end_all(team, process, describe_end(process, code, left), grace=how.grace)
    is_lost = curve.is_lost and code is not None and code > 0 and ends[0].cause == "exception"
    _judge(run, attempt, process, code, {} if is_lost else ends, should_stop())
    reported = None if is_lost else read_measured(attempt / RUN_FOLDER, run, how, tail=ends[0].tail)
    # Verify digests last, so that an edit before or during training is noticed.
    facts = open_shards(corpus).facts if described["corpus"] else None
    return _measure(run, attempt, reported, time.monotonic() - begun, facts)


def _prepare(
    run: RunSpec, attempt: Path, resume: Sequence[Path], corpus: Path, execution: Execution
) -> dict[str, Any]:
    """Make the attempt's folders; the content of run.json in them."""
    assert run.own is not None
    folder, earlier = attempt / RUN_FOLDER, _find_resumable(resume)
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
    return described


def _judge(
    run: RunSpec,
    attempt: Path,
    process: TrainerProcess,
    code: int | None,
    ends: Mapping[int, NodeEnd],
    told: bool,
) -> None:
    """Raise what its end means, unless that is a measurement.

    Args:
        run, attempt: Which.
        process: That of this node.
        code: Its exit code, as `TrainerProcess.wait` gives it.
        ends: How each node ended, by rank; none where the run is lost.
        told: Whether the whole run was to stop.
    """
    wrong = {rank: end for rank, end in ends.items() if end.why}
    measured = (attempt / RUN_FOLDER / MEASURED_FILE).exists()
    stopped = code is None or (code == 0 and process.was_asked and not measured)
    if stopped and (told or not wrong):
        how = "ignored SIGTERM and was killed" if process.ignored_sigterm else "has stopped"
        raise RunInterrupted(f"run {run.run_id}: its trainer {how}")
    if wrong:
        raise explain_failure(wrong, max(ends) + 1, attempt)


def _end_all(
    team: Team, process: TrainerProcess, own: NodeEnd, *, grace: float
) -> dict[int, NodeEnd]:
    """How the trainer ended on each node, once it has on all. Where it ended well here, the others
    have their grace to end by themselves."""
    if own.why or process.was_asked or not team.wait_for_ends(grace):
        team.stop()
    if not team.wait_for_ends(grace + _END_SECONDS):
        _journal.warning("not every node has said how its trainer ended")
    return {0: own, **team.list_ends()}


def _measure(
    run: RunSpec,
    attempt: Path,
    reported: Reported | None,
    seconds: float,
    facts: CorpusFacts | None,
) -> Measurement:
    """What the run measured; of data that only the trainer knows every token counts as a new one.

    Args:
        run, attempt: Which.
        reported: What its trainer said; None: its loss is not finite.
        seconds: Seconds of this attempt.
        facts: Facts of its corpus, where that was prepared here.
    """
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
        unique_tokens=min(tokens, facts.train_tokens) if facts else tokens,
        epochs=tokens / facts.train_tokens if facts else 1.0,
        tokens=tokens,
        flops=flops,
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

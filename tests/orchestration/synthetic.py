"""A trainer that costs nothing: its loss is a function of every step, its faults are asked for.

`behaviour.json` in the corpus folder says, per seed, what goes wrong:
  {"0": {"kill_at": 5}, "1": {"raise_at": 3}, "2": {"diverge": true}, "*": {"step_seconds": 0.01}}
What happens `at` a step happens as often as `times` says (1 unless given); a file per event keeps
the count.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from scaling.ledger.commit import Ledger
from scaling.ledger.results import Measurement, RunInterrupted
from scaling.ledger.trunk_cache import TrunkCache
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors.inline import InlineExecutor
from scaling.orchestration.outcome import DriverSettings, SweepOutcome
from scaling.sweep.cells import Cell
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.execution import Execution
from scaling.sweep.runspec import Recipe, RunSpec
from scaling.sweep.shapes import make_shape
from scaling.sweep.trunks import find_branch_step
from scaling.training.checkpoint import read_newest_checkpoint, write_checkpoint

TRAINER = "synthetic:train_run"
SETTINGS = DriverSettings(trainer=TRAINER, backoff=0.01)
FACTS = CorpusFacts(
    digest="ab" * 32,
    vocab_size=256,
    train_tokens=10**6,
    validation_tokens=10**4,
    train_bytes=10**6,
    validation_bytes=10**4,
    validation_documents=10,
    unigram_entropy=3.0,
    overlap=0.0,
)
_CHECKPOINT_EVERY = 4


def make_run(seed: int = 0, *, steps: int = 10, n_heads: int = 1) -> RunSpec:
    # The recipe's values do not matter here; its field names may change.
    values: dict[str, Any] = {
        field.name: 0.5
        for field in dataclasses.fields(Recipe)
        if field.default is dataclasses.MISSING
    }
    values |= {"batch_sequences": 2, "steps": steps, "warmup_steps": 1, "decay_steps": 2}
    recipe = Recipe(**values | {"base_width": 16, "base_depth": 1})
    shape = make_shape(256, 32, d_model=16 * n_heads, n_layers=1)
    return RunSpec(shape=shape, recipe=recipe, data_digest=FACTS.digest, seed=seed)


def make_cells(count: int, *, steps: int = 10) -> list[Cell]:
    return [Cell(run=make_run(seed, steps=steps), budget=1e6, role="grid") for seed in range(count)]


def make_ledger(folder: Path) -> Ledger:
    return Ledger.create(folder / "results" / "demo", name="demo", corpus=FACTS, sweep_yaml="a: 1")


def make_corpus(folder: Path, behaviour: Mapping[str, Any] | None = None) -> Path:
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    (corpus / "behaviour.json").write_text(json.dumps(behaviour or {}))
    return corpus


def train_here(cells: Sequence[Cell], ledger: Ledger, **options: Any) -> SweepOutcome:
    """Train cells in this process on the corpus beside the ledger; `options` as of run_cells."""
    options = {"corpus": ledger.folder.parents[1] / "corpus", "settings": SETTINGS} | options
    return run_cells(cells, ledger, InlineExecutor(), **options)


def expected_loss(run: RunSpec) -> float:
    state = str(run.seed)
    for step in range(run.recipe.steps):
        state = _advance(state, step)
    return 1.0 + int(state[:8], 16) / 2**32


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
    everything = json.loads((corpus / "behaviour.json").read_text())
    behaviour = everything.get("*", {}) | everything.get(str(run.seed), {})
    first, state = _load_newest(resume, run, trunk)
    rows = [json.dumps({"step": step}) for step in range(first)]
    if behaviour.get("oom_above", run.recipe.batch_sequences) < (
        execution.micro_batch or run.recipe.batch_sequences
    ):
        raise MemoryError("too large a batch")
    for step in range(first, run.recipe.steps):
        state = _advance(state, step)
        rows.append(json.dumps({"step": step}))
        report((step + 1) * run.tokens // run.recipe.steps, 2.0)
        _misbehave(behaviour, step, corpus, run)
        if should_stop():
            _save(attempt, step + 1, state)
            raise RunInterrupted(f"stopped after step {step}")
        if (step + 1) % _CHECKPOINT_EVERY == 0:
            _save(attempt, step + 1, state)
        if trunk is not None and step + 1 in trunk.save_at and step + 1 <= find_branch_step(run):
            trunk.store(step + 1, json.dumps([step + 1, state]).encode())
        time.sleep(behaviour.get("step_seconds", 0.0))
    (attempt / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    (attempt / "weights.bin").write_text(state)
    diverged = bool(behaviour.get("diverge"))
    loss = 1.0 + int(state[:8], 16) / 2**32
    return Measurement(
        status="diverged" if diverged else "finished",
        loss=None if diverged else loss,
        loss_se=None if diverged else 0.01,
        bits_per_byte=None if diverged else loss,
        train_loss=None if diverged else loss,
        flops_spent=run.flops * (run.recipe.steps - first) // run.recipe.steps,
        seconds=0.1,
        reason="the loss is not finite" if diverged else "",
        numerics={"trainer": "synthetic", "micro_batch": str(execution.micro_batch)},
        files=("metrics.jsonl", "weights.bin") if execution.keep_weights else ("metrics.jsonl",),
        unique_tokens=run.tokens,
        epochs=0.5,
    )


def _advance(state: str, step: int) -> str:
    return hashlib.sha256(f"{state}{step}".encode()).hexdigest()


_SIGNALS = {
    "kill_at": signal.SIGKILL,
    "stop_at": signal.SIGSTOP,
    "interrupt_at": signal.SIGINT,
    "preempt_at": signal.SIGTERM,
}


def _misbehave(behaviour: Mapping[str, Any], step: int, corpus: Path, run: RunSpec) -> None:
    if step == behaviour.get("hang_at") and _is_due(behaviour, corpus, run):
        time.sleep(600)
    if step == behaviour.get("raise_at") and _is_due(behaviour, corpus, run):
        raise RuntimeError(f"seed {run.seed} cannot be trained")
    if step == behaviour.get("full_at"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(corpus))
    for name, signum in _SIGNALS.items():
        if step == behaviour.get(name) and _is_due(behaviour, corpus, run):
            os.kill(os.getpid(), signum)


def _is_due(behaviour: Mapping[str, Any], corpus: Path, run: RunSpec) -> bool:
    for time_ in range(behaviour.get("times", 1)):
        mark = corpus / f"event-{run.seed}-{time_}"
        if not mark.exists():
            mark.touch()
            return True
    return False


def _save(attempt: Path, step: int, state: str) -> None:
    write_checkpoint(attempt, json.dumps([step, state]).encode(), step=step)


def _load_newest(resume: Sequence[Path], run: RunSpec, trunk: TrunkCache | None) -> tuple[int, str]:
    shared = trunk.find_newest(find_branch_step(run)) if trunk is not None else None
    found = [json.loads(one) for one in (read_newest_checkpoint(resume), shared) if one]
    step, state = max(found, default=(0, str(run.seed)))
    return step, state


def start_driver(
    folder: Path, count: int, steps: int = 10, executor: str = "inline", **environment: str
) -> subprocess.Popen[str]:
    """Start drive.py, in a session of its own."""
    script = Path(__file__).with_name("drive.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(count), executor, str(steps)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_at_work(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.01)

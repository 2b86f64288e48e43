"""A sweep of somebody's own trainer, which is a few lines of Python."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

from scaling.errors import ScalingError
from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger
from scaling.orchestration.attempt import AttemptOutcome, AttemptRequest, run_attempt
from scaling.orchestration.guardian import guard
from scaling.sweep.runspec import RunSpec
from scaling.workflow.preparing import Sweep, prepare_sweep
from scaling.workflow.training import decide_execution, open_ledger, train_sweep

HEAD = """\
import json, os, signal, sys, time
run = json.load(open(os.environ["SCALING_RUN_FILE"]))
folder, resume = os.environ["SCALING_RUN_DIR"], os.environ["SCALING_RESUME_DIR"]
N, D = run["params"], run["tokens"]
loss = 1.7 + 400 / N**0.34 + 410 / D**0.28 + 0.002 * (hash((N, D)) % 7)

def step(at, of=4, loss=3.0):
    with open(folder + "/metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": at, "tokens": D * at // of, "loss": loss}) + "\\n")

def measured(**changed):
    said = {"loss": loss, "loss_se": 0.01, "tokens": D, "params": N} | changed
    with open(folder + "/measured.json", "w") as file:
        json.dump({k: v for k, v in said.items() if v != "absent"}, file)
"""
GOOD = "for at in (1, 2, 3, 4):\n    step(at)\nmeasured(probes={'accuracy': 0.5})\n"
SWEEP = """\
name: mine
trainer:
  command: [%s, train.py, "{run_file}"]
  files: [train.py]
  data: shelf
  grace: %g
%s  models:
    - {name: a, params: 10e6, set: {n_layer: 2}}
    - {name: b, params: 20e6}
    - {name: c, params: 40e6}
    - {name: d, params: 80e6}
%s
"""
ONE = "grid: {params: [10e6], tokens: [1e6]}"
MANY = "grid: {budgets: [1e17, 3e17, 1e18], sizes: 4, span: 4}\nforecast: [1e19]"


def prepare(
    folder: Path, body: str = GOOD, *, keys: str = "", rest: str = ONE, grace: float = 0.3
) -> tuple[Sweep, Ledger]:
    """A sweep whose trainer does `body`, and its results folder."""
    (folder / "train.py").write_text(HEAD + body)
    path = folder / "sweep.yaml"
    path.write_text(SWEEP % (json.dumps(sys.executable), grace, keys, rest))
    sweep = prepare_sweep(path, root=folder)
    return sweep, open_ledger(sweep, root=folder, retrain=False)


def attempt(sweep: Sweep, ledger: Ledger, run: RunSpec | None = None) -> AttemptOutcome:
    """Execute one attempt of a run here, as a worker would."""
    run = run or sweep.plan.cells[0].run
    term = ledger.advance_term()
    return run_attempt(make_request(sweep, ledger, run, term), tick=lambda: None)


def make_request(sweep: Sweep, ledger: Ledger, run: RunSpec, term: int) -> AttemptRequest:
    return AttemptRequest(
        run_id=run.run_id,
        run=canonical_json(run.to_json()).decode(),
        ledger=str(ledger.folder.absolute()),
        corpus=str(sweep.corpus.folder.absolute()),
        attempt_id=ledger.name_attempt(run.run_id, term=term),
        term=term,
        trainer="scaling.training.own.command:train_run",
        resume=ledger.list_attempts(run.run_id),
        execution=decide_execution(sweep.spec, "float32"),
    )


def drive(root: Path, executor: str) -> int:
    """Train the sweep in a folder; an exit code."""
    try:
        sweep = prepare_sweep(root / "sweep.yaml", root=root)
        outcome = train_sweep(
            sweep, open_ledger(sweep, root=root, retrain=False), executor=executor
        )
    except ScalingError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 128 + outcome.interrupted_by if outcome.interrupted_by else 0


if __name__ == "__main__" and sys.argv[2:]:  # runs a sweep to be killed: own.py FOLDER EXECUTOR
    work = functools.partial(drive, Path(sys.argv[1]), sys.argv[2])
    sys.exit(guard(work, resume="the same command") if sys.argv[2] == "ray" else work())
elif __name__ == "__main__":  # runs a worker to be killed: own.py FOLDER
    root = Path(sys.argv[1])
    ledger = Ledger.open(root / "results" / "mine")
    sys.stdout.write(str(attempt(prepare_sweep(root / "sweep.yaml", root=root), ledger).cause))

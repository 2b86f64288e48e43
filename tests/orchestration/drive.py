"""Drive a synthetic sweep from its own process, so that tests can kill it.

usage: drive.py FOLDER COUNT EXECUTOR STEPS, where EXECUTOR is inline, ray, or a cluster's address
"""

import contextlib
import functools
import json
import os
import sys
from pathlib import Path

from synthetic import SETTINGS, make_cells, make_ledger

from scaling.errors import ScalingError
from scaling.ledger.commit import Ledger
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors import Executor, Needs
from scaling.orchestration.executors.inline import InlineExecutor
from scaling.orchestration.executors.ray import RayExecutor
from scaling.orchestration.guardian import guard
from scaling.orchestration.progress import open_progress


def make_executor(name: str, folder: Path) -> Executor:
    if name == "inline":
        return InlineExecutor()
    if name == "ray":
        return RayExecutor(cpus=2)
    shared = (make_ledger(folder).folder, folder / "corpus")
    return RayExecutor(Needs(address=name, memory_per_run=2**26, shared=shared))


def main(folder: Path, count: int, executor_name: str, steps: int) -> int:
    without = os.environ.get("SCALING_TEST_WITHOUT", "").split("+")
    if "lock" in without:  # like a file system without locks
        Ledger.lock = lambda self: contextlib.nullcontext()  # type: ignore[method-assign]
    if "term" in without:  # no driver yields to a later one
        Ledger.advance_term = lambda self: 1  # type: ignore[method-assign]
    try:
        outcome = run_cells(
            make_cells(count, steps=steps),
            make_ledger(folder),
            make_executor(executor_name, folder),
            corpus=folder / "corpus",
            settings=SETTINGS,
            progress=open_progress(),
        )
    except ScalingError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    report = {"finished": len(outcome.finished), "trained": outcome.trained}
    sys.stdout.write(json.dumps(report) + "\n")
    return 128 + outcome.interrupted_by if outcome.interrupted_by else 0


if __name__ == "__main__":
    work = functools.partial(
        main, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    )
    sys.exit(guard(work, resume="the same command") if sys.argv[3] == "ray" else work())

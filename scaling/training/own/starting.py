"""The process of somebody's own trainer for one run: its words, its environment, its log."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.ledger.marked import VARIABLE, name_mark
from scaling.ledger.team import Rendezvous
from scaling.sweep.execution import OwnExecution
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import NamedModel
from scaling.sweep.trainer_spec import fill_command
from scaling.training.own.process import TrainerProcess, make_environment
from scaling.training.own.protocol import RUN_FILE

WORK_FOLDER, RUN_FOLDER = "work", "run"
_CALLER = "scaling.training.own.function"


def start_trainer(
    run: RunSpec,
    attempt: Path,
    described: Mapping[str, Any],
    how: OwnExecution,
    place: Rendezvous,
) -> TrainerProcess:
    """Start it on this node, in the attempt's copy of its files.

    Args:
        run: What it trains.
        attempt: Folder of the attempt.
        described: Content of run.json.
        how: How it is run.
        place: Which node of how many this is.

    Raises:
        OSError: It cannot be started.
    """
    assert run.own is not None
    folder, resume = attempt / RUN_FOLDER, described["resume_folder"] or ""
    values = dict(described) | {
        "run_file": folder / RUN_FILE,
        "run_dir": folder,
        "resume_dir": resume,
        "gpus": f"{described['gpus']:g}",
        "model": run.shape.name if isinstance(run.shape, NamedModel) else run.shape.family,
        **place.placeholders,
    }
    if run.own.command.startswith("["):
        words = fill_command(run.own.command, values)
    else:
        words = [sys.executable, "-m", _CALLER, run.own.command]
    # Every node has its own folder, even if two of them are one machine.
    rank = f"/{place.rank}/" if place.nodes > 1 else ""
    own = {
        "SCALING_RUN_FILE": str(folder / RUN_FILE),
        "SCALING_RUN_DIR": str(folder),
        "SCALING_RESUME_DIR": str(resume),
        VARIABLE: name_mark(attempt.parents[3], run.run_id, attempt.name) + rank,
        **place.variables,
    }
    environment = make_environment(how.env, own, cpus=how.cpus)
    package = str(Path(__file__).parents[3])
    paths = [package, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    log = attempt / (f"log-{place.rank}.txt" if place.rank else "log.txt")
    return TrainerProcess(words, cwd=attempt / WORK_FOLDER, environment=environment, log=log)

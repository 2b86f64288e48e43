"""Probes of a finished run, measured by the worker that trained it or by one that is asked later.

    reported by the trainer?       ──► sealed as it is
    weights kept, or not needed?   ──► measured here, sealed
    else                           ──► no value; the driver's caller says so

A probe that fails costs its value, never the run.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scaling.errors import EnvironmentFault
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.ledger.probes import (
    REPORTED_FILE,
    commit_probe,
    has_probe,
    read_reported,
)
from scaling.ledger.results import RunInterrupted, RunResult
from scaling.sweep.execution import Execution
from scaling.sweep.probes import AskedProbe, Probe

_CONTEXT = "scaling.training.probing"  # needs torch: imported only to measure a probe

_journal = logging.getLogger("scaling.journal")


def list_obtainable(
    asked: Sequence[AskedProbe], ledger: Ledger, result: RunResult
) -> tuple[AskedProbe, ...]:
    """The probes that a finished run has no value of and can have one."""
    if result.status != "finished":
        return ()
    return tuple(
        one
        for one in asked
        if not has_probe(ledger, result.run.run_id, one)
        and (
            REPORTED_FILE in result.files
            or (one.probe.measure and (WEIGHTS_FILE in result.files or not one.probe.needs_weights))
        )
    )


def count_unmeasured(
    asked: Sequence[AskedProbe], ledger: Ledger, finished: Sequence[str]
) -> tuple[tuple[str, int], ...]:
    """(probe, how many of those runs have no value of it), where there are any."""
    missing = ((one, sum(not has_probe(ledger, run, one) for run in finished)) for one in asked)
    return tuple((one.probe.name, count) for one, count in missing if count)


def describe_work(train: int, probed: int) -> str:
    """What a driver is about to do with how many runs."""
    parts = [f"training {train}, longest first"] if train or not probed else []
    return "; ".join([*parts, *([f"measuring probes of {probed}"] if probed else [])])


def describe_measured(left: Sequence[AskedProbe], why: str) -> str:
    """How the measuring of a run ended.

    Args:
        left: Probes that it still has no value of.
        why: What its worker said.
    """
    if not left:
        return "probes measured"
    names = ", ".join(one.probe.name for one in left)
    return f"without a value of {names}{f': {why}' if why else ''}"


def commit_reported(ledger: Ledger, result: RunResult) -> None:
    """Seal what somebody's own trainer reported beside its loss: whatever it calls it."""
    if REPORTED_FILE not in result.files or result.status != "finished":
        return
    path = ledger.attempt_folder(result.run.run_id, result.attempt_id) / REPORTED_FILE
    facts = json.loads(path.read_bytes())
    for name, (value, error) in read_reported(ledger, result).items():
        probe = Probe(
            name=name,
            version=1,
            unit=str(facts[name].get("unit", "")),
            direction="higher" if facts[name].get("higher_is_better") else "lower",
            meaning="",
            measure="",
            bound=facts[name].get("bound"),
            needs_weights=False,
        )
        commit_probe(ledger, result, AskedProbe(probe), value, error)


def settle_probes(
    asked: Sequence[AskedProbe],
    ledger: Ledger,
    result: RunResult,
    *,
    corpus: Path,
    look_up: Callable[[], None],
    execution: Execution,
) -> tuple[str, ...]:
    """Give a run its values; a line for each probe that failed.

    Args:
        asked: By the sweep.
        ledger, result: The run.
        corpus: Folder of the prepared corpus.
        look_up: Called now and then; raises where the attempt is asked to stop.
        execution: How the model is computed.

    Raises:
        RunInterrupted: By `look_up`.
        EnvironmentFault: The disk is full or read-only.
    """
    wanted = list_obtainable(asked, ledger, result)
    if not wanted:
        return ()
    failed = []
    trained: Any = None
    for one in wanted:
        name = one.probe.name
        try:
            reported = read_reported(ledger, result)
            if name in reported:
                commit_probe(ledger, result, one, *reported[name])
                continue
            if not one.probe.measure:
                continue
            measure = one.probe.load()
            if trained is None:
                context = importlib.import_module(_CONTEXT)
                trained = context.TrainedRun(
                    ledger, result, corpus=corpus, look_up=look_up, execution=execution
                )
            trained.options = one.options
            commit_probe(ledger, result, one, *measure(trained))
            _journal.info("probe %s is measured", name)
        except (RunInterrupted, EnvironmentFault):
            raise
        except Exception as error:  # a failing probe must not fail the finished run
            failed.append(f"probe {name}: {type(error).__name__}: {error}")
            _journal.exception("probe %s", name)
    return tuple(failed)

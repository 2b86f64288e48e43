"""Read results folders as arms and compare them: of one sweep file, or of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling.errors import NoFitError, TableError, UsageError
from scaling.ledger.probes import read_probes
from scaling.ledger.results import RunResult
from scaling.sweep.cells import FITTED_ROLES
from scaling.sweep.counting import count_params
from scaling.sweep.probes import EARLY_STOP
from scaling.units.stages import stage
from scaling.workflow.siblings import open_siblings
from scaling.workflow.stored import StoredSweep, open_results

if TYPE_CHECKING:
    from scaling.fitting.transfer.arms import Arm
    from scaling.fitting.transfer.judging import Transfer


@stage("comparing the starts")
def find_transfer(
    *folders: str | os.PathLike[str], draws: int = 1000, level: float = 0.9, seed: int = 0
) -> tuple[Transfer, ...]:
    """Compare each sweep that starts from trained weights with the one from scratch.

    Args:
        folders: Results folders, one of them from scratch. A single folder stands for all folders
            of its sweep file.
        draws: Number of draws of seed noise, for intervals.
        level: Level of the intervals.
        seed: Seed of the draws.

    Returns:
        One comparison per sweep that starts from other runs: effective data transferred, its law,
        the sign of the difference of losses, and the losses at equal compute.

    Raises:
        UsageError: The folders are not arms of one comparison.
        NoFitError: The folders share no cells.
    """
    sweeps = [open_results(Path(one)) for one in folders]
    if len(sweeps) == 1:
        sweeps = open_siblings(sweeps[0])
    return judge_sweeps(sweeps, draws=draws, level=level, seed=seed)


def judge_sweeps(
    sweeps: Sequence[StoredSweep], *, draws: int = 1000, level: float = 0.9, seed: int = 0
) -> tuple[Transfer, ...]:
    """Compare opened folders; see `find_transfer`."""
    from scaling.fitting.transfer.judging import judge_transfer

    scratch = [one for one in sweeps if one.spec.initialise.source is None]
    tuned = [one for one in sweeps if one.spec.initialise.source is not None]
    names = ", ".join(one.spec.name for one in sweeps)
    if len(scratch) != 1 or not tuned:
        raise UsageError(
            f"{names}: {len(scratch)} start from scratch and {len(tuned)} from other runs. Name "
            "one sweep from scratch and at least one that starts from other runs."
        )
    texts = {one.facts.digest for one in sweeps}
    if len(texts) > 1:
        raise UsageError(
            f"{names}: they have {len(texts)} corpora, so their losses cannot be compared."
        )
    early = all(_has_early_stop(one) for one in sweeps)
    first = read_arm(scratch[0], early_stop=early)
    return tuple(
        judge_transfer(first, read_arm(one, early_stop=early), draws=draws, level=level, seed=seed)
        for one in tuned
    )


def judge_siblings(siblings: Sequence[StoredSweep]) -> tuple[Transfer, ...]:
    """Compare the starts of one sweep file for its page; nothing if that is not possible yet."""
    if len(siblings) < 2 or not siblings[0].whole.starts:
        return ()
    try:
        return judge_sweeps(siblings)
    except (UsageError, NoFitError, TableError):  # `scaling transfer` says why
        return ()


def read_arm(stored: StoredSweep, *, early_stop: bool) -> Arm:
    """Read the finished runs of a sweep's plan, at every learning rate.

    Args:
        stored: The sweep.
        early_stop: Use the lowest loss during training, which every run must have.

    Raises:
        TableError: No run is finished.
    """
    from scaling.fitting.transfer.arms import Arm

    results = _list_results(stored)
    earlier = {one.weights: one.flops for one in stored.facts.parents}
    losses = _read_best(stored, results) if early_stop else {}
    runs = [one.run for one in results]
    return Arm(
        name=stored.spec.name,
        params=np.array([count_params(one.shape, "matmul") for one in runs], dtype=np.float64),
        data=np.array(
            [one.run.unique_tokens or one.unique_tokens for one in results], dtype=np.float64
        ),
        tokens=np.array([one.tokens for one in results], dtype=np.float64),
        loss=np.array([losses.get(one.run.run_id, one.loss) for one in results], dtype=np.float64),
        learning_rate=np.array([one.recipe.learning_rate for one in runs], dtype=np.float64),
        seed=np.array([one.seed for one in runs], dtype=np.int64),
        flops=np.array([one.flops for one in results], dtype=np.float64),
        earlier_flops=np.array([earlier.get(one.parent or "", 0) for one in runs], np.float64),
        early_stop=early_stop,
    )


def _list_results(stored: StoredSweep) -> list[RunResult]:
    planned = {cell.run.run_id for cell in stored.plan.cells if cell.role in FITTED_ROLES}
    every = stored.results.results
    return [one for run_id, one in sorted(every.items())
            if run_id in planned and one.status == "finished"]  # fmt: skip


def _has_early_stop(stored: StoredSweep) -> bool:
    results = _list_results(stored)
    return len(_read_best(stored, results)) == len(results)


def _read_best(stored: StoredSweep, results: Sequence[RunResult]) -> dict[str, float]:
    """Read the lowest loss during training of the runs that recorded it."""
    values = read_probes(stored.ledger, {one.run.run_id: one for one in results}).values
    return {
        run_id: value.value
        for run_id, found in values.items()
        for value in found
        if value.name == EARLY_STOP
    }

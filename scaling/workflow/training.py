"""From a prepared sweep to results: the executor, the driver, the tracker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.outdated import find_outdated
from scaling.ledger.results import RunResult
from scaling.ledger.trainer_code import store_code
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.cost import estimate_memory
from scaling.sweep.execution import Execution, OwnExecution
from scaling.sweep.probes import EARLY_STOP
from scaling.sweep.runspec import RunSpec
from scaling.units import Precision
from scaling.units.stages import stage
from scaling.workflow.devices import is_present, measure_apart, name_device, require_device
from scaling.workflow.parents import keep_parents
from scaling.workflow.precision import PrecisionChoice, choose_precision
from scaling.workflow.preparing import Sweep

if TYPE_CHECKING:
    from scaling.orchestration.executors import Needs
    from scaling.orchestration.outcome import SweepOutcome
    from scaling.sweep.spec import SweepSpec
    from scaling.trackers.protocol import TrackerName

_OWN_TRAINER = "scaling.training.own.command:train_run"
_END_SECONDS = 5.0  # to kill processes that did not stop, and to report it


def open_ledger(sweep: Sweep, *, root: Path, retrain: bool) -> Ledger:
    """Open the sweep's results folder, or make one.

    Raises:
        UsageError: The folder holds another corpus, or finished runs of another trainer version
            that the plan would train again (unless `retrain`).
        IntegrityError: Weights that runs start from are damaged.
    """
    ledger = Ledger.create(
        root / "results" / sweep.spec.name,
        name=sweep.spec.name,
        corpus=sweep.corpus.facts,
        sweep_yaml=sweep.text,
    )
    wanted = {cell.run.parent for cell in sweep.plan.cells if cell.run.parent is not None}
    keep_parents(sweep.spec, sweep.corpus.facts.parents, wanted, ledger, root)
    if (trainer := sweep.spec.trainer) is not None:
        base, code = sweep.path.resolve().parent, sweep.corpus.facts.code
        store_code(ledger.folder, trainer.files, base, code)
        ledger = Ledger.open(ledger.folder)
    outdated = find_outdated(ledger, sweep.plan.cells)
    if outdated and not retrain:
        raise UsageError(
            f"{ledger.folder}: {len(outdated)} finished runs were trained by another version of "
            "the trainer and would be trained again.\nSay --retrain to do that, or give the sweep "
            "another name to keep both."
        )
    return ledger


def train_sweep(
    sweep: Sweep,
    ledger: Ledger,
    *,
    executor: str = "ray",
    address: str | None = None,
    track: Sequence[TrackerName] = (),
) -> SweepOutcome:
    """Train every planned run that the ledger does not have.

    Args:
        sweep: The planned sweep, as `prepare_sweep` returns it.
        ledger: The results folder, read and written.
        executor: Where runs are trained, by its name in the registry: `ray` or `inline`.
        address: Address of a Ray cluster to join; None: Ray on this machine.
        track: Trackers to send every committed run to.

    Returns:
        Which runs finished, diverged or failed, and how the sweep ended.

    Raises:
        UsageError: A tracker is not installed, or there is no such executor.
        LockedError: Another driver is running this sweep.
        EnvironmentFault: Disk, Ray, or worker after worker has failed.
    """
    from scaling.orchestration.driver import run_cells
    from scaling.orchestration.executors.registry import find_executor
    from scaling.orchestration.outcome import DriverSettings
    from scaling.orchestration.progress import open_progress
    from scaling.trackers import require_tracker
    from scaling.trackers.feed import feeding

    kind = find_executor(executor)
    for name in track:
        require_tracker(name)
    known = ledger.read_results(check="result").results
    runs = [cell.run for cell in sweep.plan.cells]
    left = any(run.run_id not in known for run in runs)
    chosen = settle_precision(
        sweep.spec,
        sweep.corpus.facts,
        runs,
        known.values(),
        folder=ledger.folder.parent,
        measure=left and is_present(sweep.spec.resources),
    )
    if left and address is None:
        require_device(sweep.spec.resources)
        if (
            sweep.spec.resources.gpus_per_run is not None and sweep.spec.trainer is None
        ):  # measure the GPU's peak while nothing else runs
            measure_apart((), sweep.spec.resources, cache=ledger.folder.parent / ".cache")
    progress = open_progress()
    with contextlib.closing(progress), feeding(track, ledger, progress.say) as announce:
        if left and chosen.why:
            progress.say(f"precision: {chosen.precision}, {chosen.why}")
        if left and chosen.change:
            progress.say(chosen.change)
        return run_cells(
            sweep.plan.cells,
            ledger,
            kind.open(_list_needs(sweep, ledger, address)),
            corpus=sweep.corpus.folder,
            settings=DriverSettings(
                **_name_trainer(sweep.spec),
                execution=decide_execution(sweep.spec, chosen.precision),
                share_trunks=sweep.spec.schedule.trunk,
                stall_limit=sweep.spec.resources.stall_limit,
                probes=sweep.spec.evaluate,
            ),
            progress=progress,
            announce=announce,
        )


def decide_execution(spec: SweepSpec, precision: Precision) -> Execution:
    """Decide how a sweep's runs are computed, in the chosen precision."""
    asked = next((one for one in spec.evaluate if one.probe.name == EARLY_STOP), None)
    return Execution(
        precision=precision,
        gpus=spec.resources.gpus_per_run,
        keep_weights=spec.keep_weights,
        time_limit=spec.resources.time_limit,
        halvings=0 if asked is None else int(float(asked.options["halvings"])),
        own=_decide_own(spec),
    )


def count_held_out(spec: SweepSpec, facts: CorpusFacts) -> int:
    """Held-out tokens that one run is evaluated on, each as often as it is."""
    return facts.validation_tokens * decide_execution(spec, "float32").evaluations


def _decide_own(spec: SweepSpec) -> OwnExecution | None:
    if spec.trainer is None:
        return None
    return OwnExecution(
        env=tuple(spec.trainer.env.items()),
        grace=spec.trainer.grace,
        tolerance=spec.trainer.tolerance,
        loss_unit=spec.trainer.loss_unit,
        cpus=spec.resources.cpus_per_run,
        nodes=spec.resources.nodes_per_run,
    )


def _name_trainer(spec: SweepSpec) -> dict[str, Any]:
    """Settings of a driver for runs of a user's own trainer, which may need time to stop."""
    from scaling.orchestration.outcome import DriverSettings

    if spec.trainer is None:
        return {}
    grace = max(DriverSettings().grace, spec.trainer.grace + _END_SECONDS)
    return {"trainer": _OWN_TRAINER, "grace": grace}


@stage("deciding the precision")
def settle_precision(
    spec: SweepSpec,
    facts: CorpusFacts,
    runs: Iterable[RunSpec],
    results: Iterable[RunResult],
    *,
    folder: Path,
    measure: bool = True,
) -> PrecisionChoice:
    """Choose the precision of a sweep's runs to come with `choose_precision`; a user's own trainer
    decides it itself."""
    if spec.trainer is not None:
        return PrecisionChoice(precision="float32")
    return choose_precision(
        spec.resources,
        runs,
        results,
        folder=folder,
        device=name_device(spec, facts, precision="auto"),
        measure=measure,
    )


def _list_needs(sweep: Sweep, ledger: Ledger, address: str | None) -> Needs:
    from scaling.orchestration.executors import Needs

    stated = sweep.spec.resources.memory_per_run
    known = max(estimate_memory(cell.run) for cell in sweep.plan.cells) or None
    return Needs(
        cpus_per_run=sweep.spec.resources.cpus_per_run,
        gpus_per_run=sweep.spec.resources.gpus_per_run,
        nodes_per_run=sweep.spec.resources.nodes_per_run,
        memory_per_run=known if stated is None else int(stated),
        reserves_memory=stated is not None,
        address=address,
        shared=(ledger.folder, sweep.corpus.folder),
    )

"""The device of a sweep's runs: which one, how many at a time, and whether it has the memory.

torch, which knows GPUs, is imported only for sweeps that ask for one.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import EnvironmentFault, UsageError
from scaling.ledger.machine import Device, find_device
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import CorpusFacts, decide_seq_len
from scaling.sweep.gpu_memory import check_gpu_memory
from scaling.sweep.runspec import RunSpec
from scaling.units.stages import stage

if TYPE_CHECKING:
    from scaling.sweep.spec import ResourcesSpec, SweepSpec
    from scaling.training.device import Gpu


def name_device(spec: SweepSpec, facts: CorpusFacts, *, precision: str) -> Device:
    """What a sweep's runs are computed on here, as the key of what is measured of it."""
    gpu = _find_gpu(spec.resources)
    return find_device(
        spec.model.family,
        vocab_size=facts.vocab_size,
        seq_len=decide_seq_len(spec, facts),
        settings=spec.model.settings,
        precision=precision,
        gpu=None if gpu is None else gpu.name,
    )


def is_present(resources: ResourcesSpec) -> bool:
    """Whether this machine has what one run asks for."""
    return resources.gpus_per_run is None or _find_gpu(resources) is not None


def require_device(resources: ResourcesSpec) -> None:
    """Before anything is started.

    Raises:
        UsageError: One run asks for more GPUs than there are here.
        EnvironmentFault: Runs ask for a GPU, and there is none here.
    """
    if not is_present(resources):
        raise EnvironmentFault(
            f"resources.gpus_per_run is {resources.gpus_per_run:g}, and no CUDA GPU is seen here. "
            "Run it where there is one, join a cluster (--address), or leave gpus_per_run out."
        )
    gpu, asked = _find_gpu(resources), resources.gpus_per_run or 0
    if gpu is not None and asked > gpu.count:
        raise UsageError(
            f"resources.gpus_per_run is {asked:g}, and this machine has {gpu.count}: GPUs of a run "
            "are of one node. Lower it, or join a cluster (--address)."
        )


def check_device(spec: SweepSpec, plan: Plan) -> Plan:
    """The plan, with a warning where its GPU is not here to be asked.

    Raises:
        SpecError: One run needs more of the GPU's memory than its share.
    """
    share = spec.resources.gpus_per_run
    if share is None:
        return plan
    gpu = _find_gpu(spec.resources)
    if gpu is None:
        line = "no GPU is seen here: memory, time and precision are left to the machine that has it"
        return dataclasses.replace(plan, warnings=(*plan.warnings, line))
    check_gpu_memory(
        (cell.run for cell in plan.cells),
        # "auto" may choose float32, which takes more.
        "mixed" if spec.resources.precision == "mixed" else "float32",
        share=share,
        memory=gpu.memory,
        name=gpu.name,
    )
    return plan


def count_slots(spec: SweepSpec, *, cpus: int | None = None) -> int:
    """Runs of a sweep at the same time, on `cpus` cores (None: those this process may use) and on
    this machine's GPUs. Of runs that share a GPU one is counted: what sharing gains is not known
    before it is measured."""
    slots = (cpus or len(os.sched_getaffinity(0))) // spec.resources.cpus_per_run
    if spec.resources.gpus_per_run is not None:
        gpu = _find_gpu(spec.resources)
        slots = min(slots, 1 if gpu is None else gpu.count)
    return max(1, slots)


@stage("measuring the speed of a training step in both precisions")
def measure_apart(runs: Sequence[RunSpec], resources: ResourcesSpec, *, cache: Path) -> list[float]:
    """What `mixed` gains in a step of each run; of a GPU also its peak, kept in the cache. A GPU is
    measured whole, before any run has a share of it, and in a process with which its memory goes.

    Raises:
        EnvironmentFault: There is no such device.
    """
    from scaling.training.gain import measure_gains

    if resources.gpus_per_run is None:
        return measure_gains(runs)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure_gains, runs, gpus=1.0, cache=cache).result()


def _find_gpu(resources: ResourcesSpec) -> Gpu | None:
    if resources.gpus_per_run is None:
        return None
    from scaling.training.device import find_gpu

    return find_gpu()

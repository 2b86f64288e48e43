"""The device that a run is computed on: claimed, named, asked for its size and for the time.

A run that was promised a share of a GPU may not take more of its memory: its neighbours were
promised theirs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from scaling.errors import EnvironmentFault
from scaling.sweep.gpu_memory import CONTEXT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The first GPU that a process sees, and how many there are.

    Attributes:
        name: As its maker calls it.
        memory: Memory of one GPU [bytes].
        count: Number of GPUs, assumed alike.
    """

    name: str
    memory: int
    count: int


def find_gpu() -> Gpu | None:
    """The GPUs that this process sees; None where it sees none."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    count = torch.cuda.device_count()
    return Gpu(name=found.name, memory=found.total_memory, count=count)


def claim_device(gpus: float | None) -> str:
    """`cpu`, or `cuda` with that share of the GPU's memory for this process, CUDA's own included.

    Args:
        gpus: Share of a GPU that the run was promised; None: it runs on the processor.

    Raises:
        EnvironmentFault: There is no GPU here.
    """
    torch.set_num_threads(1)  # one thread per run: two would contend, and change the last bits
    if gpus is None:
        return "cpu"
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else " (this torch is built without CUDA)"
        raise EnvironmentFault(
            f"resources.gpus_per_run is {gpus:g}, and no CUDA GPU is seen here{built}. Run it "
            "where there is one, or leave gpus_per_run out."
        )
    # Frees the worker's previous run: its engine and its captured steps refer to each other.
    gc.collect()
    torch.cuda.empty_cache()
    own = CONTEXT_BYTES / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(max(0.0, gpus - own))
    return "cuda"


def describe_device(device: str) -> dict[str, str]:
    """What of a device decides the bits of a result, as a result's numerics state it."""
    if device == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return {"device": "cpu", "capability": capability, "threads": "1"}
    major, minor = torch.cuda.get_device_capability()
    return {
        "device": torch.cuda.get_device_name(),
        "capability": f"sm_{major}{minor}",
        "cuda": str(torch.version.cuda),
    }


def choose_clock(device: str) -> Callable[[], float]:
    """Seconds that count on a device, from any origin: on the processor those of this process (a
    run has one thread there), whatever its neighbours do; on a GPU those until it is idle."""
    if device == "cpu":
        return time.process_time

    def wait_and_look() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wait_and_look

"""Cost of a plan on other machines: arithmetic from a datasheet, without measurement.

    seconds of a run = C / (devices of the run · peak · MFU)
    device-hours     = ΣC / (peak · MFU) / 3600

C counts attention as MFU does (Chowdhery et al. 2022, arXiv:2204.02311, appendix B). Nothing is
added for start-up, evaluation, checkpoints, or failures.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.errors import UsageError
from scaling.sweep.counting import count_total_params
from scaling.sweep.gpu_memory import estimate_gpu_memory
from scaling.sweep.runspec import RunSpec

if TYPE_CHECKING:
    from scaling.sweep.spec import ResourcesSpec

# Source: LLM Foundry's table of MPT training in bfloat16 (scripts/train/benchmarking/README.md,
# commit c90b9b3), sequences of 2048 on 8 to 64 devices: on H100 0.35 to 0.38 at 760M parameters
# and 0.41 to 0.42 at 1.3B, on A100 0.39 to 0.45 at 125M and 0.45 to 0.60 at 1.3B. Llama 3 405B:
# 0.38 to 0.43 on H100 (arXiv:2407.21783, table 4).
ASSUMED_MFU = 0.4
MFU_SOURCE = (
    "published: 0.35 to 0.42 for 0.76B to 1.3B parameters on 8 to 64 H100 (LLM Foundry), 0.38 to "
    "0.43 for 405B (arXiv:2407.21783); smaller models reach less"
)
# Weights, gradients and AdamW's moments: float32 throughout, or bfloat16 weights and gradients
# beside float32 weights and moments; both come to 16. Source: Rajbhandari et al. 2020,
# arXiv:1910.02054, sec. 3.1.
STATE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Machines that a sweep is planned for.

    Attributes:
        device: Name of the device.
        source: Where its peak is printed; empty if the user stated it.
        peak_flops: FLOP/s of one device, dense bfloat16.
        mfu: Share of the peak that training reaches.
        mfu_source: Why that share is assumed; empty if the user stated it.
        devices: Number of devices.
        devices_per_run: Number of devices that each run has to itself.
    """

    device: str
    source: str
    peak_flops: float
    mfu: float
    mfu_source: str
    devices: int
    devices_per_run: int = 1

    def share(self, resources: ResourcesSpec) -> Target:
        """These machines for a sweep: each run has `gpus_per_run` devices, at least 1, on each of
        its `nodes_per_run` nodes. Runs that share a device count as one at a time, since the gain
        of sharing there has not been measured.

        Raises:
            UsageError: One run asks for more devices than there are.
        """
        nodes = resources.nodes_per_run
        per_run = nodes * math.ceil(resources.gpus_per_run or 1)
        if per_run > self.devices:
            keys = "resources.gpus_per_run" + (" × nodes_per_run" if nodes > 1 else "")
            raise UsageError(
                f"one run asks for {per_run} GPUs ({keys}), and --devices is {self.devices}. Plan "
                f"for at least {per_run}."
            )
        return dataclasses.replace(self, devices_per_run=per_run)

    @property
    def slots(self) -> int:
        """Number of runs at the same time."""
        return self.devices // self.devices_per_run

    def estimate_seconds(self, run: RunSpec, first_step: int = 0) -> float:
        """Seconds that a run takes from a step on; 0 is its start."""
        left = 1.0 - first_step / run.recipe.steps if first_step else 1.0
        return left * run.flops / (self.devices_per_run * self.peak_flops * self.mfu)

    def count_device_hours(self, flops: float) -> float:
        """Device-hours for a number of FLOPs."""
        return flops / (self.peak_flops * self.mfu) / 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """Memory of one device for a run [bytes].

    Attributes:
        whole: Memory if each device of the run has a full copy.
        sharded: Memory if the devices of the run share one copy of weights, gradients and moments
            (FSDP, ZeRO stage 3); None for the built-in trainer, which uses one device.
    """

    whole: int
    sharded: int | None


def estimate_device_memory(run: RunSpec, target: Target, *, mixed: bool) -> DeviceMemory:
    """Memory of one device that training a run takes.

    For the built-in trainer this is the prediction that `run` checks. For a user's own trainer only
    weights, gradients and AdamW's moments are known: activations, logits and buffers come on top.

    Args:
        run: The run.
        target: The machines.
        mixed: Whether the built-in trainer computes in bfloat16; float32 takes more.
    """
    if run.own is None:
        whole = estimate_gpu_memory(run, "mixed" if mixed else "float32")
        return DeviceMemory(whole=whole, sharded=None)
    states = STATE_BYTES * count_total_params(run.shape)
    return DeviceMemory(whole=states, sharded=math.ceil(states / target.devices_per_run))

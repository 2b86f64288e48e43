"""What computes a step: interchangeable siblings behind one small protocol.

`fused` is one call of compiled C++ per step, for the CPU; `cuda` replays a step of torch as one
graph, for a GPU; both know transformers only. `eager` is torch, operation by operation: it serves
either device and trains every family of models. They compute the same formulas in another order
of rounding, so a run's last bits depend on which it was: the result says so in its numerics.
"""

from __future__ import annotations

import logging
import os

from scaling.errors import EnvironmentFault
from scaling.sweep.runspec import RunSpec
from scaling.training.engines.protocol import Engine
from scaling.units import Precision

ENGINE_VARIABLE = "SCALING_ENGINE"

logger = logging.getLogger(__name__)


def build_engine(
    run: RunSpec,
    *,
    sequences: int | None = None,
    precision: Precision = "float32",
    device: str = "cpu",
    compiled: bool = False,
) -> Engine:
    """The run's engine, its model initialised: on a CPU fused, on a GPU cuda; eager where those
    do not support the model's family, or fused cannot be compiled.

    The environment variable SCALING_ENGINE asks for one of them by name.

    Args:
        run: What will be trained.
        sequences: The most that are given to `add_gradient` at once, which decides the memory;
            None: the whole batch.
        precision: `mixed` is for compiled steps, on a CPU, and for either engine on a GPU.
        device: `cpu` or `cuda`.
        compiled: Whether torch.compile is worth its time; for `cuda` alone.

    Raises:
        EnvironmentFault: The asked engine is unknown, or cannot be had on this device.
    """
    asked = os.environ.get(ENGINE_VARIABLE)
    known = ("fused", "eager") if device == "cpu" else ("cuda", "eager")
    if asked is not None and asked not in known:
        raise EnvironmentFault(
            f"{ENGINE_VARIABLE} names no engine; on {device} it may be {', '.join(known)}, or "
            "unset."
        )
    half = precision == "mixed"
    if device == "cpu":
        return _build_for_cpu(run, asked, sequences=sequences, half=half)
    from scaling.training.engines.cuda import CudaEngine
    from scaling.training.engines.eager import EagerEngine

    if _may_use(CudaEngine, run, asked):
        return CudaEngine(run, device=device, half=half, compiled=compiled)
    return EagerEngine(run, device=device, half=half)


def _may_use(engine: type[Engine], run: RunSpec, asked: str | None) -> bool:
    """Whether the device's own engine trains a run, where `asked` may name it or the eager one.

    Raises:
        EnvironmentFault: It is asked for, and cannot.
    """
    can = engine.supports(run.shape)
    if not can and asked not in (None, "eager"):
        raise EnvironmentFault(
            f"engine {asked} does not train family {run.shape.family}. Unset {ENGINE_VARIABLE}."
        )
    return can and asked != "eager"


def _build_for_cpu(run: RunSpec, asked: str | None, *, sequences: int | None, half: bool) -> Engine:
    from scaling.training.engines.eager import EagerEngine
    from scaling.training.engines.fused import FusedEngine
    from scaling.training.engines.native import CompilerError

    if _may_use(FusedEngine, run, asked):
        try:
            return FusedEngine(run, sequences=sequences, half=half)
        except CompilerError as error:
            if asked == "fused" or half:
                raise
            logger.warning("training with torch, several times slower than compiled: %s", error)
    if half:  # on a CPU, torch's bfloat16 attention would take most of a step
        if not FusedEngine.supports(run.shape):
            raise EnvironmentFault(
                f"precision mixed needs compiled steps, and family {run.shape.family} has none. "
                "Set resources.precision to float32."
            )
        raise EnvironmentFault(
            f"precision mixed needs compiled steps, and {ENGINE_VARIABLE} asks for torch's. Unset "
            "it, or set resources.precision to float32."
        )
    return EagerEngine(run)

"""Engines that compute a step: interchangeable siblings behind one small protocol.

`fused` is one call of compiled C++ per step, for the CPU; `cuda` replays a step of torch as one
graph, for a GPU; both support only transformers. `eager` is torch, operation by operation: it works
on either device and trains every family of models. They compute the same formulas with different
rounding, so a run's last bits depend on the engine, which the result's numerics state.
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
    """Build the run's engine with its model initialised: fused on a CPU, cuda on a GPU; eager if
    those do not support the model's family, or fused cannot be compiled.

    The environment variable SCALING_ENGINE asks for one of them by name.

    Args:
        run: The run to train.
        sequences: Largest number of sequences given to `add_gradient` at once, which decides the
            memory; None: the whole batch.
        precision: `mixed` needs compiled steps on a CPU, and works with either engine on a GPU.
        device: `cpu` or `cuda`.
        compiled: Whether torch.compile is worth its time; for `cuda` only.

    Raises:
        EnvironmentFault: The requested engine is unknown, or not available on this device.
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
    """Return whether the device's own engine trains a run; `asked` may name it or the eager one.

    Raises:
        EnvironmentFault: It is asked for but cannot train the run.
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

"""Steps on a GPU: those of the eager engine, recorded once as a CUDA graph and then replayed.

    record   forward and backward over buffers that stay where they are (ids, share, loss; weights
             and gradients are views of flat buffers anyway), once per number of sequences
    replay   copy the ids, launch one graph

A step of a small model is hundreds of launches of a few microseconds each; a graph is one. For a
large model it costs nothing. The update is a dozen launches more and is not recorded: its optimiser
would need states that no other engine reads.

Bit-identity on a GPU is asked for, not given: flash attention's backward adds in the order in which
blocks finish unless torch is told to be deterministic, and so may cuBLAS without a workspace of its
own. Kernels are not chosen by timing them (no autotuning), which could choose otherwise next time.
Source: torch.use_deterministic_algorithms, which flash attention's backward obeys and for which
cuDNN's attention is passed over (aten/src/ATen/native/transformers/cuda).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.training.engines.eager import EagerEngine
from scaling.training.engines.protocol import EngineName
from scaling.units import IntArray

# Assumed, not measured on a GPU (`benchmarks/train_step.py --device cuda` prints all three):
# seconds torch.compile takes for a training step, share of the measured matrix product rate that a
# step reaches without it, and share of the step's time that it saves.
_COMPILE_SECONDS = 60.0
_EAGER_MFU = 0.2
_SAVED = 1 / 3
# Before a capture, because libraries allocate and choose kernels in their first calls.
_WARM_STEPS = 3


@dataclass(frozen=True, slots=True)
class _Recording:
    """Forward and backward over buffers that stay in place.

    Attributes:
        tokens_bt, share: What is read.
        run: Adds to the gradients, and returns the loss, which the next call may overwrite.
    """

    tokens_bt: Tensor
    share: Tensor
    run: Callable[[], Tensor]


class CudaEngine(EagerEngine):
    """See Engine.

    Args:
        run: What is trained.
        device: `cuda`. On any other the same work is done without a graph.
        half: See EagerEngine.
        compiled: Whether torch.compile fuses what lies between the products.
    """

    def __init__(
        self,
        run: RunSpec,
        *,
        device: str = "cuda",
        half: bool = False,
        compiled: bool = False,
    ) -> None:
        if device == "cuda":
            _ask_for_determinism()
        super().__init__(run, device=device, half=half)
        self._length = run.shape.seq_len + 1
        self._work = self._compute_losses
        if compiled:
            assert isinstance(self.model, Transformer)
            self.model.rotation_tk = torch.view_as_real(self.model.rotation_tk).clone()
            self._work = torch.compile(self._compute_losses, dynamic=False)
        self._recordings: dict[int, _Recording] = {}

    @staticmethod
    def supports(shape: ModelShape) -> bool:
        """See Engine: transformers. Whether a graph holds the steps of others was not tried."""
        return shape.family == "transformer"

    @property
    def name(self) -> EngineName:
        return "cuda"

    def add_gradient(self, tokens: IntArray, share: float) -> Tensor:
        """See Engine; the loss stays on the device."""
        count = len(tokens)
        if count not in self._recordings:
            self._recordings[count] = self._record(count)
        recording = self._recordings[count]
        recording.tokens_bt.copy_(self._move(tokens), non_blocking=True)
        recording.share.fill_(share)
        return recording.run().clone()

    def _record(self, sequences: int) -> _Recording:
        tokens_bt = torch.zeros((sequences, self._length), dtype=torch.int64, device=self._device)
        share = torch.zeros((), device=self._device)  # 0 while warming up: no gradient is added

        def run() -> Tensor:
            loss = self._work(tokens_bt).mean()
            (loss * share).backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        return _Recording(tokens_bt, share, _capture(run) if self._device == "cuda" else run)


def earns_compilation(run: RunSpec, peak: float) -> bool:
    """Whether compiling a run's step takes less time than it saves within that run.

    Args:
        run: What is trained; the answer depends on nothing that an interruption could change.
        peak: FLOP/s of the device's matrix products.
    """
    return run.flops / (_EAGER_MFU * peak) * _SAVED > _COMPILE_SECONDS


def _capture(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`run` as one launch. Source: torch.cuda.graph's own recipe (side stream, then capture)."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_STEPS):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = run()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def _ask_for_determinism() -> None:
    # cuBLAS reads this at first use. Source: torch.use_deterministic_algorithms.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling is slow and only useful for debugging.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

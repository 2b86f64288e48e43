"""Steps by cpp/fused.cpp: forward, backward and AdamW in a few calls of compiled code."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from scaling.sweep.families.transformer_network import Transformer
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape, TransformerShape
from scaling.training.engines.native import CompilerError, load_library
from scaling.training.engines.protocol import EngineName
from scaling.training.parametrization import build_model, build_optimizer
from scaling.units import FloatArray, IntArray

_SOURCE = Path(__file__).parent / "cpp" / "fused.cpp"
# For evaluation: larger batches do not fit the cache, smaller ones do not fill a row tile.
_ROWS_PER_FORWARD = 1024
_BLOCK = (
    "attention_norm",
    "qk_norm",
    "mlp_norm",
    "qkv.weight",
    "attention_out.weight",
    "mlp_in.weight",
    "mlp_out.weight",
)


class FusedEngine:
    """An Engine whose arithmetic is compiled C++.

    Model and optimiser are torch's, so that states and weights have one form; only the arithmetic
    is done by fused.cpp, on their buffers.

    Args:
        run: The run to train.
        half: Whether products, including attention's, and their stored factors are in bfloat16;
            sums, residual stream, norms, softmax and loss stay float32.

    Raises:
        CompilerError: fused.cpp cannot be compiled here.
    """

    def __init__(self, run: RunSpec, *, sequences: int | None = None, half: bool = False) -> None:
        self._library = _open_library()
        model, shape = build_model(run), run.shape
        assert isinstance(model, Transformer)
        assert isinstance(shape, TransformerShape)
        self.model, self._recipe = model, run.recipe
        self.optimizer = build_optimizer(model, run)
        for group in self.optimizer.adamw.param_groups:
            (flat,) = group["params"]
            self.optimizer.adamw.state[flat] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(flat),
                "exp_avg_sq": torch.zeros_like(flat),
            }
        self._limit = max(
            sequences or run.recipe.batch_sequences, _ROWS_PER_FORWARD // shape.seq_len, 1
        )
        named = dict(self.model.named_parameters())
        blocks = (f"blocks.{at}.{name}" for at in range(shape.n_layers) for name in _BLOCK)
        tensors = [named[name] for name in ("embedding.weight", "norm", *blocks, "head.weight")]
        self._weights = _list_addresses(tensors)
        self._gradients = _list_addresses([_get_gradient(tensor) for tensor in tensors])
        turns = torch.view_as_real(self.model.rotation_tk).contiguous()
        sizes = (shape.vocab_size, shape.seq_len, shape.d_model, shape.n_layers)
        heads = (shape.n_heads, shape.head_size, shape.d_ff, self._limit)
        self._handle = ctypes.c_void_p(
            self._library.scaling_create(
                (ctypes.c_int64 * 8)(*sizes, *heads),
                self.model.blocks[0].residual_multiplier,
                self.model.head_multiplier,
                half,
                turns.data_ptr(),
            )
        )
        if not self._handle:
            raise MemoryError(f"no room for {self._limit} sequences of {shape.seq_len} tokens")

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.scaling_destroy(handle)

    @staticmethod
    def supports(shape: ModelShape) -> bool:
        """True for the models that fused.cpp computes; implements Engine."""
        return shape.family == "transformer"

    @property
    def name(self) -> EngineName:
        return "fused"

    def add_gradient(self, tokens: IntArray, share: float) -> float:
        tokens = self._check(tokens)
        loss: float = self._library.scaling_gradient(
            self._handle, tokens.ctypes.data, len(tokens), share, self._weights, self._gradients
        )
        return loss

    def update(self, multiplier: float) -> float:
        recipe, gradient = self._recipe, self.optimizer.gradient
        norm: float = self._library.scaling_clip(
            gradient.data_ptr(), gradient.numel(), recipe.clip_norm
        )
        for group in self.optimizer.adamw.param_groups:
            (flat,) = group["params"]
            state = self.optimizer.adamw.state[flat]
            state["step"] += 1
            self._library.scaling_adamw(
                flat.data_ptr(),
                flat.grad.data_ptr(),
                state["exp_avg"].data_ptr(),
                state["exp_avg_sq"].data_ptr(),
                flat.numel(),
                group["peak_lr"] * multiplier,
                recipe.beta1,
                recipe.beta2,
                group["eps"],
                group["weight_decay"],
                float(state["step"]),
            )
        return norm

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        tokens = self._check(tokens)
        losses = np.empty((len(tokens), tokens.shape[1] - 1), dtype=np.float32)
        for start in range(0, len(tokens), self._limit):
            part = tokens[start : start + self._limit]
            self._library.scaling_losses(
                self._handle,
                part.ctypes.data,
                len(part),
                self._weights,
                losses[start:].ctypes.data,
            )
        return losses.astype(np.float64)

    def _check(self, tokens: IntArray) -> IntArray:
        """Verify ids, since compiled code trusts its input."""
        length = self.model.rotation_tk.shape[0] + 1
        vocab = self.model.embedding.num_embeddings
        if tokens.ndim != 2 or tokens.shape[1] != length:
            raise ValueError(f"sequences of {length} ids are needed, not {tokens.shape}")
        if tokens.min() < 0 or tokens.max() >= vocab:
            raise IndexError(f"an id is not below the vocabulary's {vocab}")
        return np.ascontiguousarray(tokens, dtype=np.int64)


def _open_library() -> ctypes.CDLL:
    library = load_library(_SOURCE)
    try:
        _declare(library)
    except AttributeError as error:
        name = str(error).rpartition(" ")[2]
        raise CompilerError(f"what the C++ compiler made lacks {name}.") from None
    return library


def _declare(library: ctypes.CDLL) -> None:
    pointer, count, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    library.scaling_create.restype = pointer
    library.scaling_create.argtypes = [pointer, real, real, ctypes.c_bool, pointer]
    library.scaling_destroy.restype = None
    library.scaling_destroy.argtypes = [pointer]
    library.scaling_gradient.restype = real
    library.scaling_gradient.argtypes = [pointer, pointer, count, real, pointer, pointer]
    library.scaling_losses.restype = None
    library.scaling_losses.argtypes = [pointer, pointer, count, pointer, pointer]
    library.scaling_clip.restype = real
    library.scaling_clip.argtypes = [pointer, count, real]
    library.scaling_adamw.restype = None
    library.scaling_adamw.argtypes = [pointer] * 4 + [count] + [ctypes.c_double] * 6


def _list_addresses(tensors: Sequence[torch.Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _get_gradient(parameter: torch.Tensor) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad

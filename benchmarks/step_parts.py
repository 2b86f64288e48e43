"""Parts shared by the benchmarks of a training step: a plain model, a run, a timed loop."""

import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.training.engines.protocol import Engine


class PlainGPT(nn.Module):
    """A plain GPT, as in a first script."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab_size, shape.d_model)
        self.positions = nn.Embedding(shape.seq_len, shape.d_model)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.n_layers))
        self.norm = nn.LayerNorm(shape.d_model)
        self.head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)

    def forward(self, tokens_bt: Tensor) -> Tensor:
        """Logits, shape (b, t, v)."""
        positions = torch.arange(tokens_bt.shape[1], device=tokens_bt.device)
        x = self.tokens(tokens_bt) + self.positions(positions)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class PlainBlock(nn.Module):
    """Attention and MLP with LayerNorm before each."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.heads = shape.n_heads
        self.norm1, self.norm2 = nn.LayerNorm(shape.d_model), nn.LayerNorm(shape.d_model)
        self.qkv = nn.Linear(shape.d_model, 3 * shape.d_attn)
        self.out = nn.Linear(shape.d_attn, shape.d_model)
        self.mlp = nn.Sequential(
            nn.Linear(shape.d_model, shape.d_ff), nn.GELU(), nn.Linear(shape.d_ff, shape.d_model)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x + attention + MLP."""
        b, t, _ = x.shape
        parts = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, -1))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


def make_plain_step(
    shape: ModelShape, device: str, *, autocast: bool = False
) -> Callable[[np.ndarray], None]:
    """Make a training step of PlainGPT with `make_module_step`."""
    return make_module_step(PlainGPT(shape).to(device), device, autocast=autocast)


def make_module_step(
    model: nn.Module, device: str, *, autocast: bool = False
) -> Callable[[np.ndarray], None]:
    """A training step of a module on ids of shape (b, t + 1); with `autocast` bfloat16 and AdamW
    fused, as a first script for a GPU has them."""
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=autocast)

    def step(tokens: np.ndarray) -> None:
        tokens_bt = torch.from_numpy(tokens).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            logits = model(tokens_bt[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens_bt[:, 1:].flatten())
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()

    return step


def make_engine_step(engine: Engine) -> Callable[[np.ndarray], None]:
    """Make a training step of this package's engine."""

    def step(tokens: np.ndarray) -> None:
        engine.add_gradient(tokens, 1.0)
        engine.update(1.0)

    return step


def measure(
    steps: dict[str, Callable[[np.ndarray], None]],
    tokens: np.ndarray,
    *,
    clock: Callable[[], float],
    rounds: int,
    seconds: float,
) -> dict[str, float]:
    """Median seconds a step of each, in alternating rounds of about `seconds`."""
    counts = {}
    for name, step in steps.items():
        step(tokens)
        begun = clock()
        step(tokens)
        counts[name] = max(1, math.ceil(seconds / max(clock() - begun, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = clock()
            for _ in range(counts[name]):
                step(tokens)
            times[name].append((clock() - begun) / counts[name])
    return {name: statistics.median(values) for name, values in times.items()}


def make_run(shape: ModelShape, sequences: int) -> RunSpec:
    """A run of this shape and batch."""
    asked = RecipeSpec(batch_sequences=sequences)
    recipe = decide_recipe(shape, 1000 * sequences * shape.seq_len, asked)
    return RunSpec(shape=shape, recipe=recipe, data_digest="benchmark", seed=0)


def draw_tokens(shape: ModelShape, sequences: int) -> np.ndarray:
    """Random ids, shape (sequences, t + 1)."""
    return np.random.default_rng(0).integers(0, shape.vocab_size, (sequences, shape.seq_len + 1))

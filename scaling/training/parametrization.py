"""A parametrisation under which one learning rate serves every width and depth (CompleteP, α = 1).

With width multiplier m_N = d_model / base_width and depth multiplier m_L = n_layers / base_depth:

    parameter          initial std             learning rate    AdamW ε              weight decay
    embedding          0.3                     η                ε / m_N              0
    norm gains         1 (constant)            η                ε / (m_N · m_L)      0
    hidden matrices    s / sqrt(fan_in)        η / m_N          ε / (m_N · m_L)      λ · m_N
    head               0                       η                ε / m_N              λ

    residual branches × 1/m_L,   logits × 1/m_N.

Which row a parameter has and what starts otherwise, its family says (`parameter_rule`). A
transformer's output projections of each block and its head start at zero, so that a model starts at
the uniform prediction; with `output_scale` o they start at o / sqrt(fan_in). Source: Dey et al.
2025, arXiv:2505.01618, table 1; muP, arXiv:2203.03466. Zero heads and zero output projections:
arXiv:2203.03466, appendix D.2.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scaling.sweep.families.registry import family_of
from scaling.sweep.runspec import RunSpec

# With 1 the embedding learns slowly relative to its size: 2.0 % worse at the reference point
# (docs/decisions/0007-embedding-scale.md).
_EMBEDDING_STD = 0.3


def build_model(run: RunSpec, *, device: str = "cpu", half: bool = False) -> nn.Module:
    """The run's model, initialised from its seed; each tensor has a random stream of its own.

    Args:
        run: What is trained.
        device: Where it lies; numbers are drawn on the CPU, so that they are the same on every one.
        half: Whether factors of products are rounded to bfloat16.
    """
    width, depth = _width_multiplier(run), _depth_multiplier(run)
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(run.seed)  # for parameters that keep their built-in initialisation
        model = family_of(run.shape).build(run.shape, width=width, depth=depth, half=half)
        for name, parameter in model.named_parameters():
            _initialise(name, parameter, run)
    return model.to(device)


@dataclass(frozen=True, slots=True)
class FlatOptimizer:
    """AdamW over one flat buffer: the model's parameters and gradients are views of it.

    At the sizes of a CPU sweep, walking twenty small tensors costs a tenth of a step.

    Attributes:
        adamw: One parameter per row of the table above; `peak_lr` stands in each group.
        gradient: Every gradient of the model, shape (parameters,).
    """

    adamw: torch.optim.AdamW
    gradient: Tensor

    def step(self, multiplier: float, *, clip_norm: float) -> Tensor:
        """Clip, update with learning rates peak_lr · multiplier, zero the gradients.

        Returns:
            The gradient's norm before clipping, a scalar still on the device.
        """
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_(torch.clamp(clip_norm / (norm + 1e-6), max=1.0))
        for group in self.adamw.param_groups:
            group["lr"] = group["peak_lr"] * multiplier
        self.adamw.step()
        self.gradient.zero_()
        return norm


def build_optimizer(model: nn.Module, run: RunSpec) -> FlatOptimizer:
    """The optimiser of `model`, whose parameters and gradients become views of flat buffers."""
    recipe = run.recipe
    width, depth = _width_multiplier(run), _depth_multiplier(run)
    table = {
        "embedding": {"lr": 1.0, "eps": 1 / width, "decay": 0.0},
        "norm": {"lr": 1.0, "eps": 1 / (width * depth), "decay": 0.0},
        "hidden": {"lr": 1 / width, "eps": 1 / (width * depth), "decay": width},
        "head": {"lr": 1.0, "eps": 1 / width, "decay": 1.0},
    }
    members: dict[str, list[nn.Parameter]] = {kind: [] for kind in table}
    rule = family_of(run.shape).parameter_rule
    for name, parameter in model.named_parameters():
        members[rule(name).kind].append(parameter)
    parameters = list(model.parameters())
    size = sum(parameter.numel() for parameter in parameters)
    weights = torch.empty(size, device=parameters[0].device)
    gradient = torch.zeros_like(weights)
    groups: list[dict[str, Any]] = []
    start = 0
    for kind, row in table.items():
        if not members[kind]:  # not every family has every kind
            continue
        end = start + sum(parameter.numel() for parameter in members[kind])
        _move_into(weights[start:end], gradient[start:end], members[kind])
        flat = nn.Parameter(weights[start:end])
        flat.grad = gradient[start:end]
        groups.append(
            {
                "params": [flat],
                "peak_lr": recipe.learning_rate * row["lr"],
                "eps": recipe.epsilon * row["eps"],
                "weight_decay": recipe.weight_decay * row["decay"],
            }
        )
        start = end
    adamw = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), fused=True)
    return FlatOptimizer(adamw, gradient)


def _move_into(weights: Tensor, gradient: Tensor, parameters: list[nn.Parameter]) -> None:
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        weights[start:end] = parameter.detach().flatten()
        parameter.data = weights[start:end].view_as(parameter)
        parameter.grad = gradient[start:end].view_as(parameter)
        start = end


def _initialise(name: str, parameter: Tensor, run: RunSpec) -> None:
    rule = family_of(run.shape).parameter_rule(name)
    if rule.start == "one":
        parameter.fill_(1.0)
    elif rule.start == "zero" and run.recipe.output_scale is None:
        parameter.zero_()
    elif rule.start in ("zero", "drawn"):
        digest = hashlib.sha256(f"{run.seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        std = _EMBEDDING_STD
        if rule.kind != "embedding":
            scale = run.recipe.init_scale if rule.start == "drawn" else run.recipe.output_scale
            assert scale is not None
            std = scale / math.sqrt(parameter.shape[1])
        parameter.normal_(0.0, std, generator=generator)


def _width_multiplier(run: RunSpec) -> float:
    return run.shape.d_model / run.recipe.base_width


def _depth_multiplier(run: RunSpec) -> float:
    return run.shape.n_layers / run.recipe.base_depth

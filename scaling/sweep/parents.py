"""Choose the finished run that another run starts from, its parent.

A parent has the same model as its child: family, vocabulary, context and rung of the ladder. Among
several, the run on the most tokens is chosen; among these, one with the child's seed; among these,
the one with the lowest loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.units import format_count, name_some


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A finished run that kept its weights.

    Attributes:
        run: The run.
        weights: SHA-256 of its weights file.
        loss: Held-out loss on its own text [nats/token].
        flops: C of its training and of all its ancestors [FLOPs].
    """

    run: RunSpec
    weights: str
    loss: float
    flops: int


def choose_parent(parents: Iterable[Parent], shape: ModelShape, seed: int) -> Parent | None:
    """Choose the parent of a run of that shape and seed; None if there is none."""
    return max(
        (one for one in parents if one.run.shape == shape),
        key=lambda one: (one.run.tokens, one.run.seed == seed, -one.loss, one.run.run_id),
        default=None,
    )


def name_models(parents: Iterable[Parent]) -> str:
    """Name the models of the parents, for a message."""
    shapes = sorted({one.run.shape for one in parents}, key=count_matmul_params)
    return name_some([name_model(one) for one in shapes]) if shapes else "none"


def name_model(shape: ModelShape) -> str:
    """Name a model by N, width, depth and context."""
    params = format_count(count_matmul_params(shape))
    return f"{params} ({shape.d_model}×{shape.n_layers}, context {shape.seq_len})"

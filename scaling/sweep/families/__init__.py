"""Families of models: interchangeable siblings behind one protocol.

A family says all that the plan, the counters and the trainer need to know of its models: which
there are (the ladder), what they count and cost, how they are named, and how one is built. Adding
one is its file and one line of `registry.py`. Counts, FLOPs and memory are closed forms written by
hand, so that a plan needs no torch: only `build` may import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from scaling.sweep.shapes import ModelShape
from scaling.units import Precision

if TYPE_CHECKING:
    from torch import nn

# FLOPs per parameter and token of a matrix product: 2 forward, 4 backward.
FLOPS_PER_PARAM_TOKEN = 6

ShapeT = TypeVar("ShapeT", bound=ModelShape)
ParameterKind = Literal["embedding", "norm", "hidden", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Parameters of one model by convention.

    Attributes:
        matmul: In matrix products, the head among them; no lookup table.
        non_embedding: All but the lookup embedding and the head.
        total: All that are stored.
    """

    matmul: int
    non_embedding: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeWords:
    """A model in words: in a table, in a line of text, in full."""

    label: str
    line: str
    full: str


def say_layers(shape: ModelShape) -> str:
    """How many layers it has, in words."""
    return f"{shape.n_layers} layer{'s' if shape.n_layers > 1 else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePoint:
    """Where a family's recipe was calibrated; every rule passes through it.

    Attributes:
        width, depth: Shape at which `learning_rate` holds unscaled.
        tokens: D0.
        batch_tokens: B0 [tokens per step].
        learning_rate: η0.
        init_scale: s of the table in `training/parametrization.py`: std of hidden matrices times
            sqrt(fan_in).
    """

    width: int
    depth: int
    tokens: float
    batch_tokens: float
    learning_rate: float
    init_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRule:
    """How one parameter is trained and how it starts.

    Attributes:
        kind: Its row in the table of `training/parametrization.py`: rate, AdamW's ε, decay.
        start: `drawn` from a normal distribution, `zero`, `one`, or `as_built`: as `build` left it.
    """

    kind: ParameterKind
    start: Literal["drawn", "zero", "one", "as_built"] = "drawn"


class ModelFamily(Protocol[ShapeT]):
    """One family of models.

    Attributes:
        name: In sweep files, and in the shape of every run of it.
        shape: Class of its shapes.
        settings: Keys of `model` in a sweep file, beside the context, that its ladder follows from;
            its shapes have attributes of the same names, but for `layers`, the depth of every size
            where a file fixes it.
        reference: Where its recipe was calibrated.
        halved: What mixed precision computes in bfloat16, in words.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> type[ShapeT]: ...
    @property
    def settings(self) -> tuple[str, ...]: ...
    @property
    def reference(self) -> ReferencePoint: ...
    @property
    def halved(self) -> str: ...

    def iterate_ladder(
        self, vocab_size: int, seq_len: int, settings: Mapping[str, Any]
    ) -> Iterator[ShapeT]:
        """The models that a sweep may build, in ascending N (matmul), without end; neighbours are
        at most ×3 apart (a list of models that a sweep file gives has an end, and any gaps).
        Depends on nothing else: sweeps that share these share their rungs.

        Args:
            vocab_size, seq_len: Vocabulary and context of the sweep.
            settings: Values of `settings`; one that is left out has its default.
        """
        ...

    def counts(self, shape: ShapeT) -> Counts:
        """Parameters by every convention."""
        ...

    def flops_per_token(self, shape: ShapeT, *, head_flops: bool = True) -> int:
        """Training FLOPs per token, forward and backward.

        Args:
            shape: The model.
            head_flops: Whether the head's products count.
        """
        ...

    def activation_bytes(
        self, shape: ShapeT, tokens: int, *, device: Literal["cpu", "cuda"], precision: Precision
    ) -> int:
        """Bytes kept for the backward pass over so many tokens, rounded up, logits left out."""
        ...

    def words(self, shape: ShapeT) -> ShapeWords:
        """The model in words."""
        ...

    def build(self, shape: ShapeT, *, width: float, depth: float, half: bool) -> nn.Module:
        """The network: token ids, shape (b, t), to logits of the next token, shape (b, t, v).

        Its parameters are then set as `parameter_rule` says of each.

        Args:
            shape: The model.
            width, depth: Multiples of the recipe's base width and depth, by which residual branches
                and logits are scaled (`training/parametrization.py`).
            half: Whether factors of products are rounded to bfloat16.
        """
        ...

    def parameter_rule(self, name: str) -> ParameterRule:
        """How the parameter of that name in the built network is trained and starts."""
        ...

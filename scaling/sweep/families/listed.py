"""Models that a sweep file lists for a user's own trainer: the list is the ladder.

Counts and costs of such a model are those stated in the file, under every convention: it states one
number, and the dimensions for another count are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from scaling.errors import UsageError
from scaling.sweep.families import Counts, ParameterRule, ShapeWords
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.shapes import NamedModel
from scaling.units import Precision

if TYPE_CHECKING:
    from torch import nn


class ListedFamily:
    """The family; it has no state. Its ladder is the setting `models`."""

    name = "listed"
    shape = NamedModel
    settings = ()
    halved = ""
    reference = TRANSFORMER.reference  # starting point if a recipe is asked for

    def iterate_ladder(
        self, vocab_size: int, seq_len: int, settings: Mapping[str, Any]
    ) -> Iterator[NamedModel]:
        """The listed models; neighbours may be far apart."""
        models: tuple[NamedModel, ...] = settings.get("models", ())
        return iter(sorted(models, key=lambda one: (one.params, one.name)))

    def counts(self, shape: NamedModel) -> Counts:
        """The stated N, under every convention."""
        return Counts(matmul=shape.params, non_embedding=shape.params, total=shape.params)

    def flops_per_token(self, shape: NamedModel, *, head_flops: bool = True) -> int:
        """FLOPs as stated, since the head's share is unknown."""
        return shape.training_flops

    def activation_bytes(
        self,
        shape: NamedModel,
        tokens: int,
        *,
        device: Literal["cpu", "cuda"],
        precision: Precision,
    ) -> int:
        """0, as it is unknown."""
        return 0

    def words(self, shape: NamedModel) -> ShapeWords:
        return ShapeWords(label=shape.name, line=shape.name, full=shape.name)

    def build(self, shape: NamedModel, *, width: float, depth: float, half: bool) -> nn.Module:
        """See ModelFamily.

        Raises:
            UsageError: Always: only its own trainer can build it.
        """
        raise UsageError(f"model {shape.name} is built by its own trainer alone.")

    def parameter_rule(self, name: str) -> ParameterRule:
        return ParameterRule(kind="hidden", start="as_built")


LISTED = ListedFamily()

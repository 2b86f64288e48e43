"""The key grid of a sweep file: which (N, D) are asked for.

A grid is a class and a line of GRIDS; the keys of a mapping decide which grid it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.fields import (
    LARGEST_BUDGET,
    Count,
    Params,
    Positive,
    Share,
    SpecModel,
    distinct,
    refuse,
)
from scaling.sweep.ladder import LARGEST_PARAMS
from scaling.sweep.shapes import ModelShape
from scaling.sweep.wishes import Wish, choose_rungs, find_rung
from scaling.units import format_count, format_flops


class PriorSpec(SpecModel):
    """The expected optimum N*(C) = params · (C / flops)^exponent that an IsoFLOP grid is
    centred on."""

    params: Params = Field(20_000, description="N* expected at `flops` [matmul parameters]")
    flops: Positive = Field(1e11, description="budget at which `params` is expected [FLOP]")
    exponent: Share = Field(0.5, description="how N* is expected to grow with C")

    def expect_params(self, budget: float) -> float:
        """N* expected at `budget` [matmul parameters]; 0 or infinite beyond float64."""
        return float(self.params * (budget / self.flops) ** self.exponent)


class Grid(SpecModel):
    """The interface of every grid.

    Attributes:
        heading: Heading of its section in docs/sweep-file.md.
    """

    heading: ClassVar[str]

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        """Return whether a mapping with these keys is meant as this grid."""
        raise NotImplementedError

    def count(self) -> int:
        """Number of cells that the grid asks for."""
        raise NotImplementedError

    def find_largest(self) -> float:
        """Largest N that the grid asks for [matmul parameters]."""
        raise NotImplementedError

    def list_wishes(self, ladder: Sequence[ModelShape]) -> Iterator[Wish]:
        """Yield the rungs nearest to the sizes asked for, each with its D."""
        raise NotImplementedError

    def limits_text(self) -> bool:
        """Return whether a run of the grid may see only part of the training text."""
        return False


class IsoflopGrid(Grid):
    """For each budget, `sizes` rungs of the ladder within ×`span` of the expected optimum."""

    heading = "grid: {budgets, sizes, span, prior}"

    budgets: Annotated[
        tuple[Positive, ...], Field(strict=False, min_length=1), distinct("budget")
    ] = Field(description="training FLOPs of each IsoFLOP curve")
    sizes: Annotated[Count, Field(ge=1, le=99)] = Field(5, description="models per budget")
    span: Annotated[float, Field(strict=True, gt=1, le=1024, lt=LARGEST_BUDGET)] = Field(
        4.0, description="largest distance from the expected optimum, as a factor of N"
    )
    prior: PriorSpec = Field(PriorSpec(), description="the expected optimum")

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        return True  # the default when no other grid matches

    @model_validator(mode="after")
    def _sizes_can_be_built(self) -> Self:
        for index, budget in enumerate(self.budgets):
            params = self.prior.expect_params(budget)
            if not 1 <= params <= LARGEST_PARAMS / self.span:
                refuse(
                    f"at {format_flops(budget)} FLOPs the prior expects an optimum of "
                    f"{format_count(params)} parameters; a grid can be built around 1 to "
                    f"{format_count(LARGEST_PARAMS / self.span)} (×{self.span:g} above it). Change "
                    "the budget or the prior.",
                    "budgets",
                    index,
                )
        return self

    def count(self) -> int:
        return len(self.budgets) * self.sizes

    def find_largest(self) -> float:
        return max(self.prior.expect_params(budget) for budget in self.budgets) * self.span

    def list_wishes(self, ladder: Sequence[ModelShape]) -> Iterator[Wish]:
        for budget in self.budgets:
            centre = self.prior.expect_params(budget)
            for shape in choose_rungs(ladder, centre, sizes=self.sizes, span=self.span):
                tokens = budget / count_flops_per_token(shape)
                yield Wish(shape=shape, tokens=tokens, budget=budget)


class SizesGrid(Grid):
    """A grid of listed model sizes, each with the same list of something else."""

    params: Annotated[tuple[Params, ...], Field(strict=False, min_length=1)] = Field(
        description="desired N [matmul parameters]; the nearest rung of the ladder is built"
    )

    def find_largest(self) -> float:
        return max(self.params)

    def list_wishes(self, ladder: Sequence[ModelShape]) -> Iterator[Wish]:
        for size in self.params:
            yield from self.list_of_size(find_rung(ladder, size))

    def list_of_size(self, shape: ModelShape) -> Iterator[Wish]:
        """Yield what one size is asked for."""
        raise NotImplementedError


class ProductGrid(SizesGrid):
    """Every combination of model sizes and token counts."""

    heading = "grid: {params, tokens}"

    tokens: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        description="D [tokens]"
    )

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        return "budgets" not in keys and bool(keys & {"params", "tokens"})

    def count(self) -> int:
        return len(self.params) * len(self.tokens)

    def list_of_size(self, shape: ModelShape) -> Iterator[Wish]:
        return (Wish(shape=shape, tokens=count) for count in self.tokens)


class RatioGrid(SizesGrid):
    """Every combination of model sizes and tokens per parameter."""

    heading = "grid: {params, tokens_per_param}"

    tokens_per_param: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        description="D / N"
    )

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        return "tokens_per_param" in keys

    def count(self) -> int:
        return len(self.params) * len(self.tokens_per_param)

    def list_of_size(self, shape: ModelShape) -> Iterator[Wish]:
        params = count_matmul_params(shape)
        return (Wish(shape=shape, tokens=ratio * params) for ratio in self.tokens_per_param)


class EpochGrid(SizesGrid):
    """Every combination of model sizes, amounts of text and passes over it: D = epochs · U."""

    heading = "grid: {params, unique_tokens, epochs, max_tokens}"

    unique_tokens: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        description="U: tokens of the training text that a run may see; less text is part of more"
    )
    epochs: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        (1.0,), description="passes over those tokens; corpus.max_epochs does not limit them"
    )
    max_tokens: Positive | None = Field(
        None, description="leaves out cells with a larger D, but for those of the fewest passes"
    )

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        return bool(keys & {"unique_tokens", "epochs"})

    def count(self) -> int:
        return len(self.params) * sum(1 for _ in self._list_texts())

    def list_of_size(self, shape: ModelShape) -> Iterator[Wish]:
        for unique, tokens in self._list_texts():
            yield Wish(shape=shape, tokens=tokens, unique_tokens=unique)

    def limits_text(self) -> bool:
        return True

    def _list_texts(self) -> Iterator[tuple[int, float]]:
        """(U, D) that every size is asked for."""
        few, most = min(self.epochs), self.max_tokens or LARGEST_BUDGET
        for unique in self.unique_tokens:
            for epochs in self.epochs:
                if epochs == few or epochs * unique <= most:
                    yield unique, epochs * unique


class CellSpec(SpecModel):
    """One (N, D), or one (N, U, D)."""

    params: Params = Field(description="desired N [matmul parameters]")
    tokens: Positive = Field(description="D [tokens]")
    unique_tokens: Count | None = Field(
        None, description="U: tokens of the training text that the run may see; all if not given"
    )

    def make_wish(self, ladder: Sequence[ModelShape], *, extra: bool = False) -> Wish:
        """The rung nearest to N, with D and U; `extra` as in Wish."""
        shape, unique = find_rung(ladder, self.params), self.unique_tokens
        return Wish(shape=shape, tokens=self.tokens, unique_tokens=unique, extra=extra)


class CellGrid(Grid):
    """An explicit list of cells."""

    heading = "grid: {cells: [{params, tokens}, ...]}"

    cells: Annotated[tuple[CellSpec, ...], Field(strict=False, min_length=1)] = Field(
        description="each {params, tokens}, or {params, tokens, unique_tokens}"
    )

    @classmethod
    def matches(cls, keys: set[str]) -> bool:
        return "cells" in keys

    def count(self) -> int:
        return len(self.cells)

    def find_largest(self) -> float:
        return max(cell.params for cell in self.cells)

    def list_wishes(self, ladder: Sequence[ModelShape]) -> Iterator[Wish]:
        return (cell.make_wish(ladder) for cell in self.cells)

    def limits_text(self) -> bool:
        return any(cell.unique_tokens is not None for cell in self.cells)


# In the order of docs/sweep-file.md; if several match, the last one wins.
GRIDS: list[type[Grid]] = [IsoflopGrid, ProductGrid, RatioGrid, EpochGrid, CellGrid]


def choose_grid(value: object) -> type[Grid]:
    """Choose the grid that a value of a sweep file is meant as."""
    keys = set(value) if isinstance(value, dict) else set()
    return next(kind for kind in reversed(GRIDS) if kind.matches(keys))


class _AnyGrid:
    """Annotation of a Grid that validates as whichever of GRIDS is meant."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kinds = {kind.__name__: kind.__pydantic_core_schema__ for kind in GRIDS}
        return handler(core_schema.tagged_union_schema(kinds, lambda grid: type(grid).__name__))

    def _read(self, value: object) -> Grid:
        return value if isinstance(value, Grid) else choose_grid(value).model_validate(value)


AnyGrid = Annotated[Grid, _AnyGrid()]

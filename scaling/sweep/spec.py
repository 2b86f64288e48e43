"""A sweep file -> SweepSpec. With strict_yaml.py the only file that knows YAML or pydantic.

Every problem of a file is found at once; each is reported as

    file:line:column: path.in.the.spec: what is wrong, what was seen. What to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from scaling.errors import SpecError
from scaling.sweep.shapes import LARGEST_PARAMS, MAX_SEQ_LEN, MIN_SEQ_LEN
from scaling.sweep.strict_yaml import MAX_BYTES, KeyPath, YamlDocument, parse_yaml
from scaling.sweep.tokenizer_names import TOKENIZER_FORMS, TOKENIZER_PATTERN, find_name_problem
from scaling.units import format_count, format_flops
from scaling.units.numbers import NumberError, read_number

_Number = TypeVar("_Number", int, float)

CorpusSource = Literal[
    "novels", "python-stdlib", "text", "jsonl", "parquet", "hf", "shards", "synthetic"
]

MAX_CELLS = 10_000
LARGEST_BUDGET = 1e40  # of D and C: far beyond any training run, far inside float64
# Largest share of the steps that the recipe's own rules take: 20 steps of 200, 200 of 400.
_DEFAULT_WARMUP, _DEFAULT_DECAY = 0.1, 0.5


def _read_amount(value: Any) -> Any:
    """`70M`, `10^21` and `1,000,000` are numbers; what may be two is refused with both readings."""
    if not isinstance(value, str):
        return value
    try:
        return read_number(value)
    except NumberError as error:
        if "," in str(error):
            raise PydanticCustomError("number", "{why}.", {"why": str(error)}) from None
        return value


def _read_count(value: Any) -> Any:
    """`1e6` is a count; `2.5` and `true` are not."""
    value = _read_amount(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


Count = Annotated[int, BeforeValidator(_read_count), Field(strict=True, ge=1, lt=2**63)]
Seed = Annotated[int, BeforeValidator(_read_count), Field(strict=True, ge=0, lt=2**32)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Positive = Annotated[
    float,
    Field(strict=True, gt=0, lt=LARGEST_BUDGET, allow_inf_nan=False),
    BeforeValidator(_read_amount),
]
Params = Annotated[
    float,
    Field(strict=True, gt=0, le=LARGEST_PARAMS, allow_inf_nan=False),
    BeforeValidator(_read_amount),
]
Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
GpuShare = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
AskedPrecision = Annotated[
    Literal["auto", "float32", "mixed"],
    BeforeValidator(lambda value: "float32" if value == "fp32" else value),
    WithJsonSchema({"enum": ["auto", "float32", "fp32", "mixed"], "type": "string"}),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _read_tokenizers(value: Any) -> Any:
    """One name is a list of one."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise PydanticCustomError("tokenizer", TOKENIZER_FORMS)
    for index, name in enumerate(names):
        reason = find_name_problem(name)
        if reason:
            at = () if isinstance(value, str) else (index,)
            raise PydanticCustomError("tokenizer", "{reason}", {"reason": reason, "at": at})
    return tuple(_refuse_doubles(tuple(names), "tokenizer"))


_ONE_TOKENIZER = {"type": "string", "pattern": TOKENIZER_PATTERN}
_ANY_TOKENIZERS = {
    "anyOf": [_ONE_TOKENIZER, {"type": "array", "items": _ONE_TOKENIZER, "minItems": 1}]
}
Tokenizers = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_tokenizers),
    WithJsonSchema(_ANY_TOKENIZERS),
]
Paths = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]

# Keys of a corpus that mean something for some sources only.
_KEYS_OF_SOURCES: dict[str, tuple[str, ...]] = {
    "paths": ("text", "jsonl", "parquet", "hf", "shards"),
    "field": ("jsonl", "parquet", "hf"),
    "tokenizer": ("novels", "python-stdlib", "text", "jsonl", "parquet", "hf"),
    "held_out": ("shards",),
    "vocab_size": ("shards",),
    "header": ("shards",),
    "separator": ("shards",),
    "bytes_per_token": ("shards",),
    "tokens": ("synthetic",),
    "seed": ("synthetic",),
}
_NEEDED = ("paths", "held_out", "vocab_size", "tokens")


class CorpusSpec(_Model):
    """Where the text comes from and how it becomes tokens."""

    source: CorpusSource = Field(
        description="`novels`, `python-stdlib` and `synthetic` need no files; `text`, `jsonl`, "
        "`parquet`, `hf` (a folder of `save_to_disk`) and `shards` (tokens, `.bin`) read `paths`"
    )
    paths: Paths = Field((), description="files, folders or globs, relative to the sweep file")
    field: str = Field("text", description="key or column of the text in `jsonl`, `parquet`, `hf`")
    tokenizer: Tokenizers = Field(
        ("bytes",),
        description="`bytes`, `characters`, `bpe:N`, `words:N`, `words+space:N` (N tokens in all); "
        "a list makes one sweep of each",
    )
    max_epochs: Positive = Field(
        4.0,
        description="cells that would pass over the text more often are rejected; `synthetic`: 1",
    )
    held_out: Paths = Field((), description="`shards`: files to evaluate on")
    vocab_size: Annotated[Count, Field(le=2**31)] | None = Field(
        None, description="`shards`: ids are below it"
    )
    header: Literal["none", "llm.c"] = Field(
        "none", description="`shards`: `none` is nanoGPT's uint16, `llm.c` begins with 256 int32"
    )
    separator: Annotated[int, BeforeValidator(_read_count), Field(ge=0)] | None = Field(
        None, description="`shards`: id that ends a document; without one, blocks are documents"
    )
    bytes_per_token: Positive | None = Field(
        None, description="`shards`: of the held-out text; without it, no bits per byte"
    )
    tokens: Annotated[Count, Field(ge=10_000, le=2**34)] | None = Field(
        None, description="`synthetic`: how many are made to train on; none is seen twice"
    )
    seed: Seed = Field(0, description="`synthetic`: of the source and its tokens")

    @property
    def epochs_allowed(self) -> float:
        """Passes over the training tokens that a cell may make."""
        return min(1.0, self.max_epochs) if self.source == "synthetic" else self.max_epochs

    @model_validator(mode="after")
    def _keys_fit_source(self) -> Self:
        for key, sources in _KEYS_OF_SOURCES.items():
            if key in self.model_fields_set and self.source not in sources:
                raise PydanticCustomError(
                    "source_key",
                    "source {source} takes no {key}. Remove it.",
                    {"source": self.source, "key": key, "at": (key,)},
                )
            if key in _NEEDED and self.source in sources and not getattr(self, key):
                raise PydanticCustomError(
                    "source_key",
                    "source {source} needs {key}. Add it.",
                    {"source": self.source, "key": key},
                )
        return self


class ModelSpec(_Model):
    """What is trained; sizes are rungs of one fixed ladder."""

    family: Literal["transformer"] = Field("transformer", description="decoder-only")
    seq_len: Annotated[Count, Field(ge=MIN_SEQ_LEN, le=MAX_SEQ_LEN)] = Field(
        128, description="tokens [context]"
    )
    context_bytes: Annotated[Count, Field(ge=MIN_SEQ_LEN, le=2**24)] | None = Field(
        None, description="bytes of text [context], in place of seq_len: the same for any tokenizer"
    )
    head_size: Annotated[Count, Field(ge=4, le=256, multiple_of=2)] = Field(
        16, description="width of one attention head; the ladder's width steps by half of it"
    )

    @model_validator(mode="after")
    def _one_context(self) -> Self:
        if self.context_bytes is not None and "seq_len" in self.model_fields_set:
            raise PydanticCustomError(
                "context",
                "seq_len (tokens) and context_bytes are two contexts. Remove one of them.",
                {"at": ("seq_len",)},
            )
        return self


class PriorSpec(_Model):
    """The expected optimum N*(C) = params · (C / flops)^exponent that an IsoFLOP grid is
    centred on."""

    params: Params = Field(20_000, description="N* expected at `flops` [matmul parameters]")
    flops: Positive = Field(1e11, description="budget at which `params` is expected [FLOP]")
    exponent: Share = Field(0.5, description="how N* is expected to grow with C")

    def expect_params(self, budget: float) -> float:
        """N* expected at `budget` [matmul parameters]; 0 or infinite beyond float64."""
        return float(self.params * (budget / self.flops) ** self.exponent)


class IsoflopGrid(_Model):
    """For each budget, `sizes` rungs of the ladder within ×`span` of the expected optimum."""

    budgets: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        description="training FLOPs of each IsoFLOP curve"
    )
    sizes: Annotated[Count, Field(ge=1, le=99)] = Field(5, description="models per budget")
    span: Annotated[float, Field(strict=True, gt=1, le=1024, lt=LARGEST_BUDGET)] = Field(
        4.0, description="largest distance from the expected optimum, as a factor of N"
    )
    prior: PriorSpec = Field(PriorSpec(), description="the expected optimum")

    @field_validator("budgets")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return _refuse_doubles(value, "budget")

    @model_validator(mode="after")
    def _sizes_can_be_built(self) -> Self:
        for index, budget in enumerate(self.budgets):
            params = self.prior.expect_params(budget)
            if not 1 <= params <= LARGEST_PARAMS / self.span:
                raise PydanticCustomError(
                    "beyond_ladder",
                    "at {budget} FLOPs the prior expects an optimum of {params} parameters; a grid "
                    "can be built around 1 to {most} (×{span} above it). Change the budget or "
                    "the prior.",
                    {
                        "budget": format_flops(budget),
                        "params": format_count(params),
                        "most": format_count(LARGEST_PARAMS / self.span),
                        "span": f"{self.span:g}",
                        "at": ("budgets", index),
                    },
                )
        return self


class ProductGrid(_Model):
    """Every combination of model sizes and token counts."""

    params: Annotated[tuple[Params, ...], Field(strict=False, min_length=1)] = Field(
        description="wished-for N [matmul parameters]; the nearest rung is built"
    )
    tokens: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        description="D [tokens]"
    )


class RatioGrid(_Model):
    """Every combination of model sizes and tokens per parameter."""

    params: Annotated[tuple[Params, ...], Field(strict=False, min_length=1)] = Field(
        description="wished-for N [matmul parameters]; the nearest rung is built"
    )
    tokens_per_param: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1)] = Field(
        description="D / N"
    )


class CellSpec(_Model):
    """One (N, D)."""

    params: Params = Field(description="wished-for N [matmul parameters]")
    tokens: Positive = Field(description="D [tokens]")


class CellGrid(_Model):
    """An explicit list of cells."""

    cells: Annotated[tuple[CellSpec, ...], Field(strict=False, min_length=1)] = Field(
        description="each {params, tokens}"
    )


def _kind_of_grid(value: Any) -> str:
    keys = set(value) if isinstance(value, dict) else {type(value).__name__}
    if "cells" in keys or "CellGrid" in keys:
        return "cells"
    if "tokens_per_param" in keys or "RatioGrid" in keys:
        return "ratio"
    if "budgets" not in keys and (keys & {"params", "tokens", "ProductGrid"}):
        return "product"
    return "isoflop"


GridSpec = Annotated[
    Annotated[IsoflopGrid, Tag("isoflop")]
    | Annotated[ProductGrid, Tag("product")]
    | Annotated[RatioGrid, Tag("ratio")]
    | Annotated[CellGrid, Tag("cells")],
    Discriminator(_kind_of_grid),
]
_OF_A_KEY = "[key]"  # what pydantic calls the key of a mapping, beside its value
_GRID_TAGS = frozenset({"isoflop", "product", "ratio", "cells"})


class RecipeSpec(_Model):
    """Hyperparameters to hold fixed; what is not set is decided by the recipe rules per cell."""

    learning_rate: Positive | None = Field(None, description="peak, at the base width and depth")
    batch_sequences: Count | None = Field(None, description="sequences per optimiser step")
    base_width: Count | None = Field(None, description="width at which learning_rate holds")
    base_depth: Count | None = Field(None, description="depth at which learning_rate holds")
    warmup_fraction: Share | None = Field(None, description="of all steps")
    warmup_tokens: Positive | None = Field(
        None, description="the same in every run, up to its decay; in place of warmup_fraction"
    )
    decay_fraction: Share | None = Field(None, description="of all steps, to zero as 1 − sqrt")
    beta1: Share | None = Field(None, description="AdamW's momentum")
    beta2: Share | None = Field(None, description="AdamW's memory of squared gradients")
    epsilon: Positive | None = Field(None, description="AdamW's, at the base width")
    weight_decay: Annotated[float, Field(strict=True, ge=0, lt=1e6)] | None = Field(
        None, description="decoupled; not on norms and embeddings"
    )
    clip_norm: Positive | None = Field(None, description="global gradient norm")
    init_scale: Positive | None = Field(None, description="hidden std · sqrt(fan_in)")

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        self.check_schedule(())
        return self

    def check_schedule(self, at: KeyPath) -> None:
        """Refuse a warmup and a decay that cannot both be.

        Args:
            at: Where in the file this recipe stands, below what is being validated.
        """
        if self.warmup_fraction is not None and self.warmup_tokens is not None:
            raise PydanticCustomError(
                "schedule",
                "warmup_fraction and warmup_tokens are two warmups. Remove one of them.",
                {"at": (*at, "warmup_tokens")},
            )
        if self.warmup_tokens is not None:
            return  # it ends where the decay begins, at the latest
        warmup = _DEFAULT_WARMUP if self.warmup_fraction is None else self.warmup_fraction
        decay = _DEFAULT_DECAY if self.decay_fraction is None else self.decay_fraction
        if warmup + decay >= 1 - 1e-9:  # .7 + .3 is 1, whatever the last bit says
            culprit = "warmup_fraction" if self.decay_fraction is None else "decay_fraction"
            raise PydanticCustomError(
                "schedule",
                "warmup_fraction {warmup} and decay_fraction {decay} leave no step at the full "
                "rate. Make their sum less than 1.",
                {
                    "warmup": _name_share(self.warmup_fraction, _DEFAULT_WARMUP),
                    "decay": _name_share(self.decay_fraction, _DEFAULT_DECAY),
                    "at": (*at, culprit),
                },
            )

    def override(self, other: RecipeSpec) -> RecipeSpec:
        """This recipe with every key that `other` sets; null gives a key back to the rules."""
        given = {name: getattr(other, name) for name in other.model_fields_set}
        return self.model_copy(update=given)


class ScheduleSpec(_Model):
    """Whether runs of one model share their constant phase."""

    trunk: bool = Field(
        False,
        description="train one trunk per model and seed; every D is a cooldown that leaves it",
    )
    trunk_tokens_per_param: Positive = Field(
        20.0, description="D / N at which a trunk's batch, learning rate and warmup are decided"
    )


class ResourcesSpec(_Model):
    """What one run may use."""

    cpus_per_run: Annotated[Count, Field(le=4096)] = Field(
        1, description="CPUs reserved per run; a run computes with one thread"
    )
    time_limit: Positive | None = Field(
        None, description="seconds that an attempt of a run may take; it then counts as failed"
    )
    stall_limit: Positive = Field(
        600.0, description="seconds without a sign of life after which a worker is ended as hung"
    )
    gpus_per_run: GpuShare | None = Field(
        None,
        description="share of a GPU, and of its memory, reserved per run; 0.25: four runs on each. "
        "Not set: runs are computed on the processor",
    )
    precision: AskedPrecision = Field(
        "auto",
        description="`mixed`: products in bfloat16, sums and the rest in float32; `float32` or "
        "`fp32` forbids it; `auto`: as the sweep's results were computed, or what is faster here",
    )


class SweepSpec(_Model):
    """What the user asks: grid × model × recipe × data × seeds × resources."""

    name: Name = Field(description="folder of results and report: a-z, 0-9, - and _, at most 64")
    corpus: CorpusSpec
    model: ModelSpec = ModelSpec()
    grid: GridSpec
    extra_cells: Annotated[tuple[CellSpec, ...], Field(strict=False)] = Field(
        (), description="more cells, each {params, tokens}; `scaling suggest` writes them"
    )
    recipe: RecipeSpec = RecipeSpec()
    recipes: dict[Name, RecipeSpec] = Field(
        {},
        description="several recipes by name, each {keys of `recipe`} beside what `recipe` sets; "
        "one sweep of each, and a comparison",
        json_schema_extra={"additionalProperties": False},
    )
    schedule: ScheduleSpec = ScheduleSpec()
    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)] = Field(
        (0,), description="every cell is trained once per seed"
    )
    replicates: Annotated[int, BeforeValidator(_read_count), Field(ge=0, le=MAX_CELLS)] = Field(
        0, description="cells trained again with another seed: they measure the noise"
    )
    bracket: bool = Field(
        False, description="train other learning rates and batches at three corners of the grid"
    )
    resources: ResourcesSpec = ResourcesSpec()
    forecast: Annotated[tuple[Positive, ...], Field(strict=False)] = Field(
        (), description="budgets the report answers for [FLOP]"
    )
    keep_weights: bool = Field(True, description="keep each run's final weights")

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _refuse_doubles(value, "seed")

    @model_validator(mode="after")
    def _context_fits_corpus(self) -> Self:
        if len(self.corpus.tokenizer) > 1 and self.model.context_bytes is None:
            raise PydanticCustomError(
                "context",
                "tokenizers are compared at equal context in bytes. Set model.context_bytes, e.g. "
                "128, in place of seq_len.",
                {"at": ("corpus", "tokenizer")},
            )
        tokens_only = self.corpus.source == "synthetic" or (
            self.corpus.source == "shards" and self.corpus.bytes_per_token is None
        )
        if self.model.context_bytes is not None and tokens_only:
            raise PydanticCustomError(
                "context",
                "the bytes behind the tokens of source {source} are not known. Set seq_len.",
                {"source": self.corpus.source, "at": ("model", "context_bytes")},
            )
        return self

    @model_validator(mode="after")
    def _recipes_compare(self) -> Self:
        if len(self.recipes) == 1:
            raise PydanticCustomError(
                "recipes",
                "one recipe is nothing to compare. Write its keys under recipe, or name another.",
                {"at": ("recipes",)},
            )
        if self.recipes and len(self.corpus.tokenizer) > 1:
            raise PydanticCustomError(
                "recipes",
                "recipes and tokenizers are compared one after the other. Name one tokenizer, or "
                "no recipes.",
                {"at": ("recipes",)},
            )
        for name, recipe in self.recipes.items():
            self.recipe.override(recipe).check_schedule(("recipes", name))
        return self

    @model_validator(mode="after")
    def _countable(self) -> Self:
        cells = count_cells(self)
        if cells > MAX_CELLS:
            raise PydanticCustomError(
                "cells",
                "the grid asks for {cells} cells; at most {most} are planned.",
                {"cells": cells, "most": MAX_CELLS},
            )
        return self


def count_cells(spec: SweepSpec) -> int:
    """Cells the grid asks for, by arithmetic alone."""
    match spec.grid:
        case IsoflopGrid(budgets=budgets, sizes=sizes):
            cells = len(budgets) * sizes
        case ProductGrid(params=params, tokens=tokens):
            cells = len(params) * len(tokens)
        case RatioGrid(params=params, tokens_per_param=ratios):
            cells = len(params) * len(ratios)
        case CellGrid(cells=listed):
            cells = len(listed)
    return (cells + len(spec.extra_cells)) * len(spec.seeds) + spec.replicates


def load_sweep(path: Path) -> SweepSpec:
    """Read and check a sweep file.

    Raises:
        SpecError: With every problem of the file.
    """
    try:
        if not path.is_file():  # a folder, a FIFO or nothing
            kind = "a folder" if path.is_dir() else "not a file" if path.exists() else "not there"
            raise SpecError([f"{path}: {kind}. Name a sweep file, e.g. sweeps/quickstart.yaml."])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([f"{path}: cannot be read ({error.strerror})."]) from error
    return parse_sweep(content, source=str(path))


def parse_sweep(content: bytes, *, source: str) -> SweepSpec:
    """The SweepSpec in the bytes of a sweep file; `source` names it in messages.

    Raises:
        SpecError: With every problem of the file.
    """
    document = parse_yaml(content)
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        if not problems:
            seen = "nothing" if document.value is None else type(document.value).__name__
            sentence = f"a sweep file is a mapping (name:, corpus:, grid:), this holds {seen}."
            problems.append((1, 1, sentence))
        raise SpecError(_format(problems, source))
    refused = {(line, column) for line, column, _ in problems}
    try:
        spec = SweepSpec.model_validate(document.value)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            if details["type"] == "too_short" and details["input"]:
                continue  # pydantic counts valid items only; the invalid ones are listed
            place, sentence = _explain(details, document)
            if place not in refused:  # already refused by the reader: one sentence is enough
                problems.append((*place, sentence))
        raise SpecError(_format(problems, source)) from None
    if problems:
        raise SpecError(_format(problems, source))
    return spec


def name_place(text: str, source: str, path: KeyPath) -> str:
    """`file:line:column: path` of what a sweep file says at a path, or of what is nearest to it."""
    document = parse_yaml(text.encode("utf-8"))
    line, column = document.places.get(path) or _nearest(document, path)
    return f"{source}:{line}:{column}: {'.'.join(str(part) for part in path)}"


def describe_schema() -> dict[str, Any]:
    """The JSON Schema of a sweep file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | (
        SweepSpec.model_json_schema()
    )


def _format(problems: Iterable[tuple[int, int, str]], source: str) -> list[str]:
    ordered = sorted(set(problems))
    return [f"{source}:{line}:{column}: {sentence}" for line, column, sentence in ordered]


def _explain(details: ErrorDetails, document: YamlDocument) -> tuple[tuple[int, int], str]:
    path: KeyPath = tuple(
        part
        for index, part in enumerate(details["loc"])
        if not (part in _GRID_TAGS and index == 1 and details["loc"][0] == "grid")
        and part != _OF_A_KEY
    )
    dotted = ".".join(str(part) for part in path) or "the file"
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        place = document.key_places.get(path, _nearest(document, path))
        known = _known_keys(tuple(details["loc"][:-1]))
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
        advice = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
        return place, f"{_clip(dotted)}: unknown key. {advice}"
    path += context.get("at", ())  # where a rule about several keys found its culprit
    dotted = ".".join(str(part) for part in path) or "the file"
    place = document.places.get(path, _nearest(document, path))
    if details["loc"][-1:] == (_OF_A_KEY,):
        place = document.key_places.get(path, place)
    if kind == "missing":
        return place, f"{dotted}: this key is required and missing."
    if kind in _OWN_SENTENCES:
        return place, f"{dotted}: {details['msg']}"
    if kind in _WANTED:
        wanted = _WANTED[kind].format(**context)
    else:  # pydantic's own words, which may quote braces of the file
        wanted = details["msg"][:1].lower() + details["msg"][1:]
    return place, f"{dotted}: expected {wanted}, got {_show(details['input'])}."


_OWN_SENTENCES = frozenset(
    {
        "source_key",
        "tokenizer",
        "context",
        "cells",
        "doubles",
        "beyond_ladder",
        "schedule",
        "recipes",
    }
)
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text (quote it if it is meant as text)",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": "a name of a-z, 0-9, - and _, at most 64, starting with a letter "
    "or digit",
}


def _known_keys(path: KeyPath) -> list[str]:
    """Keys allowed at a place in the spec, by walking the models as pydantic did."""
    models: dict[KeyPath, type[BaseModel]] = {
        (): SweepSpec,
        ("corpus",): CorpusSpec,
        ("model",): ModelSpec,
        ("grid", "isoflop"): IsoflopGrid,
        ("grid", "isoflop", "prior"): PriorSpec,
        ("grid", "product"): ProductGrid,
        ("grid", "ratio"): RatioGrid,
        ("grid", "cells"): CellGrid,
        ("recipe",): RecipeSpec,
        ("schedule",): ScheduleSpec,
        ("resources",): ResourcesSpec,
    }
    if path[:3] == ("grid", "cells", "cells") or path[:1] == ("extra_cells",):
        return list(CellSpec.model_fields)
    if path[:1] == ("recipes",):
        return list(RecipeSpec.model_fields)
    return list(models[path].model_fields)


def _nearest(document: YamlDocument, path: KeyPath) -> tuple[int, int]:
    """Place of the innermost enclosing value that has one; its key's, where it has a key."""
    while path:
        place = document.key_places.get(path) or document.places.get(path)
        if place:
            return place
        path = path[:-1]
    return document.places.get((), (1, 1))


def _refuse_doubles(values: tuple[_Number, ...], what: str) -> tuple[_Number, ...]:
    seen: set[_Number] = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError(
                "doubles", "the {what} {value} is given twice.", {"what": what, "value": value}
            )
        seen.add(value)
    return values


def _name_share(value: float | None, default: float) -> str:
    return f"(not set: up to {default:g})" if value is None else f"{value:g}"


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _clip("a list" if isinstance(value, list) else repr(value))


def _clip(text: str) -> str:
    safe = text if text.isprintable() else ascii(text)
    return safe if len(safe) <= 80 else safe[:77] + "..."


if __name__ == "__main__":  # writes sweeps/schema.json: python -m scaling.sweep.spec
    import json
    import sys

    sys.stdout.write(json.dumps(describe_schema(), indent=1) + "\n")

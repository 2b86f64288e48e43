"""The key corpus of a sweep file: where the text comes from and how it becomes tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from scaling.sweep.fields import Count, Positive, Seed, SpecModel, read_count, refuse_doubles
from scaling.sweep.tokenizer_names import TOKENIZER_FORMS, TOKENIZER_PATTERN, find_name_problem

CorpusSource = Literal[
    "novels", "python-stdlib", "text", "jsonl", "parquet", "hf", "shards", "synthetic"
]


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
    return tuple(refuse_doubles(tuple(names), "tokenizer"))


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


class CorpusSpec(SpecModel):
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
    separator: Annotated[int, BeforeValidator(read_count), Field(ge=0)] | None = Field(
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

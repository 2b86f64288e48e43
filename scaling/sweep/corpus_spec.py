"""The key corpus of a sweep file: where the text comes from and how it becomes tokens."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from scaling.sweep.corpus_sources import SOURCES, describe_sources, name_takers
from scaling.sweep.fields import (
    Count,
    OneOf,
    Positive,
    Seed,
    SpecModel,
    distinct,
    read_count,
    refuse,
    refuse_doubles,
)
from scaling.sweep.tokenizer_names import TOKENIZER_FORMS, TOKENIZER_PATTERN, find_name_problem


def _read_tokenizers(value: Any) -> Any:
    """One name is a list of one."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        refuse(TOKENIZER_FORMS)
    for index, name in enumerate(names):
        reason = find_name_problem(name)
        if reason:
            refuse(reason, *(() if isinstance(value, str) else (index,)))
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
_ONE_IS_A_LIST = BeforeValidator(
    lambda value: value if isinstance(value, list | tuple) else (value,)
)
_NUMBERS_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
)
_Pairs = Annotated[Count, Field(le=2**14)]
AllPairs = Annotated[tuple[_Pairs, ...], Field(strict=False), _ONE_IS_A_LIST, _NUMBERS_SCHEMA]
_Skew = Annotated[float, Field(strict=True, ge=0.5, lt=1, allow_inf_nan=False)]
AllSkews = Annotated[
    tuple[_Skew, ...], Field(strict=False), _ONE_IS_A_LIST, distinct("skew"), _NUMBERS_SCHEMA
]
_Chains = Annotated[int, BeforeValidator(read_count), Field(strict=True, ge=0, le=2**16)]
AllChains = Annotated[
    tuple[_Chains, ...],
    Field(strict=False, min_length=1),
    _ONE_IS_A_LIST,
    distinct("number of chains"),
    _NUMBERS_SCHEMA,
]
_OF_ALL = ("source", "max_epochs")  # keys that every source takes
Paths = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]


NO_SOURCE = "none"  # for a sweep whose trainer alone knows its data; not allowed in a file


class CorpusSpec(SpecModel):
    """Where the text comes from and how it becomes tokens."""

    source: Annotated[str, OneOf(SOURCES)] = Field(description=describe_sources())
    paths: Paths = Field((), description="files, folders or globs, relative to the sweep file")
    field: str = Field("text", description=f"key or column of the text in {name_takers('field')}")
    tokenizer: Tokenizers = Field(
        ("bytes",),
        description="`bytes`, `characters`, `bpe:N`, `words:N`, `words+space:N` (N tokens in all); "
        "a list makes one sweep of each",
    )
    shuffled: bool = Field(
        False,
        description="sources of text: put the tokens of each side of the split in random order; "
        "that keeps their frequencies and removes everything else",
    )
    max_epochs: Positive = Field(
        4.0,
        description="cells that would pass over the text more often are rejected; made tokens: 1",
    )
    held_out: Paths = Field((), description="`shards`: files to evaluate on")
    vocab_size: Annotated[Count, Field(le=2**31)] | None = Field(
        None, description=f"{name_takers('vocab_size')}: ids are below it"
    )
    header: Literal["none", "llm.c"] = Field(
        "none", description="`shards`: `none` is nanoGPT's uint16, `llm.c` begins with 256 int32"
    )
    separator: Annotated[int, BeforeValidator(read_count), Field(ge=0)] | None = Field(
        None, description="`shards`: id that ends a document; without one, blocks are documents"
    )
    bytes_per_token: Positive | None = Field(
        None,
        description="`shards`: bytes per token of the held-out text; without it, no bits per byte",
    )
    tokens: Annotated[Count, Field(ge=10_000, le=2**34)] | None = Field(
        None,
        description=f"{name_takers('tokens')}: how many are made to train on; none is seen twice",
    )
    seed: Seed = Field(0, description=f"{name_takers('seed')}: seed of the source and its tokens")
    pairs: AllPairs = Field(
        (),
        description="`pairs`: pairs of key and value in an example of 4 · pairs + 1 tokens; of a "
        "list, examples have each of its numbers in turn",
    )
    length: Annotated[Count, Field(le=2**14)] | None = Field(
        None, description="`copying`: letters of a string, of which an example has 2 · length + 2"
    )
    digits: Annotated[Count, Field(le=6)] | None = Field(
        None, description="`arithmetic`: of an operand; a sum is 3 · digits + 4 tokens"
    )
    examples: Annotated[Count, Field(ge=20, le=10**7)] | None = Field(
        None, description="`arithmetic`: how many sums are trained on; a pass sees each once"
    )
    people: Annotated[Count, Field(ge=8, le=2**20)] | None = Field(
        None, description=f"{name_takers('people')}: number of people"
    )
    attributes: Annotated[Count, Field(le=256)] | None = Field(
        None, description="`closed_world`: attributes of each person; a fact takes 6 tokens"
    )
    values: Annotated[Count, Field(ge=2, le=2**14)] | None = Field(
        None, description="`closed_world`: values of an attribute; a fact holds log2(values) bits"
    )
    exponent: Annotated[float, Field(strict=True, ge=0, le=4, allow_inf_nan=False)] = Field(
        0.0,
        description=f"{name_takers('exponent')}: the person (or block of people) of rank r is "
        "mentioned in proportion to r^−exponent; 0: all equally often",
    )
    repeated: Annotated[float, Field(strict=True, ge=0, le=0.5, allow_inf_nan=False)] = Field(
        0.0, description="`closed_world`: share of the statements that occur ten times, not once"
    )
    skew: AllSkews = Field(
        (),
        description="`biased_people`: P(occupation typical of the group), 0.5 to below 1; in a "
        "list, each skew has groups of its own",
    )
    states: Annotated[Count, Field(ge=2, le=64)] | None = Field(
        None,
        description="`markov_chains`: states of each chain; their square is at most model.seq_len",
    )
    chains: AllChains = Field(
        (0,),
        description="`markov_chains`: number of training chains; 0 gives each sequence its own; a "
        "list makes one sweep of each",
    )
    letters: Annotated[Count, Field(ge=2, le=2**12)] | None = Field(
        None, description="`letter_maps`: letters of each map; at most half of model.seq_len"
    )

    def read_counts(self, *keys: str) -> tuple[int, ...]:
        """The values of keys that its source needs, which are therefore set."""
        return tuple(getattr(self, key) for key in keys)

    @property
    def epochs_allowed(self) -> float:
        """Passes over the training tokens that a cell may make."""
        if self.source == NO_SOURCE:
            return math.inf
        return min(1.0, self.max_epochs) if SOURCES[self.source].once else self.max_epochs

    @property
    def knows_bytes(self) -> bool:
        """Whether the bytes of text behind its tokens are known."""
        if self.source == NO_SOURCE:
            return False
        return SOURCES[self.source].kind == "text" or self.bytes_per_token is not None

    @model_validator(mode="after")
    def _keys_fit_source(self) -> Self:
        if self.source == NO_SOURCE:
            return self
        source = SOURCES[self.source]
        for key in CorpusSpec.model_fields:
            given, takes = key in self.model_fields_set, key in (*_OF_ALL, *source.keys)
            if given and not takes:
                refuse(f"source {self.source} takes no {key}. Remove it.", key)
            if key in source.needs and not getattr(self, key):
                refuse(f"source {self.source} needs {key}. Add it.")
        return self


NO_CORPUS = CorpusSpec.model_construct(source=NO_SOURCE)

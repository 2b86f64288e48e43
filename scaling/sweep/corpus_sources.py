"""Sources of a corpus: a source is one line here and the function that reads it.

    text      its reader gives documents: reader(paths=, field=, base=) → Iterable[Document]; they
              are split, tokenized and stored for it
    tokens    its reader stores shards itself:
              reader(corpus, base=, cache=, seq_len=) → PreparedCorpus

A reader is named, not imported, so that a sweep file can be checked without its dependencies.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

SourceKind = Literal["text", "tokens"]
_TEXT = ("tokenizer", "shuffled")
_FILES = ("paths", "field", *_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source.

    Attributes:
        name: Its name in sweep files.
        kind: What its reader returns, as described in the module.
        keys: Keys of `corpus` that it takes, beside `source` and `max_epochs`.
        needs: Required keys among them.
        reader: `module:function`.
        holds: Contents of its `paths`, if the name does not say it.
        once: Whether none of its tokens may be seen twice.
        questions: `module:function` that asks about its text (`data/questions.py`); empty: none.
        sequences: `module:function` that opens sequences of sources of their own
            (`data/sequences.py`); empty: none.
        chance: `module:function` from a probe's options and the section `corpus` to the share of
            answers that guessing gets right; empty: unknown.
    """

    name: str
    kind: SourceKind
    keys: tuple[str, ...]
    needs: tuple[str, ...] = ()
    reader: str
    holds: str = ""
    once: bool = False
    questions: str = ""
    sequences: str = ""
    chance: str = ""


def load_function(place: str) -> Callable[..., Any]:
    """Import the function at `module:function`.

    Raises:
        ImportError, AttributeError: There is no such module or function.
    """
    module, _, function = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


_SHARDS = ("paths", "held_out", "vocab_size", "header", "separator", "bytes_per_token")
_TEXTS = "scaling.data.corpora"
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(name="novels", kind="text", keys=_TEXT, reader=f"{_TEXTS}:list_novels"),
        Source(
            name="python-stdlib", kind="text", keys=_TEXT, reader=f"{_TEXTS}:list_stdlib"
        ),
        Source(
            name="text", kind="text", keys=("paths", *_TEXT), needs=("paths",),
            reader=f"{_TEXTS}:read_texts",
        ),
        Source(
            name="jsonl", kind="text", keys=_FILES, needs=("paths",),
            reader=f"{_TEXTS}:read_json_lines",
        ),
        Source(
            name="parquet", kind="text", keys=_FILES, needs=("paths",),
            reader=f"{_TEXTS}:read_parquet",
        ),
        Source(
            name="hf", kind="text", keys=_FILES, needs=("paths",),
            reader=f"{_TEXTS}:read_saved", holds="a folder of `save_to_disk`",
        ),
        Source(
            name="shards", kind="tokens", keys=_SHARDS, needs=("paths", "held_out", "vocab_size"),
            reader="scaling.data.token_files:prepare_token_files", holds="tokens, `.bin`",
        ),
        Source(
            name="synthetic", kind="tokens", keys=("tokens", "seed"), needs=("tokens",),
            reader="scaling.data.sources:prepare_synthetic", once=True,
        ),
        Source(
            name="brackets", kind="tokens", keys=("tokens", "seed"), needs=("tokens",),
            reader="scaling.data.brackets:prepare_brackets", once=True,
        ),
        Source(
            name="copies", kind="tokens", keys=("tokens", "seed"), needs=("tokens",),
            reader="scaling.data.copies:prepare_copies", once=True,
        ),
        Source(
            name="pairs", kind="tokens", keys=("tokens", "seed", "vocab_size", "pairs"),
            needs=("tokens", "vocab_size", "pairs"),
            reader="scaling.data.pairs:prepare_pairs", chance="scaling.data.pairs:find_chance",
            once=True,
        ),
        Source(
            name="copying", kind="tokens", keys=("tokens", "seed", "vocab_size", "length"),
            needs=("tokens", "vocab_size", "length"), once=True,
            reader="scaling.data.copying:prepare_copying", questions="scaling.data.copying:ask",
            chance="scaling.data.copying:find_chance",
        ),
        Source(
            name="arithmetic", kind="tokens", keys=("seed", "digits", "examples"),
            needs=("digits", "examples"), reader="scaling.data.arithmetic:prepare_arithmetic",
            questions="scaling.data.arithmetic:ask", chance="scaling.data.arithmetic:find_chance",
        ),
        Source(
            name="closed_world", kind="tokens", needs=("tokens", "people", "attributes", "values"),
            keys=("tokens", "seed", "people", "attributes", "values", "exponent", "repeated"),
            reader="scaling.data.closed_world:prepare_closed_world", once=True,
        ),
        Source(
            name="biased_people", kind="tokens", needs=("tokens", "people", "skew"),
            keys=("tokens", "seed", "people", "skew", "exponent"),
            reader="scaling.data.biased_people:prepare_biased_people", once=True,
        ),
        Source(
            name="markov_chains", kind="tokens", keys=("tokens", "seed", "states", "chains"),
            needs=("tokens", "states"), once=True,
            reader="scaling.data.markov_chains:prepare_markov_chains",
            sequences="scaling.data.markov_chains:open_chains",
        ),
        Source(
            name="letter_maps", kind="tokens", keys=("tokens", "seed", "letters"),
            needs=("tokens", "letters"), once=True,
            reader="scaling.data.letter_maps:prepare_letter_maps",
            sequences="scaling.data.letter_maps:open_maps",
        ),
    )
}  # fmt: skip


def name_takers(key: str) -> str:
    """The sources that take a key of `corpus`, for its description."""
    return ", ".join(f"`{one.name}`" for one in SOURCES.values() if key in one.keys)


def describe_sources() -> str:
    """Say which sources need files and which do not, for the description of `source`."""
    without = (f"`{one.name}`" for one in SOURCES.values() if "paths" not in one.keys)
    reading = (
        f"`{one.name}`" + (f" ({one.holds})" if one.holds else "")
        for one in SOURCES.values()
        if "paths" in one.keys
    )
    return f"{_join(without)} need no files; {_join(reading)} read `paths`"


def _join(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last

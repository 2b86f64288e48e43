"""Corpus sources from outside the package: their keys are checked and their text is prepared."""

from pathlib import Path

import numpy as np
import pytest

from scaling.data.documents import Document
from scaling.data.shards import Draft, open_shards, prepare_once
from scaling.data.sources import prepare_source
from scaling.errors import SpecError
from scaling.sweep.corpus_sources import SOURCES, Source, describe_sources, load_function
from scaling.sweep.reading import parse_sweep

HERE = __name__


def read_lines(*, paths, field, base):
    """Every line of every file becomes a document."""
    for path in paths:
        for number, line in enumerate((base / path).read_bytes().splitlines()):
            yield Document(f"{path}:{number:06d}", line)


def prepare_counting(corpus, *, base, cache, seq_len):
    """0, 1, 2, … again and again."""
    ids = np.arange(corpus.tokens, dtype=np.uint16) % corpus.vocab_size
    draft = Draft(
        name="counting", vocab_size=corpus.vocab_size, train=ids, validation=ids[:1000],
        validation_documents=np.array([0, 500]), train_bytes=0, validation_bytes=0,
        overlap=1.0, tokenizer="none",
    )  # fmt: skip
    return prepare_once(cache, ["counting", corpus.vocab_size, corpus.tokens], lambda: draft)


LINES = Source(
    name="lines", kind="text", keys=("paths", "tokenizer"), needs=("paths",),
    reader=f"{HERE}:read_lines",
)  # fmt: skip
COUNTING = Source(
    name="counting", kind="tokens", keys=("vocab_size", "tokens"), needs=("vocab_size", "tokens"),
    reader=f"{HERE}:prepare_counting",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "lines", LINES)
    monkeypatch.setitem(SOURCES, "counting", COUNTING)


def parse(corpus: str):
    text = f"name: a\ncorpus: {{{corpus}}}\ngrid: {{params: [1e4], tokens: [1e6]}}\n"
    return parse_sweep(text.encode(), source="s.yaml")


def test_text_of_an_added_source_is_split_and_tokenized(tmp_path: Path) -> None:
    lines = [f"line {at} of a text that is {at * at} long" for at in range(400)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    spec = parse("source: lines, paths: [a.txt], tokenizer: characters")
    facts = prepare_source(spec, base=tmp_path, cache=tmp_path / "cache").facts
    assert facts.train_bytes + facts.validation_bytes == sum(map(len, lines))
    assert facts.tokenizer == "characters"


def test_tokens_of_an_added_source_are_stored_unchanged(tmp_path: Path) -> None:
    spec = parse("source: counting, vocab_size: 50, tokens: 10e3")
    prepared = prepare_source(spec, base=tmp_path, cache=tmp_path)
    assert prepared.facts.train_tokens == 10_000
    assert open_shards(prepared.folder).train[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [
        ("source: lines", "2:9: corpus: source lines needs paths. Add it."),
        ("source: lines, paths: [a], field: b", "source lines takes no field. Remove it."),
        ("source: counting, vocab_size: 9", "source counting needs tokens. Add it."),
        ("source: line", "or 'counting', got 'line'."),
    ],
)
def test_an_added_sources_keys_are_checked_like_the_built_in_ones(
    corpus: str, sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        parse(corpus)
    assert sentence in str(caught.value)


def test_the_page_of_keys_names_an_added_source() -> None:
    assert " and `counting` need no files" in describe_sources()


def test_every_registered_reader_can_be_imported() -> None:
    for source in SOURCES.values():
        assert callable(load_function(source.reader)), source.name

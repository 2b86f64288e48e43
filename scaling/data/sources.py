"""Preparation of a sweep's corpus: text, ready-made tokens, or tokens of a known source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaling.data import synthetic
from scaling.data.batches import list_windows
from scaling.data.shards import (
    Draft,
    PreparedCorpus,
    draft_drawn,
    prepare_corpus,
    prepare_once,
    remove_abandoned,
)
from scaling.files.durable import make_folder
from scaling.sweep.corpus_facts import name_data
from scaling.sweep.corpus_sources import SOURCES, load_function
from scaling.units.stages import stage

if TYPE_CHECKING:  # pydantic, which training does not need
    from scaling.sweep.corpus_spec import CorpusSpec
    from scaling.sweep.spec import SweepSpec


def prepare_source(spec: SweepSpec, *, base: Path, cache: Path) -> PreparedCorpus:
    """Prepare the corpus of a sweep with one tokenizer, or find that this was done before.

    Args:
        spec: The corpus with one tokenizer, from `split_by_tokenizer`.
        base: Folder that relative paths start from.
        cache: Folder of all prepared corpora.

    Raises:
        CorpusError: The corpus cannot be tokenized.
        UsageError: An extra is not installed.
        EnvironmentFault: The cache cannot be written.
    """
    remove_abandoned(cache)
    corpus = spec.corpus
    if not spec.has_corpus:
        return _name_data(spec, cache)
    source = SOURCES[corpus.source]
    if source.kind == "tokens":
        with stage(f"preparing corpus {corpus.source}"):
            prepared: PreparedCorpus = load_function(source.reader)(
                corpus, base=base, cache=cache, seq_len=spec.model.seq_len
            )
        return prepared
    (tokenizer,) = corpus.tokenizer
    return prepare_corpus(
        corpus.source,
        tokenizer=tokenizer,
        paths=corpus.paths,
        field=corpus.field,
        shuffled=corpus.shuffled,
        base=base,
        cache=cache,
    )


def _name_data(spec: SweepSpec, cache: Path) -> PreparedCorpus:
    """Represent data that a user's own trainer reads by an empty folder."""
    assert spec.trainer is not None
    facts = name_data(spec.trainer.data, vocab_size=spec.trainer.vocab_size)
    folder = cache / facts.digest[:24]
    make_folder(folder)
    return PreparedCorpus(folder=folder, facts=facts)


def prepare_synthetic(
    corpus: CorpusSpec, *, seq_len: int, cache: Path, base: Path | None = None
) -> PreparedCorpus:
    """Draw a known source's tokens and filter its held-out windows.

    The floor belongs to windows of `seq_len` tokens, so that length is part of the corpus. It has
    no files: `base` is not needed.
    """
    (tokens,) = corpus.read_counts("tokens")
    key = ["synthetic", synthetic.SOURCE_VERSION, corpus.seed, tokens, seq_len]

    def draw() -> Draft:
        source = synthetic.make_source(corpus.seed)
        # An epoch starts at an offset and gives up a window: two windows more, so that no token
        # repeats.
        train = synthetic.draw_training(source, corpus.seed, tokens + 2 * seq_len)
        held_out = synthetic.draw_held_out(source, corpus.seed)
        windows = list_windows(held_out, seq_len=seq_len)
        return draft_drawn(
            f"synthetic {key}",
            vocab_size=synthetic.VOCABULARY,
            train=train,
            validation=held_out,
            bayes_loss=float(synthetic.filter_windows(source, windows).mean()),
        )

    return prepare_once(cache, key, draw)

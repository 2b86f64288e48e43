"""Corpora that are drawn, from the keys of a sweep file."""

from pathlib import Path

from scaling.data.shards import PreparedCorpus
from scaling.data.sources import prepare_source
from scaling.sweep.reading import parse_sweep
from scaling.sweep.spec import SweepSpec


def parse(corpus: str, seq_len: int = 64) -> SweepSpec:
    text = f"name: a\ncorpus: {{{corpus}}}\nmodel: {{seq_len: {seq_len}}}\n"
    return parse_sweep((text + "grid: {params: [1e4], tokens: [1e4]}\n").encode(), source="s.yaml")


def prepare(folder: Path, corpus: str, seq_len: int = 64) -> PreparedCorpus:
    return prepare_source(parse(corpus, seq_len), base=folder, cache=folder)

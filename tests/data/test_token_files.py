"""`.bin` shards of other programs: headers, ids, documents, and each problem with its remedy."""

from pathlib import Path

import numpy as np
import pytest

from scaling.data.shards import open_shards
from scaling.data.sources import prepare_source
from scaling.errors import CorpusError
from scaling.sweep.reading import parse_sweep
from scaling.sweep.spec import SweepSpec

GPT2, LLAMA = (20240520, 1, "<u2"), (20240801, 7, "<u4")


def write_plain(path: Path, ids: np.ndarray) -> None:
    path.write_bytes(ids.astype("<u2").tobytes())


def write_headed(path: Path, ids: np.ndarray, kind: tuple[int, int, str]) -> None:
    header = np.zeros(256, dtype="<i4")
    header[:3] = kind[0], kind[1], len(ids)
    path.write_bytes(header.tobytes() + ids.astype(kind[2]).tobytes())


def draw(vocab_size: int, count: int = 20_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocab_size, count)


def make_spec(rest: str) -> SweepSpec:
    keys = f"source: shards, paths: [train*.bin], held_out: [val.bin], {rest}"
    return parse_sweep(
        f"name: a\ncorpus: {{{keys}}}\ngrid: {{budgets: [1e10]}}\n".encode(), source="a.yaml"
    )


def prepare(folder: Path, rest: str):
    return prepare_source(make_spec(rest), base=folder, cache=folder / "cache")


def test_headerless_shards_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    parts = [draw(500, seed=seed) for seed in (1, 2)]
    for part, name in zip(parts, ("train_000001.bin", "train_000002.bin"), strict=True):
        write_plain(tmp_path / name, part)
    write_plain(tmp_path / "val.bin", draw(500, seed=3))
    shards = open_shards(prepare(tmp_path, "vocab_size: 500").folder)
    np.testing.assert_array_equal(shards.train, np.concatenate(parts))
    assert shards.facts.vocab_size == 500
    assert shards.facts.validation_bytes == 0  # the text's size is not stated


@pytest.mark.parametrize("kind", [GPT2, LLAMA])
def test_tokens_of_a_shard_start_after_its_header(kind, tmp_path: Path) -> None:
    ids = draw(100_000 if kind is LLAMA else 50_000)
    for name in ("train.bin", "val.bin"):
        write_headed(tmp_path / name, ids, kind)
    shards = open_shards(prepare(tmp_path, "vocab_size: 128256, header: llm.c").folder)
    np.testing.assert_array_equal(shards.train, ids)
    assert shards.train.dtype.itemsize == 4  # a vocabulary above 65,536 needs it


def test_documents_end_at_separators(tmp_path: Path) -> None:
    ids = draw(400)
    ids[[99, 4999, len(ids) - 1]] = 499
    write_plain(tmp_path / "train.bin", ids)
    write_plain(tmp_path / "val.bin", ids)
    shards = open_shards(prepare(tmp_path, "vocab_size: 500, separator: 499").folder)
    assert shards.validation_documents.tolist() == [0, 100, 5000]


def test_stated_bytes_per_token_give_bits_per_byte(tmp_path: Path) -> None:
    for name in ("train.bin", "val.bin"):
        write_plain(tmp_path / name, draw(500))
    facts = prepare(tmp_path, "vocab_size: 500, bytes_per_token: 4.5").facts
    assert facts.validation_bytes == round(4.5 * 20_000)


@pytest.mark.parametrize(
    ("write", "rest", "says"),
    [
        (lambda p: write_headed(p, draw(500), GPT2), "vocab_size: 500", "Say header: llm.c."),
        (
            lambda p: write_plain(p, draw(500)),
            "vocab_size: 500, header: llm.c",
            "not with a magic and version of llm.c (20240520, 1, 20240801, 7)",
        ),
        (lambda p: p.write_bytes(b""), "vocab_size: 500, header: llm.c", "not with a magic"),
        (
            lambda p: p.write_bytes(b"abc" * 5),
            "vocab_size: 65536",
            "15 bytes do not hold whole ids",
        ),
        (
            lambda p: (write_headed(p, draw(500), GPT2), p.write_bytes(p.read_bytes()[:-10])),
            "vocab_size: 500, header: llm.c",
            "do not hold 20000 ids, as its header says",
        ),
        (
            lambda p: write_plain(p, np.array([1, 2, 700, 3])),
            "vocab_size: 500",
            "token 2 is 700, corpus.vocab_size is 500. Say vocab_size: 701 or more",
        ),
    ],
)
def test_a_shard_in_another_format_is_refused_with_the_remedy(write, rest, says, tmp_path) -> None:
    write(tmp_path / "train.bin")
    write(tmp_path / "val.bin")
    with pytest.raises(CorpusError) as caught:
        prepare(tmp_path, rest)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2  # both files, at once
    assert all(says in line for line in lines)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_plain(tmp_path / "train.bin", draw(500))
    with pytest.raises(CorpusError, match=r"'val\.bin': nothing there"):
        prepare(tmp_path, "vocab_size: 500")


def test_changed_tokens_change_the_corpus(tmp_path: Path) -> None:
    for name in ("train.bin", "val.bin"):
        write_plain(tmp_path / name, draw(500))
    first = prepare(tmp_path, "vocab_size: 500")
    assert prepare(tmp_path, "vocab_size: 500") == first
    write_plain(tmp_path / "train.bin", draw(500, seed=9))
    assert prepare(tmp_path, "vocab_size: 500").facts.digest != first.facts.digest


def test_headerless_32_bit_ids_are_read_as_such_and_never_wrapped(tmp_path: Path) -> None:
    for vocab_size in (500, 128_256):
        folder = tmp_path / str(vocab_size)
        folder.mkdir()
        ids = draw(vocab_size)
        for name in ("train.bin", "val.bin"):
            (folder / name).write_bytes(ids.astype("<u4").tobytes())
        shards = open_shards(prepare(folder, f"vocab_size: {vocab_size}").folder)
        np.testing.assert_array_equal(shards.train, ids)


def test_16_bit_ids_of_a_larger_vocabulary_have_wrapped_and_are_refused(tmp_path: Path) -> None:
    for name in ("train.bin", "val.bin"):
        write_plain(tmp_path / name, draw(128_256))  # astype wraps them silently
    with pytest.raises(CorpusError, match="which have wrapped") as caught:
        prepare(tmp_path, "vocab_size: 128256")
    assert str(caught.value).count("Write it again as uint32") == 2


@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<i8"])
def test_ids_saved_by_numpy_are_read(dtype: str, tmp_path: Path) -> None:
    ids = draw(50_000)
    for name in ("train.bin", "val.bin"):
        with (tmp_path / name).open("wb") as file:
            np.save(file, ids.astype(dtype))
    shards = open_shards(prepare(tmp_path, "vocab_size: 50257").folder)
    np.testing.assert_array_equal(shards.train, ids)


def test_numpy_arrays_that_are_not_ids_are_refused(tmp_path: Path) -> None:
    for name, values in (("train.bin", np.ones((3, 4))), ("val.bin", np.array([1, -2]))):
        with (tmp_path / name).open("wb") as file:
            np.save(file, values)
    with pytest.raises(CorpusError) as caught:
        prepare(tmp_path, "vocab_size: 500")
    assert "float64 of shape (3, 4)" in str(caught.value)
    assert "ids lie from -2 to 1" in str(caught.value)

"""Text to documents, documents to a split, tokens to windows."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaling.data.batches import BatchOrder, list_validation_windows
from scaling.data.corpora import read_documents
from scaling.data.documents import Document, digest_documents
from scaling.data.shards import open_shards, prepare_corpus
from scaling.data.sources import prepare_source
from scaling.data.split import choose_validation, cut_documents, measure_overlap, split_documents
from scaling.errors import CorpusError, IntegrityError
from scaling.ledger.commit import Ledger
from scaling.sweep.reading import parse_sweep

CORPORA = Path(
    os.environ.get("SCALING_CORPORA", Path(__file__).parents[2].parent / "shared" / "corpora")
)


def write_texts(folder: Path, count: int, size: int = 4000, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for index in range(count):
        words = rng.integers(0, 10_000, size // 8)
        lines = [" ".join(f"w{w:05d}" for w in line) for line in np.array_split(words, size // 60)]
        (folder / f"{index:03d}.txt").write_text("\n".join(lines))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = tmp_path / "texts"
    texts.mkdir()
    write_texts(texts, 80)
    return prepare_corpus("text", paths=("texts",), base=tmp_path, cache=tmp_path / "cache").folder


def test_standard_library_leaves_out_tests_and_tables():
    documents = read_documents("python-stdlib", base=Path())
    names = [document.name for document in documents]
    assert "json/decoder.py" in names
    assert not [
        name
        for name in names
        if set(name.split("/")[:-1]) & {"test", "tests", "encodings", "pydoc_data", "site-packages"}
    ]
    assert names == sorted(names)
    assert digest_documents(documents) == digest_documents(
        read_documents("python-stdlib", base=Path())
    )


def test_digest_changes_with_one_byte_or_one_name():
    base = (Document("a", b"one"), Document("b", b"two"))
    assert (
        len(
            {
                digest_documents(base),
                digest_documents((base[0], Document("b", b"twO"))),
                digest_documents((base[0], Document("c", b"two"))),
            }
        )
        == 3
    )


def test_every_unreadable_file_is_named_at_once(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError) as caught:
        read_documents("text", paths=("latin.txt", "nul.txt", "gone.txt", "pipe"), base=tmp_path)
    message = str(caught.value)
    assert "latin.txt: byte 3 is not UTF-8" in message
    assert "nul.txt: holds a NUL byte" in message
    assert "'gone.txt': nothing there" in message
    assert "'pipe': not a regular file" in message


def test_empty_corpus_is_an_error(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(CorpusError, match="no text"):
        read_documents("text", paths=("empty.txt",), base=tmp_path)


def test_json_lines_name_their_bad_lines(tmp_path):
    lines = [json.dumps({"text": "good"}), "not json", json.dumps({"body": "x"}), "", "[1]"]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    with pytest.raises(CorpusError) as caught:
        read_documents("jsonl", paths=("d.jsonl",), base=tmp_path)
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "3", "5"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": 5}', "'text' is a number where text is needed."),
        ('{"text": 0.5}', "'text' is a number where text is needed."),
        ('{"text": true}', "'text' is true or false where text is needed."),
        ('{"text": null}', "'text' is null where text is needed."),
        ('{"text": ["a"]}', "'text' is a list where text is needed."),
        ('{"text": {"a": 1}}', "'text' is an object where text is needed."),
        ('{"body": "a"}', "no text under 'text'; seen: ['body']."),
        ("[1]", "a list where an object with 'text' is needed."),
        ('"a"', "text where an object with 'text' is needed."),
    ],
)
def test_a_json_line_without_text_is_refused_with_its_content(line, says, tmp_path):
    (tmp_path / "d.jsonl").write_text(line)
    with pytest.raises(CorpusError) as caught:
        read_documents("jsonl", paths=("d.jsonl",), base=tmp_path)
    assert str(caught.value) == f"d.jsonl:1: {says}"


@pytest.mark.parametrize("folder", ["a[1]", "b*", "c?", "[x"])
@pytest.mark.parametrize("pattern", ["*.txt", "texts/*.txt", "texts/../*.txt", "**/one.txt"])
def test_a_sweep_in_a_folder_with_pattern_characters_finds_its_corpus(folder, pattern, tmp_path):
    base = tmp_path / folder
    (base / "texts").mkdir(parents=True)
    for name in ("one.txt", "texts/one.txt"):
        (base / name).write_text("text")
    assert read_documents("text", paths=(pattern,), base=base)


def test_absolute_patterns_and_names_with_pattern_characters_are_found(tmp_path):
    for name in ("a[1].txt", "a1.txt"):
        (tmp_path / name).write_text("text")
    absolute = read_documents("text", paths=(str(tmp_path / "*.txt"),), base=tmp_path / "x")
    assert len(absolute) == 2
    (named,) = read_documents("text", paths=("a[1].txt",), base=tmp_path)
    assert named.name == "a[1].txt"


def test_json_lines_become_documents_in_their_order(tmp_path):
    texts = [f"text {index}" for index in range(12)]
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    documents = read_documents("jsonl", paths=("*.jsonl",), base=tmp_path)
    assert [document.text.decode() for document in documents] == texts


def test_near_duplicates_stay_on_one_side():
    rng = np.random.default_rng(0)

    def text(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [f"line number {rng.integers(10**9)} of this text" for _ in range(40)]

    documents = []
    for index in range(40):
        lines = text(index)
        documents.append(Document(f"{index}", "\n".join(lines).encode()))
        copy = lines[:25] + text(1000 + index)[:15]
        rng.shuffle(copy)
        documents.append(Document(f"{index}-copy", "\n".join(copy).encode()))
    held_out = choose_validation(documents)
    assert 0 < len(held_out) < len(documents)
    for index in range(0, len(documents), 2):
        assert (index in held_out) == (index + 1 in held_out)


def split_names(documents):
    train, held_out = split_documents(documents)
    return {document.name for document in train}, {document.name for document in held_out}


def make_sentence(rng, words=80):
    """Text without a line break, as most JSON lines are."""
    return " ".join(f"w{word:05d}" for word in rng.integers(0, 100_000, words))


def test_large_documents_are_cut_until_many_are_held_out():
    rng = np.random.default_rng(0)
    documents = [
        Document(f"{index:02d}", "\n".join(make_sentence(rng, 12) for _ in range(2000)).encode())
        for index in range(70)
    ]
    assert all(150_000 < len(document.text) < 190_000 for document in documents)
    train, held_out = split_documents(documents)
    size = sum(len(document.text) for document in held_out)
    assert 512 * 1024 <= size < 1.1 * 512 * 1024
    assert len({document.name.split("#")[0] for document in held_out}) >= 16
    # No text is lost, and none is on both sides.
    parts = sorted((*train, *held_out), key=lambda part: part.name)
    assert b"".join(part.text for part in parts) == b"".join(one.text for one in documents)


def test_short_documents_are_never_cut():
    rng = np.random.default_rng(0)
    documents = [Document(f"{i:02d}", make_sentence(rng, 500).encode()) for i in range(80)]
    train, held_out = split_documents(documents)
    assert {*train, *held_out} == set(documents)


def test_a_corpus_of_large_copies_holds_out_whole_groups_near_the_target():
    rng = np.random.default_rng(0)
    documents = []
    for index in range(20):  # groups of 30 copies of 2.4 kB: 72 kB out of 1.4 MB
        text = make_sentence(rng, 350)
        documents += [Document(f"{index:02d}-{copy:02d}", text.encode()) for copy in range(30)]
    _, held_out = split_names(documents)
    groups = {name.split("-")[0] for name in held_out}
    assert {len([name for name in held_out if name.startswith(group)]) for group in groups} == {
        len(held_out) // len(groups)
    }
    assert 1 <= len(groups) <= 3


def test_exact_copies_without_line_breaks_stay_on_one_side():
    rng = np.random.default_rng(0)
    texts = [make_sentence(rng, words) for words in (6, 20, 80) for _ in range(300)]
    copies = [*texts, *(f" {text}\n" for text in texts)]
    documents = [
        Document(f"d.jsonl:{index:09d}", text.encode())
        for index, text in enumerate(rng.permutation(copies))
    ]
    train, held_out = split_documents(documents)
    assert len(held_out) > 60
    assert not {one.text.strip() for one in train} & {one.text.strip() for one in held_out}


def test_near_copies_without_line_breaks_stay_on_one_side():
    rng = np.random.default_rng(0)
    documents = []
    for index in range(300):
        words = make_sentence(rng).split()
        start = int(rng.integers(0, 60))
        changed = words[:start] + make_sentence(rng, 15).split() + words[start + 15 :]
        documents.append(Document(f"{index}", " ".join(words).encode()))
        documents.append(Document(f"{index}-copy", " ".join(changed).encode()))
    train, held_out = split_documents(documents)
    names = {one.name for one in held_out}
    assert len(names) >= 40
    torn = [name for name in names if name.removesuffix("-copy") not in names]
    torn += [name for name in names if f"{name.removesuffix('-copy')}-copy" not in names]
    assert torn == []
    spans = (b"\0".join(one.text for one in side) for side in (train, held_out))
    assert measure_overlap(*spans) < 0.01


def test_unrelated_documents_without_line_breaks_are_not_grouped():
    rng = np.random.default_rng(0)
    documents = [Document(f"{index}", make_sentence(rng).encode()) for index in range(1000)]
    _, held_out = split_names(documents)
    assert 95 <= len(held_out) <= 105  # a tenth, because no group is larger than one document


def test_the_reference_corpus_is_split_as_for_its_results(tmp_path):
    documents = read_documents("python-stdlib", base=Path())
    ledger = Ledger.open(Path(__file__).parents[2] / "results" / "code")
    total = ledger.corpus.train_bytes + ledger.corpus.validation_bytes
    if sum(len(document.text) for document in documents) != total:
        pytest.skip("another Python than the one its runs were made with")
    facts = prepare_corpus("python-stdlib", base=Path(), cache=tmp_path).facts
    assert facts == ledger.corpus


def test_split_does_not_depend_on_the_order_of_other_documents():
    rng = np.random.default_rng(1)
    documents = [Document(f"{i}", rng.bytes(500).hex().encode()) for i in range(100)]
    held_out = {documents[index].name for index in choose_validation(documents)}
    shuffled = [documents[index] for index in rng.permutation(100)]
    assert {shuffled[index].name for index in choose_validation(shuffled)} == held_out


def test_one_long_document_is_cut_without_losing_a_byte():
    text = ("é" * 1000 + "\n").encode() * 40
    sections = cut_documents([Document("book", text)])
    assert len(sections) > 3
    assert b"".join(section.text for section in sections) == text
    for section in sections:
        section.text.decode()  # fails if a character was split


def test_overlap_finds_what_was_copied_and_nothing_else():
    rng = np.random.default_rng(2)
    train, fresh = rng.bytes(40_000), rng.bytes(10_000)
    assert measure_overlap(train, fresh) == 0
    half = train[5_000:10_016] + fresh[:5_000]
    # One span in 600 straddles the seam.
    assert measure_overlap(train, half) == pytest.approx(0.5, abs=0.01)


def test_preparing_twice_writes_once(tmp_path):
    write_texts(tmp_path, 80)
    first = prepare_corpus("text", paths=("*.txt",), base=tmp_path, cache=tmp_path / "cache")
    written = (first.folder / "train.bin").stat().st_mtime_ns
    second = prepare_corpus("text", paths=("*.txt",), base=tmp_path, cache=tmp_path / "cache")
    assert second == first
    assert (second.folder / "train.bin").stat().st_mtime_ns == written


def test_a_changed_document_gets_new_shards(tmp_path):
    write_texts(tmp_path, 80)
    first = prepare_corpus("text", paths=("*.txt",), base=tmp_path, cache=tmp_path / "cache")
    (tmp_path / "000.txt").write_text("another text altogether\n" * 100)
    second = prepare_corpus("text", paths=("*.txt",), base=tmp_path, cache=tmp_path / "cache")
    assert second.folder != first.folder
    assert second.facts.digest != first.facts.digest


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "validation_documents.bin"])
def test_a_flipped_bit_in_a_shard_is_noticed(corpus, name):
    content = bytearray((corpus / name).read_bytes())
    content[len(content) // 2] ^= 1
    (corpus / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        open_shards(corpus)


def test_an_epoch_sees_every_window_once(corpus):
    shards = open_shards(corpus)
    order = BatchOrder(shards, seq_len=32, batch_sequences=7, seed=3)
    steps = order.windows_per_epoch // 7
    seen = np.concatenate([order.read_batch(step)[:, :-1].ravel() for step in range(steps)])
    # Content may repeat, so count tokens: all windows once make the stream less its two ends.
    whole = np.bincount(np.asarray(shards.train), minlength=256)
    assert np.all(np.bincount(seen, minlength=256) <= whole)
    assert len(seen) >= len(shards.train) - 32 * (7 + 3)


def test_batches_depend_on_seed_and_step_alone(corpus):
    shards = open_shards(corpus)
    one = BatchOrder(shards, seq_len=32, batch_sequences=4, seed=0)
    two = BatchOrder(shards, seq_len=32, batch_sequences=4, seed=0)
    late = one.windows_per_epoch // 4 + 5  # in the second epoch
    backwards = [two.read_batch(step) for step in (late, 9, 0)][::-1]
    for step, batch in zip((0, 9, late), backwards, strict=True):
        np.testing.assert_array_equal(one.read_batch(step), batch)
    other = BatchOrder(shards, seq_len=32, batch_sequences=4, seed=1)
    assert not np.array_equal(other.read_batch(0), one.read_batch(0))


def test_targets_are_the_next_tokens(corpus):
    shards = open_shards(corpus)
    batch = BatchOrder(shards, seq_len=32, batch_sequences=2, seed=0).read_batch(0)
    text = np.asarray(shards.train).tobytes()
    for row in batch:
        assert row.astype(np.uint8).tobytes() in text


def test_validation_windows_do_not_overlap_and_know_their_document(corpus):
    shards = open_shards(corpus)
    starts, documents = list_validation_windows(shards, seq_len=32)
    assert np.all(np.diff(starts) == 32)
    assert len(starts) * 32 > shards.facts.validation_tokens - 33
    for start, document in zip(starts, documents, strict=True):
        first = shards.validation_documents[document]
        ends = np.append(shards.validation_documents, len(shards.validation))
        assert first <= start + 1 < ends[document + 1]


@pytest.mark.parametrize("name", ["tinyshakespeare/input.txt", "eltec_eng/eltec_eng_train.txt"])
def test_real_corpora_hold_out_a_spread_of_text(name, tmp_path):
    if not CORPORA.is_dir():
        pytest.skip(f"no corpora at {CORPORA}")
    facts = prepare_corpus(
        "text", paths=(str(CORPORA / name),), base=tmp_path, cache=tmp_path / "cache"
    ).facts
    total = facts.train_bytes + facts.validation_bytes
    wanted = min(512 * 1024, 0.1 * total)
    assert wanted <= facts.validation_bytes < 1.3 * wanted
    assert facts.validation_documents >= 5
    assert facts.overlap < 0.01
    assert 2.5 < facts.unigram_entropy < 3.5  # English text has about 3 nats per letter


def test_leftovers_of_a_killed_preparation_are_removed_by_the_next(tmp_path: Path) -> None:
    """Each is as large as its corpus; those of running processes and of other hosts stay."""
    code = f"""
import os, signal
from pathlib import Path
from scaling.files import faults
from scaling.data.shards import prepare_corpus
def strike(point):
    if point == "corpus.written":
        os.kill(os.getpid(), signal.SIGKILL)
with faults.listening(strike):
    prepare_corpus("python-stdlib", base=Path("."), cache=Path({str(tmp_path / "cache")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "cache").glob(".preparing-*")
    assert (left / "train.bin").stat().st_size > 10**6
    mine = left.with_name(left.name.replace(left.name.split("-")[2], str(os.getpid())))
    elsewhere = left.with_name(".preparing-anotherhost-1-abc")
    for path in (mine, elsewhere):
        path.mkdir()
    spec = parse_sweep(
        b"name: a\ncorpus: {source: synthetic, tokens: 10000}\n"
        b"grid: {cells: [{params: 8e3, tokens: 3e3}]}\n",
        source="a.yaml",
    )
    prepare_source(spec, base=tmp_path, cache=tmp_path / "cache")
    assert set((tmp_path / "cache").glob(".preparing-*")) == {mine, elsewhere}

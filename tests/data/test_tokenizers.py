"""Tokenizers lose no byte, use only the training split, and refuse too little text."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.documents import Document
from scaling.data.shards import choose_dtype, open_shards, prepare_corpus
from scaling.data.tokenizers import read_tokenizer, train_tokenizer
from scaling.errors import CorpusError, IntegrityError, UsageError
from scaling.sweep.tokenizer_names import find_name_problem

pytest.importorskip("tokenizers", reason="extra `tokenizers` is not installed")

CORPORA = Path(
    os.environ.get("SCALING_CORPORA", Path(__file__).parents[2].parent / "shared" / "corpora")
)
NAMES = ("bytes", "characters", "bpe:290", "words:290", "words+space:290")
TEXTS = tuple(
    " ".join(f"w{word % 33:02d} naïve" for word in range(start, start + 400)).encode() + b"\n"
    for start in range(3)
)
TRAINED = {name: train_tokenizer(name, TEXTS) for name in NAMES}
# Words inside and outside TEXTS, all kinds of white space, characters of one to four bytes.
ANY_TEXT = st.lists(
    st.sampled_from(
        ["w01", "naïve", "zq", "é", "€", "😀", " ", "  ", "\n", "\t", "\u00a0", "w", "0"]
    ),
    max_size=12,
).map(lambda pieces: "".join(pieces).encode())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT)
def test_no_byte_is_lost_whatever_the_vocabulary_lacks(name: str, text: bytes) -> None:
    tokenizer = TRAINED[name]
    ids = tokenizer.encode(text).tolist()
    assert tokenizer.decode(ids) == text
    assert all(0 <= one < tokenizer.vocab_size for one in ids)
    assert tokenizer.separator not in ids


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_tokenizer_encodes_as_the_original(name: str) -> None:
    again = read_tokenizer(name, TRAINED[name].to_json())
    assert again.encode(TEXTS[0]).tolist() == TRAINED[name].encode(TEXTS[0]).tolist()
    assert (again.name, again.vocab_size) == (TRAINED[name].name, TRAINED[name].vocab_size)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_texts_give_the_same_tokenizer(name: str) -> None:
    assert train_tokenizer(name, TEXTS).to_json() == TRAINED[name].to_json()


def test_an_unknown_word_costs_a_token_for_each_of_its_bytes() -> None:
    for name in ("words:290", "words+space:290"):
        tokenizer = TRAINED[name]
        known = len(tokenizer.encode(b"w01\nw02"))
        assert len(tokenizer.encode("w01\nunknöwn".encode())) == known - 1 + len("unknöwn".encode())


def test_an_unknown_character_costs_two_digits_for_each_of_its_bytes() -> None:
    tokenizer = TRAINED["characters"]
    assert len(tokenizer.encode("w€w".encode())) == 2 + 2 * len("€".encode())
    assert tokenizer.vocab_size == 1 + 16 + len(set(b"".join(TEXTS).decode()))


def test_a_single_digit_decodes_to_an_invalid_byte() -> None:
    tokenizer = read_tokenizer("characters", b'{"characters": "ab"}')
    digit, a = 1 + 0xC, 17
    assert tokenizer.decode([a, digit, a]) == b"a\xffa"
    assert tokenizer.decode([a, tokenizer.separator, digit, digit]) == b"a\0\xcc"


def test_a_space_between_known_words_is_a_token_only_where_it_was_asked_for() -> None:
    text = b"w01 w02 w03"
    assert len(TRAINED["words:290"].encode(text)) == 3
    assert len(TRAINED["words+space:290"].encode(text)) == 5


@pytest.mark.parametrize("size", [256, 257, 280])
def test_bpe_has_exactly_the_tokens_asked_for(size: int) -> None:
    assert train_tokenizer(f"bpe:{size}", TEXTS).vocab_size == size


def test_bpe_of_256_tokens_renumbers_the_bytes() -> None:
    ids = train_tokenizer("bpe:256", TEXTS).encode(TEXTS[0])
    assert len(ids) == len(TEXTS[0])
    assert len(set(zip(ids.tolist(), TEXTS[0], strict=True))) == len(set(TEXTS[0]))


@pytest.mark.parametrize("name", ["bpe:5000", "words:5000", "words+space:5000"])
def test_a_vocabulary_that_the_text_cannot_fill_is_refused_with_the_size_that_it_can(name) -> None:
    with pytest.raises(CorpusError, match=r"fill only (\d+) of 5000 tokens") as caught:
        train_tokenizer(name, TEXTS)
    advice = str(caught.value).partition("Ask for ")[2]
    largest = int(advice.split(":")[1].split()[0])
    assert train_tokenizer(f"{name.partition(':')[0]}:{largest}", TEXTS).vocab_size == largest


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"words": 5}', b"\xff"])
@pytest.mark.parametrize("name", ["characters", "words:290", "bpe:290"])
def test_a_stored_file_that_is_not_a_tokenizer_is_damage(name: str, content: bytes) -> None:
    with pytest.raises(IntegrityError, match=name):
        read_tokenizer(name, content)


def test_bpe_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"scaling\[tokenizers\]"):
        train_tokenizer("bpe:290", TEXTS)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bytes", ""),
        ("characters", ""),
        ("bpe:256", ""),
        ("bpe:255", "256 to 16777216"),
        ("words:256", "257 to"),
        ("words+space:4096", ""),
        ("bpe", "is no tokenizer"),
        ("bytes:5", "is no tokenizer"),
        ("bpe:1e3", "is no tokenizer"),
        ("bpe:0512", "is no tokenizer"),
        (5, "is no tokenizer"),
    ],
)
def test_tokenizer_names_are_accepted_or_refused_with_the_problem(
    name: object, problem: str
) -> None:
    found = find_name_problem(name)
    assert (problem in found) if problem else found == ""


def write_corpus(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(80):
        words = [f"w{word:03d}" for word in rng.zipf(1.5, 700) % 400]
        (folder / f"{index:03d}.txt").write_text(" ".join(words) + "\nnaïve\n")


def prepare(folder: Path, name: str):
    return prepare_corpus(
        "text", tokenizer=name, paths=("*.txt",), base=folder, cache=folder / "cache"
    )


def test_every_tokenizer_holds_out_the_same_text(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    texts = set()
    for name in ("bytes", "characters", "bpe:400", "words:400"):
        folder = prepare(tmp_path, name).folder
        shards = open_shards(folder)
        stored = b"{}" if name == "bytes" else (folder / "tokenizer.json").read_bytes()
        tokenizer = read_tokenizer(name, stored)
        ids = np.asarray(shards.validation)
        assert ids[-1] == tokenizer.separator
        starts = shards.validation_documents.tolist()
        ends = [*starts[1:], len(ids)]
        texts.add(
            b"\0".join(
                tokenizer.decode(ids[start : end - 1].tolist())
                for start, end in zip(starts, ends, strict=True)
            )
        )
        assert shards.facts.tokenizer == name
    assert len(texts) == 1


def test_the_vocabulary_comes_from_the_training_split_alone(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    first = prepare(tmp_path, "words:400")
    held_out = bytes(open_shards(prepare(tmp_path, "bytes").folder).validation)
    changed = 0
    for path in sorted(tmp_path.glob("*.txt")):
        if path.read_bytes() in held_out and not changed:
            path.write_text(path.read_text().replace("w001", "q001"))
            changed += 1
    assert changed
    again = prepare(tmp_path, "words:400")
    assert again.folder != first.folder
    stored = [(one.folder / "tokenizer.json").read_bytes() for one in (first, again)]
    assert stored[0] == stored[1]


def test_a_flipped_bit_in_a_tokenizer_is_noticed(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    folder = prepare(tmp_path, "words:400").folder
    content = bytearray((folder / "tokenizer.json").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        open_shards(folder)


def test_text_that_is_not_utf8_is_refused_by_a_text_tokenizer(tmp_path, monkeypatch) -> None:
    documents = tuple(Document(f"{at:03d}.py", b"caf\xe9 %08d\n" % at * 300) for at in range(70))
    monkeypatch.setattr("scaling.data.shards.read_documents", lambda *_, **__: documents)
    facts = prepare_corpus("python-stdlib", base=tmp_path, cache=tmp_path / "cache").facts
    assert facts.vocab_size == 256  # the byte tokenizer accepts any text
    with pytest.raises(CorpusError) as caught:
        prepare_corpus(
            "python-stdlib", tokenizer="bpe:290", base=tmp_path, cache=tmp_path / "cache"
        )
    assert "byte 3 is not UTF-8 text, which tokenizer bpe:290 needs" in str(caught.value)
    assert "use tokenizer: bytes" in str(caught.value)


@pytest.mark.parametrize(
    ("vocab_size", "bytes_per_id"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4), (2**24, 4)]
)
def test_ids_are_as_wide_as_the_vocabulary_needs(vocab_size: int, bytes_per_id: int) -> None:
    dtype = choose_dtype(vocab_size)
    assert dtype.itemsize == bytes_per_id
    assert vocab_size - 1 <= np.iinfo(dtype).max


def test_every_tokenizer_round_trips_real_books() -> None:
    path = CORPORA / "tinyshakespeare" / "input.txt"
    if not path.is_file():
        pytest.skip(f"{path} is not there (SCALING_CORPORA names the folder)")
    text = path.read_bytes()
    train, held_out = text[:600_000], text[600_000:700_000]
    lengths = {}
    for name in ("characters", "words:4096", "words+space:4096", "bpe:512", "bpe:2048"):
        tokenizer = train_tokenizer(name, [train])
        ids = tokenizer.encode(held_out)
        assert tokenizer.decode(ids.tolist()) == held_out
        lengths[name] = len(ids)
    assert lengths["bpe:2048"] < lengths["bpe:512"] < lengths["characters"]
    assert len(held_out) <= lengths["characters"] < len(held_out) + 10  # "$" is unknown there
    assert lengths["words:4096"] < lengths["words+space:4096"]

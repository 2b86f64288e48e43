"""The novels in the package: whole books to train on, excerpts of other authors' held out."""

import csv
from pathlib import Path

import pytest

from scaling.data import novels
from scaling.data.corpora import read_documents
from scaling.data.split import measure_overlap, split_documents
from scaling.errors import IntegrityError

FOLDER = Path(novels.__file__).parent / "novels"


def read_books() -> list[dict[str, str]]:
    with (FOLDER / "books.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_book_states_its_origin() -> None:
    for book in read_books():
        assert all(book[field] for field in ("file", "year", "author", "title")), book
    assert "public domain" in (FOLDER / "LICENCE.md").read_text()


def test_no_author_is_in_both_splits() -> None:
    authors = {side: {b["author"] for b in read_books() if b["held_out"] == side} for side in "01"}
    # FEW_HELD_OUT: with fewer, the clustered standard error is unusable.
    assert len(authors["1"]) >= 16
    assert not authors["0"] & authors["1"]


def test_the_split_is_the_one_stated_with_the_books() -> None:
    documents = read_documents("novels", base=Path())
    train, held_out = split_documents(documents)
    sizes = [sum(len(document.text) for document in side) for side in (train, held_out)]
    assert len(train) + len(held_out) == len(read_books())
    assert sizes[0] > 24e6
    assert 512e3 <= sizes[1] < 640e3
    overlap = measure_overlap(*(b"\0".join(one.text for one in side) for side in (train, held_out)))
    assert overlap < 0.02  # idiom; shared sentences of one author would make a few percent


def test_the_package_carries_less_than_eight_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8e6


@pytest.mark.parametrize("content", [b"", b"not xz"])
def test_a_damaged_package_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "books.csv").write_bytes((FOLDER / "books.csv").read_bytes())
    (tmp_path / "novels.xz").write_bytes(content)
    monkeypatch.setattr(novels, "_FOLDER", tmp_path)
    with pytest.raises(IntegrityError, match=r"novels\.xz is not the text of this version"):
        novels.read_novels()

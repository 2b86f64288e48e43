"""Text in columns: Parquet files, and data sets that were saved to disk."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from scaling.data.corpora import read_documents
from scaling.errors import CorpusError, UsageError

pyarrow = pytest.importorskip("pyarrow", reason="extra `parquet` is not installed")


def write_parquet(path: Path, **columns: Any) -> None:
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


def save(folder: Path, **columns: Any) -> None:
    datasets = pytest.importorskip("datasets", reason="extra `hf` is not installed")
    datasets.Dataset.from_dict(columns).save_to_disk(str(folder))


def read(source: str, *paths: str, base: Path, field: str = "text") -> list[str]:
    documents = read_documents(source, paths=paths, field=field, base=base)
    return [document.text.decode() for document in documents]


def test_rows_of_parquet_files_are_documents_in_their_order(tmp_path: Path) -> None:
    texts = [f"text {index} é" for index in range(2500)]  # more than one batch
    write_parquet(tmp_path / "a.parquet", text=texts[:1500], other=list(range(1500)))
    write_parquet(tmp_path / "b.parquet", text=texts[1500:])
    (tmp_path / "README").write_text("not a table")
    assert read("parquet", ".", base=tmp_path) == texts


def test_rows_of_a_saved_data_set_are_documents(tmp_path: Path) -> None:
    texts = [f"text {index} é" for index in range(1200)]
    save(tmp_path / "saved", text=texts, label=[0] * 1200)
    assert read("hf", "saved", base=tmp_path) == texts


def test_a_selection_of_a_data_set_holds_only_the_selected_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="extra `hf` is not installed")
    whole = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"]})
    whole.select([3, 1]).save_to_disk(str(tmp_path / "saved"))
    assert read("hf", "saved", base=tmp_path) == ["d", "b"]


def test_values_that_are_not_text_are_named_by_row(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", text=["good", None, "nul\0"])
    write_parquet(tmp_path / "b.parquet", text=[5])
    write_parquet(tmp_path / "c.parquet", text=[b"raw"])
    with pytest.raises(CorpusError) as caught:
        read("parquet", "*.parquet", base=tmp_path)
    assert str(caught.value).splitlines() == [
        "a.parquet:2: 'text' is null where text is needed.",
        "a.parquet:3: 'text' holds a NUL character.",
        "b.parquet:1: 'text' is a number where text is needed.",
        "c.parquet:1: 'text' is bytes or not UTF-8 where text is needed.",
    ]


def test_text_that_is_not_utf8_is_named_though_arrow_does_not_check(tmp_path: Path) -> None:
    column = pyarrow.array([b"fine", b"caf\xe9"], type=pyarrow.binary())
    write_parquet(tmp_path / "a.parquet", text=column.view(pyarrow.string()))
    with pytest.raises(CorpusError, match=r"a\.parquet:2: 'text' is bytes or not UTF-8"):
        read("parquet", "a.parquet", base=tmp_path)


@pytest.mark.parametrize("source", ["parquet", "hf"])
def test_a_missing_column_is_refused_with_the_existing_ones(source: str, tmp_path: Path) -> None:
    says = "no column 'body'; it has text. Name the column of the text with corpus.field"
    write_parquet(tmp_path / "x.parquet", text=["a"])
    save(tmp_path / "x", text=["a"])
    with pytest.raises(CorpusError, match=re.escape(says)):
        read(source, "x" if source == "hf" else "x.parquet", base=tmp_path, field="body")


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("text")
    with pytest.raises(CorpusError, match=r"x\.parquet: not a Parquet file that can be read"):
        read("parquet", "x.parquet", base=tmp_path)


def test_a_folder_that_is_not_a_data_set_is_refused_with_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="extra `hf` is not installed")
    (tmp_path / "x").mkdir()
    with pytest.raises(CorpusError, match=r"save it with dataset\.save_to_disk\(FOLDER\)"):
        read("hf", "x", base=tmp_path)


@pytest.mark.parametrize(
    ("source", "library", "extra"),
    [("parquet", "pyarrow", "scaling[parquet]"), ("hf", "datasets", "scaling[hf]")],
)
def test_a_missing_library_is_reported_with_its_extra(
    source: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match=re.escape(extra)):
        read(source, "x.parquet", base=tmp_path)


def test_a_data_set_with_splits_is_refused_until_one_is_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="extra `hf` is not installed")
    one = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "x"))
    with pytest.raises(CorpusError, match=r"holds the splits test, train\. Name the folder of one"):
        read("hf", "x", base=tmp_path)
    assert read("hf", "x/train", base=tmp_path) == ["a"]

"""Input that is too large is refused before it is decoded; small limits stand for small
machines."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from scaling.data import files
from scaling.data.corpora import read_documents
from scaling.data.files import list_files
from scaling.data.shards import find_longest_run, prepare_corpus
from scaling.errors import CorpusError, TableError
from scaling.tables import rows
from scaling.tables.reading import read_table

MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine that can prepare one mebibyte."""
    monkeypatch.setattr(files, "_COPIES", MEMORY // 2**20)
    return 2**20


def write_sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(("source", "name"), [("text", "a.txt"), ("jsonl", "a.jsonl")])
def test_a_file_larger_than_memory_is_refused_unread(
    tmp_path: Path, source: str, name: str
) -> None:
    write_sparse(tmp_path / name, MEMORY)
    with pytest.raises(CorpusError, match=r"a quarter of the memory\. Name less, or"):
        read_documents(source, paths=[name], base=tmp_path)


def test_shards_larger_than_memory_are_refused_unread(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a.bin", MEMORY)
    with pytest.raises(CorpusError, match=r"a\.bin: with it the corpus has"):
        list_files(["a.bin"], tmp_path, [], suffix=".bin")


def test_sizes_of_many_files_are_added(tmp_path: Path, small: int) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("x" * (small // 3))
    with pytest.raises(CorpusError, match=r"3\.txt: with it"):
        read_documents("text", paths=["."], base=tmp_path)


def test_a_walk_over_too_many_entries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_ENTRIES", 10)
    for number in range(11):
        (tmp_path / str(number)).touch()
    for pattern in (".", "*"):
        with pytest.raises(CorpusError, match=r"Name the folder of the text"):
            read_documents("text", paths=[pattern], base=tmp_path)


def test_a_walk_over_too_many_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole disk has few files of one type among many others; a folder of text is the reverse."""
    monkeypatch.setattr(files, "_MOST_OTHERS", 10)
    for number in range(11):
        (tmp_path / f"{number}.jsonl").write_text("{}")
    assert len(list_files(["."], tmp_path, [], suffix=".jsonl")) == 11
    with pytest.raises(CorpusError, match=r"no text of this kind\. Name the folder of the text"):
        list_files(["."], tmp_path, [], suffix=".parquet")


def test_a_walk_stops_at_the_first_file_over_the_limit(tmp_path: Path, small: int) -> None:
    """It does not walk on: files after it are never inspected."""
    write_sparse(tmp_path / "a.txt", 2 * small)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"a\.txt: with it the corpus has"):
        list_files(["."], tmp_path, [], suffix="")


def test_a_link_that_cannot_be_followed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.txt").write_text("words")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    problems: list[str] = []
    assert [one.name for one in list_files(["."], tmp_path, problems, suffix="")] == ["a.txt"]
    assert problems == [f"{tmp_path / 'b.txt'}: cannot be read (Permission denied)."]


def test_an_empty_path_is_refused(tmp_path: Path) -> None:
    """It would mean the sweep file's folder and everything below it."""
    problems: list[str] = []
    assert list_files(["", " "], tmp_path, problems, suffix="") == ()
    assert all("name a file or a folder" in one for one in problems)
    assert len(problems) == 2


def test_an_unreadable_folder_is_reported_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open.txt").write_text("words")
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError, match=r"shut: cannot be read \(Permission denied\)"):
        read_documents("text", paths=["."], base=tmp_path)


def test_rows_of_json_lines_cost_more_than_their_text(tmp_path: Path, small: int) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * (small // files.DOCUMENT_BYTES + 1))
    with pytest.raises(CorpusError, match="with it the corpus has"):
        read_documents("jsonl", paths=["a.jsonl"], base=tmp_path)


@pytest.mark.parametrize(
    ("texts", "bytes_"),
    [
        (["a"] * 10**6, 20_000),  # rows that take almost no space
        (["long " * 10**5] * 200, 50_000),  # a repeated text, stored once
        (["\n" * 2**21], 50_000),  # a text that compresses well
    ],
    ids=["rows", "repeated", "packed"],
)
def test_a_parquet_corpus_is_judged_by_what_it_unpacks_to(
    tmp_path: Path, small: int, texts: list[str], bytes_: int
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="extra `parquet` is not installed")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": texts}), path, compression="zstd")
    assert path.stat().st_size < bytes_
    with pytest.raises(CorpusError, match="with it the corpus has"):
        read_documents("parquet", paths=["a.parquet"], base=tmp_path)


def test_a_system_file_of_size_zero_is_not_read(tmp_path: Path) -> None:
    """Like /proc/kmsg, which reports 0 bytes and blocks when read."""
    os.symlink("/proc/self/status", tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("words")
    (only,) = read_documents("text", paths=["."], base=tmp_path)
    assert only.text == b"words"


def test_bpe_refuses_a_word_of_a_million_letters(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.txt").write_text(f"text {number} " * 1000)
    (tmp_path / "long.txt").write_text("ab" * 500_000)
    with pytest.raises(CorpusError, match=r"long\.txt: 1000000 letters.* at most 65536"):
        prepare_corpus(
            "text", tokenizer="bpe:300", paths=["*.txt"], base=tmp_path, cache=tmp_path / "cache"
        )


@pytest.mark.parametrize(
    ("text", "longest"),
    [(b"", 0), (b"a", 1), (b"ab12 cde", 3), (b"   a", 3), ("äöü1".encode(), 6), (b"a+++", 3)],
)
def test_the_longest_run_is_counted_within_one_kind_of_character(text: bytes, longest: int) -> None:
    assert find_longest_run(text) == longest


# --- tables -----------------------------------------------------------------------------------


def write_table(path: Path, **columns: object) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="extra `parquet` is not installed")
    from pyarrow import parquet

    table = pyarrow.table(columns)
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    return path


def test_a_parquet_table_of_too_many_rows_is_refused_by_its_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 10**4)
    ones = np.ones(10**4 + 1)
    path = write_table(tmp_path / "a.parquet", N=ones, D=ones, loss=ones)
    with pytest.raises(TableError, match=r"10001 rows; at most 1e\+04 are read; keep one row per"):
        read_table(path)


def test_a_list_in_a_cell_counts_by_its_elements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 10**4)
    path = write_table(tmp_path / "a.parquet", N=[1.0], D=[1.0], loss=[[3.0] * (10**4 + 1)])
    with pytest.raises(TableError, match="10001 rows"):
        read_table(path)


def test_a_repeated_long_text_is_stored_once_and_refused_as_a_name(tmp_path: Path) -> None:
    """80 kB on disk: a megabyte of text in each of 20,000 rows would take 20 GB."""
    pyarrow = pytest.importorskip("pyarrow", reason="extra `parquet` is not installed")
    ones = np.ones(20_000)
    text = pyarrow.DictionaryArray.from_arrays(np.zeros(20_000, dtype=np.int32), ["x" * 10**6])
    path = write_table(tmp_path / "a.parquet", N=ones, D=ones, loss=ones, group=text)
    assert path.stat().st_size < 200_000
    with pytest.raises(TableError, match=r"row 1: group: 'x+' and 999980 characters more"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_lines_are_counted_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 10)
    (tmp_path / name).write_text("{}\n" * 12)
    with pytest.raises(TableError, match="11 rows; at most"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty"])
def test_a_link_to_a_device_is_not_read(tmp_path: Path, target: str) -> None:
    os.symlink(target, tmp_path / "a.csv")
    with pytest.raises(TableError, match="a device or a socket; name a file of runs"):
        read_table(tmp_path / "a.csv")


def write_tables(folder: Path, *, kind: str) -> Path:
    """Twelve runs in a format whose rows are not lines."""
    if kind == "folder":
        for name in ("a.csv", "b.csv"):
            (folder / name).write_text("N,D,loss\n" + "1e6,1e8,3\n" * 6)
        return folder
    if kind == "wide":
        (folder / "a.csv").write_text("D,1M,2M,4M\n" + "1e8,3,3,3\n" * 4)
        return folder / "a.csv"
    if kind == "packed":
        (folder / "a.csv.gz").write_bytes(gzip.compress(b"N,D,loss\n" + b"1e6,1e8,3\n" * 12))
        return folder / "a.csv.gz"
    lists = {"N": [1e6] * 12, "D": [1e8] * 12, "loss": [3.0] * 12}
    (folder / "a.json").write_text(json.dumps(lists))
    return folder / "a.json"


@pytest.mark.parametrize("kind", ["folder", "wide", "packed", "lists"])
def test_rows_are_limited_in_formats_without_lines_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = write_tables(tmp_path, kind=kind)
    assert len(read_table(path)) == 12
    monkeypatch.setattr(rows, "MAX_ROWS", 11)
    with pytest.raises(TableError, match="12 rows; at most"):
        read_table(path)


def test_a_long_text_in_an_unmapped_name_column_is_not_a_run(tmp_path: Path) -> None:
    """A column `name` may hold descriptions rather than names of runs."""
    lines = [f"1e6,{d},3,{name * 300}" for name in "xy" for d in ("1e8", "2e8")]
    (tmp_path / "a.csv").write_text("\n".join(["N,D,loss,name", *lines]) + "\n")
    assert read_table(tmp_path / "a.csv").trajectory is None
    with pytest.raises(TableError, match=r"name: 'x+' and 280 characters more"):
        read_table(tmp_path / "a.csv", columns={"run": "name"})


def test_a_perplexity_of_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("N,D,loss\n1e6,1e8,1.000000000000001\n")
    with pytest.raises(TableError, match="1 perplexities are at most 1"):
        read_table(tmp_path / "a.csv", loss_unit="ppl")

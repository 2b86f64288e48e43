"""Claims about tables in Parquet; all but the first need the extra `parquet`."""

import sys

import pytest
from test_cells import refuse

from scaling.errors import TableError, UsageError
from scaling.tables.reading import read_table


def write(folder, columns):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    path = folder / "runs.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"scaling\[parquet\]"):
        read_table(tmp_path / "runs.parquet")


def test_parquet_reads_as_the_same_csv_does(tmp_path):
    columns = {"N": [10**12, 3], "D": [0.1, 2e7], "loss": [1 / 3, 3.5], "seed": [0, None]}
    lines = [",".join(columns)]
    for n, d, loss, seed in zip(*columns.values(), strict=True):
        lines.append(f"{n},{d!r},{loss!r},{'' if seed is None else seed}")
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    expected = read_table(tmp_path / "runs.csv", anyway=True)
    table = read_table(write(tmp_path, columns), anyway=True)
    assert table.digest == expected.digest
    assert table.notes == expected.notes


def test_structs_and_dotted_names_are_columns(tmp_path):
    columns = {"config": [{"n": 5, "data": {"d": 7.0}}], "metrics.loss": [3.0], "tags": [["a"]]}
    path = write(tmp_path, columns)
    table = read_table(
        path, columns={"N": "config.n", "D": "config.data.d", "loss": "metrics.loss"}
    )
    assert (table.params[0], table.tokens[0], table.loss[0]) == (5.0, 7.0, 3.0)


@pytest.mark.parametrize(
    ("losses", "seen"),
    [
        ([3.0, float("nan")], "row 2: loss: nan is not a finite number"),
        ([3.0, float("-inf")], "row 2: loss: -inf is not a finite number"),
        ([3.0, None], "row 2: loss: empty"),
        (["3.0", "low"], "row 2: loss: text 'low'"),
        ([True, False], "row 1: loss: a truth value 'True'"),
        ([[3.0], [2.0, 1.0]], "row 1: loss: text '[1 values]'"),
    ],
)
def test_bad_cells_are_named_by_row(tmp_path, losses, seen):
    problems = refuse(write(tmp_path, {"N": [1, 2], "D": [1, 2], "loss": losses}))
    assert f"runs.parquet:{seen}" in problems[0]


def test_unfinished_runs_are_counted(tmp_path):
    columns = {"N": [1, 2], "D": [1, 2], "loss": [3.0, 3.0], "status": ["FINISHED", "FAILED"]}
    problems = refuse(write(tmp_path, columns))
    assert "runs.parquet:row 2: status: 1 of 2 runs did not finish (FAILED 1)" in problems[0]


def test_missing_columns_are_named(tmp_path):
    (problem,) = refuse(write(tmp_path, {"params": [1], "D": [1], "loss": [3.0]}))
    assert "read as Parquet, the file has params, D, loss" in problem
    assert '"--columns N=params"' in problem


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    path = tmp_path / "runs.parquet"
    for content in (b"", b"N,D,loss\n1,2,3\n", b"PAR1" + b"\0" * 64 + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(TableError, match="cannot be read as Parquet"):
            read_table(path)
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        read_table(tmp_path / "none.parquet")


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path, {"N": range(1, 9), "D": range(1, 9), "loss": [3.0] * 8})
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        read_table(path)

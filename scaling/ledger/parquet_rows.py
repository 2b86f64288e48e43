"""Rows of a Parquet file: only the wanted columns are read, a batch at a time.

The one place that imports pyarrow, and only when a Parquet file is read.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from scaling.errors import TableError, UsageError
from scaling.ledger.rows import RawTable, Row, refuse_waiting

_BATCH_ROWS = 50_000


def read_parquet_rows(path: Path, *, wanted: Container[str]) -> RawTable:
    """The rows of a Parquet file; fields of a struct are dotted columns.

    Raises:
        UsageError: pyarrow is not installed.
        TableError: The file cannot be read as Parquet.
    """
    name = str(path)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            f"{name}: Parquet is read by pyarrow, which is not installed.\n"
            "Install the extra (pip install 'scaling[parquet]'), or save the table as CSV."
        ) from None
    refuse_waiting(path)
    broken = (OSError, ValueError, pyarrow.ArrowException)
    try:
        file = parquet.ParquetFile(path)
        names: list[str] = _flatten(file.schema_arrow.empty_table()).column_names
    except broken as error:
        raise TableError([_describe(name, error)]) from None
    header = [column for column in dict.fromkeys(names) if column in wanted]

    def iterate() -> Iterator[Row]:
        at = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=header):
                table = _flatten(pyarrow.Table.from_batches([batch]))
                columns = [table.column(column).to_pylist() for column in header]
                for values in zip(*columns, strict=True):
                    at += 1
                    yield Row(at, [_show_value(value) for value in values])
        except broken as error:
            raise TableError([_describe(name, error)]) from None

    return RawTable(format="Parquet", names=names, header=header, rows=iterate(), place="row ")


def _flatten(table: Any) -> Any:
    """The table with the fields of structs as columns of their own."""
    from pyarrow import types

    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _show_value(value: object) -> str:
    """A cell; a float in the digits that give it back exactly."""
    if value is None:
        return ""
    if isinstance(value, list):
        return f"[{len(value)} values]"
    return repr(value) if isinstance(value, float) else str(value)


def _describe(name: str, error: Exception) -> str:
    seen = " ".join(str(error).split())
    return f"{name}: cannot be read as Parquet ({seen:.160}); write it again, or save it as CSV"

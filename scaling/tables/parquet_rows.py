"""Rows of a Parquet file: only the wanted columns are read, a batch at a time.

A few bytes may expand to gigabytes there (a value that is stored once and repeated). So the size
that the file states is checked before anything is decoded, and text stays dictionary-encoded.

This is the only module that imports pyarrow, and only when a Parquet file is read.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator
from pathlib import Path
from typing import Any

from scaling.errors import TableError, UsageError
from scaling.tables.rows import MAX_BYTES, RawTable, Row, refuse_rows, refuse_waiting

_BATCH_ROWS = 50_000


def read_parquet_rows(path: Path, *, wanted: Container[str]) -> RawTable:
    """The rows of a Parquet file; fields of a struct are dotted columns.

    Raises:
        UsageError: pyarrow is not installed.
        TableError: The file cannot be read as Parquet, or is too large for a table of runs.
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
        texts = _list_texts(file.schema)
        file = parquet.ParquetFile(path, read_dictionary=texts) if texts else file
        names: list[str] = _flatten(file.schema_arrow.empty_table()).column_names
    except broken as error:
        raise TableError([_describe(name, error)]) from None
    header = [column for column in dict.fromkeys(names) if column in wanted]
    _refuse_size(name, file.metadata, header)

    def iterate() -> Iterator[Row]:
        at = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=header):
                table = _flatten(pyarrow.Table.from_batches([batch]))
                columns = [_list_cells(table.column(column)) for column in header]
                for values in zip(*columns, strict=True):
                    at += 1
                    yield Row(at, values)
        except broken as error:
            raise TableError([_describe(name, error)]) from None

    return RawTable(format="Parquet", names=names, header=header, rows=iterate(), place="row ")


def _refuse_size(name: str, metadata: Any, header: Collection[str]) -> None:
    """Refuse a file by the size that it states; lists count by their elements."""
    refuse_rows(name, metadata.num_rows)
    stated = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if any(f"{column.path_in_schema}.".startswith(f"{one}.") for one in header):
                refuse_rows(name, column.num_values)
                stated += column.total_uncompressed_size
    if stated > MAX_BYTES:
        raise TableError([f"{name}: {stated / 2**30:.3g} GiB when unpacked, of which at most "
                          f"{MAX_BYTES / 2**30:.3g} are read; keep one row per run"])  # fmt: skip


def _list_texts(schema: Any) -> list[str]:
    columns = (schema.column(index) for index in range(len(schema)))
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.logical_type.type in ("STRING", "NONE")
        and column.max_repetition_level == 0
    ]


def _list_cells(column: Any) -> list[str]:
    """A column as text; equal texts are one object."""
    cells: list[str] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            known = [_show_value(value) for value in chunk.dictionary.to_pylist()]
            cells += ["" if at is None else known[at] for at in chunk.indices.to_pylist()]
        else:
            cells += [_show_value(value) for value in chunk.to_pylist()]
    return cells


def _flatten(table: Any) -> Any:
    """The table with the fields of structs as columns of their own."""
    from pyarrow import types

    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _show_value(value: object) -> str:
    """Format a cell; a float gets the digits that restore it exactly."""
    if value is None:
        return ""
    if isinstance(value, list):
        return f"[{len(value)} values]"
    return repr(value) if isinstance(value, float) else str(value)


def _describe(name: str, error: Exception) -> str:
    seen = " ".join(str(error).split())
    return f"{name}: cannot be read as Parquet ({seen:.160}); write it again, or save it as CSV"

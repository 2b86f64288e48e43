"""Documents in a column: Parquet files, and data sets that Hugging Face `datasets` saved.

The one place that imports either library, and only while a corpus is prepared. Everything is read
from local files; training reads shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.files import DOCUMENT_BYTES, refuse_size
from scaling.errors import UsageError

_ROWS_AT_ONCE = 1000


def read_parquet_column(path: Path, field: str, problems: list[str]) -> Iterator[tuple[int, Any]]:
    """(row, value) of one column, rows from 1; what is wrong is added to `problems`.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            f"{path}: Parquet is read by pyarrow, which is not installed.\n"
            "Install the extra (pip install 'scaling[parquet]'), or save the text as JSON lines."
        ) from None
    row = 0
    try:
        file = parquet.ParquetFile(path)
        if field not in file.schema_arrow.names:
            problems.append(_say_no_column(str(path), field, file.schema_arrow.names))
            return
        refuse_size(str(path), _find_size(file.metadata, field))
        if field in [file.schema.column(index).path for index in range(len(file.schema))]:
            # Repeated text is stored once.
            file = parquet.ParquetFile(path, read_dictionary=[field])
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[field]):
            for cell in _list_cells(batch.column(0)):
                row += 1
                yield row, cell
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        problems.append(f"{path}: not a Parquet file that can be read ({_first_line(error)}).")


def _find_size(metadata: Any, field: str) -> int:
    """What a column takes at least, by the file's own account [bytes]."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    columns = (group.column(at) for group in groups for at in range(metadata.num_columns))
    ours = [one for one in columns if f"{one.path_in_schema}.".startswith(f"{field}.")]
    values = sum(one.num_values for one in ours)
    return int(sum(one.total_uncompressed_size for one in ours)) + DOCUMENT_BYTES * int(values)


def _list_cells(column: Any) -> Iterator[Any]:
    """The values of an Arrow column; those that stand in it once are one object."""
    if not hasattr(column, "dictionary"):
        yield from map(_read_cell, column)
        return
    known: dict[int, Any] = {}
    for at in column.indices.to_pylist():
        if at is not None and at not in known:
            known[at] = _read_cell(column.dictionary[at])
        yield None if at is None else known[at]


def read_saved_column(folder: Path, field: str, problems: list[str]) -> Iterator[tuple[int, Any]]:
    """(row, value) of one column of a folder that `Dataset.save_to_disk` wrote.

    Raises:
        UsageError: datasets is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise UsageError(
            f"{folder}: it is read by Hugging Face datasets, which is not installed.\n"
            "Install the extra (pip install 'scaling[hf]'), or save the text as JSON lines."
        ) from None
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # pyarrow documents no common base class
        problems.append(
            f"{folder}: not a data set that save_to_disk wrote ({_first_line(error)}). Download "
            "it once, save it with dataset.save_to_disk(FOLDER) and name that folder."
        )
        return
    if not isinstance(loaded, datasets.Dataset):
        splits = ", ".join(sorted(loaded))
        problems.append(f"{folder}: holds the splits {splits}. Name the folder of one of them.")
        return
    if field not in loaded.column_names:
        problems.append(_say_no_column(str(folder), field, loaded.column_names))
        return
    table = loaded.select_columns([field])
    row = 0
    for batch in table.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        for cell in batch.column(0):
            row += 1
            yield row, _read_cell(cell)


def _read_cell(cell: Any) -> Any:
    """The value of an Arrow cell; bytes where its text is not UTF-8, which Arrow does not check."""
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return bytes(cell.as_buffer())


def _say_no_column(name: str, field: str, columns: list[str]) -> str:
    return (
        f"{name}: no column {field!r}; it has {', '.join(columns)[:80]}. "
        "Name the column of the text with corpus.field."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

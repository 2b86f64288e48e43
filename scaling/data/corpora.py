"""Where text comes from: `novels`, `python-stdlib`, `text` (files, folders, globs), `jsonl`,
`parquet`, `hf`.

A corpus is a sorted tuple of documents; its digest covers every name and byte.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling.data.columnar import read_parquet_column, read_saved_column
from scaling.data.documents import Document
from scaling.data.files import DOCUMENT_BYTES, SAVED, list_files, refuse_size
from scaling.data.novels import read_novels
from scaling.errors import CorpusError
from scaling.sweep.corpus_sources import SOURCES, load_function

# Left out of the standard library: tests and vendored wheels (not library source), tables
# (encodings, pydoc_data: near-duplicates of each other), and files written at build time.
_STDLIB_LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data"}
    | {"_bundled", "__pycache__", "lib-dynload"}
)
_STDLIB_GENERATED = ("_sysconfigdata", "_sysconfig_vars", "config-")

_JSON_KINDS = {
    int: "a number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def read_documents(
    source: str, *, paths: Sequence[str] = (), field: str = "text", base: Path
) -> tuple[Document, ...]:
    """Every document of a corpus, sorted by name.

    Args:
        source: One of kind `text` (`sweep/corpus_sources.py`).
        paths: Files, folders or globs, relative to `base`, for sources that read files.
        field: Key of the text in each JSON line, or its column.
        base: Folder that relative paths start from (the sweep file's).

    Raises:
        CorpusError: Nothing matches, a file cannot be read or is not UTF-8 text (names every
            problem), or there is more text than this machine can prepare.
    """
    documents = load_function(SOURCES[source].reader)(paths=paths, field=field, base=base)
    documents = [document for document in documents if document.text]
    if not documents:
        raise CorpusError(f"corpus {source!r} holds no text: every document is empty.")
    return tuple(sorted(documents, key=lambda document: document.name))


def refuse(problems: Sequence[str]) -> None:
    """Raise an error that names every problem once, at most twenty of them in full.

    Raises:
        CorpusError: There is a problem.
    """
    if problems:
        distinct = list(dict.fromkeys(problems))
        more = len(distinct) - 20
        shown = [*distinct[:20], *([f"... and {more} more"] if more > 0 else [])]
        raise CorpusError("\n".join(shown))


def list_novels(**_: object) -> Iterable[Document]:
    """The novels that come with the package."""
    return read_novels()


def list_stdlib(**_: object) -> Iterator[Document]:
    """The source code of Python's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if _STDLIB_LEFT_OUT.intersection(relative.parts[:-1]):
            continue
        if any(part.startswith(_STDLIB_GENERATED) for part in relative.parts):
            continue
        text = path.read_bytes()
        if b"\0" not in text:
            yield Document(relative.as_posix(), text)


def read_texts(*, paths: Sequence[str], field: str, base: Path) -> list[Document]:
    """Read each file as a document."""

    def read(path: Path, name: str, problems: list[str]) -> Iterator[Document]:
        text = _read_text(path, problems)
        if text is not None:
            yield Document(name, text)

    return _read_files(paths, base, suffix="", read=read)


def read_json_lines(*, paths: Sequence[str], field: str, base: Path) -> list[Document]:
    """Read each line as a document: the text under `field` of its object."""

    def read(path: Path, name: str, problems: list[str]) -> Iterator[Document]:
        text = _read_text(path, problems)
        if text is not None:
            yield from _split_json_lines(name, text, field, problems)

    return _read_files(paths, base, suffix=".jsonl", read=read)


def read_parquet(*, paths: Sequence[str], field: str, base: Path) -> list[Document]:
    """Read each cell of the column `field` as a document."""

    def read(path: Path, name: str, problems: list[str]) -> Iterator[Document]:
        yield from _check_cells(name, field, read_parquet_column(path, field, problems), problems)

    return _read_files(paths, base, suffix=".parquet", read=read)


def read_saved(*, paths: Sequence[str], field: str, base: Path) -> list[Document]:
    """Read each cell of the column `field` of a saved data set as a document."""

    def read(path: Path, name: str, problems: list[str]) -> Iterator[Document]:
        yield from _check_cells(name, field, read_saved_column(path, field, problems), problems)

    return _read_files(paths, base, suffix=SAVED, read=read)


def _read_files(
    paths: Sequence[str],
    base: Path,
    *,
    suffix: str,
    read: Callable[[Path, str, list[str]], Iterator[Document]],
) -> list[Document]:
    """The documents of every file, read one by one; reports every problem together."""
    problems: list[str] = []
    documents, held = [], 0
    for path in list_files(paths, base, problems, suffix=suffix):
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
        for document in read(path, name, problems):
            held += len(document.text) + DOCUMENT_BYTES
            refuse_size(str(path), held)
            documents.append(document)
    refuse(problems)
    return documents


def _read_text(path: Path, problems: list[str]) -> bytes | None:
    try:
        size = path.stat().st_size
        refuse_size(str(path), size)
        # Files in /proc report size 0, and reading one may block.
        text = path.read_bytes() if size else b""
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}).")
        return None
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(
            f"{path}: byte {error.start} is not UTF-8 text. Convert the file or leave it out."
        )
        return None
    if b"\0" in text:
        problems.append(f"{path}: holds a NUL byte, so it is not text. Leave it out.")
        return None
    return text


def _split_json_lines(
    name: str, text: bytes, field: str, problems: list[str]
) -> Iterator[Document]:
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            problems.append(f"{name}:{number}: not a JSON object.")
            continue
        if not isinstance(value, dict) or not isinstance(value.get(field), str):
            problems.append(f"{name}:{number}: {_say_what_is_no_text(value, field)}")
            continue
        yield from _check_cells(name, field, [(number, value[field])], problems)


def _check_cells(
    name: str, field: str, cells: Iterable[tuple[int, Any]], problems: list[str]
) -> Iterator[Document]:
    """Yield the text in each numbered cell as a document."""
    for number, content in cells:
        place = f"{name}:{number}"
        if isinstance(content, bytes):
            problems.append(f"{place}: {field!r} is bytes or not UTF-8 where text is needed.")
        elif not isinstance(content, str):
            seen = _JSON_KINDS.get(type(content), type(content).__name__)
            problems.append(f"{place}: {field!r} is {seen} where text is needed.")
        else:
            try:
                encoded = content.encode("utf-8")
            except UnicodeEncodeError:
                problems.append(f"{place}: {field!r} holds a lone surrogate, not text.")
                continue
            if b"\0" in encoded:
                problems.append(f"{place}: {field!r} holds a NUL character.")
                continue
            yield Document(f"{name}:{number:09d}", encoded)


def _say_what_is_no_text(value: object, field: str) -> str:
    if not isinstance(value, dict):
        return f"{_JSON_KINDS[type(value)]} where an object with {field!r} is needed."
    if field in value:
        return f"{field!r} is {_JSON_KINDS[type(value[field])]} where text is needed."
    return f"no text under {field!r}; seen: {str(sorted(value))[:80]}."

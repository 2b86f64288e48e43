"""The files that a corpus names, and how much of them is prepared: found before they are read."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scaling.errors import CorpusError

SAVED = "a folder of save_to_disk"
# Documents, token ids, the joined text and the files to write are in memory together: about four
# copies of the corpus (counted from shards.py, not measured).
_COPIES = 4
# Overhead of a document beside its text: its name and Python's objects (assumed)
DOCUMENT_BYTES = 256
_MOST_ENTRIES = 10**6  # entries walked, in seconds; a path that names a whole disk has more
# Folders and files of other types among them, in a second; a folder of text holds few.
_MOST_OTHERS = 10**5


def list_files(
    paths: Sequence[str], base: Path, problems: list[str], *, suffix: str
) -> tuple[Path, ...]:
    """The files that paths name, sorted; of folders, those with the suffix. A folder that is a data
    set of Hugging Face is one, whole.

    Raises:
        CorpusError: They are more than can be prepared, by number or by size.
    """
    found: set[Path] = set()
    walk = _Walk(suffix, problems)
    for pattern in paths:
        if not pattern.strip():
            problems.append("corpus path '': empty; name a file or a folder of the text.")
            continue
        try:
            asked = Path(pattern).expanduser()
        except RuntimeError:  # ~user, unknown
            problems.append(f"corpus path {pattern!r}: there is no such user's home.")
            continue
        whole = base / asked
        if whole.exists():  # a name may itself contain *, ? or [
            matches = [whole]
        else:  # only the user's text is a pattern, not the folder it is relative to
            globbed = glob.iglob(str(asked), root_dir=base, recursive=True)
            matches = [base / match for match in walk.counting(globbed, pattern)]
        some = False
        for match in matches:
            files: Iterable[Path] = ()
            if suffix == SAVED and match.is_dir():
                found.add(match)
            elif match.is_dir():
                files = walk.list_inside(match, pattern)
            elif match.is_file():
                files = (match,)
            else:
                problems.append(f"corpus path {pattern!r}: not a regular file or folder.")
            # Sizes are added while walking, so that too large a corpus ends the walk.
            for path in files:
                some = True
                if path not in found:
                    found.add(path)
                    walk.add_size(path)
        if not matches:
            problems.append(f"corpus path {pattern!r}: nothing there (looked for {whole}).")
        elif not some and suffix != SAVED and all(match.is_dir() for match in matches):
            problems.append(f"corpus path {pattern!r}: the folder holds no file.")
    return tuple(sorted(found))


class _Walk:
    """A walk over folders that ends where no corpus would."""

    def __init__(self, suffix: str, problems: list[str]) -> None:
        self._suffix, self._problems = suffix, problems
        self._entries = self._others = self._size = 0

    def counting(self, names: Iterable[str], pattern: str) -> Iterator[str]:
        """Those names, as long as they are not too many.

        Raises:
            CorpusError: They are.
        """
        for name in names:
            self._entries += 1
            if self._entries > _MOST_ENTRIES:
                raise CorpusError(
                    f"corpus path {pattern!r}: more than {_MOST_ENTRIES:.0e} files and folders. "
                    "Name the folder of the text, or join its files into .jsonl."
                )
            yield name

    def _pass_over(self, count: int, pattern: str) -> None:
        """Count what is no file of the corpus.

        Raises:
            CorpusError: It is more than a folder of text holds.
        """
        self._others += count
        if self._others > _MOST_OTHERS:
            raise CorpusError(
                f"corpus path {pattern!r}: more than {_MOST_OTHERS:.0e} folders and files that are "
                "no text of this kind. Name the folder of the text, or its files by a pattern."
            )

    def list_inside(self, folder: Path, pattern: str) -> Iterator[Path]:
        """Plain files below a folder, not through links to other folders."""
        for here, folders, names in os.walk(folder, onerror=self._note):
            folders.sort()
            self._entries += len(folders)
            self._pass_over(len(folders), pattern)
            for name in self.counting(sorted(names), pattern):
                if name.endswith(self._suffix) and self._is_file(path := Path(here, name)):
                    yield path
                else:
                    self._pass_over(1, pattern)

    def add_size(self, path: Path) -> None:
        """Text and shards lie in memory as they are; of other files the rows are counted.

        Raises:
            CorpusError: It is too much.
        """
        if self._suffix in ("", ".bin"):
            with contextlib.suppress(OSError):  # reading the file will report the error
                self._size += path.stat().st_size
                refuse_size(str(path), self._size)

    def _is_file(self, path: Path) -> bool:
        try:
            return path.is_file()
        except OSError as error:  # e.g. a link loop, or a name that is too long
            self._note(error)
            return False

    def _note(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # deleted since its folder was listed
            self._problems.append(f"{error.filename}: cannot be read ({error.strerror}).")


def refuse_size(what: str, size: int) -> None:
    """Refuse what this machine cannot prepare, before it is read.

    Args:
        what: A file or a path, for the message.
        size: Size of the text or tokens up to there [bytes].

    Raises:
        CorpusError: It is beyond a quarter of the machine's memory.
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _COPIES
    if size > limit:
        raise CorpusError(
            f"{what}: with it the corpus has {size / 2**30:.3g} GiB; at most {limit / 2**30:.3g} "
            "are prepared here, a quarter of the memory. Name less, or use a machine with more."
        )

"""What a sweep stands on: its results folder and its prepared corpus, as they were at the start.

    results folder   renamed, removed, or its mount is gone   stop: every run would fail, or write
                                                              into a folder of the same name
    corpus           a file is gone, shorter, or not what     stop: exit 7 at the first, not a run
                     was written                              after the other

Looking costs a few calls of stat a second. A file whose time of change differs is read in full
before it is blamed.
"""

from __future__ import annotations

import os
from pathlib import Path

from scaling.data.shards import MANIFEST, open_shards
from scaling.errors import EnvironmentFault, IntegrityError

_Identity = tuple[int, int]
_State = tuple[int, int, int]


class Ground:
    """Remembers both, and says what became of them.

    Args:
        results: The results folder, which exists.
        corpus: Folder of the prepared corpus; one without a manifest is not watched.
    """

    def __init__(self, results: Path, corpus: Path) -> None:
        self._results, self._corpus = results.absolute(), corpus
        self._identity = _identify(self._results)
        self._files = _list_states(corpus) if (corpus / MANIFEST).is_file() else {}

    def has_results(self) -> bool:
        """Whether the results folder is still the one it was."""
        return _identify(self._results) == self._identity is not None

    def check(self) -> None:
        """Look at both.

        Raises:
            EnvironmentFault: The results folder is gone.
            IntegrityError: The corpus is not what it was, naming the file.
        """
        if not self.has_results():
            raise EnvironmentFault(
                f"{self._results}: the folder is gone (renamed, removed or unmounted). Finished "
                "runs are where it went: bring it back; the same command then continues."
            )
        for name, state in self._files.items():
            path = self._corpus / name
            seen = _find_state(path)
            if seen is None:
                raise IntegrityError(f"{path}: this file of the corpus is gone. {_AGAIN}")
            if seen[0] != state[0]:
                raise IntegrityError(
                    f"{path}: this file of the corpus has {seen[0]} bytes, not {state[0]}. {_AGAIN}"
                )
            if seen != state:
                open_shards(self._corpus)  # raises an error that names what changed
                self._files[name] = seen


_AGAIN = "Remove that folder; the same command prepares the corpus again and continues."


def _identify(folder: Path) -> _Identity | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _list_states(folder: Path) -> dict[str, _State]:
    states = {path.name: _find_state(path) for path in sorted(folder.iterdir())}
    return {name: state for name, state in states.items() if state is not None}


def _find_state(path: Path) -> _State | None:
    """Size [bytes], time of change [ns] and inode."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino

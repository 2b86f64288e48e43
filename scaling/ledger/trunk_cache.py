"""States along shared prefixes: trunks/<prefix>/step-<step>-<sha256>.pt.

A file's name holds the digest of its bytes and is given to it last, so it is whole or not there,
two writers cannot mix, and what does not have its digest is not used. Deleting a trunk costs time,
never a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files import faults
from scaling.files.durable import read_plain, write_durably

_LIMIT_BYTES = 2**37
_NAME = re.compile(r"step-(\d{9})-([0-9a-f]{64})\.pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkCache:
    """The trunk of one run.

    Attributes:
        folder: Where its states are; made when the first is stored.
        save_at: Steps after which the state is kept for other runs.
    """

    folder: Path
    save_at: tuple[int, ...]

    def list_steps(self) -> tuple[int, ...]:
        """Steps whose state is stored, ascending."""
        return tuple(sorted(step for step, _ in _list_states(self.folder)))

    def store(self, step: int, content: bytes) -> None:
        """Keep the state after `step` steps, unless one is there already."""
        if step in self.list_steps():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(content).hexdigest()
        write_durably(self.folder / f"step-{step:09d}-{digest}.pt", content)
        faults.reach("trunk.stored")

    def keep_newest(self) -> None:
        """Drop all states but the one with the most steps."""
        for _, path in sorted(_list_states(self.folder))[:-1]:
            with contextlib.suppress(OSError):  # a state that stays in the cache does no harm
                path.unlink()

    def find_newest(self, up_to: int) -> bytes | None:
        """The intact state with the most steps, at most `up_to`."""
        for step, path in sorted(_list_states(self.folder), reverse=True):
            if step > up_to:
                continue
            try:
                content = read_plain(self.folder, path.name, limit=_LIMIT_BYTES)
            except (OSError, IntegrityError):
                continue  # removed by another process meanwhile, or not a plain file
            if path.name == f"step-{step:09d}-{hashlib.sha256(content).hexdigest()}.pt":
                return content
        return None


def _list_states(folder: Path) -> list[tuple[int, Path]]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    named = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return [(int(match[1]), path) for match, path in named if match and not path.is_symlink()]

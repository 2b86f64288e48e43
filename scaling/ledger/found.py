"""Findings of reading a ledger: intact results, and damaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaling.ledger.results import RunResult

# Files verified beside a result's own digest: none, the training curve (which a report shows), or
# all of them (weights too, at the cost of reading them).
Check = Literal["result", "curves", "files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that must not be used.

    Attributes:
        path: Its path relative to the results folder.
        what: What is wrong, one line.
        run_id: The run it belongs to; None if it is of none, or of an unknown one.
    """

    path: str
    what: str
    run_id: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResults:
    """All results of a ledger, intact and damaged.

    Attributes:
        results: run_id -> result, intact ones only.
        digests: run_id -> SHA-256 of that result.
        damaged: Results that were left out.
        recorded: The intact results, and those left out only because a file they rest on is
            damaged: they still state which run was trained, and to what loss.
    """

    results: Mapping[str, RunResult]
    digests: Mapping[str, str]
    damaged: tuple[Damage, ...]
    recorded: Mapping[str, RunResult]

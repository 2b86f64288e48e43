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
    """A result that must not be used.

    Attributes:
        path: Its path relative to the results folder.
        what: What is wrong, one line.
        run_id: The run it was the result of; None if unknown.
    """

    path: str
    what: str
    run_id: str | None


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

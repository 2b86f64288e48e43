"""What reading a ledger finds: results, and what is damaged."""

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
        path: Relative to the results folder.
        what: What is wrong, one line.
        run_id: The run it was the result of; None where that cannot be told.
    """

    path: str
    what: str
    run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResults:
    """Everything that counts in a ledger, and what would if it were intact.

    Attributes:
        results: run_id -> result; only intact ones.
        digests: run_id -> SHA-256 of that result.
        damaged: Results that were left out.
        recorded: The results, and those that are left out only because a file they rest on is
            damaged: they still say which run was trained, and to what loss.
    """

    results: Mapping[str, RunResult]
    digests: Mapping[str, str]
    damaged: tuple[Damage, ...]
    recorded: Mapping[str, RunResult]

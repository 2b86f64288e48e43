"""The contents of a results folder: each of its files is read once and checked.

    sweep.json · sweep.yaml · runs/<run_id>/result.json and the curves it names · forecasts/*.json

Nothing here parses the sweep file or plans: finding a stored fit needs neither.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import UsageError
from scaling.files.sealed import canonical_json
from scaling.ledger.commit import Ledger
from scaling.ledger.forecasts import StoredForecasts, read_forecasts
from scaling.ledger.found import StoredResults
from scaling.units.losses import NATS, LossScale, LossUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The checked files of a results folder.

    Attributes:
        ledger: Its name and its corpus.
        text: The sweep file as it was last run.
        results: Every result, its curve checked.
        forecasts: Every registered forecast.
    """

    ledger: Ledger
    text: str
    results: StoredResults
    forecasts: StoredForecasts

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 over all that the folder's table of runs rests on: equal values mean equal
        tables. None if something is damaged, which must be reported each time."""
        if self.results.damaged or self.forecasts.damaged:
            return None
        corpus = self.ledger.corpus
        rests_on = [
            self.ledger.name,
            corpus.to_json(),
            "".join([self.text, corpus.code, *(one.weights for one in corpus.parents)]),
            sorted(self.results.digests.items()),
            [(one.name, one.digest) for one in self.forecasts.forecasts],
        ]
        return hashlib.sha256(canonical_json(rests_on)).hexdigest()


def holds_sweep(folder: Path) -> bool:
    """Return whether a sweep was begun in this folder."""
    return (folder / "sweep.json").is_file()


def read_contents(folder: Path) -> Contents:
    """Read the files of a results folder without changing it.

    Raises:
        UsageError: It is not a results folder.
        IntegrityError: The file that identifies it is damaged.
    """
    ledger = Ledger.open(folder)
    return Contents(
        ledger=ledger,
        text=ledger.read_sweep(),
        results=ledger.read_results(),
        forecasts=read_forecasts(folder),
    )


def find_loss_scale(source: Path, unit: LossUnit) -> LossScale:
    """The unit of losses of a question to a results folder or a table.

    Raises:
        UsageError: Bits per byte are asked for, and the folder does not know its tokens' bytes.
    """
    if unit != "bpb" or not holds_sweep(source):
        return NATS if unit == "nats" else LossScale(unit)
    facts = Ledger.open(source).corpus
    if not (facts.validation_bytes and facts.validation_tokens):
        raise UsageError(
            f"{source}: --loss-unit bpb needs the bytes behind its tokens, which the corpus does "
            "not state.\nState corpus.bytes_per_token in the sweep file, or ask in nats or bits."
        )
    return LossScale(unit, facts.validation_bytes / facts.validation_tokens)

"""Pairs of sentences scored by one run: how often the first is more likely, with intervals.

Source: stereotypes measured with pairs that differ only in the group, Nangia et al. 2020,
arXiv:2010.00133.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.contract import to_contract
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.abilities.success import find_share_interval
from scaling.fitting.bias import LEVEL
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_mean_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePair:
    """Two sentences, and their line in the file, counted from 1."""

    line: int
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPairs:
    """Pairs with their scores.

    Attributes:
        run_id: The run that scored them.
        pairs: The pairs, in the order of the file.
        differences: ln p(first) − ln p(second) of each pair [nats].
        share: Share of pairs whose first sentence is more likely; ties do not count.
        interval: Clopper-Pearson interval of the share, which takes pairs as independent.
        mean, mean_interval: Mean of the differences [nats] and its Student's t interval, None for a
            single pair.
    """

    run_id: str
    pairs: tuple[SentencePair, ...]
    differences: tuple[float, ...]
    share: float
    interval: Interval
    mean: float
    mean_interval: Interval | None

    def to_contract(self, source: str) -> dict[str, Any]:
        """Return the JSON of `scaling bias --pairs`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "run_id": self.run_id,
            "level": LEVEL,
            "n": len(self.pairs),
            "share_first": self.share,
            "interval": to_contract(self.interval),
            "mean": self.mean,
            "mean_interval": to_contract(self.mean_interval),
            "pairs": [
                {"line": one.line, "first": one.first, "second": one.second, "difference": each}
                for one, each in zip(self.pairs, self.differences, strict=True)
            ],
        }


def sum_up_pairs(
    run_id: str, pairs: tuple[SentencePair, ...], differences: Sequence[float]
) -> ScoredPairs:
    """Summarise the differences of at least one pair."""
    each = np.asarray(differences, dtype=np.float64)
    wins = int((each > 0.0).sum())
    return ScoredPairs(
        run_id=run_id,
        pairs=pairs,
        differences=tuple(map(float, each)),
        share=wins / len(each),
        interval=find_share_interval(wins, len(each), LEVEL),
        mean=math.fsum(each) / len(each),
        mean_interval=find_mean_interval(each, LEVEL),
    )

"""Parts of an ability, and which of them is learnt first.

A probe's curve has a share apart by what it sums up: the place in an answer, the pairs of an
example. A run has learnt a part where that share reaches the threshold of the whole; where most
seeds begin to is found as for the whole (`onset`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.fitting.abilities.names import PARTS
from scaling.fitting.abilities.onset import Onset, find_onsets
from scaling.fitting.abilities.scores import Scores
from scaling.sweep.probes import ProbeCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part.

    Attributes:
        at: Where on the curve, e.g. the place in an answer.
        means: Its share in each cell of the ability, mean over seeds.
        onsets: Where most seeds begin to learn it.
    """

    at: float
    means: tuple[float, ...]
    onsets: tuple[Onset, ...]

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "at": self.at,
            "means": list(self.means),
            "onsets": [one.to_contract() for one in self.onsets],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of an ability, ascending.

    Attributes:
        name: The score that they are parts of.
        label: What tells them apart.
        parts: Two at least.
    """

    name: str
    label: str
    parts: tuple[Part, ...]

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "of": self.name,
            "by": self.label,
            "parts": [one.to_contract() for one in self.parts],
        }


def find_parts(scores: Scores, curves: Mapping[str, Mapping[str, ProbeCurve]]) -> Parts | None:
    """The parts of an ability; None unless every run has a curve of the same parts, two at least.

    Args:
        scores: The runs, with the ability's threshold.
        curves: What values of probes sum up, by probe and run.
    """
    name = PARTS.get(scores.names.sharp, scores.names.sharp)
    own = curves.get(name, {})
    if not set(scores.table.run) <= own.keys():
        return None
    found = [own[run] for run in scores.table.run]
    places = found[0].x
    if len(places) < 2 or any(one.x != places for one in found):
        return None
    shares = np.array([one.y for one in found])
    return Parts(
        name=name,
        label=found[0].x_label,
        parts=tuple(
            Part(
                at=at,
                means=tuple(scores.average(share).tolist()),
                onsets=find_onsets(dataclasses.replace(scores, score=share)),
            )
            for at, share in zip(places, shares.T, strict=True)
        ),
    )

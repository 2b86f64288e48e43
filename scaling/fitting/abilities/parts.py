"""Parts of an ability, and the order in which they are learnt.

The curve of a probe splits its share, e.g. by the place in an answer or by the number of pairs in
an example. A run has learnt a part if its share reaches the threshold that applies to the whole.
The onset of a part is found as that of the whole (`onset`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.files.contract import write_fields
from scaling.fitting.abilities.names import PARTS
from scaling.fitting.abilities.onset import Onset, find_onsets
from scaling.fitting.abilities.scores import Scores
from scaling.sweep.probes import ProbeCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of an ability.

    Attributes:
        at: Position on the curve, e.g. the place in an answer.
        means: Mean share over seeds, for each cell of the ability.
        onsets: Sizes at which most seeds begin to learn it.
    """

    at: float
    means: tuple[float, ...]
    onsets: tuple[Onset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of an ability, ascending.

    Attributes:
        name: Name of the score that is split.
        label: What it is split by.
        parts: At least two.
    """

    name: str
    label: str
    parts: tuple[Part, ...]

    def to_contract(self) -> dict[str, Any]:
        return write_fields(self, name="of", label="by")


def find_parts(scores: Scores, curves: Mapping[str, Mapping[str, ProbeCurve]]) -> Parts | None:
    """Find the parts of an ability; None unless all runs have curves of the same parts.

    Args:
        scores: The runs, with the ability's threshold.
        curves: Curves behind the values of probes, by probe and run.
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

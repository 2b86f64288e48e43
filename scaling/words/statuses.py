"""The status of a fit in words: for a cell of a table, a line of text, and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaling.fitting.fitted import FitStatus


@dataclass(frozen=True, slots=True)
class StatusWords:
    """A status in words.

    Attributes:
        tone: Colour of its mark on the page.
        short: Wording for a cell of a table.
        line: Wording for a line of text.
        page: What it means, in a sentence.
    """

    tone: Literal["good", "amber", "red"]
    short: str
    line: str
    page: str


STATUSES: Mapping[FitStatus, StatusWords] = {
    "converged": StatusWords(
        "good",
        "converged",
        "converged",
        "The fit converged, and its optimum was confirmed independently.",
    ),
    "bound_hit": StatusWords(
        "amber",
        "a parameter of the law on its bound",
        "a parameter is at its bound",
        "The fit ended with a parameter of the law on its bound: read the answer as a rough guide.",
    ),
    "not_identified": StatusWords(
        "amber",
        "several laws fit alike",
        "not identified: several laws fit these runs equally well",
        "The runs do not pin down every parameter of the law: read the interval, not the point.",
    ),
    "not_converged": StatusWords(
        "red",
        "not proven to be the best",
        "NOT CONVERGED: no answer should rest on this fit",
        "The best fit was not proven to be the best: no answer is given.",
    ),
    "failed": StatusWords(
        "red",
        "no law",
        "no law could be fitted",
        "No law could be fitted: no answer is given.",
    ),
}

"""The status of a fit in words: for a cell of a table, a line of text, and the page."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.fitting.fitted import FitStatus

# Short enough for a cell; STATUSES says it in full.
SHORT_STATUSES: Mapping[FitStatus, str] = {
    "converged": "converged",
    "bound_hit": "a coefficient on its bound",
    "not_identified": "several laws fit alike",
    "not_converged": "not proven to be the best",
    "failed": "no law",
}

# Status -> (tone, what it means, in words).
STATUSES: Mapping[FitStatus, tuple[str, str]] = {
    "converged": ("good", "The fit converged, and its optimum was confirmed independently."),
    "bound_hit": (
        "amber",
        "The fit ended with a coefficient on its bound: read the answer as a rough guide.",
    ),
    "not_identified": (
        "amber",
        "The runs do not pin down every coefficient of the law: read the interval, not the point.",
    ),
    "not_converged": ("red", "The best fit was not proven to be the best: no answer is given."),
    "failed": ("red", "No law could be fitted: no answer is given."),
}

STATUS_SENTENCES = {
    "converged": "converged",
    "bound_hit": "a parameter is at its bound",
    "not_identified": "not identified: several laws fit these runs equally well",
    "not_converged": "NOT CONVERGED: no answer should rest on this fit",
    "failed": "no law could be fitted",
}

"""Every error a user can meet, in one tree; each knows its exit code.

ScalingError                      1   our own mistake if raised bare
├── UsageError                    2   the request cannot be carried out as written
│   ├── SpecError                     a sweep file (carries every problem, with file:line:col)
│   ├── TableError                    a table of runs (carries every rejected row)
│   ├── CorpusError                   text that cannot become tokens
│   └── QueryError                    a question to a fit that has no answer
├── RunsFailedError              3   a sweep ended without some of its runs
├── NoFitError                    4   valid runs, but no law that can be used
├── EnvironmentFault              5   disk, memory, Ray, permissions
├── LockedError                   6   another driver works on this sweep
└── IntegrityError                7   stored bytes are not what was written
"""

from __future__ import annotations

from collections.abc import Sequence


class ScalingError(Exception):
    """Base of every error that `scaling` raises on purpose."""

    exit_code = 1


class ScalingWarning(UserWarning):
    """Something the user should know, that does not stop the work."""


class UsageError(ScalingError):
    """The request cannot be carried out as written."""

    exit_code = 2


class SpecError(UsageError):
    """A sweep file is wrong; `problems` holds every one found, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class TableError(UsageError):
    """A table of runs is wrong; `problems` holds every rejected row or missing column."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class CorpusError(UsageError):
    """Text that cannot become training tokens."""


class QueryError(UsageError):
    """A question to a fit that has no answer (budget not positive, too far from the data)."""


class RunsFailedError(ScalingError):
    """A sweep ended, and some of its runs failed; those that finished are kept."""

    exit_code = 3


class NoFitError(ScalingError):
    """The runs are valid but no usable law follows from them."""

    exit_code = 4


class EnvironmentFault(ScalingError):
    """The machine, not the request, is at fault: disk, memory, Ray, permissions."""

    exit_code = 5


class LockedError(ScalingError):
    """Another driver holds this sweep."""

    exit_code = 6


class IntegrityError(ScalingError):
    """Stored bytes do not have the digest that was written with them."""

    exit_code = 7

"""Registry of the executors by name; a new executor needs its file and one line here.

The registry imports no executor: `scaling run --help` and the choice of the guardian need only
these lines.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from scaling.errors import UsageError
from scaling.orchestration.executors import Executor, Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorKind:
    """An executor before it is opened.

    Attributes:
        name: Its name for `--executor`.
        words: Where it trains, for `--help`.
        guarded: Whether its processes may outlive the driver, so that the command line runs it
            under the guardian.
        home: Module whose `open_executor(needs)` makes one; imported by `open`.
    """

    name: str
    words: str
    guarded: bool
    home: str

    def open(self, needs: Needs) -> Executor:
        """Make the executor without starting it.

        Raises:
            UsageError: It cannot meet the needs.
        """
        executor: Executor = importlib.import_module(self.home).open_executor(needs)
        return executor


_HERE = "scaling.orchestration.executors"
EXECUTORS: dict[str, ExecutorKind] = {
    kind.name: kind
    for kind in (
        ExecutorKind(name="ray", words="all cores", guarded=True, home=f"{_HERE}.ray"),
        ExecutorKind(
            name="inline",
            words="one run after another in this process",
            guarded=False,
            home=f"{_HERE}.inline",
        ),
    )
}


def find_executor(name: str) -> ExecutorKind:
    """The executor of that name.

    Raises:
        UsageError: No executor has that name.
    """
    if name not in EXECUTORS:
        raise UsageError(f"executor {name!r} is unknown; there are {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]


def describe_executors() -> str:
    """Every executor and where it trains, in a line."""
    return "; ".join(f"{kind.name}: {kind.words}" for kind in EXECUTORS.values()) + "."

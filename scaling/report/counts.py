"""How many runs there are, how many are fitted, and why the others are not: said once, and the same
everywhere on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from scaling.report.data import ReportData
from scaling.sweep.cells import CellRole

_ROLES: Mapping[CellRole, str] = {
    "bracket": "with another learning rate or batch",
    "validation": "trained to check a forecast",
}
_LEFT_OUT = "left out by declared rules"
_WORSE_RATE = "at another learning rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """Runs of a report; total = fitted + every number of `others`.

    Attributes:
        total: Planned runs, and what else the ledger holds; of a table the rows that were read.
        finished: Those of them with a loss that did not diverge.
        fitted: Those behind the fit.
        others: (why they are not fitted, how many).
    """

    total: int
    finished: int
    fitted: int
    others: tuple[tuple[str, int], ...]

    def describe(self) -> str:
        """'43 runs: 42 fitted, 1 trained to check a forecast'."""
        parts = [f"{self.fitted} fitted", *(f"{count} {why}" for why, count in self.others)]
        return f"{self.total} run{'s' if self.total != 1 else ''}: {', '.join(parts)}"


def count_runs(data: ReportData) -> RunCounts:
    """Counts of a sweep's report, or of a table's."""
    fitted = set(data.table.run)
    if data.origin is not None:
        total = len(data.origin.rows)
        others = ((_LEFT_OUT, total - len(fitted)),) if total > len(fitted) else ()
        return RunCounts(total=total, finished=total, fitted=len(fitted), others=others)
    roles: dict[str, CellRole] = {}
    for cell in data.get_plan().cells:
        roles.setdefault(cell.run.run_id, cell.role)
    names = sorted(roles.keys() | data.results.keys())
    why = Counter(_explain(data, name, roles) for name in names if name not in fitted)
    done = sum(one.status == "finished" for one in data.results.values())
    return RunCounts(
        total=len(names),
        finished=done,
        fitted=len(fitted),
        others=tuple(sorted(why.items())),
    )


def _explain(data: ReportData, name: str, roles: Mapping[str, CellRole]) -> str:
    """Why a run is not fitted."""
    result = data.results.get(name)
    if name in data.left_out:
        return _LEFT_OUT
    if result is None:
        return "failed" if name in data.failures else "without a result yet"
    if name not in roles:
        return "of an earlier plan"
    if result.status != "finished":
        return "diverged"
    rest = _WORSE_RATE if data.get_spec().rates else "finished without a loss that can be fitted"
    return _ROLES.get(roles[name], rest)

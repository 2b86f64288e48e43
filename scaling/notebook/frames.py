"""A fit's numbers as pandas frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from scaling.errors import UsageError
from scaling.fitting.fitted import Fit, Frontier
from scaling.tables.run_table import RunTable
from scaling.units.losses import LossScale

if TYPE_CHECKING:
    import pandas as pd

FrameName = Literal["runs", "draws", "frontier", "checks"]


def make_frame(fit: Fit, table: RunTable, scale: LossScale, name: FrameName) -> pd.DataFrame:
    """Make the frame of that name, as described in `Fitted.to_frame`.

    Raises:
        UsageError: No frame has that name, or the fit has no draws.
    """
    import pandas as pd

    makers: dict[str, Callable[[], dict[str, object]]] = {
        "runs": lambda: _list_runs(table, scale),
        "draws": lambda: _list_draws(fit),
        "frontier": lambda: _list_frontiers(fit),
        "checks": lambda: _list_checks(fit, scale),
    }
    if name not in makers:
        raise UsageError(f"{name!r} is no frame; there are {', '.join(makers)}.")
    return pd.DataFrame(makers[name]())


def _list_runs(table: RunTable, scale: LossScale) -> dict[str, object]:
    """Columns by the contract's names, without those that no row states."""
    columns: dict[str, object] = {"run": list(table.run)}
    for name, values in table.columns.items():
        if values is None or name == "run":
            continue
        columns[name] = values
        if name == "loss" and table.metric_facts is None:
            columns[name] = scale.to(np.asarray(values, dtype=np.float64))
        elif name == "loss_se" and table.metric_facts is None and scale.unit != "nats":
            loss = np.asarray(table.loss, dtype=np.float64)
            step = np.asarray(values, dtype=np.float64)
            columns[name] = (scale.to(loss + step) - scale.to(loss - step)) / 2.0
    return columns


def _list_draws(fit: Fit) -> dict[str, object]:
    if fit.law is None or not fit.draws:
        raise UsageError(f"{fit.source}: a point fit has no draws; leave bootstrap at its default.")
    draws = np.array(fit.draws, dtype=np.float64)
    return {name: draws[:, at] for at, name in enumerate(fit.law.params)}


def _list_frontiers(fit: Fit) -> dict[str, object]:
    named: dict[str, Frontier] = dict(fit.approaches.items())
    if fit.answer is not None:
        named = {"ensemble": fit.answer.frontier, **named}
    rows: dict[str, list[object]] = {"approach": list(named)}
    for letter in ("a", "k_n", "b", "k_d"):
        rows[letter] = [getattr(one, letter) for one in named.values()]
    ends = [(one.intervals or {}).get("a") for one in named.values()]
    rows["a_low"] = [None if one is None else one.low for one in ends]
    rows["a_high"] = [None if one is None else one.high for one in ends]
    return dict(rows)


def _list_checks(fit: Fit, scale: LossScale) -> dict[str, object]:
    told = [check.reword(scale) for check in fit.checks]
    names = ("code", "passed", "seen", "advice")
    return {name: [getattr(check, name) for check in told] for name in names}

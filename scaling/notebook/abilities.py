"""`scaling.find_abilities`: what `scaling abilities` prints, as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.tables.run_table import RunTable
from scaling.workflow.abilities import judge_abilities, name_abilities, read_abilities

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability


def find_abilities(
    source: str | os.PathLike[str] | RunTable,
    *,
    sharp: str | None = None,
    smooth: str | None = None,
    null: str | None = None,
    chance: float | None = None,
    bound: float | None = None,
    threshold: float | None = None,
    **how: Any,
) -> tuple[Ability, ...]:
    """Judge the abilities of some runs: do they emerge, or does their metric make it look so?

    Args:
        source: A results folder, a table of runs, or a RunTable with metrics.
        sharp: Metric that is the ability, a share; None: every one of a folder or RunTable.
        smooth: Smooth score beside it; None: the answers' loss where it was measured, else the
            loss.
        null: What the sharp score would be if tokens erred independently; None: as it was measured.
        chance: Score of guessing; None: as far as the corpus tells, else 0.
        bound: What no model can pass; None: the probe's, else 1.
        threshold: Score from which a run succeeds; None: .9 of the bound.
        how: How a table is read, as `read_table` takes it.

    Returns:
        One for each ability: success over seeds, onsets, forecasts, predictability, verdict.

    Raises:
        NoFitError: There is no ability.
        TableError: A metric is missing or out of its range; every problem of every ability.
        UsageError: A table does not say which column is the ability.
    """
    if isinstance(source, RunTable):
        table, stored = source, None
        names = name_abilities(source, sharp=sharp, smooth=smooth, null=null)
    else:
        table, stored, names = read_abilities(
            Path(source), how, sharp=sharp, smooth=smooth, null=null
        )
    return judge_abilities(
        table, names, stored=stored, chance=chance, bound=bound, threshold=threshold
    )
